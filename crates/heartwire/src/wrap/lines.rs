//! Beats of protocols that are made of lines.

use std::borrow::Cow;

use super::beat::{Answer, Beat};

/// A line that asks, and one that answers; or one line that both ends send.
///
/// For `LinesCodec` of tokio-util, and whatever else carries lines as text. A line is a beat if it is
/// the same, byte for byte, without its end.
///
/// ```
/// use heartwire::wrap::Lines;
///
/// // NATS, IRC and their like: either end may send PING, the other one answers PONG. The default.
/// let nats = Lines::new("PING", "PONG");
/// assert_eq!(nats, Lines::default());
///
/// // Redis: answers an inline PING with +PONG.
/// let redis = Lines::new("PING", "+PONG");
///
/// // Each end sends an empty line now and then.
/// let empty = Lines::same("");
/// ```
///
/// Beats are hidden wherever they come from: an application that sends a `PING` of its own does not
/// see the answer.
///
/// Make the codec with `LinesCodec::new_with_max_length(8192)`, or whatever your longest line is: that of
/// `LinesCodec::new()` keeps all that comes from a peer that never ends its line, which is life, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    ping: Cow<'static, str>,
    /// `None`: nothing is answered, except with [`Policy::echo`](crate::Policy::echo).
    pong: Option<Cow<'static, str>>,
}

impl Lines {
    /// A beat is `ping`. A peer's `ping` is answered with `pong`, whatever the policy says, and its
    /// `pong` is never answered. If the two are equal, this is [`same`](Self::same): else two ends
    /// would never stop.
    #[must_use]
    pub fn new(ping: impl Into<Cow<'static, str>>, pong: impl Into<Cow<'static, str>>) -> Self {
        let (ping, pong) = (ping.into(), pong.into());
        let pong = Some(pong).filter(|pong| *pong != ping);
        Self { ping, pong }
    }

    /// A beat is `line`, at both ends. It is answered with itself if the policy has
    /// [`echo`](crate::Policy::echo).
    #[must_use]
    pub fn same(line: impl Into<Cow<'static, str>>) -> Self {
        Self { ping: line.into(), pong: None }
    }
}

/// `PING` and `PONG`.
impl Default for Lines {
    fn default() -> Self {
        Self::new("PING", "PONG")
    }
}

impl<In: AsRef<str>> Beat<In> for Lines {
    type Out = Cow<'static, str>;

    fn is_beat(&mut self, item: &In) -> bool {
        let line = item.as_ref();
        line == self.ping || self.pong.as_ref().is_some_and(|pong| line == pong)
    }

    fn beat(&mut self, _nonce: u64) -> Self::Out {
        self.ping.clone()
    }

    fn answer(&mut self, beat: &In) -> Answer<Self::Out> {
        match &self.pong {
            None => Answer::Echo,
            Some(pong) if beat.as_ref() == self.ping => Answer::Owed(pong.clone()),
            Some(_) => Answer::Never,
        }
    }
}
