//! The pictures, one after the other.

use core::time::Duration;

use anyhow::Context as _;
use heartwire_core::{Policy, Preset, Protocol, Side, Verdict};

use crate::frame::Frame;
use crate::svg::Anchor;
use crate::world::{Mark, Story, play};

const CLIENT_Y: f64 = 66.0;
const SERVER_Y: f64 = 136.0;
/// What both drivers promise.
const TICK: Duration = Duration::from_millis(100);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Each picture with its name.
pub(crate) fn all() -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("healthy", healthy()?),
        ("cable", cable()?),
        ("one-way", one_way()?),
        ("pause", pause()?),
        ("coalesced", coalesced()?),
        ("bound", bound()?),
    ])
}

fn usual(until: Duration) -> Story {
    let policy = |side| Preset::Default.policy(side);
    Story::new(Protocol::V1, policy(Side::Client), policy(Side::Server), until)
}

fn reference(until: Duration) -> Story {
    let policy = |side| Preset::Tutorial.policy(side);
    Story::new(Protocol::V0, policy(Side::Client), policy(Side::Server), until)
}

fn timeout(policy: Policy) -> anyhow::Result<Duration> {
    policy.timeout().context("it has no timeout")
}

fn verdict(marks: &[Mark], of: Side) -> Option<(Duration, Verdict)> {
    marks.iter().find_map(|mark| {
        let Mark::Verdict { side, at, verdict } = *mark else { return None };
        (side == of).then_some((at, verdict))
    })
}

fn ends(marks: &[Mark], of: Side) -> Option<Duration> {
    marks.iter().find_map(|mark| {
        let (Mark::Verdict { side, at, .. } | Mark::Reset { side, at }) = *mark else {
            return None;
        };
        (side == of).then_some(at)
    })
}

fn healthy() -> anyhow::Result<String> {
    let story = usual(secs(45));
    let marks = play(&story)?;
    let mut frame =
        Frame::new("A healthy connection: a heartbeat both ways at least every 10 s", story.until);
    frame.lane(CLIENT_Y, "client", "client", None);
    frame.lane(SERVER_Y, "server", "server", None);
    frame.beats(&marks, CLIENT_Y, SERVER_Y);
    frame.silence(&marks, Side::Server, timeout(story.server)?, (172.0, 250.0));
    frame.axis(258.0, 10);
    Ok(frame.finish(290.0, "A healthy connection with heartbeats both ways"))
}

fn cable() -> anyhow::Result<String> {
    let mut story = usual(secs(60));
    let fault = secs(24);
    story.cut = [Some((fault, story.until)); 2];
    let marks = play(&story)?;
    let bound = story.server.bound_after_fault(TICK).context("no timeout")?;
    let mut frame = Frame::new("The cable is pulled: silence, timeout, verdict", story.until);
    let (from, to) = (frame.x(fault + bound.earliest), frame.x(fault + bound.latest));
    frame.svg.rect("window", (from, CLIENT_Y - 14.0), (to, 258.0));
    frame.lane(CLIENT_Y, "client", "client", ends(&marks, Side::Client));
    frame.lane(SERVER_Y, "server", "server", ends(&marks, Side::Server));
    frame.beats(&marks, CLIENT_Y, SERVER_Y);
    frame.fault(fault, CLIENT_Y - 26.0, 258.0, "cable pulled");
    frame.silence(&marks, Side::Server, timeout(story.server)?, (172.0, 250.0));
    for (side, y) in [(Side::Client, CLIENT_Y), (Side::Server, SERVER_Y)] {
        let (at, verdict) = verdict(&marks, side).context("no verdict")?;
        let x = frame.x(at);
        frame.svg.cross(x, y, 6.0);
        let text = format!("dead: silent for {:.1} s", verdict.silence.as_secs_f64());
        frame.svg.text(to + 10.0, y + 4.0, "bad", Anchor::Start, &text);
        if side == Side::Server {
            frame.svg.cross(x, 172.0, 6.0);
        }
    }
    frame.axis(258.0, 10);
    let text = format!("the verdict comes in here: {bound} after the cut");
    frame.svg.text(f64::midpoint(from, to), 298.0, "bad", Anchor::Middle, &text);
    Ok(frame.finish(
        314.0,
        "A pulled cable: heartbeats get lost, silence grows to the timeout, a verdict",
    ))
}

/// What each beat of the server that arrives after the cut says.
fn say_unheard(frame: &mut Frame, marks: &[Mark], cut: Duration, y: f64) {
    // The verdict needs the room of a beat that comes with it.
    let until =
        verdict(marks, Side::Client).map_or(Duration::MAX, |(at, _)| at.saturating_sub(secs(1)));
    let mut heard = Duration::ZERO;
    let mut is_first = true;
    for mark in marks {
        if let Mark::Read { side: Side::Server, last, .. } = *mark {
            heard = last;
        }
        let Mark::Beat { from: Side::Server, at, arrives: true } = *mark else { continue };
        if at <= cut || at >= until {
            continue;
        }
        let silence = at.saturating_sub(heard).as_secs_f64();
        let (aside, anchor, text) = if is_first {
            let text = format!("\u{201c}not heard you for {silence:.1} s\u{201d}");
            (20.0, Anchor::End, text)
        } else {
            (4.0, Anchor::Middle, format!("{silence:.1} s"))
        };
        frame.svg.text(frame.x(at) + aside, y - 9.0, "server", anchor, &text);
        is_first = false;
    }
}

fn one_way() -> anyhow::Result<String> {
    let until = secs(78);
    let cut = secs(14);
    let mut story = usual(until);
    story.cut = [Some((cut, until)), None];
    let marks = play(&story)?;
    let mut frame = Frame::new("The way to the server is cut; the way back is not", until);
    frame.svg.text(18.0, 50.0, "quiet", Anchor::Start, "as it is in most cases:");

    let (client_y, server_y) = (92.0, 160.0);
    frame.lane(client_y, "client", "client", ends(&marks, Side::Client));
    frame.lane(server_y, "server", "server", ends(&marks, Side::Server));
    frame.beats(&marks, client_y, server_y);
    frame.svg.line("bad dash thin", (frame.x(cut), client_y), (frame.x(cut), server_y + 26.0));
    frame.svg.text(frame.x(cut) + 6.0, server_y + 26.0, "bad", Anchor::Start, "cut");
    say_unheard(&mut frame, &marks, cut, client_y);
    let (at, given) = verdict(&marks, Side::Server).context("no verdict")?;
    let x = frame.x(at);
    frame.svg.arrow("bad", x + 12.0, server_y, client_y);
    frame.svg.cross(x, server_y, 6.0);
    let text = format!("dead: silent for {:.1} s", given.silence.as_secs_f64());
    frame.svg.text(x + 22.0, server_y + 4.0, "bad", Anchor::Start, &text);
    let text = "hears it from the reset that follows";
    frame.svg.text(x + 22.0, client_y + 4.0, "bad", Anchor::Start, text);

    story.server_is_lenient = true;
    // Later beats would cross the text about the verdict.
    story.until = secs(69);
    let marks = play(&story)?;
    let text = "a server that goes on sending heartbeats and never judges:";
    frame.svg.text(18.0, 222.0, "quiet", Anchor::Start, text);
    let (client_y, server_y) = (264.0, 332.0);
    frame.lane(client_y, "client", "client", ends(&marks, Side::Client));
    frame.lane(server_y, "server", "server", ends(&marks, Side::Server));
    frame.beats(&marks, client_y, server_y);
    frame.svg.line("bad dash thin", (frame.x(cut), client_y), (frame.x(cut), server_y + 26.0));
    frame.svg.text(frame.x(cut) + 6.0, server_y + 26.0, "bad", Anchor::Start, "cut");
    say_unheard(&mut frame, &marks, cut, client_y);
    let (at, given) = verdict(&marks, Side::Client).context("no verdict")?;
    let x = frame.x(at);
    frame.svg.cross(x, client_y, 6.0);
    frame.svg.text(x + 14.0, client_y - 4.0, "bad", Anchor::Start, "dead:");
    let text = format!("{} for {:.1} s", given.cause.name(), given.silence.as_secs_f64());
    frame.svg.text(x + 14.0, client_y + 13.0, "bad", Anchor::Start, &text);
    frame.axis(374.0, 10);
    Ok(frame.finish(404.0, "A path cut in one direction, as both ends see it"))
}

fn pause() -> anyhow::Result<String> {
    let mut story = reference(secs(48));
    let (from, to) = (secs(10), secs(30));
    story.pause = Some((from, to));
    let healthy = play(&story)?;
    // A blackout that ends just after the pause does.
    story.cut = [Some((Duration::from_millis(9_500), secs(31))), None];
    let unlucky = play(&story)?;
    let timeout = timeout(story.server)?;
    let dead = |marks: &[Mark]| marks.iter().any(|mark| matches!(mark, Mark::Verdict { .. }));
    anyhow::ensure!(!dead(&healthy) && !dead(&unlucky), "a client is blamed");
    let resumed = healthy.iter().find_map(|mark| {
        let Mark::Paused { at } = *mark else { return None };
        Some(at)
    });
    let resumed = resumed.context("the pause is not noticed")?;

    let mut frame =
        Frame::new("The server is paused for 20 s, and no client is blamed", story.until);
    let (a_y, server_y, b_y) = (66.0, 150.0, 234.0);
    let (x_from, x_to) = (frame.x(from), frame.x(to));
    frame.svg.rect("still", (x_from, server_y - 15.0), (x_to, server_y + 15.0));
    frame.lane(a_y, "client A", "client", None);
    frame.lane(server_y, "server", "server", Some(from));
    frame.svg.line("line", (x_to, server_y), (frame.x(story.until), server_y));
    frame.lane(b_y, "client B", "client", None);
    frame.beats(&healthy, a_y, server_y - 15.0);
    frame.beats(&unlucky, b_y, server_y + 15.0);
    let middle = f64::midpoint(x_from, x_to);
    frame.svg.text(middle, server_y - 1.0 + 5.0, "quiet", Anchor::Middle, "paused (SIGSTOP)");
    let x = frame.x(resumed);
    frame.svg.line("server thin", (x, server_y - 15.0), (x, server_y + 15.0));
    let text = "these wait in the kernel, and the server reads them before it judges";
    frame.svg.text(middle, a_y - 14.0, "quiet", Anchor::Middle, text);

    // B's chance, and what ends it.
    let y = b_y + 28.0;
    frame.svg.rect("held", (x, y - 7.0), (frame.x(resumed + timeout), y + 7.0));
    let text = "B gets a whole timeout again, from here:";
    frame.svg.text(x - 8.0, y + 4.0, "quiet", Anchor::End, text);
    let text = format!("{} s", timeout.as_secs());
    frame.svg.text(frame.x(resumed + timeout) + 8.0, y + 4.0, "server", Anchor::Start, &text);
    frame.axis(288.0, 10);
    Ok(frame.finish(
        318.0,
        "A paused server: heartbeats wait in the kernel, and no client is called dead",
    ))
}

fn coalesced() -> anyhow::Result<String> {
    let mut story = reference(secs(52));
    story.receive_mark = 41;
    let cut = Duration::from_millis(31_500);
    story.cut = [Some((cut, story.until)), None];
    let marks = play(&story)?;
    let mut frame = Frame::new("Heartbeats stay in the kernel until the deadline", story.until);
    let (client_y, top, bottom, server_y) = (66.0, 104.0, 154.0, 196.0);
    frame.lane(client_y, "client", "client", None);
    frame.svg.text(104.0, 126.0, "quiet", Anchor::End, "bytes in");
    frame.svg.text(104.0, 142.0, "quiet", Anchor::End, "the kernel");
    frame.lane(server_y, "server", "server", ends(&marks, Side::Server));
    frame.beats(&marks, client_y, top);
    frame.fault(cut, client_y - 26.0, bottom, "client cut off");
    lying(&mut frame, &marks, (top, bottom), server_y);
    for middle in [7_500, 22_500, 37_500] {
        let x = frame.x(Duration::from_millis(middle));
        frame.svg.text(x, server_y - 7.0, "quiet", Anchor::Middle, "asleep");
    }
    let (at, given) = verdict(&marks, Side::Server).context("no verdict")?;
    let x = frame.x(at);
    frame.svg.cross(x, server_y, 6.0);
    frame.svg.text(x + 12.0, server_y - 4.0, "bad", Anchor::Start, "dead: silent for");
    let text = format!("{:.1} s", given.silence.as_secs_f64());
    frame.svg.text(x + 12.0, server_y + 12.0, "bad", Anchor::Start, &text);
    frame.axis(252.0, 5);
    Ok(frame
        .finish(282.0, "Heartbeats that wait in the kernel: the server wakes at the deadline only"))
}

/// What lies in the socket, as steps, and what the server takes out of it when it wakes.
fn lying(frame: &mut Frame, marks: &[Mark], area: (f64, f64), server_y: f64) {
    const WAY: Duration = Duration::from_millis(50);
    const FULL: f64 = 40.0;
    let (top, bottom) = area;
    let mut bytes = 0.0;
    let mut since = Duration::ZERO;
    let step = |frame: &mut Frame, bytes: f64, from: Duration, to: Duration| {
        let y = bottom - bytes / FULL * (bottom - top - 6.0);
        frame.svg.rect("held", (frame.x(from), y), (frame.x(to), bottom));
    };
    let mut reads = 0;
    for mark in marks {
        match *mark {
            Mark::Beat { at, arrives: true, .. } => {
                step(frame, bytes, since, at + WAY);
                (bytes, since) = (bytes + 8.0, at + WAY);
            }
            Mark::Read { at, bytes: taken, .. } => {
                step(frame, bytes, since, at);
                (bytes, since) = (0.0, at);
                frame.svg.arrow("server", frame.x(at), bottom, server_y);
                let text = match reads {
                    0 => "first frame".to_owned(),
                    _ => format!("wakes, reads {taken} B"),
                };
                frame.svg.text(frame.x(at), server_y + 22.0, "server", Anchor::Middle, &text);
                reads += 1;
            }
            Mark::Beat { .. } | Mark::Verdict { .. } | Mark::Reset { .. } | Mark::Paused { .. } => {
            }
        }
    }
}

fn bound() -> anyhow::Result<String> {
    // Just after the last byte, and just before the next heartbeat: this far from them in the
    // picture.
    const JUST: f64 = 7.0;
    let policy = Preset::Default.policy(Side::Server);
    let of_byte = policy.bound(TICK).context("no timeout")?;
    let of_fault = policy.bound_after_fault(TICK).context("no timeout")?;
    let beat = policy.peer_interval().context("no beat")?;
    let last = secs(3);
    let mut frame = Frame::new("How long until a dead peer is detected", secs(37));
    let (first_y, beat_y, lane_y, second_y) = (72.0, 98.0, 134.0, 198.0);
    let (x_last, x_next) = (frame.x(last), frame.x(last + beat));
    let x_verdict = frame.x(last + of_byte.latest);
    let (x_first, x_second) = (x_last + JUST, x_next - JUST);

    frame.lane(lane_y, "this end", "server", Some(last + of_byte.latest));
    frame.svg.rect("window", (x_first, lane_y - 9.0), (x_second, lane_y + 9.0));
    let middle = f64::midpoint(x_first, x_second);
    frame.svg.text(middle, lane_y + 28.0, "bad", Anchor::Middle, "the fault is in here");
    frame.svg.arrow("client", x_last, beat_y, lane_y);
    frame.svg.text(x_last + 16.0, beat_y + 13.0, "client", Anchor::Start, "last heartbeat");
    frame.svg.line("client thin lost", (x_next, beat_y), (x_next, beat_y + 16.0));
    frame.svg.cross(x_next, beat_y + 16.0, 3.5);
    frame.svg.text(x_next + 12.0, beat_y + 13.0, "client", Anchor::Start, "the next one is lost");
    frame.svg.cross(x_verdict, lane_y, 6.0);
    let text = format!("verdict, {of_byte}");
    frame.svg.text(x_verdict + 13.0, lane_y - 3.0, "bad", Anchor::Start, &text);
    let text = "after the last byte";
    frame.svg.text(x_verdict + 13.0, lane_y + 14.0, "bad", Anchor::Start, text);

    let mut bracket = |x: f64, y: f64, text: &str| {
        frame.svg.line("bad dash thin", (x, y), (x, lane_y));
        let foot = if y < lane_y { y + 6.0 } else { y - 6.0 };
        frame.svg.line("line", (x, y), (x_verdict, y));
        frame.svg.line("line", (x, y), (x, foot));
        frame.svg.line("line", (x_verdict, y), (x_verdict, foot));
        frame.svg.text(f64::midpoint(x, x_verdict), y - 9.0, "", Anchor::Middle, text);
    };
    let latest = of_fault.latest.as_secs_f64();
    let text = format!("fault just after a heartbeat: detected after {latest:.1} s");
    bracket(x_first, first_y, &text);
    let earliest = of_fault.earliest.as_secs_f64();
    let text = format!("fault just before the next one: after {earliest:.1} s");
    bracket(x_second, second_y, &text);
    frame.axis(220.0, 5);
    let label = format!("A time line: a dead peer is detected {of_fault} after the fault");
    Ok(frame.finish(250.0, &label))
}
