//! The outbox: frames that wait to be written to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use heartwire_core::{Transmit, frame};
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
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

impl Tally {
    pub(super) fn add(&mut self, len: usize) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(len);
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
    /// Counted frames that were written and not acknowledged. Empty unless
    /// [kept](Self::keep_written).
    log: VecDeque<Frame>,
    /// Their bytes.
    log_len: usize,
    keeps_written: bool,
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that the kernel has taken.
    written: usize,
    /// Frames that must not be written yet. They come after the others.
    held: VecDeque<Frame>,
    /// Messages dropped on this connection: its server accepts none so long, or the application
    /// wants none to be written.
    dropped: Tally,
}

#[derive(Debug)]
struct Frame {
    header: Transmit,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// A beat or an ACK, which is only a header.
    Beat,
    Message(Message),
    /// Whether it was written before.
    End {
        was_written: bool,
    },
    /// A control frame: HELLO, BYE or PAD.
    Control(Vec<u8>),
}

impl Frame {
    fn body(&self) -> &[u8] {
        match &self.body {
            Body::Beat => &[],
            Body::End { .. } => &frame::END,
            Body::Message(message) => &message.body,
            Body::Control(bytes) => bytes,
        }
    }

    /// Whether a session counts it, if it can be resumed.
    const fn is_counted(&self) -> bool {
        matches!(self.body, Body::Message(_) | Body::End { .. })
    }

    fn len(&self) -> usize {
        self.header.as_ref().len() + self.body().len()
    }

    /// Whether it is counted and was written before, on an earlier link too.
    const fn was_written(&self) -> bool {
        match &self.body {
            Body::Message(message) => message.room.is_none(),
            Body::End { was_written } => *was_written,
            Body::Beat | Body::Control(_) => false,
        }
    }

    fn set_written(&mut self) {
        match &mut self.body {
            Body::Message(message) => message.room = None,
            Body::End { was_written } => *was_written = true,
            Body::Beat | Body::Control(_) => {}
        }
    }

    fn message(self) -> Option<Message> {
        if let Body::Message(message) = self.body { Some(message) } else { None }
    }

    const fn is_beat(&self) -> bool {
        matches!(self.body, Body::Beat)
    }

    fn is_ack(&self) -> bool {
        self.is_beat() && self.header.is_ack()
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn has_message(&self) -> bool {
        self.frames.iter().any(Frame::is_counted)
    }

    /// Whether it takes another message; further ones stay in the queue.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < BATCH
    }

    /// Inserts a beat or an ACK before everything except a frame whose writing has begun. It
    /// replaces one that already waits there: a beat says what an ACK does, too, and an ACK goes
    /// behind a beat.
    pub(super) fn push_beat_first(&mut self, beat: Transmit) {
        let frame = Frame { header: beat, body: Body::Beat };
        let mut at = usize::from(self.written > 0);
        let waits_at =
            |at: usize, is_it: fn(&Frame) -> bool| self.frames.get(at).is_some_and(is_it);
        if frame.is_ack() && waits_at(at, |waiting| waiting.is_beat() && !waiting.is_ack()) {
            at += 1;
        } else if !frame.is_ack() && waits_at(at, Frame::is_beat) && waits_at(at + 1, Frame::is_ack)
        {
            self.frames.remove(at + 1);
        }
        match self.frames.get_mut(at) {
            Some(waiting) if waiting.is_beat() => *waiting = frame,
            Some(_) | None => self.frames.insert(at, frame),
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
            Body::Message(_) | Body::End { .. } => true,
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

    /// Appends END.
    pub(super) fn push_end(&mut self) {
        let body = Body::End { was_written: false };
        self.frames.push_back(Frame { header: Transmit::default(), body });
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
            if frame.is_beat() && !frame.is_ack() {
                beat = Some(frame.header);
            }
            self.pop_written();
        }
        beat
    }

    fn pop_written(&mut self) {
        let Some(mut frame) = self.frames.pop_front() else { return };
        if self.keeps_written && frame.is_counted() {
            frame.set_written();
            self.log_len += frame.len();
            self.log.push_back(frame);
        }
    }

    /// Whether messages are kept after they were written, until they are
    /// [acknowledged](Self::acknowledge). They give their room back all the same, so what is kept
    /// has to be bounded by other means.
    pub(super) const fn keep_written(&mut self, keeps: bool) {
        self.keeps_written = keeps;
    }

    /// The bytes of the frames that were written and not acknowledged.
    pub(super) const fn log_len(&self) -> usize {
        self.log_len
    }

    /// The lengths of these frames, the oldest first.
    pub(super) fn log_lens(&self) -> impl Iterator<Item = usize> {
        self.log.iter().map(Frame::len)
    }

    /// The server has taken over so many more frames.
    pub(super) fn acknowledge(&mut self, count: usize) {
        for frame in self.log.drain(..count.min(self.log.len())) {
            self.log_len -= frame.len();
        }
        // A burst of short messages makes it long.
        if self.log.is_empty() {
            self.log.shrink_to(BATCH / 4);
        }
    }

    /// Handles the end of a link whose session goes on. Drops beats. The message whose writing had
    /// begun is written again from its start.
    pub(super) fn handle_link_end(&mut self) {
        self.written = 0;
        self.release();
        self.frames.retain(Frame::is_counted);
        // A replay was not finished.
        while self.frames.front().is_some_and(Frame::was_written) {
            let Some(frame) = self.frames.pop_front() else { return };
            self.log_len += frame.len();
            self.log.push_back(frame);
        }
    }

    /// Drops the counted frames whose writing has not begun, on this link or an earlier one.
    pub(super) fn drop_unwritten(&mut self) {
        let mut begun = usize::from(self.written > 0);
        let dropped = &mut self.dropped;
        let mut stays = |frame: &Frame| {
            let stays = begun > 0 || frame.was_written() || !frame.is_counted();
            begun = 0;
            if !stays && matches!(frame.body, Body::Message(_)) {
                dropped.add(frame.body().len());
            }
            stays
        };
        self.frames.retain(&mut stays);
        self.held.retain(stays);
    }

    /// Drops a message that was not queued.
    pub(super) fn drop_message(&mut self, message: &Message) {
        self.dropped.add(message.body.len());
    }

    /// Puts what was written on earlier links, except the first `received` frames, in front of what
    /// was not, to be written again. Returns the messages among them, and their bodies.
    pub(super) fn replay(&mut self, received: usize) -> Tally {
        let mut again = self.log.split_off(received.min(self.log.len()));
        self.log_len -= again.iter().map(Frame::len).sum::<usize>();
        let messages = Self::messages(&again);
        let begun = usize::from(self.written > 0).min(self.frames.len());
        let mut rest = self.frames.split_off(begun);
        self.frames.append(&mut again);
        self.frames.append(&mut rest);
        messages
    }

    /// Breaks the rule on purpose ([`Break::ReplaysTooMuch`](crate::world::Break::ReplaysTooMuch)):
    /// writes the last message that the server has received once more, as if it were a new one.
    /// Called in front of a [replay](Self::replay) of what follows.
    pub(super) fn repeat(&mut self, received: usize) {
        let last = received.checked_sub(1).and_then(|last| self.log.get(last));
        let Some(Frame { header, body: Body::Message(message) }) = last else { return };
        let message = Message { body: message.body.clone(), room: None };
        let again = Frame { header: *header, body: Body::Message(message) };
        self.log_len += again.len();
        self.log.insert(received, again);
    }

    /// The messages that were written and not acknowledged, and their bodies. Complete after the
    /// [end of the link](Self::handle_link_end).
    pub(super) fn unacknowledged(&self) -> Tally {
        Self::messages(&self.log)
    }

    fn messages<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Tally {
        let mut tally = Tally::default();
        for frame in frames {
            if let Body::Message(message) = &frame.body {
                tally.add(message.body.len());
            }
        }
        tally
    }

    /// Handles the end of the session. Drops beats, the frame whose writing had begun, and what was
    /// written before, because the server may have received it. Returns the other messages, and
    /// those that were dropped and never completely written.
    pub(super) fn handle_end(&mut self) -> (Vec<Message>, Tally) {
        let mut lost = core::mem::take(&mut self.dropped);
        if core::mem::take(&mut self.written) > 0 {
            let begun = self.frames.pop_front().filter(|frame| !frame.was_written());
            if let Some(message) = begun.and_then(Frame::message) {
                lost.add(message.body.len());
            }
        }
        self.log.clear();
        self.log_len = 0;
        self.keeps_written = false;
        self.release();
        let frames = core::mem::take(&mut self.frames).into_iter();
        let kept = frames.filter(|frame| !frame.was_written()).filter_map(Frame::message);
        (kept.collect(), lost)
    }
}

#[cfg(test)]
mod tests;
