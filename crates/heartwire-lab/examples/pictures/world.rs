//! Two ends of a connection, the path between them, and a clock that is made up.

use core::time::Duration;

use anyhow::anyhow;
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::v1::{Hello, Offer, Terms, Welcome};
use heartwire_core::{
    Connection, Event, FrameLimits, Instant, Pause, PauseWatch, Policy, Protocol, Settings, Side,
    Verdict,
};

/// How often the world looks whether there is something to do.
const STEP: Duration = Duration::from_millis(10);
/// From one end to the other.
const WAY: Duration = Duration::from_millis(50);
/// What both drivers promise.
const TICK: Duration = Duration::from_millis(100);

/// What happens, and the settings of both ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    pub(crate) protocol: Protocol,
    pub(crate) client: Policy,
    pub(crate) server: Policy,
    pub(crate) until: Duration,
    /// Nothing passes from this side in this time.
    pub(crate) cut: [Option<Span>; 2],
    /// The server is paused.
    pub(crate) pause: Option<Span>,
    /// How many bytes it takes to wake the server before its deadline.
    pub(crate) receive_mark: usize,
    /// The server gives no verdicts.
    pub(crate) server_is_lenient: bool,
}

pub(crate) type Span = (Duration, Duration);

impl Story {
    pub(crate) fn new(protocol: Protocol, client: Policy, server: Policy, until: Duration) -> Self {
        Self {
            protocol,
            client,
            server,
            until,
            cut: [None; 2],
            pause: None,
            receive_mark: 1,
            server_is_lenient: false,
        }
    }

    fn passes(&self, from: Side, at: Duration) -> bool {
        let [of_client, of_server] = self.cut;
        let cut = match from {
            Side::Client => of_client,
            Side::Server => of_server,
        };
        !within(cut, at)
    }
}

pub(crate) fn within(span: Option<Span>, at: Duration) -> bool {
    span.is_some_and(|(from, until)| from <= at && at < until)
}

/// Something to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// A beat, or what comes before the first one, is sent; `arrives` is false if it gets lost.
    Beat { from: Side, at: Duration, arrives: bool },
    /// An end reads bytes that the last of which arrived at `last`.
    Read { side: Side, at: Duration, last: Duration, bytes: usize },
    /// An end declares the other one dead, and resets the connection.
    Verdict { side: Side, at: Duration, verdict: Verdict },
    /// An end hears of a reset.
    Reset { side: Side, at: Duration },
    /// An end notices that it was paused.
    Paused { at: Duration },
}

impl Mark {
    /// Whether `of` gives its verdict then, or within a second.
    pub(crate) fn is_verdict_of(&self, of: Side, then: Duration) -> bool {
        let Self::Verdict { side, at, .. } = *self else { return false };
        side == of && at.abs_diff(then) < Duration::from_secs(1)
    }
}

struct End {
    side: Side,
    connection: Connection,
    watch: PauseWatch,
    last_pause: Option<Pause>,
    /// On its way to this end, with when it arrives; `None` is a reset.
    incoming: Vec<(Duration, Option<Vec<u8>>)>,
    /// Arrived and not read; the last byte came at that time.
    unread: Vec<u8>,
    last_byte: Duration,
    has_spoken: bool,
    is_over: bool,
}

impl End {
    fn new(side: Side, story: &Story) -> Self {
        let (policy, protocol) = match (side, story.protocol) {
            (Side::Client, protocol) => (story.client, protocol),
            (Side::Server, Protocol::V1) => (story.server, Protocol::V1Only),
            (Side::Server, protocol) => (story.server, protocol),
        };
        let mut settings = Settings::new(policy).protocol(protocol).tick(TICK);
        if side == Side::Client {
            // As the client's driver has it: a server of v0 may be silent for as long as it likes.
            settings = settings.limits(FrameLimits::default().handshake_timeout(None));
        }
        let now = Instant::from_nanos(0);
        Self {
            side,
            connection: Connection::new(settings, now),
            watch: PauseWatch::new(now, Duration::ZERO),
            last_pause: None,
            incoming: Vec::new(),
            unread: Vec::new(),
            last_byte: Duration::ZERO,
            has_spoken: false,
            is_over: false,
        }
    }

    /// Gives the peer another timeout when the last one is over.
    fn excuse(&mut self, now: Instant) {
        let heard = self.connection.last_heard();
        let since = self.last_pause.map_or(heard, |pause| pause.resumed_at.max(heard));
        if self
            .connection
            .policy()
            .timeout()
            .is_some_and(|timeout| now.saturating_since(since) >= timeout)
        {
            self.last_pause = Some(Pause::new(now, Duration::ZERO));
        }
    }
}

fn instant(at: Duration) -> Instant {
    Instant::from_nanos(0).saturating_add(at)
}

/// Plays a story, and says what was to be seen.
pub(crate) fn play(story: &Story) -> anyhow::Result<Vec<Mark>> {
    let mut marks = Vec::new();
    let mut client = End::new(Side::Client, story);
    let mut server = End::new(Side::Server, story);
    if story.protocol == Protocol::V1 {
        let hello = Hello::new(Offer::new(&story.client)).encode();
        server.incoming.push((WAY, Some(hello)));
    } else {
        client.connection.beat_now();
    }
    let mut now = Duration::ZERO;
    while now <= story.until {
        turn(story, now, &mut client, &mut server, &mut marks)?;
        if within(story.pause, now) {
            receive(now, &mut server, &mut marks);
        } else {
            turn(story, now, &mut server, &mut client, &mut marks)?;
        }
        now += STEP;
    }
    Ok(marks)
}

/// The kernel takes what arrives, whatever the process does.
fn receive(now: Duration, end: &mut End, marks: &mut Vec<Mark>) {
    while let Some(index) = end.incoming.iter().position(|(at, _)| *at <= now) {
        match end.incoming.remove(index) {
            (at, Some(bytes)) => {
                end.unread.extend(bytes);
                end.last_byte = at;
            }
            (at, None) if !end.is_over => {
                end.is_over = true;
                marks.push(Mark::Reset { side: end.side, at });
            }
            (_, None) => {}
        }
    }
}

fn turn(
    story: &Story,
    now: Duration,
    end: &mut End,
    peer: &mut End,
    marks: &mut Vec<Mark>,
) -> anyhow::Result<()> {
    receive(now, end, marks);
    if end.is_over {
        return Ok(());
    }
    let pause = end.watch.handle_wake(instant(now), Duration::ZERO);
    let is_due = end.connection.poll_timeout().is_some_and(|at| at <= instant(now));
    // The first frame never waits.
    let mark = if end.side == Side::Server && end.has_spoken { story.receive_mark } else { 1 };
    if !end.unread.is_empty() && (is_due || end.unread.len() >= mark) {
        read(story, now, end, peer, marks)?;
    }
    if let Some(pause) = pause {
        end.last_pause = Some(pause);
        marks.push(Mark::Paused { at: now });
    }
    if end.side == Side::Server && story.server_is_lenient {
        end.excuse(instant(now));
    }
    // What is due has been read.
    let mut next = end.connection.poll(instant(now), Outbound::Clear);
    loop {
        next = match next {
            Next::ReadFirst(read) => end.connection.judge(read, Found::All, end.last_pause),
            Next::Write(transmit) => {
                send(story, now, end.side, transmit.as_ref().to_vec(), peer, marks);
                end.connection.poll(instant(now), Outbound::Clear)
            }
            Next::SleepUntil(_) => break,
            Next::Over(Over::Dead(verdict)) => {
                marks.push(Mark::Verdict { side: end.side, at: now, verdict });
                end.is_over = true;
                if story.passes(end.side, now) {
                    peer.incoming.push((now + WAY, None));
                }
                return Ok(());
            }
            Next::Over(Over::Broken(violation)) => return Err(violation.into()),
        };
    }
    end.watch.handle_sleep(Some(instant(now + STEP)));
    Ok(())
}

fn read(
    story: &Story,
    now: Duration,
    end: &mut End,
    peer: &mut End,
    marks: &mut Vec<Mark>,
) -> anyhow::Result<()> {
    let bytes = core::mem::take(&mut end.unread);
    marks.push(Mark::Read { side: end.side, at: now, last: end.last_byte, bytes: bytes.len() });
    // Who lets beats lie knows from the kernel when the last one came; others go by when they read.
    let heard = if story.receive_mark > 1 { end.last_byte } else { now };
    end.connection.handle_heard(instant(heard));
    let mut rest = bytes.as_slice();
    while let Some(event) = end.connection.handle_received(instant(now), &mut rest)? {
        end.has_spoken = true;
        if let Event::Hello(hello) = event {
            let terms = Terms::new(Offer::new(&story.server));
            let contract = terms.agree(&hello.offer).map_err(|error| anyhow!("{error}"))?;
            end.connection.welcome(instant(now), 1, contract);
            peer.incoming.push((now + WAY, Some(Welcome::new(1, 0, contract).encode())));
        }
    }
    Ok(())
}

fn send(
    story: &Story,
    at: Duration,
    from: Side,
    bytes: Vec<u8>,
    peer: &mut End,
    marks: &mut Vec<Mark>,
) {
    let arrives = story.passes(from, at);
    marks.push(Mark::Beat { from, at, arrives });
    if arrives {
        peer.incoming.push((at + WAY, Some(bytes)));
    }
}
