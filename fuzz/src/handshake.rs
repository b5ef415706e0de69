//! Target `handshake`: the first frames of a connection, and the negotiation.

use arbitrary::{Arbitrary, Unstructured};
use heartwire_core::internal::v1::MAX_PAD_LEN;
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::v1::{
    Bye, ByeCode, Contract, Hello, ResumeOffer, ResumeTerms, Resumed, Resuming, RetryHint, Secret,
    Welcome,
};
use heartwire_core::{Boxed, Connection, Event, Protocol, Settings, Violation};

use crate::judge::{Judge, State};
use crate::knobs::{CapKnobs, Ear, Knobs, START, Span, at};
use crate::model;
use crate::place::Ends;
use crate::protocol::{self, Frame};
use crate::resumable::{self, SESSION};

/// How the other frames arrive.
#[derive(Arbitrary, Debug)]
enum Opening<'a> {
    /// After a HELLO.
    Hello { v1_only: bool, hello: protocol::Hello },
    /// After the HELLO of our own client.
    Ours(Knobs),
    /// First of all.
    Frames { ear: Ear, first: Frame<'a> },
}

/// Two ends, and how a connection begins.
#[derive(Arbitrary, Debug)]
struct Setup<'a> {
    knobs: Knobs,
    wake_bytes: u16,
    limits: CapKnobs,
    waited: Span,
    opening: Opening<'a>,
}

/// What an end would keep, if the first bit of the input is set.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Resume {
    to_server: u32,
    to_client: u32,
    grace: Span,
    /// Whether it offers or grants that.
    offers: bool,
    /// Whether a client goes on with a session, and takes no other.
    only: Option<bool>,
}

impl Resume {
    fn offer(&self) -> Option<ResumeOffer> {
        let Self { to_server, to_client, grace, offers, .. } = *self;
        offers.then_some(ResumeOffer { to_server, to_client, grace: grace.duration() })
    }
}

/// Settings, then frames.
pub fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let resumes = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let Ok(setup) = Setup::arbitrary(&mut u) else { return };
    let mut bytes = Vec::new();
    let protocol = match &setup.opening {
        Opening::Hello { v1_only, hello } => {
            Frame::Hello(hello.v1()).put(0, &mut bytes);
            if *v1_only { Protocol::V1Only } else { Protocol::Any }
        }
        Opening::Ours(client) => {
            let Some(offer) = client.offer() else { return };
            bytes.extend(heartwire_core::v1::Hello::new(offer).encode());
            Protocol::V1Only
        }
        Opening::Frames { ear, first } => {
            first.put(0, &mut bytes);
            ear.protocol()
        }
    };
    let resume = if resumes { Resume::arbitrary(&mut u).ok() } else { None };
    if resume.is_some() {
        // These have frames of their own.
        bytes.clear();
    }
    while !u.is_empty() {
        if resume.is_some() {
            let Ok(frame) = resumable::Frame::arbitrary(&mut u) else { break };
            frame.put(0, &Ends::default(), &mut bytes);
        } else {
            let Ok(frame) = Frame::arbitrary(&mut u) else { break };
            frame.put(0, &mut bytes);
        }
    }
    let Some(mut settings) = setup.knobs.settings(protocol) else { return };
    if let Some(resume) = &resume {
        settings = settings.resume(resume.offer());
        if let Some(only) = resume.only {
            settings = settings.resuming(SESSION, only);
        }
    }
    let mut end = End::new(&setup, resume, settings.limits(setup.limits.limits()), protocol);
    end.receive(&bytes);
    end.time_out(settings);
}

struct End<'a> {
    setup: &'a Setup<'a>,
    resume: Option<Resume>,
    connection: Connection,
    judge: Judge,
}

impl<'a> End<'a> {
    fn new(
        setup: &'a Setup<'a>,
        resume: Option<Resume>,
        settings: Settings,
        protocol: Protocol,
    ) -> Self {
        Self {
            setup,
            resume,
            connection: Connection::new(settings, at(START)),
            judge: Judge::new(protocol),
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        let now = at(START);
        self.connection.handle_heard(now);
        loop {
            let before = bytes.len();
            let mut received = Ok(None);
            let used = allocation_counter::measure(|| {
                received = self.connection.handle_received(now, &mut bytes);
            });
            assert!(used.bytes_max <= 2 * before as u64 + 8 * 1024, "{used:?} for {before} bytes");
            match received {
                Ok(Some(event)) => {
                    assert!(bytes.len() < before, "{event:?} of nothing");
                    self.judge.event(&event);
                    match event {
                        Event::Hello(hello) => {
                            assert_eq!(self.connection.handle_received(now, &mut bytes), Ok(None));
                            self.decide(&hello);
                        }
                        Event::Welcome(welcome) => self.accept(&welcome),
                        Event::Beat
                        | Event::Promise(_)
                        | Event::Data(_)
                        | Event::End
                        | Event::Bye(_) => {}
                    }
                }
                Ok(None) => break,
                Err(violation) => {
                    assert!(!matches!(
                        violation,
                        Violation::NoFirstFrame { .. } | Violation::SlowFrame { .. }
                    ));
                    self.judge.end();
                }
            }
            self.judge.check(&self.connection);
        }
        self.judge.check(&self.connection);
    }

    /// Negotiates as a server does, and lets our own client read the answer.
    fn decide(&mut self, hello: &Hello<'_>) {
        assert!(hello.resuming.is_none() || hello.resume.is_some(), "{hello:?}");
        let offer = &hello.offer;
        let Some(terms) = self.setup.knobs.terms(self.setup.wake_bytes) else { return };
        let agreed = terms.agree(offer);
        model::check_agreement(&terms, offer, &agreed);
        let policy = self.connection.policy();
        let settings = Settings::new(policy).protocol(Protocol::V1).offer(*offer);
        let settings = self.with_resume_of(settings, hello);
        let mut client = Connection::new(settings, at(START));
        match agreed {
            Ok(contract) => {
                self.connection.welcome(at(START), SESSION, contract);
                self.judge.welcomed();
                let welcome = self.answer_resume(Welcome::new(SESSION, 2, contract), hello);
                let answer = welcome.encode();
                let received = client.handle_received(at(START), &mut answer.as_slice());
                assert_eq!(received, Ok(Some(Event::Welcome(Boxed::new(welcome)))), "to {offer:?}");
                assert_eq!(client.contract(), Some(&contract));
                check_policies(&client, &self.connection, &contract);
            }
            Err(conflict) => {
                let detail = conflict.to_string();
                let bye = Bye::new(ByeCode::Conflict, RetryHint::Never).detail(&detail);
                let answer = bye.encode();
                let received = client.handle_received(at(START), &mut answer.as_slice());
                assert_eq!(received, Ok(Some(Event::Bye(Boxed::new(bye)))));
            }
        }
    }

    /// The settings of the client that said this.
    fn with_resume_of(&self, settings: Settings, hello: &Hello<'_>) -> Settings {
        let settings = settings.resume(hello.resume);
        match hello.resuming {
            Some(resuming) => settings.resuming(SESSION, resuming.only),
            None => settings,
        }
    }

    fn answer_resume(&self, welcome: Welcome, hello: &Hello<'_>) -> Welcome {
        if let Some(Resuming { received, proof, .. }) = hello.resuming {
            return welcome.resumed(Resumed { received, proof });
        }
        let own = self.resume.and_then(|resume| resume.offer());
        let Some((own, offered)) = own.zip(hello.resume) else { return welcome };
        let agreed = offered.agree(own);
        for (window, a, b) in [
            (agreed.to_server, offered.to_server, own.to_server),
            (agreed.to_client, offered.to_client, own.to_client),
        ] {
            let least = a.min(b);
            assert!(window == least || (window == 0 && least < 16) || window == 1 << 30);
            assert!(window <= least && (window == 0 || (16..=1 << 30).contains(&window)));
        }
        assert_eq!(agreed.grace, offered.grace.min(own.grace));
        let key = Secret([1; 32]);
        welcome.resume(Some(ResumeTerms { server: 7, key, agreed }))
    }

    /// Checks that a WELCOME answers what a client said of resuming.
    fn check_resume(&self, welcome: &Welcome) {
        let offered = self.resume.and_then(|resume| resume.offer());
        if let Some(ResumeTerms { agreed, .. }) = welcome.resume {
            let offered = offered.expect("it offered to keep something");
            assert!(agreed.to_server <= offered.to_server, "{welcome:?}");
            assert!(agreed.to_client <= offered.to_client, "{welcome:?}");
            assert!(agreed.grace <= offered.grace, "{welcome:?}");
        }
        let only = self.resume.and_then(|resume| resume.only);
        match (only, welcome.resumed) {
            (None, resumed) => assert!(resumed.is_none() && welcome.lost.is_none(), "{welcome:?}"),
            (Some(only), None) => assert!(!only, "{welcome:?}"),
            (Some(_), Some(_)) => {
                assert_eq!(welcome.session, SESSION);
                assert!(welcome.resume.is_none() && welcome.lost.is_none(), "{welcome:?}");
            }
        }
    }

    /// Checks that a client's contract fits its offer, and works.
    fn accept(&self, welcome: &Welcome) {
        self.check_resume(welcome);
        let offer = self.setup.knobs.offer().expect("the connection was made with one");
        let Contract { to_server, to_client, wake_bytes, .. } = welcome.contract;
        assert_eq!(to_client.timeout().is_some(), offer.timeout().is_some());
        assert!(to_client.timeout() >= offer.timeout());
        if let Some(timeout) = to_client.timeout() {
            let longest = to_client.timeout_for(to_client.max_promise()).max(Some(timeout));
            assert!(longest <= Some(offer.longest_timeout()), "{to_client:?}");
        }
        assert!(to_client.max_timeout() <= offer.longest_timeout(), "{to_client:?}");
        assert!(wake_bytes <= MAX_PAD_LEN);
        for direction in [to_server, to_client] {
            if let Some(timeout) = direction.timeout() {
                assert!(timeout <= direction.max_timeout(), "{direction:?}");
                assert!(
                    timeout >= direction.interval().expect("it is judged") * 2,
                    "{direction:?}"
                );
            }
        }
        if let Some(beat) = to_server.interval() {
            assert!(beat >= offer.shortest_interval().expect("it is to beat"));
        }
        assert_eq!(self.connection.policy().timeout(), to_client.timeout());
        assert_eq!(self.connection.policy().interval(), to_server.interval());
    }

    /// An end that never finishes its handshake gets the handshake timeout, and no more.
    fn time_out(&mut self, settings: Settings) {
        let within = self.setup.limits.limits().handshake_within();
        let is_open = !self.connection.has_ended();
        let now = at(START + self.setup.waited.nanos());
        let mut is_due = false;
        let mut next = self.connection.poll(now, Outbound::Blocked);
        if let Next::ReadFirst(read) = next {
            is_due = true;
            next = self.connection.judge(read, Found::All, None);
        }
        let over = if let Next::Over(over) = next { Some(over) } else { None };
        assert_eq!(self.connection.has_ended(), over.is_some() || !is_open);
        assert!(over.is_none() || is_due, "{over:?} without a read");
        match over {
            None => {}
            Some(Over::Dead(verdict)) => {
                assert!(
                    settings.policy().timeout().is_some() || self.connection.contract().is_some()
                );
                assert!(verdict.silence.as_nanos() <= u128::from(self.setup.waited.nanos()));
                self.judge.end();
            }
            Some(Over::Broken(Violation::NoFirstFrame { waited })) => {
                assert!(Some(waited) >= within, "{waited:?}");
                assert_ne!(within, None);
                self.judge.end();
            }
            Some(Over::Broken(Violation::SlowFrame { .. })) => self.judge.end(),
            Some(Over::Broken(violation)) => panic!("{violation} cannot come of waiting"),
        }
        self.judge.check(&self.connection);
        // The handshake has one deadline for all of it.
        if matches!(self.judge.state, State::Deciding | State::AwaitingWelcome) {
            assert!(within.is_none_or(|within| self.setup.waited.duration() < within));
        }
    }
}

/// One end's interval fits the other end's expectations.
fn check_policies(client: &Connection, server: &Connection, contract: &Contract) {
    let (client, server) = (client.policy(), server.policy());
    assert_eq!(
        (client.interval(), client.timeout()),
        (contract.to_server.interval(), contract.to_client.timeout())
    );
    assert_eq!(
        (server.interval(), server.timeout()),
        (contract.to_client.interval(), contract.to_server.timeout())
    );
    assert_eq!(
        (client.interval(), server.interval()),
        (server.peer_interval(), client.peer_interval())
    );
}
