//! How a beat looks in somebody's protocol.

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

    /// What the peer is owed for `interval`, for which [`is_beat`](Self::is_beat) was true.
    ///
    /// Default: [`Answer::Echo`]. An answer must not be answered, or two ends would never stop: for
    /// those say [`Answer::Never`].
    fn answer(&mut self, beat: &In) -> Answer<Self::Out> {
        let _ = beat;
        Answer::Echo
    }

    /// The nonce that `interval` brings back, if it answers a beat of ours. It gives
    /// [`Heartbeat::rtt`](super::Heartbeat::rtt), and decides nothing. Default: `None`.
    fn nonce(&self, beat: &In) -> Option<u64> {
        let _ = beat;
        None
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
