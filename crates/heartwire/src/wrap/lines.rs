//! Heartbeats of text-line protocols.

use std::borrow::Cow;

use super::beat::{Answer, Beat};

/// Heartbeats as lines: a ping and its pong, or one line that both ends send.
///
/// For `LinesCodec` of tokio-util, and other codecs of text lines. A line is a beat if it is equal
/// byte for byte, without its line end.
///
/// ```
/// use heartwire::wrap::Lines;
///
/// // NATS, IRC and similar: either end may send PING, and the other one answers PONG. The default.
/// let nats = Lines::default();
///
/// // Redis: answers an inline PING with +PONG.
/// let redis = Lines::new("PING", "+PONG");
///
/// // Each end sends an empty line now and then.
/// let empty = Lines::same("");
/// ```
///
/// All beats are hidden: an application that sends a `PING` itself does not see the answer.
///
/// Create the codec with `LinesCodec::new_with_max_length(8192)`, or your own longest line:
/// `LinesCodec::new()` buffers without limit what a peer sends that never ends its line.
#[derive(Clone, Debug)]
pub struct Lines {
    ping: Cow<'static, str>,
    /// `None`: pings are answered only with [`Policy::echo`](crate::Policy::echo).
    pong: Option<Cow<'static, str>>,
}

impl Lines {
    /// Sends `ping` as the beat, and answers the peer's `ping` with `pong`, whatever the policy
    /// says. A `pong` is never answered. If the two are equal, this is [`same`](Self::same):
    /// otherwise two ends would answer each other without end.
    #[must_use]
    pub fn new(ping: impl Into<Cow<'static, str>>, pong: impl Into<Cow<'static, str>>) -> Self {
        let (ping, pong) = (ping.into(), pong.into());
        let pong = Some(pong).filter(|pong| *pong != ping);
        Self { ping, pong }
    }

    /// Both ends send `line` as the beat. It is answered with itself if the policy has
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
