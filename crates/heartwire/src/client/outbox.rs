//! The outbox: frames that wait to be written to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use heartwire_core::Transmit;
use tokio::sync::OwnedSemaphorePermit;

use super::transport::Transport;
use crate::world::Socket;

/// Maximum number of messages taken from the queue at once, to write them with one system call.
const BATCH: usize = 16;

/// An accepted message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) body: Vec<u8>,
    /// The room that it occupies until it is written.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// A number of frames, and their bytes, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, len: usize) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}

/// The result of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) len: usize,
    /// The last beat that was completely written.
    pub(super) beat: Option<Transmit>,
}

/// The frames to write next, in order, and behind them those of a resumable session that were
/// written and may have to be written again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Messages that were written and not acknowledged. Empty unless [kept](Self::keep_written).
    log: VecDeque<Frame>,
    keeps_written: bool,
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that the kernel has taken.
    written: usize,
    /// Frames that must not be written yet. They come after the others.
    held: VecDeque<Frame>,
    /// Messages dropped on this connection because its server accepts none so long.
    too_long: usize,
}

#[derive(Debug)]
struct Frame {
    header: Transmit,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// A beat, which is only a header.
    Beat,
    Message(Message),
    /// A control frame: HELLO, BYE or PAD.
    Control(Vec<u8>),
}

impl Frame {
    fn body(&self) -> &[u8] {
        match &self.body {
            Body::Beat => &[],
            Body::Message(message) => &message.body,
            Body::Control(bytes) => bytes,
        }
    }

    const fn is_message(&self) -> bool {
        matches!(self.body, Body::Message(_))
    }

    fn len(&self) -> usize {
        self.header.as_ref().len() + self.body().len()
    }

    /// Whether it is a message that was written before, on an earlier link too.
    const fn was_written(&self) -> bool {
        matches!(&self.body, Body::Message(message) if message.room.is_none())
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn has_message(&self) -> bool {
        self.frames.iter().any(Frame::is_message)
    }

    /// Whether it takes another message; further ones stay in the queue.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < BATCH
    }

    /// Inserts a beat before everything except a frame whose writing has begun. It replaces a beat
    /// that already waits there.
    pub(super) fn push_beat_first(&mut self, beat: Transmit) {
        let begun = usize::from(self.written > 0);
        match self.frames.get_mut(begun) {
            Some(Frame { header, body: Body::Beat }) => *header = beat,
            Some(_) | None => self.frames.insert(begun, Frame { header: beat, body: Body::Beat }),
        }
    }

    pub(super) fn push_beat(&mut self, beat: Transmit) {
        self.frames.push_back(Frame { header: beat, body: Body::Beat });
    }

    /// Appends control frames.
    pub(super) fn push_control(&mut self, bytes: Vec<u8>) {
        self.frames.push_back(Frame { header: Transmit::default(), body: Body::Control(bytes) });
    }

    /// The length of the last frame, if it should wake the server: a message, or a beat
    /// `with_news`. The frames before it do not count, because the server may read them separately.
    pub(super) fn unpadded_len(&self, with_news: bool) -> Option<usize> {
        let should_wake = |frame: &Frame| match frame.body {
            Body::Message(_) => true,
            Body::Beat => with_news,
            Body::Control(_) => false,
        };
        self.frames.back().filter(|frame| should_wake(frame)).map(Frame::len)
    }

    pub(super) fn push_message(&mut self, header: Transmit, message: Message) {
        let frame = Frame { header, body: Body::Message(message) };
        if frame.len() > 0 {
            self.frames.push_back(frame);
        }
    }

    /// Drops a message that the server would not accept.
    pub(super) fn drop_too_long(&mut self, message: Message) {
        drop(message);
        self.too_long += 1;
    }

    /// Holds back all frames, except one whose writing has begun, until [`release`](Self::release).
    /// Frames added from now on go before them.
    pub(super) fn hold(&mut self) {
        let begun = usize::from(self.written > 0).min(self.frames.len());
        let mut held = self.frames.split_off(begun);
        held.append(&mut self.held);
        self.held = held;
    }

    pub(super) fn release(&mut self) {
        self.frames.append(&mut self.held);
    }

    /// Writes until everything is written or the kernel takes no more. Returns what was written.
    pub(super) fn write(&mut self, transport: &mut Transport<impl Socket>) -> io::Result<Written> {
        let mut written = Written::default();
        transport.flush()?;
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * BATCH];
            let count = self.gather(&mut slices);
            match transport.write(slices.get(..count).unwrap_or_default()) {
                Ok(len) => {
                    written.beat = self.advance(len).or(written.beat);
                    written.len += len;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        for part in self.frames.iter().flat_map(|frame| [frame.header.as_ref(), frame.body()]) {
            let Some(rest) = part.get(skip..).filter(|rest| !rest.is_empty()) else {
                skip -= part.len();
                continue;
            };
            skip = 0;
            let Some(slot) = slices.get_mut(count) else { break };
            *slot = IoSlice::new(rest);
            count += 1;
        }
        count
    }

    /// Removes `len` written bytes. Returns the last beat that is completely written now.
    fn advance(&mut self, len: usize) -> Option<Transmit> {
        self.written += len;
        let mut beat = None;
        while let Some(frame) = self.frames.front().filter(|frame| frame.len() <= self.written) {
            self.written -= frame.len();
            if let Body::Beat = frame.body {
                beat = Some(frame.header);
            }
            self.pop_written();
        }
        beat
    }

    fn pop_written(&mut self) {
        let Some(mut frame) = self.frames.pop_front() else { return };
        if let Body::Message(message) = &mut frame.body {
            if self.keeps_written {
                message.room = None;
                self.log.push_back(frame);
            }
        }
    }

    /// Whether messages are kept after they were written, until they are
    /// [acknowledged](Self::acknowledge). They give their room back all the same, so what is kept
    /// has to be bounded by other means.
    pub(super) const fn keep_written(&mut self, keeps: bool) {
        self.keeps_written = keeps;
    }

    /// The lengths of the frames that were written and not acknowledged, the oldest first.
    pub(super) fn log_lens(&self) -> impl Iterator<Item = usize> + Clone {
        self.log.iter().map(Frame::len)
    }

    /// The server has taken over so many more frames.
    pub(super) fn acknowledge(&mut self, count: usize) {
        self.log.drain(..count.min(self.log.len()));
    }

    /// Handles the end of a link whose session goes on: the message whose writing had begun is
    /// written again from its start.
    pub(super) fn handle_link_end(&mut self) {
        self.written = 0;
        self.release();
        self.frames.retain(Frame::is_message);
    }

    /// Puts what was written, except the first `received` messages, in front of what was not, to
    /// be written again.
    pub(super) fn replay(&mut self, received: usize) -> Tally {
        let mut again = self.log.split_off(received.min(self.log.len()));
        let mut tally = Tally::default();
        again.iter().for_each(|frame| tally.add(frame.len()));
        let mut rest = self.frames.split_off(usize::from(self.written > 0).min(self.frames.len()));
        self.frames.append(&mut again);
        self.frames.append(&mut rest);
        tally
    }

    /// The messages that were written, on whatever link, and are not acknowledged.
    pub(super) fn unacknowledged(&self) -> Tally {
        let waiting = self.frames.iter().chain(&self.held).filter(|frame| frame.was_written());
        let mut tally = Tally::default();
        self.log.iter().chain(waiting).for_each(|frame| tally.add(frame.len()));
        tally
    }

    /// Handles the end of the connection. Drops beats, the frame whose writing had begun, and
    /// messages that were written before, because the server may have received them. Keeps the
    /// other messages. Returns how many messages were dropped that were never completely written,
    /// with those that were too long.
    pub(super) fn handle_end(&mut self) -> usize {
        let begun = if core::mem::take(&mut self.written) > 0 {
            self.frames.pop_front().is_some_and(|frame| frame.is_message() && !frame.was_written())
        } else {
            false
        };
        self.log.clear();
        self.keeps_written = false;
        self.release();
        self.frames.retain(|frame| frame.is_message() && !frame.was_written());
        usize::from(begun) + core::mem::take(&mut self.too_long)
    }

    /// Drops everything. Returns how many messages there were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.handle_end() + self.frames.len();
        self.frames.clear();
        dropped
    }
}

#[cfg(test)]
mod tests;
