//! How each fault is made, and when exactly it was.

use core::time::Duration;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, anyhow, ensure};
use heartwire_core::Side;
use rustix::process::Signal;

use super::both::Both;
use super::command::run;
use super::experiment::Experiment;
use super::fault::{Fault, NAT_LIFETIME};
use super::namespace::Namespace;
use super::program::Told;

/// Time limit for the steps of a fault.
const STEP_WITHIN: Duration = Duration::from_secs(10);

/// How long queues must not have changed to count as full.
const FULL_FOR: Duration = Duration::from_millis(400);

/// Both directions, by interface.
const DROP_ALL: [&str; 2] = ["iifname client drop", "iifname server drop"];

/// When a fault occurred: no earlier than `from`, no later than `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
}

impl Moment {
    /// While `act` ran.
    pub(super) fn of(act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let from = SystemTime::now();
        act()?;
        Ok(Self { from, to: SystemTime::now() })
    }

    /// How long after the fault something happened: at least, and at most. `None` if it was before.
    pub(super) fn until(&self, at: SystemTime) -> Option<[Duration; 2]> {
        // The programs tell whole microseconds.
        let at = at + Duration::from_micros(1);
        let most = at.duration_since(self.from).ok()?;
        Some([at.duration_since(self.to).unwrap_or_default(), most])
    }
}

/// When a fault occurred, as each end sees it.
pub(super) type Moments = Both<Moment>;

impl Experiment {
    /// Makes the fault.
    pub(super) fn inject(&mut self, fault: Fault) -> anyhow::Result<Moments> {
        let moment = match fault {
            Fault::Nothing => Moment::of(|| Ok(())),
            Fault::ClientCloses => self.close(Side::Client),
            Fault::ServerCloses => self.close(Side::Server),
            Fault::ClientKilled => Moment::of(|| self.client.kill()),
            Fault::ServerKilled => Moment::of(|| self.server.kill()),
            Fault::ClientFrozen | Fault::ClientPaused => Moment::of(|| self.client.freeze()),
            Fault::ServerFrozen | Fault::ServerPaused => Moment::of(|| self.server.freeze()),
            Fault::ServerKilledUnread => self.kill_unread(),
            Fault::SocketKilled => Moment::of(|| {
                // Found by where it leads, with one connection there is no other.
                let mut ss = self.topology.client.command("ss");
                run(ss.args(["-K", "dst", "198.51.100.2"])).map(drop)
            }),
            Fault::GoneUnacked => return self.cut_with_data(),
            Fault::ClientLinkDown => down(&self.topology.client),
            Fault::ServerLinkDown => down(&self.topology.server),
            Fault::GoneIdle | Fault::BlackoutShort | Fault::BlackoutLong => self.rules(&DROP_ALL),
            Fault::AddressChanged => Moment::of(|| {
                self.topology.client.ip("addr flush dev link\n\
                     addr add 192.0.2.3/24 dev link\n\
                     route add default via 192.0.2.1\n")
            }),
            Fault::CutToServer => self.rules(&["iifname client drop"]),
            Fault::CutToClient => self.rules(&["iifname server drop"]),
            Fault::FirewallDrop => self.rules(&["tcp dport 39002 drop", "tcp sport 39002 drop"]),
            Fault::RejectReset => self.rules(&["meta l4proto tcp reject with tcp reset"]),
            Fault::RejectIcmp => self.rules(&["reject with icmp type admin-prohibited"]),
            Fault::NatFlushLoose | Fault::NatFlushDrop | Fault::NatFlushReset => {
                Moment::of(|| run(self.topology.router.command("conntrack").arg("-F")).map(drop))
            }
            Fault::NatExpiry => self.rest_and_type(),
            Fault::MtuHole => {
                self.rules(&["meta length > 600 drop"])?;
                let client = &mut self.client;
                Moment::of(|| client.type_line(&".".repeat(4000)))
            }
            Fault::BlackHole => {
                let middlebox = self.middlebox.as_mut();
                Moment::of(|| middlebox.map_or(Ok(()), super::middlebox::Middlebox::swallow))
            }
            Fault::ServerNotReading => {
                self.server.stop_reading();
                self.client.flood(None)?;
                self.fill(Side::Client)
            }
            Fault::ClientNotReading => {
                // Enough to fill all buffers on the path, and less than the server's queue holds.
                let typing = self.client.flood(Some(3000))?;
                let full = self.fill(Side::Server)?;
                // The server hears its lines until then, and nothing of it afterwards.
                Ok(Moment { to: full.to.max(end_of(typing)?), ..full })
            }
        };
        moment.map(|moment| Both { client: moment, server: moment })
    }

    /// Ends a temporary fault. Returns when that was as each end sees it, if its time counts from
    /// then.
    pub(super) fn heal(&mut self, fault: Fault, mut moments: Moments) -> anyhow::Result<Moments> {
        if fault == Fault::ClientPaused {
            moments.client = Moment::of(|| self.client.signal(Signal::CONT))?;
        } else if fault == Fault::ServerPaused {
            moments.server = Moment::of(|| self.server.signal(Signal::CONT))?;
        } else {
            self.topology.clear_rules()?;
        }
        Ok(moments)
    }

    /// Asks an end to close the connection. It has done so when it reports the end of the session.
    fn close(&mut self, side: Side) -> anyhow::Result<Moment> {
        let from = SystemTime::now();
        self.program(side).signal(Signal::TERM)?;
        let closed = |told: &[Told]| {
            let mut ends = told.iter().filter(|told| told.side == side && told.event == "offline");
            ends.next().map(|told| told.at)
        };
        let deadline = Instant::now() + STEP_WITHIN;
        self.telling.listen_until(deadline, |told| closed(told).is_some())?;
        let to = closed(&self.telling.so_far).context("the connection was never closed")?;
        Ok(Moment { from, to: to.max(from) })
    }

    fn rules(&self, rules: &[&str]) -> anyhow::Result<Moment> {
        Moment::of(|| self.topology.add_rules(rules))
    }

    /// Kills the server while a line lies in its socket.
    fn kill_unread(&mut self) -> anyhow::Result<Moment> {
        self.server.freeze()?;
        self.client.type_line("unread")?;
        let deadline = Instant::now() + STEP_WITHIN;
        while queued(&self.topology.server)?[0] == 0 {
            ensure!(Instant::now() < deadline, "the line never came to the server");
            thread::sleep(Duration::from_millis(5));
        }
        Moment::of(|| self.server.kill())
    }

    /// Cuts the path so that both ends have sent something that will not be acknowledged.
    fn cut_with_data(&mut self) -> anyhow::Result<Moments> {
        let client = self.rules(&["iifname server drop"])?;
        self.client.type_line("unacknowledged")?;
        // The server has got it, and sends it back.
        self.telling.expect(Side::Server, "data", STEP_WITHIN)?;
        let server = self.rules(&["iifname client drop"])?;
        Ok(Both { client, server })
    }

    /// Lets the connection rest for ten times as long as the router remembers one, then sends a
    /// line.
    fn rest_and_type(&mut self) -> anyhow::Result<Moment> {
        self.telling.listen_for(NAT_LIFETIME * 10)?;
        let client = &mut self.client;
        Moment::of(|| client.type_line("still there?"))
    }

    /// Waits until what `sender` has sent fills all buffers on the path, and nothing moves any
    /// more.
    fn fill(&self, sender: Side) -> anyhow::Result<Moment> {
        let deadline = Instant::now() + STEP_WITHIN;
        let (from, to) = match sender {
            Side::Client => (&self.topology.client, &self.topology.server),
            Side::Server => (&self.topology.server, &self.topology.client),
        };
        let mut last = None;
        let mut moment = Moment { from: SystemTime::now(), to: SystemTime::now() };
        let mut full_at = Instant::now();
        loop {
            let looked_at = SystemTime::now();
            let ([_, unacknowledged], [unread, _]) = (queued(from)?, queued(to)?);
            let now = Some((unacknowledged, unread));
            if now != last || unacknowledged == 0 || unread == 0 {
                // The fault is no older than the last look that saw something else.
                moment = Moment { from: moment.to, to: looked_at };
                full_at = Instant::now();
                last = now;
            } else if full_at.elapsed() >= FULL_FOR {
                return Ok(moment);
            }
            ensure!(Instant::now() < deadline, "the queues never filled");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// When a program had read all that was typed into it.
fn end_of(typing: thread::JoinHandle<SystemTime>) -> anyhow::Result<SystemTime> {
    let deadline = Instant::now() + STEP_WITHIN;
    while !typing.is_finished() {
        ensure!(Instant::now() < deadline, "the client never read its input");
        thread::sleep(Duration::from_millis(5));
    }
    typing.join().map_err(|_| anyhow!("nothing was typed"))
}

fn down(namespace: &Namespace) -> anyhow::Result<Moment> {
    Moment::of(|| namespace.ip("link set dev link down"))
}

/// How many bytes wait in the connection's socket to be read, and to be acknowledged.
fn queued(namespace: &Namespace) -> anyhow::Result<[u64; 2]> {
    let mut ss = namespace.command("ss");
    let sockets = run(ss.args(["--tcp", "--numeric", "--no-header", "state", "established"]))?;
    let mut columns = sockets.split_whitespace().map(str::parse);
    let mut next = || columns.next().and_then(Result::ok).unwrap_or_default();
    Ok([next(), next()])
}
