//! Positions of a resumable session, which outlives its connections.
//!
//! Each direction of such a session counts whole frames of the types DATA and END, and their bytes
//! with headers. The counts go on from connection to connection, so that both ends know after a
//! reconnect which frames are missing. Nothing is sent with a frame: TCP keeps the order.
//!
//! A [`Ledger`] has the counts of both directions, without any bytes. The frames themselves are
//! kept by the driver, in a log of what it sends.

use core::fmt;

use crate::codec;
use crate::frame::{ACK_LEN, HEADER_LEN};
use crate::violation::Violation;

/// The longest window: 1 GiB.
pub const MAX_WINDOW: u32 = 1 << 30;

/// The shortest window that is not 0: it has room for two empty frames, and a frame may take half
/// of a window.
pub const MIN_WINDOW: u32 = 16;

/// What is taken over is acknowledged at the latest when it has as many bytes, also if a quarter of
/// the window is more: so that a wide window frees its memory in time.
const MAX_UNTOLD: u32 = 64 * 1024;

/// A position in one direction of a session: how many whole frames came before it, and how many
/// bytes these had. Either tells of a fault in the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a position is these two numbers")]
pub struct Position {
    /// Whole frames.
    pub frames: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

impl Position {
    /// The body of an ACK, and the end of a beat.
    pub(crate) fn encode(self) -> [u8; ACK_LEN] {
        let mut body = [0; ACK_LEN];
        codec::join(&mut body, &[&self.frames.to_le_bytes(), &self.bytes.to_le_bytes()]);
        body
    }

    pub(crate) fn decode(body: &[u8; ACK_LEN]) -> Self {
        let [f0, f1, f2, f3, f4, f5, f6, f7, b0, b1, b2, b3, b4, b5, b6, b7] = *body;
        Self {
            frames: u64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]),
            bytes: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        }
    }

    fn plus(self, span: Span) -> Self {
        // A session would have to send 1 GB/s for 584 years.
        Self {
            frames: self.frames.saturating_add(span.frames.into()),
            bytes: self.bytes.saturating_add(span.bytes.into()),
        }
    }

    /// The span from `from` to here; `None` if this is not behind it, or too far.
    fn since(self, from: Self) -> Option<Span> {
        let frames = u32::try_from(self.frames.checked_sub(from.frames)?).ok()?;
        let bytes = u32::try_from(self.bytes.checked_sub(from.bytes)?).ok()?;
        Some(Span { frames, bytes })
    }
}

/// Frames between two positions that lie a window apart at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    frames: u32,
    bytes: u32,
}

impl Span {
    const fn frame(len: u32) -> Self {
        Self { frames: 1, bytes: len }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_add(other.frames),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(other.frames),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// What the other end is not known to have taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is these two numbers")]
pub struct Undelivered {
    /// DATA frames.
    pub frames: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// The positions of both directions of a session.
///
/// In the direction away from this end: *acknowledged* ≤ *written* ≤ *queued*, and at most a window
/// of DATA between the first and the last. In the other: *told* ≤ *taken over* ≤ *received*, and at
/// most a window as well. While there is a connection it
/// [owns](crate::Connection::attach) the ledger, and counts what arrives.
#[derive(Clone, PartialEq, Eq)]
pub struct Ledger {
    acked: Position,
    /// All from `acked` on: what the peer has taken over since and was not
    /// [settled](Self::settle), what was written on some connection, and what was queued.
    told_by_peer: Span,
    written: u32,
    queued: Span,
    send_window: u32,
    taken: Position,
    /// Received, and not taken over.
    waiting: Span,
    /// Taken over, and the peer was not told.
    untold: Span,
    receive_window: u32,
    has_ended: bool,
    peer_has_ended: bool,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("acknowledged", &self.acked)
            .field("written", &self.written)
            .field("queued", &self.queued)
            .field("taken", &self.taken)
            .field("waiting", &self.waiting)
            .field("windows", &(self.send_window, self.receive_window))
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// The ledger of a new session, with the windows away from this end and towards it.
    #[must_use]
    pub fn new(send_window: u32, receive_window: u32) -> Self {
        Self {
            acked: Position::default(),
            told_by_peer: Span::default(),
            written: 0,
            queued: Span::default(),
            send_window: send_window.min(MAX_WINDOW),
            taken: Position::default(),
            waiting: Span::default(),
            untold: Span::default(),
            receive_window: receive_window.min(MAX_WINDOW),
            has_ended: false,
            peer_has_ended: false,
        }
    }

    /// The longest frame that may be queued, header included: half of the window, so that a peer
    /// that acknowledges each quarter of it always makes room.
    #[must_use]
    pub const fn longest_frame(&self) -> u32 {
        self.send_window / 2
    }

    /// Bytes of frames that may be queued now.
    #[must_use]
    pub const fn room(&self) -> u32 {
        if self.has_ended { 0 } else { self.send_window.saturating_sub(self.queued.bytes) }
    }

    /// Counts a DATA frame of `len` bytes, header included, that is put at the end of the log.
    /// Returns whether it may be: otherwise there is no [room](Self::room), or it is too
    /// [long](Self::longest_frame), and nothing has changed.
    #[must_use = "a frame that was not counted must not be queued"]
    pub fn queue(&mut self, len: u32) -> bool {
        let fits = len <= self.room() && len <= self.longest_frame();
        if fits {
            self.queued = self.queued.plus(Span::frame(len));
        }
        fits
    }

    /// Counts the END frame, which is put at the end of the log: no DATA may follow. It needs no
    /// [room](Self::room). Returns false, and has changed nothing, if there is one already.
    #[must_use = "a frame that was not counted must not be queued"]
    pub fn queue_end(&mut self) -> bool {
        if self.has_ended {
            return false;
        }
        self.queued = self.queued.plus(Span::frame(END_LEN));
        self.has_ended = true;
        true
    }

    /// The first `len` bytes of the log were written, on this connection or an earlier one.
    pub fn handle_written(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.written = self.written.max(len.min(self.queued.bytes));
    }

    /// The peer has taken over everything up to `position`.
    ///
    /// # Errors
    ///
    /// [`Violation::BadPosition`] if it cannot have.
    pub(crate) fn handle_told(&mut self, position: Position) -> Result<(), Violation> {
        let told = self.within_written(position)?;
        if told.frames < self.told_by_peer.frames || told.bytes < self.told_by_peer.bytes {
            return Err(Violation::BadPosition { position });
        }
        self.told_by_peer = told;
        Ok(())
    }

    fn within_written(&self, position: Position) -> Result<Span, Violation> {
        let span = position.since(self.acked).filter(|span| span.bytes <= self.written);
        span.ok_or(Violation::BadPosition { position })
    }

    /// Removes from the ledger what the peer has taken over. Returns how many frames the driver
    /// removes from the front of its log, whose frames have these `lens`, headers included. Cheap
    /// if there is none. A driver calls it after each read.
    ///
    /// # Errors
    ///
    /// [`Violation::BadPosition`] if the position that the peer told is within a frame.
    pub fn settle(&mut self, lens: impl IntoIterator<Item = usize>) -> Result<usize, Violation> {
        if self.told_by_peer == Span::default() {
            return Ok(0);
        }
        // Also if it is wrong: then the peer has told nothing.
        let told = core::mem::take(&mut self.told_by_peer);
        let count = self.on_boundary(told, lens)?;
        self.acked = self.acked.plus(told);
        self.queued = self.queued.minus(told);
        self.written -= told.bytes.min(self.written);
        Ok(count)
    }

    /// The peer has received everything up to `position`, and goes on from there on a new
    /// connection. Returns how many frames of the log, whose frames have these `lens`, are not
    /// written again. They stay in it until the peer has taken them over.
    ///
    /// # Errors
    ///
    /// [`Violation::BadPosition`] if it cannot have, or the position is within a frame.
    pub fn resume_at(
        &self,
        position: Position,
        lens: impl IntoIterator<Item = usize>,
    ) -> Result<usize, Violation> {
        let received = self.within_written(position)?;
        if received.bytes < self.told_by_peer.bytes {
            return Err(Violation::BadPosition { position });
        }
        self.on_boundary(received, lens)
    }

    /// Checks that a span from the front of the log ends where a frame does.
    fn on_boundary(
        &self,
        span: Span,
        lens: impl IntoIterator<Item = usize>,
    ) -> Result<usize, Violation> {
        let count = usize::try_from(span.frames).unwrap_or(usize::MAX);
        let (frames, bytes) = lens
            .into_iter()
            .take(count)
            .fold((0_usize, 0_usize), |(frames, bytes), len| (frames + 1, bytes + len));
        if frames == count && u32::try_from(bytes) == Ok(span.bytes) {
            Ok(count)
        } else {
            Err(Violation::BadPosition { position: self.acked.plus(span) })
        }
    }

    /// What the peer has not said to have taken over, of all that was queued.
    #[must_use]
    pub fn undelivered(&self) -> Undelivered {
        let Span { frames, bytes } = self.queued.minus(self.told_by_peer);
        let headers = u32::try_from(HEADER_LEN).unwrap_or(u32::MAX).saturating_mul(frames);
        let end = u32::from(self.has_ended && frames > 0);
        Undelivered { frames: (frames - end).into(), bytes: bytes.saturating_sub(headers).into() }
    }

    /// Whether the peer has not said to have taken over all that was written.
    #[must_use]
    pub const fn has_unacknowledged(&self) -> bool {
        self.written > self.told_by_peer.bytes
    }

    /// Counts a frame of `len` bytes that arrived.
    pub(crate) fn handle_frame(&mut self, len: u32, is_end: bool) -> Result<(), Violation> {
        let waiting = self.waiting.plus(Span::frame(len));
        // The peer may know only what it was told. An END needs no room.
        if !is_end && waiting.plus(self.untold).bytes > self.receive_window {
            return Err(Violation::Window { window: self.receive_window });
        }
        self.waiting = waiting;
        self.peer_has_ended |= is_end;
        Ok(())
    }

    /// The position of what was received whole.
    #[must_use]
    pub fn received(&self) -> Position {
        self.taken.plus(self.waiting)
    }

    /// The position of what was taken over.
    #[must_use]
    pub const fn taken(&self) -> Position {
        self.taken
    }

    /// The application has taken over the next frame, of `len` bytes, header included.
    pub fn take(&mut self, len: usize) {
        self.take_many(1, len);
    }

    /// The application has taken over the next `frames`, which have `bytes` together, headers
    /// included.
    pub fn take_many(&mut self, frames: usize, bytes: usize) {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let taken = Span { frames: number(frames), bytes: number(bytes) };
        self.waiting = self.waiting.minus(taken);
        self.taken = self.taken.plus(taken);
        self.untold = self.untold.plus(taken);
    }

    /// The application takes over everything that was received: it will take nothing more.
    pub fn take_all(&mut self) {
        let Span { frames, bytes } = self.waiting;
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        self.take_many(number(frames), number(bytes));
    }

    /// Whether the peer has to be told what was taken over, before the next beat does.
    #[must_use]
    pub const fn ack_due(&self) -> bool {
        self.untold.bytes > 0 && self.until_ack() == 0
    }

    /// How many more bytes have to be taken over until an [ACK is due](Self::ack_due).
    #[must_use]
    pub const fn until_ack(&self) -> u32 {
        let quarter = self.receive_window / 4;
        let most = if quarter < MAX_UNTOLD { quarter } else { MAX_UNTOLD };
        let left = most.saturating_sub(self.untold.bytes);
        // A peer that has sent its END waits for no more than this.
        let is_last = self.peer_has_ended && self.waiting.bytes < left;
        if is_last { self.waiting.bytes } else { left }
    }

    /// The position to tell the peer, which counts as told.
    pub(crate) const fn tell(&mut self) -> Position {
        self.untold = Span { frames: 0, bytes: 0 };
        self.taken
    }

    /// How many frames are known to be taken over, of both directions together.
    #[must_use]
    pub fn carried(&self) -> u64 {
        let acked = self.acked.plus(self.told_by_peer).frames;
        acked.saturating_add(self.taken.frames)
    }

    /// Whether this end has queued its END.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the peer's END has arrived.
    #[must_use]
    pub const fn peer_has_ended(&self) -> bool {
        self.peer_has_ended
    }

    /// Whether both ends have sent their END, and this one has taken over everything.
    #[must_use]
    pub const fn has_both(&self) -> bool {
        self.has_ended && self.peer_has_ended && self.waiting.bytes == 0
    }

    /// Whether both ends have taken over everything up to the END of the other.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.has_both() && self.queued.bytes == self.told_by_peer.bytes
    }
}

/// Bytes of an END frame.
const END_LEN: u32 = 8;

#[cfg(test)]
mod tests;
