//! The record of a name in Redis.

use core::str;

use crate::{Entry, NodeId};

/// The entry that a record stands for: `epoch node session since instance peer`, with `-` for what
/// is not known. `None` if another program has written it.
pub(crate) fn entry(name: &[u8], record: &[u8]) -> Option<Entry> {
    let name = str::from_utf8(name).ok()?;
    let mut fields = str::from_utf8(record).ok()?.split(' ');
    let epoch = fields.next()?.parse().ok()?;
    let node = NodeId::from_stored(fields.next()?);
    let session = fields.next()?.into();
    let since = fields.next()?.parse().ok()?;
    let instance = fields.next()?.parse().ok();
    let peer = fields.next()?.into();
    Some(Entry { name: name.into(), epoch, node, session, since, peer, instance })
}

#[cfg(test)]
mod tests {
    use core::num::NonZero;

    use super::*;

    #[test]
    fn record_is_what_a_node_wrote_or_nothing() {
        let read = |record: &str| entry("door 3".as_bytes(), record.as_bytes());
        let entry = read("17 eu-1.5f0c2a91 0-17-3 16 - 192.0.2.7:5123").unwrap();
        assert_eq!((&*entry.name, entry.epoch, entry.since), ("door 3", 17, 16));
        assert_eq!((entry.node.name(), &*entry.session), ("eu-1", "0-17-3"));
        assert_eq!((&*entry.peer, entry.instance), ("192.0.2.7:5123", None));
        let with_instance = read("17 eu-1.5f0c2a91 0-17-3 16 77 [::1]:9").unwrap();
        assert_eq!(with_instance.instance, NonZero::new(77));
        for other in ["", "17", "17 a 0-1-1 x - p", "1 2 3 4 5"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(super::entry(b"\xff", b"17 a 0-1-1 16 - p"), None);
    }
}
