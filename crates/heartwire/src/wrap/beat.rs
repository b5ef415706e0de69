//! How a beat looks in somebody's protocol.

use core::time::Duration;

/// How beats look in a protocol whose items are `In` when they arrive.
///
/// Two methods are enough where both ends send the same thing:
///
/// ```
/// use heartwire::wrap::Beat;
///
/// enum Packet {
///     Nothing,
///     Text(String),
/// }
///
/// struct Nothing;
///
/// impl Beat<Packet> for Nothing {
///     type Out = Packet;
///
///     fn is_beat(&mut self, item: &Packet) -> bool {
///         matches!(item, Packet::Nothing)
///     }
///
///     fn beat(&mut self, _nonce: u64) -> Packet {
///         Packet::Nothing
///     }
/// }
/// ```
///
/// A protocol that tells questions from answers adds [`answer`](Self::answer), one whose beats carry
/// something of the sender's choice adds [`nonce`](Self::nonce). None of the methods may block.
pub trait Beat<In> {
    /// What a beat is when it is sent.
    type Out;

    /// Whether the application should not see `item`: a beat of the peer, or its answer to one of
    /// ours. It is life all the same, as every item is.
    fn is_beat(&mut self, item: &In) -> bool;

    /// A beat to send. `nonce` is another number for each beat; it may be left out.
    fn beat(&mut self, nonce: u64) -> Self::Out;

    /// What the peer is owed for `beat`, for which [`is_beat`](Self::is_beat) was true.
    ///
    /// Default: [`Answer::Echo`]. An answer must not be answered, or two ends would never stop: for
    /// those say [`Answer::Never`].
    fn answer(&mut self, beat: &In) -> Answer<Self::Out> {
        let _ = beat;
        Answer::Echo
    }

    /// Like [`beat`](Self::beat), for a protocol whose beats say how long nothing has come from the
    /// peer: `silence`, as in [`Heartbeat::silence`](super::Heartbeat::silence), or nothing while the
    /// owner is so slow that something may wait unread. This is what is called. Default: `beat`.
    fn beat_after(&mut self, nonce: u64, silence: Duration) -> Self::Out {
        let _ = silence;
        self.beat(nonce)
    }

    /// Whether an item that was sent will do for a beat. Default: `true`, which holds only under a policy
    /// with a limit, and while the peer is heard: one that is silent is asked whatever items are sent. If beats carry
    /// what items do not, say `false`: one goes out whenever the last one was sent as long ago as the
    /// policy's beat.
    fn suppressed_by_items(&self) -> bool {
        true
    }

    /// The nonce that `beat` brings back, if it answers a beat of ours. It gives
    /// [`Heartbeat::rtt`](super::Heartbeat::rtt), and decides nothing. Default: `None`.
    fn nonce(&self, beat: &In) -> Option<u64> {
        let _ = beat;
        None
    }

    /// How long the peer has held that nonce before it brought it back, where that does not happen at
    /// once and the peer says so. It is not counted as a part of the round trip. Default: nothing.
    fn held(&self, beat: &In) -> Duration {
        let _ = beat;
        Duration::ZERO
    }
}

/// What a beat of the peer is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever answers must know all there is to say")]
pub enum Answer<Out> {
    /// What the policy says: a beat with [`Policy::echo`](crate::Policy::echo), else nothing. For
    /// protocols in which a beat and its answer look the same.
    Echo,
    /// This, whatever the policy says. For questions that the protocol wants answered.
    Owed(Out),
    /// Nothing, whatever the policy says. For answers.
    Never,
}
