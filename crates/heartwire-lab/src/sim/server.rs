//! The server's process: a shard of the library's server and an application that takes its events.

use core::task::Waker;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task;

use heartwire::internal::{Place, Reported, SessionView, Shard, Wake, assemble};
use heartwire::server::auth::Tokens;
use heartwire::server::limits::{Admission, Limits};
use heartwire::server::{
    CommandError, Control, EpochClock, Event, Handle, Handler, Protocols, Resume, ServerConfig,
    SessionId,
};
use heartwire::v1::{ResumeOffer, RetryHint};
use heartwire::{Cause, Reason, TICK};
use heartwire_core::frame::HEADER_LEN;
use heartwire_core::{FrameLimits, Instant, Protocol, Side};

use super::breach::{Breach, Invariant};
use super::broken::Broken;
use super::link::{Body, Both, LinkId};
use super::machine::{Listener, Machine, Shared, link_of};
use super::net::{Net, Poller};
use super::queue::SERVER;
use super::terms::{LENIENT, Terms};

/// Bytes that may wait for one client.
pub(super) const MAX_QUEUE: usize = 8 * 1024;

/// The longest body that fits there, whatever the client accepts.
pub(super) const MAX_BODY: usize = MAX_QUEUE - HEADER_LEN;

/// Bytes that all sessions together may keep while they are away.
const MAX_REPLAY: usize = 32 * 1024;

/// The token of all clients.
pub(super) const TOKEN: &str = "of-all-simulated-clients";

/// How long a server that shuts down waits for its clients.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// The process of the server.
#[derive(Debug)]
pub(super) struct Server {
    net: Shared,
    terms: Both<Terms>,
    /// `None` while there is no process.
    process: Option<Process>,
    /// It was told to shut down, and learns of it in its next turn.
    shuts_down: bool,
    /// How often it was started.
    starts: u64,
    /// That of all clients, if they need one.
    tokens: Option<Tokens>,
}

#[derive(Debug)]
struct Process {
    handle: Handle,
    shard: Shard<Machine, Application>,
}

impl Server {
    pub(super) fn new(net: Shared, terms: Both<Terms>) -> Self {
        let (process, tokens) = (None, terms.server.has_token.then(tokens).flatten());
        let mut server = Self { net, terms, process, shuts_down: false, starts: 0, tokens };
        server.start();
        server
    }

    /// Starts the process, without any state.
    pub(super) fn start(&mut self) {
        self.starts += 1;
        self.shuts_down = false;
        let machine = Machine::new(self.net.clone(), SERVER, self.terms);
        let waker = Waker::from(Arc::new(Bell(self.net.clone())));
        let listeners = vec![Listener::new(machine.clone())];
        let places = vec![Place { world: machine, listeners, waker }];
        let epochs = EpochClock::stopped((self.starts << 32) + 1);
        let config = config(&self.terms.server, self.tokens.as_ref()).epoch_clock(epochs);
        self.net.lock().revoked_at = None;
        let (net, terms) = (&self.net, &self.terms);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&self.starts.to_le_bytes());
        let (handle, shards) = assemble(&config, places, true, secret, |_| {
            let (sessions, links) = (Vec::new(), BTreeMap::new());
            let longest = terms.client.accepts().unwrap_or(usize::MAX);
            let resume = terms.client.resume_offer().zip(terms.server.resume_offer());
            let resume = resume.map(|(client, server)| client.agree(server));
            Application {
                resume,
                net: net.clone(),
                answers: terms.server.answers,
                longest,
                sessions,
                links,
                max_age: terms.server.max_age,
                ages: BTreeMap::new(),
            }
        });
        let shard = shards.into_iter().next();
        self.process = shard.map(|shard| Process { handle, shard });
        let mut net = self.net.lock();
        net.run = self.starts;
        let now = net.clock(SERVER);
        net.host(SERVER).handle_start(now);
    }

    /// Removes the token of all clients, and adds it again: those that were admitted with it before
    /// have to come again.
    pub(super) fn revoke(&mut self) {
        let (Some(tokens), Some(others), Some(own)) = (&self.tokens, others(), tokens()) else {
            return;
        };
        tokens.replace(&others);
        tokens.replace(&own);
        let mut net = self.net.lock();
        net.revoked_at = Some(net.clock(SERVER));
    }

    /// Ends the process, with everything it held.
    pub(super) fn crash(&mut self) {
        self.process = None;
        self.net.lock().poller = Poller::default();
    }

    /// The application ends all sessions, and keeps accepting; or shuts the server down.
    pub(super) fn leave(&mut self, for_good: bool) {
        let Some(Process { handle, shard }) = &self.process else { return };
        if for_good {
            self.shuts_down = true;
            handle.shutdown();
            return;
        }
        for &(id, ..) in &shard.handler().sessions {
            // A session that has ended meanwhile is not there.
            let _ = handle.kick_with(id, RetryHint::AtWill, "");
        }
    }

    /// Runs one turn.
    pub(super) fn turn(&mut self) {
        let Some(Process { shard, .. }) = &mut self.process else { return };
        let mut net = self.net.lock();
        if core::mem::take(&mut self.shuts_down) {
            let now = net.clock(SERVER);
            net.drains_since.get_or_insert(now);
        }
        let ready = net.poll();
        drop(net);
        match shard.turn(ready, Reported::All) {
            Wake::Now(deadline) => {
                let mut net = self.net.lock();
                net.set_timer(SERVER, deadline);
                net.wake(SERVER);
            }
            Wake::By(deadline) => self.net.lock().set_timer(SERVER, deadline),
            Wake::Over => self.start_over(),
        }
        self.check_ages();
        self.check_tokens();
        self.note_last_words();
        self.tell_round_trips();
        self.accept_all();
    }

    /// What the application has sent since the last turn was handled in this one.
    fn accept_all(&self) {
        let Some(Process { shard, .. }) = &self.process else { return };
        for session in shard.sessions().filter(|session| session.is_online && !session.is_ending) {
            self.net.lock().accept_all(session.id.as_u64());
        }
    }

    /// A session whose client was admitted with a token that was removed ends at once.
    fn check_tokens(&self) {
        let Some(Process { shard, .. }) = &self.process else { return };
        let mut net = self.net.lock();
        let (now, runs_since) = (net.clock(SERVER), net.host(SERVER).runs_since);
        let Some(at) = net.revoked_at.filter(|_| net.drains_since.is_none()) else { return };
        let overdue = at.max(runs_since).saturating_add(TICK * 2 + self.terms.server.slack);
        for session in shard.sessions().filter(|it| it.is_online && !it.is_ending) {
            let age = shard.handler().ages.get(&session.id.as_u64());
            if now > overdue && age.is_some_and(|age| age.linked_at < at) {
                let late = now.saturating_since(overdue);
                let what = format!("a session is still there {late:?} after its token was removed");
                let breach = Breach::new(Invariant::EndsForCause, what);
                net.breach.get_or_insert((Side::Server, breach));
            }
        }
    }

    /// A session that is too old ends, when it had the time for what is under way.
    fn check_ages(&self) {
        let (Some(Process { shard, .. }), Some(max_age)) =
            (&self.process, self.terms.server.max_age)
        else {
            return;
        };
        let mut net = self.net.lock();
        let (now, machine) = (net.clock(SERVER), net.host(SERVER));
        let runs_since = machine.runs_since;
        if net.drains_since.is_some() {
            return;
        }
        let is_live = |session: &SessionView<'_, _>| {
            session.is_online && !session.is_ending && !session.is_away
        };
        for session in shard.sessions().filter(is_live) {
            let Some(age) = shard.handler().ages.get(&session.id.as_u64()) else { continue };
            let contract = session.connection.contract();
            let interval = contract.and_then(|contract| contract.to_server.interval());
            let within = max_age + DRAIN + interval.unwrap_or_default();
            let due = age.since.saturating_add(within).max(age.linked_at).max(runs_since);
            let overdue = due.saturating_add(TICK * 2 + self.terms.server.slack);
            if now > overdue {
                let late = now.saturating_since(overdue);
                let what = format!("a session is still there {late:?} after its greatest age");
                let breach = Breach::new(Invariant::EndsForCause, what);
                net.breach.get_or_insert((Side::Server, breach));
            }
        }
    }

    /// A session that the server has ended is judged no more, also while its last word waits for a
    /// full socket.
    fn note_last_words(&self) {
        let Some(Process { shard, .. }) = &self.process else { return };
        for session in shard.sessions().filter(|session| session.is_online && session.is_ending) {
            if let Some(socket) = session.socket {
                self.net.lock().note_last_word(socket.link(), Side::Server);
            }
        }
    }

    /// The server has shut down, and another one takes its place.
    fn start_over(&mut self) {
        self.process = None;
        self.start();
        self.net.lock().wake(SERVER);
    }

    /// The measurements of beats.
    fn tell_round_trips(&self) {
        let Some(Process { shard, .. }) = &self.process else { return };
        if self.terms.server.round_trip_off.is_none() {
            return;
        }
        let now = self.net.lock().clock(SERVER);
        for session in shard.sessions().filter(|session| session.is_online && !session.is_ending) {
            let Some(socket) = session.socket else { continue };
            if let Some(told) = session.connection.link_state(now).and_then(|path| path.rtt) {
                self.net.lock().tell_round_trip(socket.link(), Side::Server, told);
            }
        }
    }

    /// The application sends no more to one of its sessions, if that outlives its links.
    pub(super) fn end(&self, rng: &mut fastrand::Rng) {
        let Some(Process { handle, shard }) = &self.process else { return };
        let sessions = &shard.handler().sessions;
        let Some(&(id, ..)) = sessions.get(rng.usize(0..sessions.len().max(1))) else { return };
        let mut net = self.net.lock();
        let kept = net.find_session(id.as_u64());
        let Some(index) = kept.filter(|&it| !net.session(it).has_ended(Side::Server)) else {
            return;
        };
        drop(net);
        if handle.end(id).is_ok() {
            self.net.lock().tell_end_in(index);
        }
    }

    /// The application sends data to one of its sessions, if there is room for it.
    pub(super) fn send(&self, rng: &mut fastrand::Rng, len: usize) {
        let Some(Process { handle, shard }) = &self.process else { return };
        let sessions = &shard.handler().sessions;
        let chosen = sessions.get(rng.usize(0..sessions.len().max(1)));
        let Some(&(id, link, _)) = chosen else { return };
        let session = shard.sessions().find(|session| session.id == id);
        let queued = session.map_or(0, |session| session.queued);
        // Rarely, the application ignores that.
        if queued + len + 64 > MAX_QUEUE && rng.u8(..) > 4 {
            return;
        }
        let mut net = self.net.lock();
        let kept = net.find_session(id.as_u64());
        let longest = shard.handler().longest(&mut net, kept);
        let at = match kept {
            Some(index) => net.session(index).next_at(Side::Server),
            None => net.told(link, Side::Server).sent,
        };
        let room = kept.map(|index| net.session(index).room(Side::Server));
        let has_ended = kept.is_some_and(|index| net.session(index).has_ended(Side::Server));
        drop(net);
        if has_ended {
            return;
        }
        if room.is_some_and(|room| len + HEADER_LEN > room) && rng.u8(..) > 4 {
            return;
        }
        let body = Body { at, len };
        let is_sent = handle.send(id, &body.bytes()).is_ok();
        // From outside of its handler, the server drops what the client does not accept.
        if is_sent && len <= longest {
            match kept {
                Some(index) => self.net.lock().tell_sent_in(index, body),
                None => self.net.lock().tell_sent(link, body),
            }
        }
    }
}

fn config(terms: &Terms, tokens: Option<&Tokens>) -> ServerConfig {
    let protocols = if let Some(tokens) = tokens {
        Protocols::V1WithTokens(tokens.clone())
    } else if terms.protocol == Protocol::V0 {
        Protocols::V0
    } else if terms.protocol == Protocol::V1Only {
        Protocols::V1
    } else {
        Protocols::Any
    };
    // Its clients may promise what the contract that they know of allows.
    let offer = if terms.is_lenient { terms.lenient_offer(LENIENT * 10) } else { terms.offer() };
    let config = ServerConfig::new(([127, 0, 0, 1], 0).into())
        .threads(1)
        .policy(terms.policy_in_force())
        .protocols(protocols)
        .offer(offer)
        .coalesce(terms.coalesce())
        .limits(
            Limits::default()
                .handshake_timeout(terms.handshake_timeout)
                .frame_timeout(terms.frame_within())
                .max_frame(terms.max_frame_in_force().unwrap_or(FrameLimits::MAX_FRAME))
                .max_queue(MAX_QUEUE),
        )
        .admission(Admission::default().max_pending(64))
        .drain(if terms.is(Broken::DrainsLate) { DRAIN * 2 } else { DRAIN });
    let config = match terms.max_age {
        Some(age) if terms.is(Broken::EndsYoung) => config.max_age(age / 2),
        Some(age) => config.max_age(age),
        None => config,
    };
    let Some((window, grace)) = terms.resume else { return config };
    let window = if terms.is(Broken::StretchesWindows) { window * 2 } else { window };
    let resume = Resume::new().window(window).grace(grace);
    config.resume(resume.max_replay(MAX_REPLAY).in_the_clear(true))
}

/// The file with the token of all clients.
fn tokens() -> Option<Tokens> {
    Tokens::parse(TOKEN).ok()
}

/// A file with another one.
fn others() -> Option<Tokens> {
    Tokens::parse("of-another-client").ok()
}

/// Wakes the server's process.
#[derive(Debug)]
struct Bell(Shared);

impl task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.lock().note_woken();
    }
}

/// The application of the server's events.
#[derive(Debug)]
struct Application {
    net: Shared,
    /// It answers each message.
    answers: bool,
    /// The longest message that its clients accept.
    longest: usize,
    /// What is agreed of sessions that outlive their links, if they do.
    resume: Option<ResumeOffer>,
    /// The sessions that it knows of, and their names.
    sessions: Vec<(SessionId, LinkId, Option<Box<str>>)>,
    /// The links of all sessions that there ever were.
    links: BTreeMap<u64, LinkId>,
    /// The greatest age of a session.
    max_age: Option<Duration>,
    /// The ages of sessions.
    ages: BTreeMap<u64, Age>,
}

/// How old a session is.
#[derive(Clone, Copy, Debug)]
struct Age {
    /// When its first link was accepted, or before.
    since: Instant,
    /// When its latest link was accepted, or before, and when it was welcomed.
    accepted_at: Instant,
    linked_at: Instant,
}

impl Application {
    fn link(&self, id: SessionId) -> Option<LinkId> {
        self.links.get(&id.as_u64()).copied()
    }

    /// The longest message that a client accepts, in a session that outlives its links or not.
    fn longest(&self, net: &mut Net, kept: Option<usize>) -> usize {
        let of_session = kept.map(|index| net.session(index).longest(Side::Server));
        self.longest.min(of_session.unwrap_or(usize::MAX))
    }

    fn handle_back(&mut self, id: SessionId, link: LinkId) {
        let mut net = self.net.lock();
        let old = self.links.insert(id.as_u64(), link);
        let now = net.clock(SERVER);
        let accepted_at = net.connected_at(link).unwrap_or(now);
        let known = self.ages.entry(id.as_u64());
        known.and_modify(|age| (age.accepted_at, age.linked_at) = (accepted_at, now));
        old.into_iter().for_each(|old| net.note_superseded(old));
        for (known, its, _) in &mut self.sessions {
            if *known == id {
                *its = link;
            }
        }
        let Some(index) = net.find_session(id.as_u64()) else { return };
        net.carry(link, index);
        net.tell_online(link, Side::Server);
        net.mishaps.back += 1;
        let (now, runs_since) = (net.clock(SERVER), net.host(SERVER).runs_since);
        net.judge_session(index, Side::Server, |session| {
            session.come_back(Side::Server, now, runs_since)?;
            session.tell_back(Side::Server)
        });
    }

    fn handle_away(&self, id: SessionId, peer: LinkId, reason: &Reason, within: Duration) {
        let mut net = self.net.lock();
        let now = net.clock(SERVER);
        if let Some(index) = net.find_session(id.as_u64()) {
            net.mishaps.away += 1;
            net.judge_session(index, Side::Server, |session| {
                session.go_away(Side::Server, now);
                session.tell_away(Side::Server, within)
            });
        }
        net.tell_reason(peer, Side::Server, reason);
    }

    /// A session ends for its age: it must have reached that.
    fn check_age(&self, net: &mut Net, id: SessionId) {
        let now = net.clock(SERVER);
        let age = self.ages.get(&id.as_u64()).map(|age| now.saturating_since(age.since));
        if self.max_age.zip(age).is_some_and(|(max_age, age)| age >= max_age / 4 * 3) {
            return;
        }
        let what = format!("a session ends of age after {age:?}; that is {:?}", self.max_age);
        let breach = Breach::new(Invariant::EndsForCause, what);
        net.breach.get_or_insert((Side::Server, breach));
    }

    /// A session ends because of its token: that must have been removed since.
    fn check_revoked(&self, net: &mut Net, id: SessionId) {
        let accepted_at = self.ages.get(&id.as_u64()).map(|age| age.accepted_at);
        if net.revoked_at.zip(accepted_at).is_some_and(|(at, accepted_at)| accepted_at <= at) {
            return;
        }
        let what = format!("a token is not valid that was removed at {:?}", net.revoked_at);
        let breach = Breach::new(Invariant::EndsForCause, what);
        net.breach.get_or_insert((Side::Server, breach));
    }

    fn handle_online(&mut self, id: SessionId, link: LinkId, name: Option<Box<str>>) {
        let mut net = self.net.lock();
        let now = net.clock(SERVER);
        let since = net.connected_at(link).unwrap_or(now);
        self.ages.insert(id.as_u64(), Age { since, accepted_at: since, linked_at: now });
        net.tell_online(link, Side::Server);
        if let Some(agreed) = self.resume {
            net.begin_session(link, id.as_u64(), agreed);
            if let Some(index) = net.find_session(id.as_u64()) {
                net.judge_session(index, Side::Server, |session| session.tell_online(Side::Server));
            }
        }
        let is_known = |known: &Option<Box<str>>| known.is_some() && *known == name;
        if self.sessions.iter().any(|(_, _, known)| is_known(known)) {
            let what = format!("two sessions are called {}", name.as_deref().unwrap_or_default());
            let breach = Breach::new(Invariant::OnePerName, what);
            net.breach.get_or_insert((Side::Server, breach));
        }
        drop(net);
        self.links.insert(id.as_u64(), link);
        self.sessions.push((id, link, name));
    }
}

impl Application {
    /// Answers a message with one that is twice as long.
    fn answer(&self, id: SessionId, link: LinkId, data: &[u8], control: &mut Control<'_>) {
        let mut net = self.net.lock();
        let kept = net.find_session(id.as_u64());
        let longest = self.longest(&mut net, kept);
        let at = match kept {
            Some(index) => net.session(index).next_at(Side::Server),
            None => net.told(link, Side::Server).sent,
        };
        drop(net);
        let body = Body { at, len: data.len() * 2 };
        let sent = control.send(id, &body.bytes());
        let mut net = self.net.lock();
        match (sent.is_ok(), kept) {
            (true, Some(index)) => {
                net.tell_sent_in(index, body);
                net.session(index).accept_all(Side::Server);
            }
            (true, None) => net.tell_sent(link, body),
            (false, _) => {}
        }
        let is_refused = matches!(sent, Err(CommandError::TooLong));
        if sent.is_ok() || is_refused {
            net.tell_refused(Side::Server, body.len, is_refused, Some(longest));
        }
    }
}

impl Handler for Application {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of events is open")]
        match event {
            Event::Online { id, peer, agreed } => {
                let name = agreed.and_then(|agreed| agreed.name);
                self.handle_online(id, link_of(peer), name);
            }
            Event::Away { id, peer, reason, within } => {
                self.handle_away(id, link_of(peer), &reason, within);
            }
            Event::Back { id, peer, .. } => self.handle_back(id, link_of(peer)),
            Event::Data { id, data } => {
                if let Some(link) = self.link(id) {
                    let mut net = self.net.lock();
                    match net.find_session(id.as_u64()) {
                        Some(index) => net.tell_data_in(index, Side::Server, data),
                        None => net.tell_data(link, Side::Server, data),
                    }
                    drop(net);
                    if self.answers {
                        self.answer(id, link, data, control);
                    }
                }
            }
            Event::Ended { id } => {
                let mut net = self.net.lock();
                if let Some(index) = net.find_session(id.as_u64()) {
                    net.tell_ended_in(index, Side::Server);
                }
            }
            Event::Verdict { peer, verdict, .. } if verdict.cause != Cause::Kernel => {
                self.net.lock().tell_verdict(link_of(peer), Side::Server, &verdict);
            }
            Event::Offline { id, peer, reason, undelivered, .. } => {
                let mut net = self.net.lock();
                if reason == Reason::MaxAge {
                    self.check_age(&mut net, id);
                }
                if matches!(reason, Reason::Revoked(_)) {
                    self.check_revoked(&mut net, id);
                }
                self.ages.remove(&id.as_u64());
                let kept = net.find_session(id.as_u64());
                if kept.is_none_or(|index| !net.session(index).is_told_away(Side::Server)) {
                    net.tell_reason(link_of(peer), Side::Server, &reason);
                }
                if let Some(index) = kept {
                    net.tell_over(index, &reason, &undelivered);
                }
                drop(net);
                self.sessions.retain(|&(known, ..)| known != id);
            }
            Event::Paused { .. } => self.net.lock().note_told_pause(),
            Event::Promise { id, .. } | Event::Health { id, .. } => {
                if let Some(link) = self.link(id) {
                    self.net.lock().tell_news(link, Side::Server);
                }
            }
            _ => {}
        }
    }

    fn has_room(&mut self, _shard: &Waker) -> bool {
        !self.net.lock().is_busy(SERVER)
    }
}
