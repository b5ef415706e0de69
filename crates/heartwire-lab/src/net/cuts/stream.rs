//! Pseudo-random frames of mixed sizes, and the check that they arrive as they were sent.

use fastrand::Rng;
use heartwire_core::Side;
use sha2::{Digest, Sha256};

/// A frame has at least its own number in it, and at most this many bytes: the longest that a
/// server takes by default.
const LENGTHS: [usize; 2] = [size_of::<u64>(), 64 * 1024];

/// The frames that one end sends in one session, all from a seed.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    seed: u64,
}

impl Frames {
    pub(super) const fn new(seed: u64, sender: Side, session: u32) -> Self {
        let direction = match sender {
            Side::Client => 1 << 32,
            Side::Server => 2 << 32,
        };
        // Wide apart: a generator's first draws show how close its seeds were.
        #[expect(clippy::as_conversions, reason = "there is no other way in a const fn")]
        let stream = direction | session as u64;
        Self { seed: seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// The frame of that number: the number, then bytes that nothing else has. Short frames are as
    /// frequent as long ones.
    pub(super) fn get(&self, number: u64) -> Vec<u8> {
        let mut rng = Rng::with_seed(self.seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let [least, most] = LENGTHS;
        let doublings = (most / least).ilog2();
        let below = least << rng.u32(1..=doublings);
        let mut frame = vec![0; rng.usize(below / 2..=below)];
        let (head, rest) = frame.split_at_mut(least);
        head.copy_from_slice(&number.to_le_bytes());
        rng.fill(rest);
        frame
    }
}

/// How much of a stream there is so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) frames: u64,
    /// Without headers.
    pub(super) bytes: u64,
    sha256: Sha256,
}

impl Total {
    fn add(&mut self, frame: &[u8]) {
        let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        self.frames += 1;
        self.bytes += len;
        // With the length, so that frames that were joined or divided differ.
        self.sha256.update(len.to_le_bytes());
        self.sha256.update(frame);
    }

    pub(super) fn checksum(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }
}

/// The sending end of a stream.
#[derive(Debug)]
pub(super) struct Source {
    frames: Frames,
    sent: Total,
    /// A frame that was made and not accepted for sending yet.
    next: Option<Vec<u8>>,
}

impl Source {
    pub(super) fn new(frames: Frames) -> Self {
        Self { frames, sent: Total::default(), next: None }
    }

    pub(super) const fn sent(&self) -> &Total {
        &self.sent
    }

    /// The next frame, if less than `quota` bytes were sent so far. It stays the next one until
    /// [`handle_sent`](Self::handle_sent).
    pub(super) fn next(&mut self, quota: u64) -> Option<&[u8]> {
        if self.sent.bytes >= quota {
            return None;
        }
        let (frames, number) = (&self.frames, self.sent.frames);
        Some(self.next.get_or_insert_with(|| frames.get(number)))
    }

    /// The next frame was accepted for sending.
    pub(super) fn handle_sent(&mut self) {
        if let Some(frame) = self.next.take() {
            self.sent.add(&frame);
        }
    }
}

/// The receiving end of a stream.
#[derive(Debug)]
pub(super) struct Sink {
    frames: Frames,
    got: Total,
    /// The number of the frame that should come next.
    next: u64,
    pub(super) faults: Faults,
}

/// What is wrong with what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Frames that were left out.
    pub(super) missing: u64,
    /// Frames that came again, or late.
    pub(super) repeated: u64,
    /// Frames with other bytes than were sent.
    pub(super) damaged: u64,
}

impl Sink {
    pub(super) fn new(frames: Frames) -> Self {
        Self { frames, got: Total::default(), next: 0, faults: Faults::default() }
    }

    pub(super) const fn got(&self) -> &Total {
        &self.got
    }

    pub(super) fn handle_frame(&mut self, frame: &[u8]) {
        self.got.add(frame);
        if frame == self.frames.get(self.next) {
            self.next += 1;
            return;
        }
        let number = frame.first_chunk().copied().map(u64::from_le_bytes);
        // The sender cannot be far ahead; the rest would be noise.
        match number.filter(|&number| frame == self.frames.get(number)) {
            None => self.faults.damaged += 1,
            Some(number) if number < self.next => self.faults.repeated += 1,
            Some(number) => {
                self.faults.missing += number - self.next;
                self.next = number + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
