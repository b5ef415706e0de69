//! The client's process: the library's client and an application that takes its events.

mod connecting;

use heartwire::client::{
    Client as Handle, ClientConfig, ConnectError, Event, Events, Reconnect, Resume, SendError, V1,
};
use heartwire::internal::client::{Life, Step, Wait, open};
use heartwire::v1::ByeCode;
use heartwire::{BackoffPolicy, Reason};
use heartwire_core::{Instant, Protocol, Side};

use super::breach::{Breach, Invariant};
use super::draw::MS;
use super::link::{Body, Both, LinkId};
use super::machine::{Machine, Shared, link_of};
use super::queue::HostId;
use super::server::{MAX_QUEUE, TOKEN};
use super::terms::Terms;

/// Events that may wait for the application.
pub(super) const MAX_EVENTS: u64 = 4;

/// A client that was started more often may be taken for several.
const MAX_STARTS: u32 = 5;

/// How often a server lets a session be resumed at once, while nothing is acknowledged.
const RESUMES_AT_ONCE: usize = 10;

/// The process of one client.
#[derive(Debug)]
pub(super) struct Client {
    net: Shared,
    host: HostId,
    terms: Both<Terms>,
    backoff: BackoffPolicy,
    /// The random source of the next process.
    seed: u64,
    /// Processes so far.
    starts: u32,
    /// `None` while there is no process.
    process: Option<Process>,
    /// Connections so far.
    pub(super) connections: u32,
}

#[derive(Debug)]
struct Process {
    handle: Handle,
    events: Events,
    life: Life<Machine>,
    /// When its timer fires.
    timer: Option<Instant>,
    /// It is so many-th that was started.
    start: u32,
    /// The last link that there was, and the one that the application hears of.
    link: Option<LinkId>,
    heard: Option<LinkId>,
    /// The session of which it hears, if that outlives its links.
    session: Option<usize>,
    /// A spare connection is being made.
    is_racing: bool,
}

impl Client {
    pub(super) fn new(
        net: Shared,
        host: HostId,
        terms: Both<Terms>,
        backoff: BackoffPolicy,
        seed: u64,
    ) -> Self {
        let process = None;
        let (starts, connections) = (0, 0);
        let mut client = Self { net, host, terms, backoff, seed, starts, process, connections };
        client.start();
        client
    }

    /// Starts the process, without any state.
    pub(super) fn start(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        self.starts += 1;
        self.net.lock().outbox(self.host).clear();
        let machine = Machine::new(self.net.clone(), self.host, self.terms);
        let (handle, events, life) =
            open(self.config(), machine, usize::try_from(MAX_EVENTS).unwrap_or(1));
        let (timer, link, heard, session) = (None, None, None, None);
        let (start, is_racing) = (self.starts, false);
        self.process =
            Some(Process { handle, events, life, timer, start, link, heard, session, is_racing });
    }

    fn config(&self) -> ClientConfig {
        let terms = &self.terms.client;
        let reconnect = Reconnect::new(self.backoff).even_if_rejected(MS * 1_000).seed(self.seed);
        let config = ClientConfig::new("server:1")
            .policy(terms.policy_in_force())
            .limits(terms.limits())
            .handshake_timeout(terms.handshake_timeout.unwrap_or(MS * 10_000))
            .reconnect(reconnect)
            .max_queue(MAX_QUEUE);
        let config = if terms.keeps_messages { config.offline_queue(true) } else { config };
        let config = match terms.resume {
            Some((window, grace)) => {
                let resume = Resume::default().window(window).grace(grace);
                config.resume(resume.suspect(terms.suspects))
            }
            None => config,
        };
        match terms.protocol {
            Protocol::V0 => config.v0(),
            Protocol::Raw => config.raw(),
            Protocol::V1 | Protocol::Any | Protocol::V1Only | _ => {
                let v1 = V1::default().offer(terms.offer());
                let v1 = if terms.has_token { v1.token(TOKEN) } else { v1 };
                let name = terms.has_name.then(|| format!("client-{}", self.host));
                config.v1(match name {
                    Some(name) => v1.name(name),
                    None => v1,
                })
            }
        }
    }

    /// Ends the process, with everything it held.
    pub(super) fn crash(&mut self) {
        self.process = None;
    }

    /// The application closes the client, and makes a new one afterwards.
    pub(super) fn leave(&self) {
        if let Some(Process { handle, .. }) = &self.process {
            handle.close();
            let mut net = self.net.lock();
            net.outbox(self.host).is_closing = true;
            net.wake(self.host);
        }
    }

    /// The application sends data, if it is accepted.
    pub(super) fn send(&self, len: usize) {
        let Some(Process { handle, life, link, .. }) = &self.process else { return };
        let is_agreed = life.connection().is_some_and(|it| it.contract().is_some());
        let knows_server =
            is_agreed && link.is_some_and(|link| !self.net.lock().is_client_lost(link));
        let longest = self.terms.server.accepts().unwrap_or(usize::MAX);
        let session = self.net.lock().outbox(self.host).session();
        let longest = session.map_or(longest, |index| {
            longest.min(self.net.lock().session(index).longest(Side::Client))
        });
        let knows_server = knows_server || session.is_some();
        let body = Body { at: self.net.lock().outbox(self.host).sent, len };
        let sent = handle.try_send(body.bytes());
        let mut net = self.net.lock();
        let is_refused = matches!(sent, Err(SendError::TooLong { .. }));
        if is_refused || sent.is_ok() {
            net.tell_refused(Side::Client, len, is_refused, knows_server.then_some(longest));
        }
        if sent.is_ok() {
            net.outbox(self.host).push(body);
            net.wake(self.host);
        }
    }

    /// The application sends no more in its session, if that can be resumed.
    pub(super) fn end(&self) {
        let Some(Process { handle, .. }) = &self.process else { return };
        if handle.end() {
            let mut net = self.net.lock();
            net.outbox(self.host).ends = true;
            net.wake(self.host);
        }
    }

    /// The application promises an interval that is this many times the agreed one.
    pub(super) fn promise(&self, times: u32) {
        let Some(Process { handle, life, link, .. }) = &self.process else { return };
        let contract = life.connection().and_then(|connection| connection.contract());
        if let Some(beat) = contract.and_then(|contract| contract.to_server.interval()) {
            handle.promise(Some(beat * times));
            let mut net = self.net.lock();
            if let Some(link) = *link {
                net.note_promise(link, beat * times);
            }
            net.wake(self.host);
        }
    }

    /// Runs one turn.
    pub(super) fn turn(&mut self) {
        self.connect();
        let Some(process) = &mut self.process else { return };
        if self.net.lock().timer_rang(self.host) {
            process.timer = None;
        }
        let (net, host) = (&self.net, self.host);
        let wait = loop {
            let step = process.life.step();
            net.lock().note_session(host, process.life.is_away());
            process.race(net, host, matches!(step, Step::Wait(Wait { spare: true, .. })));
            match step {
                Step::Dial => {
                    process.note_loss(net);
                    net.lock().dial(host);
                }
                Step::Wait(wait) => break wait,
                Step::Over => {
                    process.note_loss(net);
                    process.take_events(net, host, true);
                    self.start();
                    let mut net = self.net.lock();
                    net.set_timer(host, None);
                    net.wake(host);
                    return;
                }
            }
        };
        process.note_loss(net);
        process.tell_round_trip(net, host, &self.terms.client);
        process.take_events(net, host, false);
        process.sleep(net, host, wait);
    }
}

impl Process {
    /// Checks whether the connection was lost in the last step: later reports of it describe that
    /// time.
    fn note_loss(&self, net: &Shared) {
        if let Some(link) = self.link.filter(|_| !self.life.keeps_connection()) {
            net.lock().note_loss(link, Side::Client);
        }
    }

    fn tell_round_trip(&self, net: &Shared, host: HostId, terms: &Terms) {
        let Some(link) = self.link.filter(|_| terms.round_trip_off.is_some()) else { return };
        let Some(connection) = self.life.connection() else { return };
        let mut net = net.lock();
        let now = net.clock(host);
        if let Some(told) = connection.link_state(now).and_then(|path| path.rtt) {
            net.tell_round_trip(link, Side::Client, told);
        }
    }

    /// The application takes all events, unless it is busy.
    fn take_events(&mut self, net: &Shared, host: HostId, is_last: bool) {
        if net.lock().is_busy(host) && !is_last {
            return;
        }
        net.lock().note_taken(host);
        let mut any = false;
        while let Ok(event) = self.events.try_recv() {
            any = true;
            self.handle(net, host, &event);
        }
        if any && !is_last {
            // There is room for more events.
            net.lock().wake(host);
        }
    }

    fn handle(&mut self, net: &Shared, host: HostId, event: &Event) {
        let mut net = net.lock();
        let side = Side::Client;
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of events is open")]
        match event {
            Event::Online { peer, welcome, .. } => {
                let link = link_of(*peer);
                self.heard = Some(link);
                net.tell_online(link, side);
                let is_kept = welcome.as_ref().is_some_and(|welcome| welcome.resume.is_some());
                self.session = net.link(link).session.filter(|_| is_kept);
                if let Some(index) = self.session {
                    net.judge_session(index, side, |session| session.tell_online(side));
                }
            }
            Event::Away { peer, reason, within, .. } => {
                if let Some(index) = self.session {
                    net.judge_session(index, side, |session| session.tell_away(side, *within));
                }
                net.tell_reason(link_of(*peer), side, reason);
            }
            Event::Back { peer, .. } => {
                self.heard = Some(link_of(*peer));
                net.tell_online(link_of(*peer), side);
                if let Some(index) = self.session {
                    net.judge_session(index, side, |session| session.tell_back(side));
                }
            }
            Event::Data(data) => match self.session {
                Some(index) => net.tell_data_in(index, side, data),
                None => self.heard.into_iter().for_each(|it| net.tell_data(it, side, data)),
            },
            Event::Ended => {
                if let Some(index) = self.session {
                    net.tell_ended_in(index, side);
                }
            }
            Event::Offline { peer, reason, unsent, undelivered, .. } if self.session.is_some() => {
                let Some(index) = self.session.take() else { return };
                if !net.session(index).is_told_away(side) {
                    net.tell_reason(link_of(*peer), side, reason);
                }
                net.tell_lost(index, (host, reason), *unsent, undelivered);
            }
            Event::Offline { peer, reason, unsent, .. } => {
                net.tell_unsent(link_of(*peer), *unsent);
                net.tell_reason(link_of(*peer), side, reason);
            }
            Event::Failed { error: ConnectError::NoWelcome { peer, reason } } => {
                net.tell_reason(link_of(*peer), side, reason);
            }
            Event::Failed { error: ConnectError::Rejected { peer, code, .. } } => {
                // Each start is another client for the server, and a few of them may take over. A
                // session may be resumed only so often while nothing is acknowledged.
                let links = self.session.map_or(0, |index| net.session(index).links.len());
                let is_limited = links > RESUMES_AT_ONCE;
                if *code == ByeCode::Fighting && self.start <= MAX_STARTS && !is_limited {
                    let what = "a client alone is said to fight over its name".to_owned();
                    let breach = Breach::new(Invariant::KeepsItsName, what);
                    net.breach.get_or_insert((side, breach));
                }
                net.tell_reason(link_of(*peer), side, &Reason::Bye(*code));
            }
            Event::Health(_) | Event::TooFast => {
                self.heard.into_iter().for_each(|it| net.tell_news(it, side));
            }
            _ => {}
        }
    }

    fn sleep(&mut self, net: &Shared, host: HostId, wait: Wait) {
        let mut net = net.lock();
        if wait.until == self.timer {
            net.keep_timer(host, wait.until);
        } else {
            net.set_timer(host, wait.until);
        }
        self.timer = wait.until;
        let Some(link) = self.link.filter(|_| self.life.connection().is_some()) else { return };
        // The runtime knows of bytes that have arrived by now when the process runs next.
        net.note_told(link, Side::Client);
        let can_read = wait.readable && net.has_news(link, Side::Client);
        let can_write = wait.writable && net.free_since(link, Side::Client).is_some();
        if can_read || can_write {
            net.wake(host);
        }
    }
}
