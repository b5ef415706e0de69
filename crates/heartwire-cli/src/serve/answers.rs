//! What `serve` sends back, where a session's window has no room for it yet.

use std::collections::{HashMap, VecDeque};

use heartwire::Undelivered;
use heartwire::server::{CommandError, Control, SessionId};
use heartwire::v1::RetryHint;

/// Bytes that wait for one session, headers included: about what Linux holds in the buffers of a
/// connection, where the answers of a session wait that ends with it.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// The length of a frame's header.
const HEADER_LEN: usize = 8;

/// Answers that wait until their clients have taken over what was sent before.
#[derive(Debug)]
pub(super) struct Answers {
    /// Bytes that may wait for all sessions of a shard.
    max_all: usize,
    all: usize,
    waiting: HashMap<SessionId, Waiting>,
}

/// The answers that wait for one session, one behind the other.
#[derive(Debug, Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    lens: VecDeque<usize>,
    /// There was too much, and the session is to end.
    is_over: bool,
}

impl Waiting {
    fn cost(&self) -> usize {
        self.bytes.len() + self.lens.len() * HEADER_LEN
    }
}

impl Answers {
    pub(super) fn new(max_all: usize) -> Self {
        Self { max_all, all: 0, waiting: HashMap::new() }
    }

    /// Sends an answer, or keeps it until there is room. An answer is never too long, see
    /// `check_answers_fit`, and the session's own shard is never `Busy`: another error means that
    /// the session has ended, and its `Offline` says why.
    pub(super) fn send(&mut self, id: SessionId, answer: &[u8], control: &mut Control<'_>) {
        let is_first = !self.waiting.contains_key(&id);
        if is_first && control.send(id, answer) != Err(CommandError::Full) {
            return;
        }
        let waiting = self.waiting.entry(id).or_default();
        waiting.bytes.extend(answer);
        waiting.lens.push_back(answer.len());
        self.all += answer.len() + HEADER_LEN;
        if !waiting.is_over && (waiting.cost() > MAX_WAITING || self.all > self.max_all) {
            waiting.is_over = true;
            let detail = "you do not take what you are sent";
            let _ = control.kick_with(id, RetryHint::AtWill, detail);
        }
    }

    /// Sends what waits for a session, as far as there is room now.
    pub(super) fn send_waiting(&mut self, id: SessionId, control: &mut Control<'_>) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        while let Some(&len) = waiting.lens.front() {
            let answer: Vec<u8> = waiting.bytes.iter().take(len).copied().collect();
            if control.send(id, &answer) == Err(CommandError::Full) {
                return;
            }
            waiting.bytes.drain(..len);
            waiting.lens.pop_front();
            self.all -= len + HEADER_LEN;
        }
        self.waiting.remove(&id);
    }

    /// Forgets a session that has ended, and counts what still waited for it.
    pub(super) fn forget(&mut self, id: SessionId, undelivered: &mut Undelivered) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        self.all -= waiting.cost();
        undelivered.frames += u64::try_from(waiting.lens.len()).unwrap_or(u64::MAX);
        undelivered.bytes += u64::try_from(waiting.bytes.len()).unwrap_or(u64::MAX);
    }
}
