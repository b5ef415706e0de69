//! The scenario of a run, from its seed.

use core::time::Duration;

use heartwire::TICK;
use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::{Policy, PolicyBuilder, Preset, Protocol, Side};

use super::broken::Broken;
use super::draw::{Draw, MS, percent};
use super::link::{Both, Nat, Path};
use super::net::Lateness;
use super::queue::SERVER;
use super::terms::Terms;
use super::time::{Clockwork, WorldTime};
use super::trouble::{Planned, Trouble, troubles};

/// A server rounds its deadlines to this; the rest of the tick is for lateness.
const WHEEL_TICK: Duration = Duration::from_millis(4);

/// Everything that is decided before a run begins.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) terms: Both<Terms>,
    /// By host.
    pub(super) clockworks: Vec<Clockwork>,
    pub(super) path: Path,
    pub(super) lateness: Lateness,
    pub(super) jiffy: Duration,
    pub(super) backoff: BackoffPolicy,
    /// Mean time between what an application sends, and the longest body.
    pub(super) writes: Both<Option<Duration>>,
    pub(super) max_frame: usize,
    pub(super) troubles: Vec<Planned>,
    /// Of 100 links, so many are cut after some bytes.
    pub(super) cut_of_100: u32,
    pub(super) length: Duration,
}

/// Beats, timeouts and echoes of both ends.
#[derive(Clone, Copy, Debug)]
struct Policies {
    policy: Both<Policy>,
    protocol: Both<Protocol>,
}

impl Scenario {
    /// The scenario of a seed; `broken` is the driver of one side, if it is to break a rule.
    pub(super) fn draw(rng: &mut fastrand::Rng, broken: Option<(Side, Broken)>) -> Self {
        let grain = if rng.bool() { MS } else { Duration::from_nanos(1) };
        let draw = &mut Draw { rng, grain };
        let Policies { policy, protocol } = policies(draw);
        let times = [
            policy.client.timeout(),
            policy.server.timeout(),
            policy.client.interval(),
            policy.server.interval(),
        ];
        let unit = times.into_iter().flatten().max().unwrap_or(MS * 1_000);
        let tick = TICK;
        let path = path(draw, unit);
        let lateness = lateness(draw, tick.saturating_sub(WHEEL_TICK));
        let may_write = draw.chance(60);
        let writes = Both {
            client: (may_write && draw.chance(70)).then(|| draw.time(unit / 32, unit * 2)),
            server: (may_write && draw.chance(70)).then(|| draw.time(unit / 32, unit * 2)),
        };
        let clients = if draw.chance(75) { 1 } else { draw.rng.usize(2..=3) };
        let length = unit * draw.rng.u32(4..=12);
        let mark = mark(draw, &policy.server, protocol.client);
        let slack = (path.round_trip() + tick + lateness.max_wake) * 2
            + if lateness.held_up > 0 { lateness.max_held_up * 2 } else { Duration::ZERO };
        let max_turns = lateness.max_wake * 2
            + if lateness.held_up > 0 { lateness.max_held_up } else { Duration::ZERO };
        let data_ahead = (path.round_trip() + max_turns) * path.round_trips_for_a_full_queue();
        let lenient =
            draw.chance(20).then(|| draw.one(&[Side::Client, Side::Server], Side::Client));
        let has_name = draw.chance(60);
        let mut terms = |side: Side| {
            let least = policy.of(side).timeout().unwrap_or(unit);
            Terms {
                policy: *policy.of(side),
                protocol: *protocol.of(side),
                tick,
                handshake_timeout: handshake_timeout(draw, side, &policy, protocol.client),
                frame: Some(if draw.chance(70) { least.max(MS * 30_000) } else { least }),
                mark,
                slack,
                is_fast: draw.chance(20) && lenient != Some(side),
                is_lenient: lenient == Some(side)
                    && protocol.client == Protocol::V1
                    && policy.of(side).timeout().is_some(),
                data_ahead: if writes.of(side).is_some() { data_ahead } else { Duration::ZERO },
                has_name,
                keeps_messages: false,
                max_frame: None,
                answers: false,
                resume: None,
                suspects: false,
                ends: 0,
                max_age: None,
                has_token: false,
                round_trip_off: None,
                tail_of_peer: 0,
                broken: broken.and_then(|(broken, what)| (broken == side).then_some(what)),
            }
        };
        let terms = Both { client: terms(Side::Client), server: terms(Side::Server) };
        let clockworks = (0..=clients)
            .map(|host| match (draw.chance(80), host == SERVER) {
                (true, true) => Clockwork::AllCount,
                (true, false) => Clockwork::ClockCounts,
                (false, _) => Clockwork::NothingCounts,
            })
            .collect();
        Self {
            terms,
            clockworks,
            path,
            lateness,
            jiffy: draw.one(&[MS, MS * 4, MS * 10, Duration::from_nanos(3_333_333)], MS * 10),
            backoff: backoff(draw, unit),
            writes,
            max_frame: draw.one(&[0, 8, 40, 300, 4_000], 8),
            troubles: troubles(draw, clients, unit, length),
            cut_of_100: 0,
            length,
        }
    }
}

impl Scenario {
    /// Rare features. They have their own random source, so that other lives do not change.
    pub(super) fn draw_more(&mut self, rng: &mut fastrand::Rng) {
        let draw = &mut Draw { rng, grain: Duration::from_nanos(1) };
        if draw.chance(6) {
            self.interrupt(draw);
        }
        self.terms.client.keeps_messages = draw.chance(20);
        if self.terms.client.protocol == Protocol::V1 {
            for terms in [&mut self.terms.client, &mut self.terms.server] {
                terms.tail_of_peer = draw.one(&[0, 0, 0, 1, 16, 96], 0);
            }
            self.shorten_frames(draw);
            if draw.chance(15) {
                self.flap(draw);
            }
            let is_lenient = self.terms.client.is_lenient || self.terms.server.is_lenient;
            if !is_lenient && draw.chance(60) {
                self.resume(draw);
            }
        }
    }

    /// An end accepts only short messages, and a server's application answers with longer ones.
    fn shorten_frames(&mut self, draw: &mut Draw<'_>) {
        for terms in [&mut self.terms.client, &mut self.terms.server] {
            let longest = draw.one(&[0, 1, 30, 250, 3_000], 0);
            terms.max_frame = draw.chance(25).then_some(longest);
        }
        self.terms.server.answers = draw.chance(25) && self.writes.client.is_some();
        if self.terms.server.answers {
            // What its application sends otherwise may come before or after.
            self.writes.server = None;
        }
    }

    /// Sessions outlive their links, if both ends support it, and these are cut often.
    fn resume(&mut self, draw: &mut Draw<'_>) {
        let unit = self.length / 8;
        for terms in [&mut self.terms.client, &mut self.terms.server] {
            let window = draw.one(&[16, 17, 40, 100, 700, 5_000, 65_536, 262_144], 16);
            let grace = MS * u32::try_from(draw.time(MS * 10, unit * 4).as_millis()).unwrap_or(1);
            terms.resume = draw.chance(95).then_some((window, grace));
        }
        self.cut_of_100 = draw.one(&[0, 20, 50, 90], 0);
        if draw.chance(70) {
            // Much is on its way when a link is cut.
            self.writes.client = draw.chance(80).then(|| draw.time(unit / 2_000, unit / 16));
            if !self.terms.server.answers {
                self.writes.server = draw.chance(80).then(|| draw.time(unit / 2_000, unit / 16));
            }
        }
        let client = draw.rng.usize(1..self.clockworks.len().max(2));
        for _ in 0..draw.rng.u32(0..=4) {
            let at = WorldTime::START.after(draw.part(self.length, 100));
            let every = draw.time(MS, unit);
            let lasts = every * draw.rng.u32(1..=6);
            let trouble = draw.one(
                &[
                    Trouble::Reset { client },
                    Trouble::Flap { client, every },
                    Trouble::SlowApplication { host: client },
                    Trouble::SlowApplication { host: SERVER },
                ],
                Trouble::Reset { client },
            );
            self.troubles.push(Planned { at, lasts, when_quiet: false, trouble });
        }
    }

    /// Features of sessions that outlive their links, from another random source again.
    pub(super) fn draw_for_sessions(&mut self, rng: &mut fastrand::Rng) {
        let draw = &mut Draw { rng, grain: Duration::from_nanos(1) };
        let Both { client, server } = &mut self.terms;
        let outlive = client.resume.is_some() && server.resume.is_some();
        client.suspects = draw.chance(40) && outlive;
        for terms in [client, server] {
            // An application that only answers sends within its handler.
            let ends = draw.chance(25) && outlive && !terms.answers;
            terms.ends = if ends { draw.one(&[1, 8, 64], 8) } else { 0 };
        }
    }

    /// Sessions that end for cause, from another random source again.
    pub(super) fn draw_for_cause(&mut self, rng: &mut fastrand::Rng) {
        let draw = &mut Draw { rng, grain: Duration::from_nanos(1) };
        if draw.chance(10) {
            let least = MS * 2_000;
            self.terms.server.max_age = Some(draw.time(least, self.length.max(least)));
        }
        let is_v1 = self.terms.client.protocol == Protocol::V1
            && self.terms.server.protocol == Protocol::V1Only;
        if is_v1 && draw.chance(25) {
            (self.terms.client.has_token, self.terms.server.has_token) = (true, true);
            for _ in 0..draw.rng.u32(1..=3) {
                let at = WorldTime::START.after(draw.part(self.length, 100));
                let (lasts, trouble) = (Duration::ZERO, Trouble::Revoke);
                self.troubles.push(Planned { at, lasts, when_quiet: false, trouble });
            }
        }
    }

    /// The path of a client with a name loses its connections, again and again, and only the client
    /// is told.
    fn flap(&mut self, draw: &mut Draw<'_>) {
        self.terms.client.has_name = true;
        self.terms.server.has_name = true;
        let client = draw.rng.usize(1..self.clockworks.len().max(2));
        let times = draw.rng.u32(2..=16);
        let every = draw.time(MS * 50, MS * 8_000).min(self.length / times);
        let at = WorldTime::START.after(draw.part(self.length, 50));
        let trouble = Trouble::Flap { client, every };
        let lasts = every * times;
        self.troubles.push(Planned { at, lasts, when_quiet: false, trouble });
    }

    /// Processes are held up between two steps of one turn.
    fn interrupt(&mut self, draw: &mut Draw<'_>) {
        let most = draw.time(MS * 2, MS * 2_000);
        self.lateness.max_interrupted = most;
        self.lateness.interrupted = percent(draw.one(&[1, 3, 10], 1)) / 2;
        let ahead = most * 2 * self.path.round_trips_for_a_full_queue();
        for terms in [&mut self.terms.client, &mut self.terms.server] {
            terms.slack += most * 4;
            if !terms.data_ahead.is_zero() {
                terms.data_ahead += ahead;
            }
        }
    }
}

/// Presets, and sensible settings.
fn policies(draw: &mut Draw<'_>) -> Policies {
    let timeout = draw.time(MS * 60, MS * 60_000).max(MS * 20);
    let interval = timeout / draw.rng.u32(2..=10);
    let on = |builder: PolicyBuilder| builder.build().unwrap_or_default();
    let off = Policy::builder();
    let both = |client: PolicyBuilder, server: PolicyBuilder| Both {
        client: on(client),
        server: on(server),
    };
    let preset = |preset: Preset| Both {
        client: preset.policy(Side::Client),
        server: preset.policy(Side::Server),
    };
    let alike = off.interval(interval).timeout(timeout);
    let policy = match draw.rng.u32(0..20) {
        0 => preset(Preset::Default),
        1 => preset(Preset::Tutorial),
        2 => preset(Preset::Fast),
        3..=6 => both(alike, alike),
        7 | 8 => both(off.interval(interval), off.timeout(timeout).peer_interval(interval)),
        9..=11 => both(off.echo(true).timeout(timeout), alike),
        12..=14 => both(alike, off.echo(true).timeout(timeout)),
        15 => both(off.timeout(timeout), off.timeout(timeout * 2)),
        _ => any_two(draw, timeout),
    };
    let may_agree = !policy.client.echo() && !policy.server.echo();
    let protocol = match draw.rng.u32(0..10) {
        0..=3 if may_agree => Both {
            client: Protocol::V1,
            server: if draw.chance(50) { Protocol::Any } else { Protocol::V1Only },
        },
        4 | 5 => Both { client: Protocol::V0, server: Protocol::Any },
        _ => Both { client: Protocol::V0, server: Protocol::V0 },
    };
    Policies { policy, protocol }
}

/// Any valid policies, whether or not they fit each other.
fn any_two(draw: &mut Draw<'_>, around: Duration) -> Both<Policy> {
    Both { client: any(draw, around), server: any(draw, around) }
}

fn any(draw: &mut Draw<'_>, around: Duration) -> Policy {
    let mut policy = Policy::builder();
    let mut interval = MS;
    match draw.rng.u32(0..4) {
        0 => {}
        1 => policy = policy.echo(true),
        _ => {
            interval = draw.time(around / 8, around * 2).max(MS * 2);
            policy = policy.interval(interval);
        }
    }
    if draw.chance(75) {
        policy = policy.timeout(draw.time(around / 2, around * 2).max(interval * 2).max(MS * 20));
    }
    policy.build().unwrap_or_default()
}

/// How many bytes wake the server: a few beats fewer may lie in its kernel, where a deadline will
/// look for them.
fn mark(draw: &mut Draw<'_>, policy: &Policy, protocol: Protocol) -> u32 {
    if policy.timeout().is_none() || policy.echo() {
        return 1;
    }
    if protocol == Protocol::V1 {
        draw.one(&[1, 41, 41, 121], 1)
    } else if protocol == Protocol::V0 {
        draw.one(&[1, 9, 9, 41], 1)
    } else {
        1
    }
}

/// As the library sets it, or without.
fn handshake_timeout(
    draw: &mut Draw<'_>,
    side: Side,
    policy: &Both<Policy>,
    protocol: Protocol,
) -> Option<Duration> {
    let is_limited = match (side, protocol) {
        (_, Protocol::V1) => true,
        (Side::Server, Protocol::V0) => draw.chance(70),
        _ => false,
    };
    let interval = policy.client.interval().unwrap_or_default();
    is_limited.then(|| (MS * 10_000).max(interval * 2))
}

/// A connection is given up at the first retry after so long without an answer: what 15 retries
/// come to on a path without delay, which Linux takes as the measure on any.
pub(super) const GIVES_UP_AFTER: Duration = Duration::from_millis(924_600);

/// Bytes that a system takes from its process before the other end has acknowledged them, and few.
pub(super) const SEND_BUFFER: u64 = 16 * 1024;
const SEND_BUFFER_SMALL: u64 = 256;

fn path(draw: &mut Draw<'_>, unit: Duration) -> Path {
    let delay = match draw.rng.u32(0..4) {
        0 => Duration::ZERO,
        1 => draw.time(MS / 20, MS),
        2 => draw.time(MS, MS * 300).min(unit / 4),
        _ => draw.part(unit, 30).min(MS * 2_000),
    };
    let jitter = if draw.chance(50) { draw.part(delay.max(MS), 100) } else { Duration::ZERO };
    let loss = if draw.chance(40) { draw.one(&[1, 5, 20], 1) } else { 0 };
    let nat = draw.chance(20).then(|| Nat {
        expiry: draw.time(unit / 8, unit * 2),
        is_loose: draw.chance(50),
        resets: draw.chance(50),
    });
    Path {
        delay,
        jitter,
        loss: percent(loss),
        cut: Both::default(),
        swallowed: Both::default(),
        max_segment: draw.one(&[1_400, 1_400, 536], 1_400),
        // 15 retries, as Linux has them by default, or 5: `tcp_retries2`.
        gives_up_after: if draw.chance(80) { GIVES_UP_AFTER } else { MS * 12_600 },
        send_buffer: if draw.chance(80) { SEND_BUFFER } else { SEND_BUFFER_SMALL },
        pace: Duration::ZERO,
        busy_until: Both::default(),
        is_in_order: draw.chance(50),
        last_arrival: Both::default(),
        nat,
        troubles: 0,
    }
}

fn lateness(draw: &mut Draw<'_>, max_timer: Duration) -> Lateness {
    let is_punctual = draw.chance(30);
    Lateness {
        max_timer: if is_punctual { Duration::ZERO } else { max_timer },
        max_wake: if is_punctual { Duration::ZERO } else { draw.time(MS / 100, max_timer) },
        held_up: if draw.chance(30) { percent(3) } else { 0 },
        max_held_up: draw.time(MS, MS * 2_000),
        interrupted: 0,
        max_interrupted: Duration::ZERO,
    }
}

fn backoff(draw: &mut Draw<'_>, unit: Duration) -> BackoffPolicy {
    match draw.rng.u32(0..4) {
        0 => BackoffPolicy::default(),
        1 => BackoffPolicy::fixed(MS * 100),
        _ if unit / 64 < BackoffPolicy::MIN_WAIT => BackoffPolicy::default(),
        _ => BackoffPolicy::default().first(unit / 64).cap(unit).stable(unit),
    }
}
