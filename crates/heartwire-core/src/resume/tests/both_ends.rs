//! Two ends with many connections, each cut after any byte.

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// What happens next in one direction; both directions are alike.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The sender wants to send a frame of this length.
    Send(u32),
    /// The sender writes this many bytes.
    Write(usize),
    /// The receiver reads what was written.
    Read,
    /// The receiver's application takes a frame.
    Take,
    /// The receiver tells what was taken over, and the sender reads it.
    Tell,
    /// The connection is cut, and the session resumed.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (8..40_u32).prop_map(Step::Send),
        4 => (1..60_usize).prop_map(Step::Write),
        3 => Just(Step::Read),
        3 => Just(Step::Take),
        2 => Just(Step::Tell),
        1 => Just(Step::Cut),
    ]
}

/// One direction: a log of numbered frames, and where each end is.
struct Direction {
    sender: Ledger,
    receiver: Ledger,
    /// Frames by number and length, unacknowledged.
    log: VecDeque<(u64, u32)>,
    next: u64,
    /// Bytes of the log written on this connection, from its front.
    written: usize,
    /// Written, and not read.
    on_the_way: VecDeque<u8>,
    /// Where the stream of this connection begins in the log's numbers, and what was read of it.
    stream: VecDeque<(u64, u32)>,
    partial: usize,
    inbox: VecDeque<(u64, u32)>,
    taken: Vec<u64>,
}

impl Direction {
    fn new(window: u32) -> Self {
        Self {
            sender: Ledger::new(window, 0),
            receiver: Ledger::new(0, window),
            log: VecDeque::new(),
            next: 0,
            written: 0,
            on_the_way: VecDeque::new(),
            stream: VecDeque::new(),
            partial: 0,
            inbox: VecDeque::new(),
            taken: Vec::new(),
        }
    }

    fn lens(&self) -> Vec<usize> {
        self.log.iter().map(|&(_, len)| usize::try_from(len).unwrap()).collect()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Send(len) => {
                if self.sender.queue(len) {
                    self.log.push_back((self.next, len));
                    self.stream.push_back((self.next, len));
                    self.next += 1;
                }
            }
            Step::Write(most) => {
                let all: usize = self.lens().iter().sum();
                let len = most.min(all - self.written);
                self.written += len;
                self.on_the_way.extend(core::iter::repeat_n(0, len));
                self.sender.handle_written(self.written);
            }
            Step::Read => {
                self.partial += self.on_the_way.len();
                self.on_the_way.clear();
                while let Some(&(number, len)) = self.stream.front() {
                    let whole = usize::try_from(len).unwrap();
                    if self.partial < whole {
                        break;
                    }
                    self.partial -= whole;
                    self.stream.pop_front();
                    self.receiver.handle_frame(len, false).unwrap();
                    self.inbox.push_back((number, len));
                }
            }
            Step::Take => {
                if let Some((number, len)) = self.inbox.pop_front() {
                    self.receiver.take(usize::try_from(len).unwrap());
                    self.taken.push(number);
                }
            }
            Step::Tell => {
                self.sender.handle_told(self.receiver.tell()).unwrap();
                let lens = self.lens();
                for _ in 0..self.sender.settle(lens).unwrap() {
                    let (_, len) = self.log.pop_front().unwrap();
                    self.written -= usize::try_from(len).unwrap();
                }
            }
            Step::Cut => {
                self.on_the_way.clear();
                self.partial = 0;
                let skip = self.sender.resume_at(self.receiver.received(), self.lens()).unwrap();
                self.written = self.lens().iter().take(skip).sum();
                self.stream = self.log.iter().skip(skip).copied().collect();
            }
        }
        let order: Vec<u64> = (0..).take(self.taken.len()).collect();
        assert_eq!(self.taken, order, "each frame once, in order");
    }
}

proptest! {
    #[test]
    fn each_frame_arrives_once_over_any_cuts(
        window in 16..200_u32,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut direction = Direction::new(window);
        for step in steps {
            direction.run(step);
        }
        // Whatever happened, the rest arrives.
        direction.run(Step::Cut);
        for _ in 0..3 {
            direction.run(Step::Write(usize::MAX));
            direction.run(Step::Read);
            while !direction.inbox.is_empty() {
                direction.run(Step::Take);
            }
            direction.run(Step::Tell);
        }
        prop_assert_eq!(direction.taken.len(), usize::try_from(direction.next).unwrap());
        prop_assert!(direction.log.is_empty());
        prop_assert_eq!(direction.sender.undelivered(), Undelivered::default());
        prop_assert_eq!(direction.sender.room(), window);
    }

    #[test]
    fn a_sender_is_never_stuck_where_acks_come_when_they_are_due(
        window in 16..200_u32,
        lens in prop::collection::vec(8..100_u32, 1..100),
    ) {
        let mut direction = Direction::new(window);
        for len in lens.into_iter().map(|len| len.min(window / 2)) {
            let before = direction.next;
            direction.run(Step::Send(len));
            direction.run(Step::Write(usize::MAX));
            direction.run(Step::Read);
            direction.run(Step::Take);
            if direction.receiver.ack_due() {
                direction.run(Step::Tell);
            }
            prop_assert_eq!(direction.next, before + 1);
        }
    }
}
