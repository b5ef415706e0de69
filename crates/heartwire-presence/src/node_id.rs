//! The names of nodes, and of their runs.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a node, in bytes.
const MAX_LEN: usize = 64;

/// The name of a node: 1 to 64 letters, digits, `-`, `_` and `.` of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Box<str>);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NotANodeName;

    fn from_str(text: &str) -> Result<Self, NotANodeName> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let is_valid = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_valid { Ok(Self(text.into())) } else { Err(NotANodeName) }
    }
}

/// A text that is no [`NodeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotANodeName;

impl fmt::Display for NotANodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a node is 1 to {MAX_LEN} letters, digits, '-', '_' and '.'")
    }
}

impl core::error::Error for NotANodeName {}

/// One membership of a node: its name, a dot and eight hexadecimal digits, such as `eu-1.5f0c2a91`.
/// A node that starts again, or that was taken for dead, goes on under a new id: so what was said
/// of the old one cannot harm it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Box<str>);

impl NodeId {
    /// The id of a node whose draw was this number.
    #[must_use]
    pub fn new(name: &NodeName, draw: u32) -> Self {
        Self(format!("{name}.{draw:08x}").into())
    }

    /// An id that was read from Redis.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(name, _)| name)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_node_has_no_character_that_means_something_in_a_key_or_a_line() {
        for good in ["a", "eu-1.b_2", &"n".repeat(MAX_LEN)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", " a", "a b", "a:b", "a{b}", "é", "a\n", &"n".repeat(MAX_LEN + 1)] {
            assert_eq!(bad.parse::<NodeName>(), Err(NotANodeName), "{bad:?}");
        }
    }

    #[test]
    fn id_says_the_name_of_its_node_even_with_dots_in_it() {
        let name: NodeName = "eu.1".parse().unwrap();
        let id = NodeId::new(&name, 0xab);
        assert_eq!((id.as_str(), id.name()), ("eu.1.000000ab", "eu.1"));
    }
}
