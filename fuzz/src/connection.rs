//! Target `connection`: one connection and everything that can happen to it.
//!
//! Every step happens to two connections, of which one gets the bytes in pieces. They must not
//! differ.
//!
//! If the first bit of the input is set, the connection is a link of a session that can be resumed.

use core::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::resume::Ledger;
use heartwire_core::v1::{Health, Offer, ResumeOffer};
use heartwire_core::{Cause, Connection, Event, LinkState, Pause, Transmit, Verdict, Violation};

use crate::books::Books;
use crate::half::{Half, Told, attach};
use crate::judge::State;
use crate::knobs::{CapKnobs, Ear, Knobs, START, Span, at, nanos};
use crate::protocol::Frame;
use crate::resumable;

/// The most answers that can be owed, and one beat that is due.
const MAX_TRANSMITS: usize = 65;
/// The most bytes that may wait to be read. A driver stops reading sooner.
const MAX_UNREAD: usize = 16 * 1024;

#[derive(Arbitrary, Debug)]
struct Setup {
    ear: Ear,
    knobs: Knobs,
    /// The terms of the server that a HELLO arrives at.
    server: Knobs,
    wake_bytes: u16,
    limits: CapKnobs,
    tick: u8,
}

/// A step of a run.
#[derive(Arbitrary, Debug)]
enum Op<'a> {
    /// A frame is sent.
    Send(Frame<'a>),
    /// Some of the sent bytes arrive, in pieces for one of the two.
    Arrive {
        len: u16,
        piece: u8,
        stamped: Stamp,
    },
    /// A whole frame is sent, and everything arrives.
    SendAll {
        frame: Frame<'a>,
        piece: u8,
    },
    Wait(Span),
    WaitForDeadline {
        late: u16,
    },
    Write,
    Wrote,
    BeatNow,
    Promise(Span),
    Health(u8),
    Pause(Span),
    Backpressure,
    Welcome,
    StepBack(Span),
    Ask {
        len: u16,
    },
}

/// A step of a run with a session.
#[derive(Arbitrary, Debug)]
enum SessionOp<'a> {
    Op(Op<'a>),
    Send(resumable::Frame<'a>),
    SendAll {
        frame: resumable::Frame<'a>,
        piece: u8,
    },
    /// The application sends a message of this length.
    Queue(u8),
    End,
    /// So many bytes that are not acknowledged have been written.
    Written(u16),
    /// The application takes over so many frames.
    Take(u8),
}

/// The arrival time that the driver reports.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Stamp {
    Now,
    Between(u16, u16),
    LongAgo(Span),
}

/// Settings, then the steps.
pub fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut u) else { return };
    let protocol = setup.ear.protocol();
    let Some(settings) = setup.knobs.settings(protocol) else { return };
    let resumes = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let windows = if resumes { <[u16; 2]>::arbitrary(&mut u).ok() } else { None };
    let all = ResumeOffer { to_server: u32::MAX, to_client: u32::MAX, grace: Duration::MAX };
    let settings = match windows {
        Some(_) => settings.resume(Some(all)).resuming(resumable::SESSION, false),
        None => settings,
    };
    let settings =
        settings.limits(setup.limits.limits()).tick(Duration::from_millis(u64::from(setup.tick)));
    let connection = Connection::new(settings, at(START));
    let mut run = Run {
        pieces: Half::new(connection.clone(), protocol, windows),
        whole: Half::new(connection, protocol, windows),
        setup,
        under_way: Vec::new(),
        now: START,
        heard: START,
        nonce: 0,
        offer: None,
        may_send: 0,
        pause: None,
        is_broken: false,
    };
    while !u.is_empty() {
        if windows.is_some() {
            let Ok(op) = SessionOp::arbitrary(&mut u) else { break };
            run.apply_to_session(&op);
        } else {
            let Ok(op) = Op::arbitrary(&mut u) else { break };
            run.apply(&op);
        }
        if run.is_broken {
            return;
        }
        run.check();
    }
    run.finish();
}

/// A beat without measurements: in pieces, the arrival of each beat is known more precisely.
fn unmeasured(transmit: &Transmit) -> [Option<&[u8]>; 2] {
    let bytes = transmit.as_ref();
    [bytes.get(..16), bytes.get(28..)]
}

struct Run {
    setup: Setup,
    whole: Half,
    pieces: Half,
    under_way: Vec<u8>,
    now: u64,
    /// When the last byte came, at the latest.
    heard: u64,
    /// The nonce of the last beat that was sent.
    nonce: u64,
    offer: Option<Offer>,
    /// How many more beats there is a reason to send.
    may_send: u64,
    /// The last pause of this end.
    pause: Option<Pause>,
    /// The peer said a position where no frame ends.
    is_broken: bool,
}

impl Run {
    fn both(&mut self, mut f: impl FnMut(&mut Connection)) {
        f(&mut self.whole.connection);
        f(&mut self.pieces.connection);
    }

    fn apply(&mut self, op: &Op<'_>) {
        match op {
            Op::Send(frame) => self.send(frame),
            Op::Arrive { len, piece, stamped } => self.arrive(usize::from(*len), *piece, *stamped),
            Op::SendAll { frame, piece } => {
                self.send(frame);
                self.arrive(usize::MAX, *piece, Stamp::Now);
            }
            Op::Wait(span) => {
                self.now = self.now.saturating_add(span.nanos());
                self.turn(Found::All);
            }
            Op::WaitForDeadline { late } => self.wait_for_deadline(u64::from(*late) * 100_000),
            Op::Write => self.turn(Found::All),
            Op::Wrote => {
                let now = at(self.now);
                self.both(|connection| connection.handle_sent(now));
            }
            Op::BeatNow => {
                self.may_send += 1;
                self.both(Connection::beat_now);
            }
            Op::Promise(span) => self.promise(*span),
            Op::Health(health) => {
                self.may_send += 1;
                let health = match health % 3 {
                    0 => Health::Ok,
                    1 => Health::Degraded,
                    _ => Health::Draining,
                };
                self.both(|connection| connection.set_health(health));
            }
            Op::Pause(span) => {
                self.now = self.now.saturating_add(span.nanos());
                self.pause = Some(Pause::new(at(self.now), span.duration()));
                self.turn(Found::All);
            }
            Op::Backpressure => self.turn(Found::NoRoom(at(self.now))),
            Op::Welcome => self.welcome(),
            // No clock should, but some do.
            Op::StepBack(span) => self.now = self.now.saturating_sub(span.nanos()),
            Op::Ask { len } => {
                let len = usize::from(*len);
                let pad = self.whole.connection.pad(len);
                let contract = self.whole.connection.contract();
                let wake = contract.map_or(0, |contract| contract.wake_bytes);
                let wake = usize::try_from(wake).expect("this is no small machine");
                assert_eq!(pad.is_some(), len < wake);
                assert!(pad.is_none_or(|pad| pad.bytes().count() == (wake - len).max(8)));
                let header = self.whole.connection.data_header(len);
                assert!(header.is_none_or(|header| header.as_ref().len() <= 8));
            }
        }
    }

    fn apply_to_session(&mut self, op: &SessionOp<'_>) {
        match op {
            SessionOp::Op(op) => self.apply(op),
            SessionOp::Send(frame) => self.send_of_session(frame),
            SessionOp::SendAll { frame, piece } => {
                self.send_of_session(frame);
                self.arrive(usize::MAX, *piece, Stamp::Now);
            }
            SessionOp::Queue(len) => self.both_sessions(|books, ledger| {
                books.queue(ledger, Some(usize::from(*len)));
            }),
            SessionOp::End => self.both_sessions(|books, ledger| {
                books.queue(ledger, None);
            }),
            SessionOp::Written(len) => self.both_sessions(|books, ledger| {
                books.handle_written(ledger, usize::from(*len));
            }),
            SessionOp::Take(count) => self.both_sessions(|books, ledger| {
                for _ in 0..*count {
                    books.take(ledger);
                }
            }),
        }
    }

    fn both_sessions(&mut self, mut f: impl FnMut(&mut Books, &mut Ledger)) {
        for half in [&mut self.whole, &mut self.pieces] {
            if let Some((books, ledger)) = half.session() {
                f(books, ledger);
            }
        }
    }

    fn send(&mut self, frame: &Frame<'_>) {
        self.send_of_session(&resumable::Frame::Plain(*frame));
    }

    fn send_of_session(&mut self, frame: &resumable::Frame<'_>) {
        if self.under_way.len() + self.whole.unread.len() < MAX_UNREAD {
            let ends = self.whole.books.as_ref().map(|books| books.ends.clone());
            frame.put(self.nonce, &ends.unwrap_or_default(), &mut self.under_way);
        }
    }

    /// As a driver does after each read.
    fn settle(&mut self) {
        let [whole, pieces] = [&mut self.whole, &mut self.pieces]
            .map(|half| half.session().map_or(Ok(0), |(books, ledger)| books.settle(ledger)));
        assert_eq!(whole, pieces);
        self.is_broken |= whole.is_err();
    }

    fn arrive(&mut self, len: usize, piece: u8, stamped: Stamp) {
        let len = len.min(self.under_way.len());
        if len == 0 {
            return;
        }
        let now = self.now;
        let ago = |micros: u16| now.saturating_sub(u64::from(micros) * 1_000);
        let (earliest, latest) = match stamped {
            Stamp::Now => (now, now),
            Stamp::Between(a, b) => (ago(a.max(b)), ago(a.min(b))),
            Stamp::LongAgo(span) => {
                let then = now.saturating_sub(span.nanos());
                (then, then)
            }
        };
        self.heard = self.heard.max(latest);
        let heard = |connection: &mut Connection| {
            connection.handle_heard_between(at(earliest), at(latest));
        };
        let bytes = &self.under_way[..len];
        let (mut told, mut in_pieces) = (Told::default(), Told::default());
        heard(&mut self.whole.connection);
        self.whole.receive(now, bytes, &mut told);
        // Once, because of the beats of one read only the last one counts.
        heard(&mut self.pieces.connection);
        for bytes in bytes.chunks(usize::from(piece).max(1)) {
            self.pieces.receive(now, bytes, &mut in_pieces);
        }
        assert_eq!(told, in_pieces);
        self.under_way.drain(..len);
        self.settle();
        self.hear(&told);
        self.compare();
    }

    fn hear(&mut self, told: &Told) {
        // An answer, or a warning, for each beat; the first beat of a contract.
        self.may_send += told.beats + u64::from(told.welcomed);
        self.offer = told.offer.or(self.offer);
    }

    fn promise(&mut self, span: Span) {
        let before = self.whole.connection.policy();
        let promised = self.whole.connection.promise(span.duration());
        assert_eq!(self.pieces.connection.promise(span.duration()), promised);
        let Some(promised) = promised else { return };
        self.may_send += 1;
        let after = self.whole.connection.policy();
        assert_eq!(after.interval(), Some(promised));
        assert_eq!(
            (before.timeout(), before.peer_interval()),
            (after.timeout(), after.peer_interval())
        );
        let contract = self.whole.connection.contract().expect("it was promised under one");
        let direction = match self.setup.ear {
            Ear::Client => contract.to_server,
            _ => contract.to_client,
        };
        assert!(promised <= direction.max_promise(), "{promised:?} {direction:?}");
        assert!(promised >= contract.min_interval().min(direction.interval().expect("it beats")));
    }

    /// The server decides. What came meanwhile is read.
    fn welcome(&mut self) {
        let Some(offer) = self.offer.filter(|_| self.whole.judge.state == State::Deciding) else {
            return;
        };
        let Some(terms) = self.setup.server.terms(self.setup.wake_bytes) else { return };
        let Ok(contract) = terms.agree(&offer) else { return };
        let now = self.now;
        for half in [&mut self.whole, &mut self.pieces] {
            half.connection.welcome(at(now), 1, contract);
            half.books = attach(&mut half.connection, half.windows);
        }
        self.may_send += 1;
        // The timeout counts from here.
        self.heard = now;
        let (mut told, mut in_pieces) = (Told::default(), Told::default());
        self.whole.judge.welcomed();
        self.pieces.judge.welcomed();
        self.whole.receive(now, &[], &mut told);
        self.pieces.receive(now, &[], &mut in_pieces);
        assert_eq!(told, in_pieces);
        self.settle();
        self.hear(&told);
    }

    /// Does what the connection asks for, with `found` as the result of a read.
    fn turn(&mut self, found: Found) {
        let now = at(self.now);
        let due_at = self.whole.connection.poll_timeout();
        let is_due = due_at.is_some_and(|due_at| now >= due_at);
        // A beat that became due by time.
        self.may_send += u64::from(is_due);
        let mut count = 0;
        let mut next = self.poll();
        loop {
            next = match next {
                (Next::ReadFirst(read), Next::ReadFirst(other)) => {
                    // Or a due beat waits for a read.
                    assert!(is_due || self.whole.judge.state == State::V1, "before {due_at:?}");
                    if let Found::NoRoom(at) = found {
                        self.heard = self.heard.max(at.as_nanos());
                    }
                    let pause = self.pause;
                    let whole = self.whole.connection.judge(read, found, pause);
                    (whole, self.pieces.connection.judge(other, found, pause))
                }
                (Next::Write(bytes), Next::Write(in_pieces)) => {
                    assert_eq!(unmeasured(&bytes), unmeasured(&in_pieces));
                    count += 1;
                    assert!(count <= MAX_TRANSMITS, "{count} beats at once");
                    self.check_written(&bytes);
                    self.poll()
                }
                (Next::SleepUntil(until), Next::SleepUntil(in_pieces)) => {
                    assert_eq!(until, in_pieces);
                    assert_eq!(until, self.whole.connection.poll_timeout());
                    return;
                }
                (Next::Over(over), Next::Over(in_pieces)) => {
                    assert_eq!(over, in_pieces);
                    assert_ne!(self.whole.judge.state, State::Ended, "{over} after the end");
                    self.handle_over(over);
                    self.poll()
                }
                (whole, pieces) => panic!("{whole:?} for the whole, {pieces:?} for the pieces"),
            };
        }
    }

    fn poll(&mut self) -> (Next, Next) {
        let now = at(self.now);
        let whole = self.whole.connection.poll(now, Outbound::Clear);
        (whole, self.pieces.connection.poll(now, Outbound::Clear))
    }

    fn check_written(&mut self, bytes: &Transmit) {
        assert_ne!(self.whole.judge.state, State::Ended, "{bytes:?} after the end");
        if let [6, 0, 0, 0, 16, 0, 0, 0, position @ ..] = bytes.as_ref() {
            let owes = self.whole.books.as_ref().is_some_and(Books::owes_ack);
            assert!(owes && bytes.is_ack(), "an ACK for no reason");
            return self.both_sessions(|books, _| books.tell(position));
        }
        assert!(self.may_send > 0, "{bytes:?} for no reason");
        self.may_send -= 1;
        match (self.whole.judge.state, bytes.as_ref()) {
            (State::V1, [0, 0, 0, 0, len, 0, 0, 0, body @ ..]) => {
                let has_session = self.whole.books.is_some();
                assert_eq!((*len, body.len()), if has_session { (48, 48) } else { (32, 32) });
                self.both_sessions(|books, _| books.tell(&body[32..]));
                let nonce = body.first_chunk().map_or(0, |nonce| u64::from_le_bytes(*nonce));
                assert!(nonce >= self.nonce.max(1), "nonces grow");
                self.nonce = nonce;
            }
            (State::V0 | State::Opening { v0: true }, [0, 0, 0, 0, 0, 0, 0, 0]) => {}
            (state, bytes) => panic!("{bytes:?} while {state:?}"),
        }
    }

    fn handle_over(&mut self, over: Over) {
        match over {
            Over::Dead(verdict) => self.judge_verdict(&verdict),
            Over::Broken(Violation::NoFirstFrame { waited }) => {
                assert!(Some(waited) >= self.setup.limits.limits().handshake_within());
            }
            Over::Broken(Violation::SlowFrame { waited }) => {
                assert!(Some(waited) >= self.setup.limits.limits().frame_within());
            }
            Over::Broken(violation) => panic!("{violation} cannot come of waiting"),
        }
        self.whole.judge.end();
        self.pieces.judge.end();
    }

    fn judge_verdict(&self, verdict: &Verdict) {
        let timeout =
            nanos(self.whole.connection.policy().timeout().expect("it was judged by one"));
        let silence = nanos(verdict.silence);
        let bound = verdict.bound.expect("every timeout has one");
        assert!(silence >= nanos(bound.earliest), "{verdict:?}");
        assert_eq!(nanos(bound.latest - bound.earliest), u64::from(self.setup.tick) * 1_000_000);
        match verdict.cause {
            Cause::Silence => {
                assert_eq!(silence, self.now - self.heard, "{verdict:?}");
                assert!(silence >= timeout, "early: {verdict:?}");
                let late = nanos(verdict.late).min(nanos(bound.latest - bound.earliest));
                let sum = timeout + late + nanos(verdict.paused);
                assert_eq!(silence, sum, "{verdict:?} does not add up");
            }
            Cause::Unheard => {
                assert_eq!(self.whole.judge.state, State::V1);
                assert!(silence > timeout, "early: {verdict:?}");
            }
            cause => panic!("{cause:?} is not for a connection to say"),
        }
    }

    /// Wakes a little before a deadline, where nothing may happen, and then when it has passed.
    fn wait_for_deadline(&mut self, late: u64) {
        self.turn(Found::All);
        let Some(deadline) = self.whole.connection.poll_timeout() else { return };
        let deadline = deadline.as_nanos();
        if deadline > self.now {
            self.now = deadline - 1;
            let next = self.poll();
            assert!(
                matches!(next, (Next::SleepUntil(_), Next::SleepUntil(_))),
                "{next:?} before the deadline"
            );
        }
        self.now = self.now.max(deadline).saturating_add(late);
        self.turn(Found::All);
        let next = self.whole.connection.poll_timeout();
        assert!(
            next.is_none_or(|next| next.as_nanos() > self.now),
            "{next:?} is over: it would spin"
        );
    }

    fn check(&self) {
        let (whole, pieces) = (&self.whole, &self.pieces);
        whole.judge.check(&whole.connection);
        pieces.judge.check(&pieces.connection);
        assert_eq!(whole.connection.last_heard(), at(self.heard));
        for half in [whole, pieces] {
            assert_eq!(half.books.is_some(), half.connection.ledger().is_some());
            if let Some((books, ledger)) = half.books.as_ref().zip(half.connection.ledger()) {
                books.check(ledger);
            }
        }
    }

    /// Checks that the two do not differ.
    fn compare(&self) {
        let (whole, pieces) = (&self.whole, &self.pieces);
        assert_eq!(whole.told, pieces.told, "the pieces led to other events");
        assert_eq!(whole.unread, pieces.unread);
        let now = at(self.now);
        let unmeasured = |link_state: LinkState| {
            (link_state.unheard, link_state.peer_late, link_state.peer_health, link_state.too_fast)
        };
        let view = |connection: &Connection| {
            (
                connection.poll_timeout(),
                connection.last_heard(),
                connection.policy(),
                connection.link_state(now).map(unmeasured),
                connection.contract().copied(),
                connection.ledger().cloned(),
            )
        };
        assert_eq!(view(&whole.connection), view(&pieces.connection));
    }

    /// A peer that is silent from now on is declared dead, unless there is no timeout; and what had
    /// arrived before can still be read.
    fn finish(&mut self) {
        self.turn(Found::All);
        for _ in 0..4 {
            self.wait_for_deadline(0);
            self.check();
        }
        self.compare();
        let mut rest = self.whole.connection.without_output(at(self.now));
        let next = rest.poll(at(self.now), Outbound::Clear);
        assert!(matches!(next, Next::SleepUntil(None)), "{next:?} when all is over");
        let mut bytes = self.whole.unread.as_slice();
        while let Ok(Some(event)) = rest.handle_received(at(self.now), &mut bytes) {
            assert!(!matches!(event, Event::Promise(_)), "there is no timeout");
        }
    }
}
