//! The outbox: frames that wait to be written to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use heartwire_core::Transmit;
use tokio::sync::OwnedSemaphorePermit;

use super::transport::Transport;
use crate::world::Socket;

/// Maximum number of messages taken from the queue at once, to write them with one system call.
const BATCH: usize = 16;

/// An accepted message, with the room that it occupies until it is written.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) body: Vec<u8>,
    #[expect(dead_code, reason = "it is given back when the message is dropped")]
    pub(super) room: OwnedSemaphorePermit,
}

/// The result of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) len: usize,
    /// The last beat that was completely written.
    pub(super) beat: Option<Transmit>,
}

/// The frames to write next, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that the kernel has taken.
    written: usize,
    /// Frames that must not be written yet. They come after the others.
    held: VecDeque<Frame>,
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
            self.frames.pop_front();
        }
        beat
    }

    /// Handles the end of the connection. Drops beats, and the frame whose writing had begun,
    /// because the server may have received it. Keeps the other messages. Returns how many messages
    /// were dropped.
    pub(super) fn handle_end(&mut self) -> usize {
        let begun = if core::mem::take(&mut self.written) > 0 {
            self.frames.pop_front().is_some_and(|frame| frame.is_message())
        } else {
            false
        };
        self.release();
        self.frames.retain(Frame::is_message);
        usize::from(begun)
    }

    /// Drops everything. Returns how many messages there were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.handle_end() + self.frames.len();
        self.frames.clear();
        dropped
    }
}
