//! The trait that defines heartbeats in your protocol.

/// Defines what a beat looks like in a protocol that receives items of type `In`.
///
/// Two methods are enough if both ends send the same beat:
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
/// A protocol whose beats differ from their answers adds [`answer`](Self::answer). One whose beats
/// carry a value that the answer returns adds [`nonce`](Self::nonce). No method may block.
pub trait Beat<In> {
    /// The type of items that this end sends as beats.
    type Out;

    /// Whether `item` is a beat of the peer, or its answer to one of this end. The application does
    /// not see it; like every item it is a sign of life.
    fn is_beat(&mut self, item: &In) -> bool;

    /// Makes a beat to send. `nonce` differs for each beat; a protocol may ignore it.
    fn beat(&mut self, nonce: u64) -> Self::Out;

    /// How to answer `beat`, for which [`is_beat`](Self::is_beat) was true.
    ///
    /// Default: [`Answer::Echo`]. Return [`Answer::Never`] for an answer, or two ends would answer
    /// each other without end.
    fn answer(&mut self, beat: &In) -> Answer<Self::Out> {
        let _ = beat;
        Answer::Echo
    }

    /// The nonce in `beat`, if it answers a beat of this end. It is used only for
    /// [`Heartbeat::rtt`](super::Heartbeat::rtt). Default: `None`.
    fn nonce(&self, beat: &In) -> Option<u64> {
        let _ = beat;
        None
    }
}

/// How to answer a beat of the peer.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "implementors return every variant, and there is no other"
)]
pub enum Answer<Out> {
    /// As the policy says: with a beat if it has [`echo`](crate::Policy::echo), else not at all.
    /// For protocols in which a beat and its answer look the same.
    Echo,
    /// With this item, whatever the policy says. For pings that the protocol requires to be
    /// answered.
    Owed(Out),
    /// Never, whatever the policy says. For answers.
    Never,
}
