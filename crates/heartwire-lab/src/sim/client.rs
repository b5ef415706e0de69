//! The client's process: it connects, drives one connection in the order that the library's client
//! does, and starts over.

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::v1::Hello;
use heartwire_core::{Backoff, Instant, Side, Spoken, Stall, StallWatch, Wire};

use super::breach::Breach;
use super::broken::Broken;
use super::end::{Holder, Received};
use super::ended::End;
use super::host::{Sign, Wake};
use super::link::{Both, SocketError};
use super::net::{Dialled, Net};
use super::queue::HostId;
use super::terms::Terms;

/// The process of one client.
#[derive(Debug)]
pub(super) struct Client {
    host: HostId,
    terms: Both<Terms>,
    backoff: Backoff,
    phase: Phase,
    /// Connections so far.
    pub(super) connections: u32,
}

#[derive(Debug)]
enum Phase {
    Waiting { until: Instant },
    Dialling,
    Online(Box<Online>),
}

#[derive(Debug)]
struct Online {
    holder: Holder,
    watch: StallWatch,
    timer_at: Option<Instant>,
}

impl Client {
    pub(super) fn new(
        net: &Net,
        host: HostId,
        terms: Both<Terms>,
        backoff: BackoffPolicy,
        seed: u64,
    ) -> Self {
        Self {
            host,
            terms,
            backoff: Backoff::new(backoff, seed),
            phase: Phase::Waiting { until: net.clock(host) },
            connections: 0,
        }
    }

    /// The process is started again after a crash, and remembers nothing.
    pub(super) fn restart(&mut self, net: &mut Net, backoff: BackoffPolicy, seed: u64) {
        self.backoff = Backoff::new(backoff, seed);
        self.phase = Phase::Waiting { until: net.clock(self.host) };
    }

    /// The connection, while there is one.
    pub(super) fn holder(&mut self) -> Option<&mut Holder> {
        match &mut self.phase {
            Phase::Online(online) => Some(&mut online.holder),
            Phase::Waiting { .. } | Phase::Dialling => None,
        }
    }

    /// The process is gone, and what it held with it.
    pub(super) fn crash(&mut self) {
        self.phase = Phase::Dialling;
    }

    /// The owner closes the connection, and connects again.
    pub(super) fn leave(&mut self, net: &mut Net) -> Result<(), Breach> {
        let Phase::Online(online) = &mut self.phase else { return Ok(()) };
        online.holder.leave(net)?;
        self.backoff.handle_disconnected(net.clock(self.host));
        self.wait(net);
        Ok(())
    }

    /// The process runs: it woke at `wake`, and may have been held up since.
    pub(super) fn turn(&mut self, net: &mut Net, wake: Wake) -> Result<(), Breach> {
        match &mut self.phase {
            Phase::Waiting { until } if net.clock(self.host) >= *until => {
                net.dial(self.host);
                self.phase = Phase::Dialling;
            }
            Phase::Waiting { until } => net.set_timer(self.host, Some(*until)),
            Phase::Dialling => match net.take_dialled(self.host) {
                Some(Dialled::Connected(link)) => self.begin(net, link)?,
                Some(Dialled::Refused | Dialled::TimedOut) => self.wait(net),
                None => {}
            },
            Phase::Online(online) => {
                if let Some(end) = online.turn(net, wake)? {
                    self.finish(net, end)?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, net: &mut Net, link: usize) -> Result<(), Breach> {
        let now = net.clock(self.host);
        self.backoff.handle_connected(now);
        self.connections += 1;
        let names = (link, Side::Client, self.host);
        let mut holder = Holder::new(net, names, &self.terms);
        if self.terms.client.wire == Wire::V1 {
            holder.outbox.push(Hello::new(self.terms.client.offer()).encode());
        } else {
            holder.begin(net, now)?;
        }
        net.host(self.host).handle_start(now);
        let wake = self.terms.client.misread_clocks(net.read_clocks(self.host));
        let watch = StallWatch::new(now, wake.suspended);
        let mut online = Box::new(Online { holder, watch, timer_at: None });
        let end = online.turn(net, net.read_clocks(self.host))?;
        self.phase = Phase::Online(online);
        match end {
            Some(end) => self.finish(net, end),
            None => Ok(()),
        }
    }

    fn finish(&mut self, net: &mut Net, end: End) -> Result<(), Breach> {
        let Phase::Online(online) = &mut self.phase else { return Ok(()) };
        online.holder.finish(net, &end)?;
        // A dead server was stable for as long as it was heard.
        let lasted_until = match end {
            End::Dead(_) => online.holder.connection.last_heard(),
            End::Violation(_)
            | End::Closed { .. }
            | End::Failed(_)
            | End::Bye(_)
            | End::TurnedAway
            | End::Left => net.clock(self.host),
        };
        self.backoff.handle_disconnected(lasted_until);
        self.wait(net);
        Ok(())
    }

    fn wait(&mut self, net: &mut Net) {
        let wait = self.backoff.next_wait();
        let host = self.host;
        net.log(&format_args!("client {host}"), format_args!("waits {wait:?}"));
        let until = net.clock(self.host).saturating_add(wait);
        self.phase = Phase::Waiting { until };
        net.set_timer(self.host, Some(until));
    }
}

impl Online {
    /// Everything that can be done without waiting, in the order that the core asks for.
    fn turn(&mut self, net: &mut Net, wake: Wake) -> Result<Option<End>, Breach> {
        let host = self.holder.host;
        let now = wake.at;
        let stall = self.notice_stall(wake);
        let sign = net.compare_clocks(host, wake);
        if net.timer_rang(host) {
            self.timer_at = None;
        }
        let judges_first = self.holder.terms.is(Broken::JudgesBeforeReading);
        if judges_first && let Some(end) = self.holder.judge(net, now)? {
            return Ok(Some(end));
        }
        net.take_ready(self.holder.link, Side::Client);
        if let Some(end) = self.read(net, now)? {
            return Ok(Some(end));
        }
        // The suspend may have come after the turn had begun.
        let before_judging = net.read_clocks(host);
        let sign_since = net.compare_clocks(host, before_judging);
        if sign_since.is_some() {
            net.note_stall(host, before_judging);
        } else if sign.is_some() {
            net.note_stall(host, wake);
        }
        let by_clocks_alone = sign.or(sign_since) == Some(Sign::Clocks);
        net.mishaps.suspended_in_time += u64::from(by_clocks_alone);
        if let Some(stall) = self.notice_stall(before_judging).or(stall) {
            self.holder.log(net, format_args!("stood still for {:?}", stall.gap));
            self.holder.handle_stall(stall);
        }
        let is_due = self.holder.connection.poll_timeout().is_some_and(|at| at <= now);
        // A beat says what has been heard, and the server judges by that.
        let mut looks = is_due && self.holder.connection.spoken() == Spoken::V1;
        while !judges_first && (looks || self.holder.connection.would_end(now)) {
            looks = false;
            if net.is_busy(host) {
                if net.has_news(self.holder.link, Side::Client) {
                    self.holder.postpone(net);
                }
                break;
            }
            match self.read_once(net, now)? {
                Received::Nothing => break,
                Received::Bytes { .. } => {}
                Received::Ended(end) => return Ok(Some(end)),
            }
        }
        if !judges_first && let Some(end) = self.holder.judge(net, now)? {
            return Ok(Some(end));
        }
        if !self.holder.outbox.is_empty() {
            self.holder.connection.handle_sent(now);
        }
        if self.holder.outbox.is_empty() {
            self.holder.transmit(net, now)?;
        } else if self.holder.connection.beat_due() {
            // Data may wait for long, and does not say or ask what a beat does.
            self.holder.transmit_first(net, now)?;
        }
        self.holder.take_messages(net);
        if let Err(error) = self.holder.write(net) {
            return self.read_last_words(net, error);
        }
        self.sleep(net);
        Ok(None)
    }

    fn notice_stall(&mut self, wake: Wake) -> Option<Stall> {
        let Wake { at, suspended } = self.holder.terms.misread_clocks(wake);
        self.watch.handle_wake(at, suspended)
    }

    fn read(&mut self, net: &mut Net, now: Instant) -> Result<Option<End>, Breach> {
        if net.is_busy(self.holder.host) {
            return Ok(None);
        }
        match self.read_once(net, now)? {
            Received::Ended(end) => Ok(Some(end)),
            Received::Nothing | Received::Bytes { .. } => Ok(None),
        }
    }

    fn read_once(&mut self, net: &mut Net, now: Instant) -> Result<Received, Breach> {
        let (link, broken) = (self.holder.link, self.holder.terms.broken);
        self.holder.read(net, |net, _| match broken {
            Some(Broken::StampsBeforeReading) => (now, now),
            Some(_) | None => net.arrival(link, Side::Client, true, broken),
        })
    }

    /// A peer that sends its last words and goes makes the next write fail, often before those words
    /// were read.
    fn read_last_words(
        &mut self,
        net: &mut Net,
        error: SocketError,
    ) -> Result<Option<End>, Breach> {
        while let Received::Bytes { .. } = self.holder.read(net, |_, now| (now, now))? {}
        Ok(Some(End::Failed(error)))
    }

    fn sleep(&mut self, net: &mut Net) {
        let host = self.holder.host;
        let deadline = self.holder.deadline(net.clock(host));
        // Deadlines mostly move later, so the timer stays as it is until it rings.
        if let Some(at) = deadline.filter(|&at| self.timer_at.is_none_or(|set| at < set)) {
            self.timer_at = Some(at);
            net.set_timer(host, Some(at));
        } else {
            net.keep_timer(host, self.timer_at);
        }
        self.watch.handle_sleep(self.timer_at);
        if !net.is_busy(host) && net.has_news(self.holder.link, Side::Client) {
            net.wake(host);
        }
    }
}
