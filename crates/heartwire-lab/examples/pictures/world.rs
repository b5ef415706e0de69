//! Two ends of a connection, the path between them, and a clock that is made up.

use core::time::Duration;

use anyhow::anyhow;
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::v1::{Hello, Offer, Terms, Welcome};
use heartwire_core::{
    Caps, Connection, Event, Instant, Policy, Settings, Side, Stall, StallWatch, Verdict, Wire,
};

/// How often the world looks whether there is something to do.
const STEP: Duration = Duration::from_millis(10);
/// From one end to the other.
const WAY: Duration = Duration::from_millis(50);
/// What both drivers promise.
const TICK: Duration = Duration::from_millis(100);

/// What comes to pass, and who is how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    pub(crate) wire: Wire,
    pub(crate) client: Policy,
    pub(crate) server: Policy,
    pub(crate) until: Duration,
    /// Nothing passes from this side in this time.
    pub(crate) cut: [Option<Span>; 2],
    /// The server stands still.
    pub(crate) stall: Option<Span>,
    /// How many bytes it takes to wake the server before its deadline.
    pub(crate) receive_mark: usize,
    /// The server gives no verdicts.
    pub(crate) server_is_lenient: bool,
}

pub(crate) type Span = (Duration, Duration);

impl Story {
    pub(crate) fn new(wire: Wire, client: Policy, server: Policy, until: Duration) -> Self {
        Self {
            wire,
            client,
            server,
            until,
            cut: [None; 2],
            stall: None,
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
    /// An end calls the other one dead, and resets the connection.
    Verdict { side: Side, at: Duration, verdict: Verdict },
    /// An end hears of a reset.
    Reset { side: Side, at: Duration },
    /// An end notices that it stood still.
    Stalled { at: Duration },
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
    watch: StallWatch,
    last_stall: Option<Stall>,
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
        let (policy, wire) = match (side, story.wire) {
            (Side::Client, wire) => (story.client, wire),
            (Side::Server, Wire::V1) => (story.server, Wire::V1Only),
            (Side::Server, wire) => (story.server, wire),
        };
        let mut settings = Settings::new(policy).wire(wire).tick(TICK);
        if side == Side::Client {
            // As the client's driver has it: a server of v0 may be silent for as long as it likes.
            settings = settings.caps(Caps::default().first_frame(None));
        }
        let now = Instant::from_nanos(0);
        Self {
            side,
            connection: Connection::new(settings, now),
            watch: StallWatch::new(now, Duration::ZERO),
            last_stall: None,
            incoming: Vec::new(),
            unread: Vec::new(),
            last_byte: Duration::ZERO,
            has_spoken: false,
            is_over: false,
        }
    }

    /// Gives the peer another limit when the last one is over.
    fn excuse(&mut self, now: Instant) {
        let heard = self.connection.last_heard();
        let since = self.last_stall.map_or(heard, |stall| stall.resumed_at.max(heard));
        if self
            .connection
            .policy()
            .limit()
            .is_some_and(|limit| now.saturating_since(since) >= limit)
        {
            self.last_stall = Some(Stall::new(now, Duration::ZERO));
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
    if story.wire == Wire::V1 {
        let hello = Hello::new(Offer::new(&story.client)).encode();
        server.incoming.push((WAY, Some(hello)));
    } else {
        client.connection.beat_now();
    }
    let mut now = Duration::ZERO;
    while now <= story.until {
        turn(story, now, &mut client, &mut server, &mut marks)?;
        if within(story.stall, now) {
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
    let stall = end.watch.handle_wake(instant(now), Duration::ZERO);
    let is_due = end.connection.poll_timeout().is_some_and(|at| at <= instant(now));
    // The first frame never waits.
    let mark = if end.side == Side::Server && end.has_spoken { story.receive_mark } else { 1 };
    if !end.unread.is_empty() && (is_due || end.unread.len() >= mark) {
        read(story, now, end, peer, marks)?;
    }
    if let Some(stall) = stall {
        end.last_stall = Some(stall);
        marks.push(Mark::Stalled { at: now });
    }
    if end.side == Side::Server && story.server_is_lenient {
        end.excuse(instant(now));
    }
    // What is due has been read.
    let mut next = end.connection.poll(instant(now), Outbound::Clear);
    loop {
        next = match next {
            Next::ReadFirst(read) => end.connection.judge(read, Found::All, end.last_stall),
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
            end.connection.welcome(instant(now), contract);
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
