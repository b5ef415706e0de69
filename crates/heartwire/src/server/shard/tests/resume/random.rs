//! Any number of links, each cut after any byte in both directions, with slow ends: both
//! applications get every message once and in order.

use core::time::Duration;
use std::io;

use heartwire_core::resume::Position;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{DATA, beat_of, data as data_frame, frame, ms};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Client, after, resumable};
use crate::server::rig::Rig;
use crate::server::{Event, Resume, ServerConfig, SessionId};
use crate::toy::Toy;
use crate::{Reason, Undelivered};

/// Longer than all steps.
const GRACE: Duration = ms(3_600_000);

/// A step of the world.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client sends a message of this length, if its window has room.
    Send(usize),
    /// The server does.
    Answer(usize),
    /// The kernel takes so many more bytes of the server, and no more.
    Take(usize),
    /// The client reads what came, takes over all but so many messages, and says so or not.
    Read {
        untaken: usize,
        tells: bool,
    },
    /// The link is cut: so many bytes of the client still come, and so many of the server.
    Cut {
        there: usize,
        back: usize,
    },
    /// The client comes back, whether or not its link is cut.
    ComeBack,
    /// The application has room for so many events.
    Room(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..200).prop_map(Step::Send),
        4 => (0_usize..200).prop_map(Step::Answer),
        2 => (0_usize..300).prop_map(Step::Take),
        3 => (0_usize..3, any::<bool>())
            .prop_map(|(untaken, tells)| Step::Read { untaken, tells }),
        2 => (0_usize..400, 0_usize..400).prop_map(|(there, back)| Step::Cut { there, back }),
        2 => Just(Step::ComeBack),
        2 => (0_usize..4).prop_map(Step::Room),
        1 => (1_u64..300).prop_map(Step::Pass),
    ]
}

/// A message with its number, and its frame.
fn message(number: usize, len: usize) -> Vec<u8> {
    let mut body = u32::try_from(number).unwrap().to_le_bytes().to_vec();
    body.resize(4 + len, 7);
    body
}

/// The client, which keeps all that it has sent.
struct World {
    rig: Rig,
    client: Client,
    id: SessionId,
    sent: Vec<Vec<u8>>,
    /// How many of them the server has said to have taken over.
    acked: usize,
    /// A part of a frame of this link.
    partial: Vec<u8>,
    received: Position,
    /// The number of the next message for each application.
    at_client: usize,
    at_server: usize,
    /// The lengths of the server's frames.
    answers: Vec<usize>,
    /// How many of them the client has taken over, and how many it has said so of.
    taken: usize,
    told: usize,
    offline: Option<(Reason, Undelivered)>,
}

impl World {
    fn new(config: ServerConfig) -> Self {
        let mut rig = Rig::start(config);
        let (client, id) = Client::online(&mut rig);
        // Its beat may wait in the socket, and without it the session ends with the link.
        rig.pass(ms(200));
        client.toy.take_written();
        Self {
            rig,
            client,
            id,
            sent: Vec::new(),
            acked: 0,
            partial: Vec::new(),
            received: Position::default(),
            at_client: 0,
            at_server: 0,
            answers: Vec::new(),
            taken: 0,
            told: 0,
            offline: None,
        }
    }

    fn toy(&self) -> &Toy {
        &self.client.toy
    }

    fn take(&mut self, step: Step) {
        let window = usize::try_from(super::WINDOW).unwrap();
        match step {
            Step::Send(len) => {
                let unacked: usize =
                    self.sent[self.acked..].iter().map(|body| 8 + body.len()).sum();
                let body = message(self.sent.len(), len);
                if unacked + 8 + body.len() <= window {
                    self.toy().send(&data_frame(&body));
                    self.sent.push(body);
                }
            }
            Step::Answer(len) => {
                let body = message(self.answers.len(), len);
                let queued: usize = self.answers[self.told..].iter().sum();
                if queued + 8 + body.len() <= window {
                    self.rig.handle.send(self.id, &body).unwrap();
                    self.answers.push(8 + body.len());
                }
            }
            Step::Take(len) => self.toy().state().room = len,
            Step::Read { untaken, tells } => {
                self.read();
                self.taken = self.taken.max(self.at_client.saturating_sub(untaken));
                // On a link that is cut the server would not hear it.
                if tells && self.toy().state().end.is_none() {
                    self.told = self.taken;
                    self.client.acknowledge(self.taken_over());
                }
            }
            Step::Cut { there, back } => {
                self.toy().state().written.truncate(back);
                self.read();
                self.toy().state().inbound.truncate(there);
                self.toy().state().write_error = Some(io::ErrorKind::ConnectionReset);
                self.toy().end(io::ErrorKind::ConnectionReset);
            }
            Step::ComeBack => self.come_back(),
            Step::Room(room) => self.rig.inbox().room = room,
            Step::Pass(time) => self.rig.pass(ms(time)),
        }
        self.rig.run();
        self.check_events();
    }

    /// The position of what the client has taken over.
    fn taken_over(&self) -> Position {
        let bytes = self.answers[..self.taken].iter().sum::<usize>();
        let number = |number: usize| u64::try_from(number).unwrap();
        Position { frames: number(self.taken), bytes: number(bytes) }
    }

    /// Reads what the server has written.
    fn read(&mut self) {
        self.partial.extend(self.client.toy.take_written());
        while let Some((header, rest)) = self.partial.split_first_chunk::<8>() {
            let len = usize::try_from(i32::from_le_bytes(header[4..].try_into().unwrap())).unwrap();
            let Some(body) = rest.get(..len) else { break };
            let told = match i32::from_le_bytes(header[..4].try_into().unwrap()) {
                DATA => {
                    assert_eq!(body[..4], message(self.at_client, 0)[..]);
                    self.at_client += 1;
                    self.received.frames += 1;
                    self.received.bytes += 8 + u64::try_from(len).unwrap();
                    None
                }
                0 | 6 => body[len - 16..].first_chunk::<8>(),
                3 => None,
                other => panic!("frame {other}"),
            };
            if let Some(told) = told {
                let acked = usize::try_from(u64::from_le_bytes(*told)).unwrap();
                assert!((self.acked..=self.at_server).contains(&acked), "{acked}");
                self.acked = acked;
            }
            self.partial.drain(..8 + len);
        }
    }

    fn come_back(&mut self) {
        let mut written = self.hello();
        if let Some((&[4, ..], bye)) = written.split_first_chunk::<8>() {
            // It was back too often in no time.
            assert_eq!(Bye::decode(bye).unwrap().code, ByeCode::Fighting);
            self.toy().take_written();
            self.rig.pass(ms(12_000));
            written = self.hello();
        }
        let super::Welcome { resumed, .. } = super::welcome_in(&written);
        let at_server = usize::try_from(resumed.unwrap().received.frames).unwrap();
        assert!((self.at_server..=self.sent.len()).contains(&at_server));
        let again: Vec<_> = self.sent[at_server..].iter().map(|body| data_frame(body)).collect();
        self.toy().send(&[frame(0, &beat_of(1).encode()), again.concat()].concat());
    }

    /// Connects once more. Returns the answer.
    fn hello(&mut self) -> Vec<u8> {
        self.read();
        self.partial.clear();
        let hello = self.client.resuming(self.received);
        self.client.connect_with(&mut self.rig, &hello);
        self.client.toy.state().written.clone()
    }

    /// Ends the session. Each application is told what was not delivered, and that is so.
    fn end(&mut self, end: End) {
        match end {
            End::Grace => {
                self.take(Step::Cut { there: 100, back: 100 });
                assert_eq!(self.offline, None);
                self.rig.pass(GRACE + ms(10));
            }
            End::Bye => {
                self.take(Step::ComeBack);
                let bye = Bye::new(ByeCode::Done, RetryHint::AtWill);
                self.toy().send(&bye.taken(Some(self.taken_over())).encode());
            }
            End::Kick => self.rig.handle.kick_with(self.id, RetryHint::AtWill, "").unwrap(),
        }
        self.rig.run();
        // A client that ends its connection does not wait for more.
        self.rig.pass(ms(2_000));
        self.check_events();
        let (reason, undelivered) = self.offline.expect("the session has ended");
        assert_eq!(reason.name(), end.name());
        let lost = u64::try_from(self.answers.len() - self.taken).unwrap();
        assert!(undelivered.frames >= lost, "{undelivered:?}, and {lost}");
        assert!(!undelivered.exact || undelivered.frames == lost, "{undelivered:?}, and {lost}");
        assert!(undelivered.exact || !matches!(end, End::Bye));
        // The same of the other direction, to a client that asks.
        self.rig.leave_room(usize::MAX);
        let hello = self.client.resuming(self.received);
        self.client.connect_with(&mut self.rig, &hello);
        let welcome = super::welcome_in(&self.client.toy.take_written());
        let at_server: Vec<&[u8]> = self.sent[..self.at_server].iter().map(|b| &b[..]).collect();
        assert_eq!(welcome.lost, Some(after(&at_server)));
    }

    /// The server's application gets the client's messages in their order.
    fn check_events(&mut self) {
        for event in self.rig.inbox().events.drain(..).collect::<Vec<_>>() {
            if let Event::Data { data, .. } = event {
                assert_eq!(data, self.sent[self.at_server]);
                self.at_server += 1;
            } else if let Event::Offline { reason, undelivered, .. } = event {
                assert_eq!(self.offline.replace((reason, undelivered)), None);
            } else {
                assert!(matches!(event, Event::Away { .. } | Event::Back { .. }), "{event:?}");
            }
        }
    }
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Grace,
    Bye,
    Kick,
}

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Grace => "not_back",
            Self::Bye => "bye",
            Self::Kick => "kicked",
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_message_arrives_once_and_in_order(
        steps in vec(step(), 1..120),
        shards in 1_usize..3,
        coalesce in 0_u16..5,
    ) {
        let resume = Resume::new().window(super::WINDOW).grace(GRACE);
        let mut world = World::new(resumable().threads(shards).coalesce(coalesce).resume(resume));
        for step in steps {
            world.take(step);
        }
        // In the end both get everything.
        for step in [Step::ComeBack, Step::Room(usize::MAX), Step::Take(usize::MAX)] {
            world.take(step);
        }
        world.rig.leave_room(usize::MAX);
        for _ in 0..3 {
            world.take(Step::ComeBack);
            world.take(Step::Pass(200));
            world.take(Step::Read { untaken: 0, tells: true });
        }
        let all = (world.sent.len(), world.answers.len());
        prop_assert_eq!((world.at_server, world.at_client), all);
        prop_assert_eq!((world.acked, world.told), all);
        // Nothing is kept.
        prop_assert_eq!(world.rig.session(world.id).held, 0);
    }

    #[test]
    fn messages_that_are_said_to_be_lost_are_those_that_were(
        steps in vec(step(), 1..60),
        shards in 1_usize..3,
        end in prop_oneof![Just(End::Grace), Just(End::Bye), Just(End::Kick)],
    ) {
        let resume = Resume::new().window(super::WINDOW).grace(GRACE);
        let mut world = World::new(resumable().threads(shards).resume(resume));
        for step in steps {
            world.take(step);
        }
        world.end(end);
    }
}
