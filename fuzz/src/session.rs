//! Target `session`: two honest ends with a session over many links, each cut after any byte.
//!
//! In the end one of them may lie about its positions, once.

use arbitrary::{Arbitrary, Unstructured};
use heartwire_core::v1::ResumeOffer;

use crate::knobs::{START, nanos};
use crate::links::{GRACE, INTERVAL, Links, Way};
use crate::party::{Lie, Party};
use crate::place::Place;

/// Rounds of beats until everything has arrived: one in which it is written, one in which it is
/// acknowledged, and one to spare.
const MAX_ROUNDS: u32 = 3;

#[derive(Arbitrary, Debug)]
struct Setup {
    client: [u16; 2],
    server: [u16; 2],
    wake_bytes: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    /// An application sends a message.
    Send {
        server: bool,
        len: u8,
    },
    /// It sends no more.
    End {
        server: bool,
    },
    /// So many bytes of what waits are written, perhaps a part of a frame.
    Write {
        server: bool,
        len: u16,
    },
    /// So many bytes are read of what has been written, in pieces.
    Read {
        server: bool,
        len: u16,
        piece: u8,
    },
    /// An application takes over what has arrived.
    Take {
        server: bool,
        count: u8,
    },
    /// Beats and acknowledgements are written.
    Turn {
        server: bool,
    },
    Wait(u8),
    /// The link is lost; so many bytes still arrive.
    Cut {
        to_server: u16,
        to_client: u16,
    },
    /// The client connects, also while the server takes the older link for alive.
    Resume {
        to_server: u16,
    },
    /// A peer would resume from there.
    From {
        server: bool,
        place: Place,
    },
    Bye {
        server: bool,
    },
    Lie {
        server: bool,
        lie: Lie,
    },
}

/// Windows, then the steps.
pub fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut u) else { return };
    let mut session = Session::new(&setup);
    while !u.is_empty() {
        let Ok(op) = Op::arbitrary(&mut u) else { break };
        if !session.apply(op) {
            return;
        }
        session.check();
    }
    session.finish();
}

struct Session {
    links: Links,
    client: Party,
    server: Party,
    to_server: Way,
    to_client: Way,
    now: u64,
}

impl Session {
    fn new(setup: &Setup) -> Self {
        let offer = |[to_server, to_client]: [u16; 2]| ResumeOffer {
            to_server: to_server.into(),
            to_client: to_client.into(),
            grace: GRACE,
        };
        let (offered, own) = (offer(setup.client), offer(setup.server));
        let agreed = offered.agree(own);
        for (window, [a, b]) in [
            (agreed.to_server, [offered.to_server, own.to_server]),
            (agreed.to_client, [offered.to_client, own.to_client]),
        ] {
            assert_eq!(window, if a.min(b) < 16 { 0 } else { a.min(b) });
        }
        let mut session = Self {
            links: Links::new(offered, agreed, setup.wake_bytes),
            client: Party::new(agreed.to_server, agreed.to_client),
            server: Party::new(agreed.to_client, agreed.to_server),
            to_server: Way::default(),
            to_client: Way::default(),
            now: START,
        };
        session.connect();
        session
    }

    /// The end, and the way of what it sends.
    fn end(&mut self, server: bool) -> (&mut Party, &mut Way) {
        if server {
            (&mut self.server, &mut self.to_client)
        } else {
            (&mut self.client, &mut self.to_server)
        }
    }

    /// Whether the run goes on.
    fn apply(&mut self, op: Op) -> bool {
        let now = self.now;
        match op {
            Op::Send { server, len } => self.end(server).0.send(len.into()),
            Op::End { server } => self.end(server).0.send_end(),
            Op::Write { server, len } => {
                let (party, way) = self.end(server);
                party.write(way, len.into());
            }
            Op::Read { server, len, piece } => {
                for _ in 0..usize::from(len).div_ceil(usize::from(piece).max(1)).min(64) {
                    self.read(server, piece.max(1).into());
                }
            }
            Op::Take { server, count } => self.end(server).0.take(count.into()),
            Op::Turn { server } => {
                let (party, way) = self.end(server);
                party.turn(way, now);
            }
            Op::Wait(tenths) => self.now += u64::from(tenths) * 100_000_000,
            Op::Cut { to_server, to_client } => {
                self.read(true, to_server.into());
                self.read(false, to_client.into());
                self.cut();
            }
            Op::Resume { to_server } => {
                // The server reads what has arrived on the older link, and closes that.
                self.read(true, to_server.into());
                self.cut();
                self.connect();
            }
            Op::From { server, place } => self.end(server).0.check_resume(place),
            Op::Bye { server } => return !self.leave(server),
            Op::Lie { server, lie } => return !self.lie(server, lie),
        }
        true
    }

    /// The end reads so many bytes.
    fn read(&mut self, server: bool, len: usize) {
        let now = self.now;
        let (party, peer, way) = if server {
            (&mut self.server, &self.client, &mut self.to_server)
        } else {
            (&mut self.client, &self.server, &mut self.to_client)
        };
        let bytes = way.arrive(len);
        if bytes.is_empty() || !party.has_link() {
            return;
        }
        party.receive(now, &bytes, Some(peer)).expect("both ends are honest");
    }

    fn cut(&mut self) {
        self.client.cut();
        self.server.cut();
        self.to_server = Way::default();
        self.to_client = Way::default();
    }

    /// A new link: the server is online, and its WELCOME on the way.
    fn connect(&mut self) {
        let hello = self.client.dial(&mut self.links, self.now);
        let welcome = self.server.accept(&self.links, self.now, &hello);
        self.to_client.send(&welcome);
    }

    fn check(&self) {
        for (party, peer) in [(&self.client, &self.server), (&self.server, &self.client)] {
            party.check();
            party.check_against(peer);
        }
    }

    /// An end leaves: the other one then knows exactly what is lost. Returns whether it could.
    fn leave(&mut self, server: bool) -> bool {
        let (party, way) = self.end(server);
        if !party.has_session() || !party.is_between_frames() {
            return false;
        }
        way.send(&party.bye());
        self.read(!server, usize::MAX);
        self.check();
        let (stays, left) =
            if server { (&self.client, &self.server) } else { (&self.server, &self.client) };
        stays.check_left(left);
        true
    }

    /// An end says what it might not. Returns whether it could.
    fn lie(&mut self, server: bool, lie: Lie) -> bool {
        self.read(!server, usize::MAX);
        let now = self.now;
        let (liar, victim) = if server {
            (&self.server, &mut self.client)
        } else {
            (&self.client, &mut self.server)
        };
        if !liar.is_between_frames() || !victim.has_session() || !liar.has_session() {
            return false;
        }
        let refusal = victim.refusal(&lie);
        let received = victim.receive(now, &victim.forge(&lie), None);
        assert_eq!(received.err().map(|violation| violation.name()), refusal, "{lie:?}");
        true
    }

    /// With a link that lasts, everything arrives.
    fn finish(&mut self) {
        self.cut();
        self.connect();
        for _ in 0..MAX_ROUNDS {
            self.now += nanos(INTERVAL);
            for server in [true, false] {
                self.read(server, usize::MAX);
                let now = self.now;
                let (party, way) = self.end(server);
                party.take(usize::MAX);
                party.turn(way, now);
                party.write(way, usize::MAX);
                party.turn(way, now);
            }
            self.check();
            if self.client.is_quiet() && self.server.is_quiet() {
                break;
            }
        }
        for (party, peer) in [(&self.client, &self.server), (&self.server, &self.client)] {
            assert!(party.is_quiet(), "something is still under way");
            party.check_all_arrived(peer);
        }
    }
}
