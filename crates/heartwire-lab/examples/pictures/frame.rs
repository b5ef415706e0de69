//! A picture whose x axis is time.

use core::time::Duration;

use heartwire_core::Side;

use crate::svg::{Anchor, Svg};
use crate::world::Mark;

pub(crate) const WIDTH: f64 = 820.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = 690.0;
/// Ends that began together send heartbeats at nearly the same time: their arrows are side by side.
const ASIDE: f64 = 4.0;

pub(crate) struct Frame {
    pub(crate) svg: Svg,
    until: Duration,
}

impl Frame {
    pub(crate) fn new(title: &str, until: Duration) -> Self {
        let mut svg = Svg::default();
        svg.text(18.0, 27.0, "title", Anchor::Start, title);
        Self { svg, until }
    }

    pub(crate) fn x(&self, at: Duration) -> f64 {
        LEFT + at.as_secs_f64() / self.until.as_secs_f64() * (RIGHT - LEFT)
    }

    /// A line for one end, as long as it lives.
    pub(crate) fn lane(&mut self, y: f64, name: &str, class: &str, ends: Option<Duration>) {
        self.svg.text(LEFT - 14.0, y + 4.0, class, Anchor::End, name);
        let end = self.x(ends.unwrap_or(self.until));
        self.svg.line("line", (LEFT - 8.0, y), (end, y));
    }

    /// What was sent, from lane to lane.
    pub(crate) fn beats(&mut self, marks: &[Mark], client_y: f64, server_y: f64) {
        let both = marks.iter().any(|mark| matches!(mark, Mark::Beat { from: Side::Server, .. }));
        let aside = if both { ASIDE } else { 0.0 };
        for mark in marks {
            let Mark::Beat { from, at, arrives } = *mark else { continue };
            // The cross of a verdict would lie on it.
            if !arrives && marks.iter().any(|mark| mark.is_verdict_of(from, at)) {
                continue;
            }
            let (class, from_y, to_y, aside) = match from {
                Side::Client => ("client", client_y, server_y, -aside),
                Side::Server => ("server", server_y, client_y, aside),
            };
            let x = self.x(at) + aside;
            if arrives {
                self.svg.arrow(class, x, from_y, to_y);
            } else {
                let half = from_y + (to_y - from_y) * 0.42;
                self.svg.line(&format!("{class} thin lost"), (x, from_y), (x, half));
                self.svg.cross(x, half, 3.5);
            }
        }
    }

    /// Something happens at this time, from top to bottom.
    pub(crate) fn fault(&mut self, at: Duration, top: f64, bottom: f64, text: &str) {
        let x = self.x(at);
        self.svg.line("bad dash thin", (x, top), (x, bottom));
        self.svg.text(x + 6.0, top + 9.0, "bad", Anchor::Start, text);
    }

    pub(crate) fn axis(&mut self, y: f64, every: u64) {
        self.svg.line("grid", (LEFT, y), (RIGHT, y));
        let mut at = Duration::ZERO;
        while at <= self.until {
            let x = self.x(at);
            self.svg.line("line", (x, y), (x, y + 5.0));
            let text = format!("{} s", at.as_secs());
            self.svg.text(x, y + 19.0, "quiet", Anchor::Middle, &text);
            at += Duration::from_secs(every);
        }
    }

    /// How long nothing has come to `side`, and its timeout.
    pub(crate) fn silence(
        &mut self,
        marks: &[Mark],
        side: Side,
        timeout: Duration,
        area: (f64, f64),
    ) {
        let (top, bottom) = area;
        let class = match side {
            Side::Client => "client",
            Side::Server => "server",
        };
        let y = |silence: Duration| {
            bottom - silence.as_secs_f64() / timeout.as_secs_f64() * (bottom - top)
        };
        let mut last = Duration::ZERO;
        let mut end = self.until;
        let mut points = vec![(self.x(last), y(Duration::ZERO))];
        for mark in marks {
            match *mark {
                Mark::Read { side: by, last: heard, .. } if by == side => {
                    points.push((self.x(heard), y(heard.saturating_sub(last))));
                    points.push((self.x(heard), y(Duration::ZERO)));
                    last = heard;
                }
                Mark::Verdict { side: by, at, .. } if by == side => end = at,
                Mark::Beat { .. }
                | Mark::Read { .. }
                | Mark::Verdict { .. }
                | Mark::Reset { .. }
                | Mark::Paused { .. } => {}
            }
        }
        points.push((self.x(end), y(end.saturating_sub(last))));
        self.svg.line("bad dash thin", (LEFT, top), (RIGHT, top));
        let text = format!("timeout {} s", timeout.as_secs());
        self.svg.text(RIGHT + 8.0, top + 4.0, "bad", Anchor::Start, &text);
        self.svg.curve(class, &points);
        let x = LEFT - 14.0;
        let middle = f64::midpoint(top, bottom);
        self.svg.text(x, middle - 3.0, class, Anchor::End, "silence,");
        let text = match side {
            Side::Client => "at the client",
            Side::Server => "at the server",
        };
        self.svg.text(x, middle + 13.0, class, Anchor::End, text);
    }

    pub(crate) fn finish(self, height: f64, label: &str) -> String {
        self.svg.finish(WIDTH, height, label)
    }
}
