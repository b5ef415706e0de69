//! The result of `cuts`.

use core::fmt::Write as _;
use core::ops::Add;
use core::time::Duration;

use heartwire_core::Side;
use heartwire_plan::Plan;
use serde_json::{Value, json};

use super::args::{Args, Format};
use super::kind::Kind;
use crate::net::program::Told;
use crate::output::print;
use crate::process::Usage;

/// A cut that all sessions survived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) kind: Kind,
    /// How long after it the last session was back; of an outage, how long after its end.
    pub(super) back_after: Duration,
    /// Attempts to connect that failed meanwhile.
    pub(super) failed: u64,
    /// Processor time of both ends meanwhile.
    pub(super) usage: Usage,
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) args: Args,
    pub(super) plan: Plan,
    pub(super) cuts: Vec<Cut>,
    /// The last words of both ends.
    pub(super) client: Told,
    pub(super) server: Told,
    /// What did not happen in time.
    pub(super) stuck: Option<String>,
    pub(super) took: Duration,
}

/// The times of one kind of cut.
struct Times {
    kind: Kind,
    /// By the plan.
    bound: Option<Duration>,
    count: usize,
    /// How many of them came after the bound.
    late: usize,
    min: Duration,
    median: Duration,
    max: Duration,
    /// Of all cuts together.
    failed: u64,
    usage: Usage,
}

impl Report {
    /// What is wrong; nothing if every session survived every cut, and all data arrived.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.stuck.iter().cloned().collect();
        let cuts = usize::try_from(self.args.cuts).unwrap_or(usize::MAX);
        if self.cuts.len() < cuts {
            faults.push(format!("{} of {cuts} cuts were survived", self.cuts.len()));
        }
        for (end, name) in [(&self.client, "client"), (&self.server, "server")] {
            for (count, what) in [
                ("offline", "sessions ended"),
                ("undelivered", "frames were reported lost"),
                ("missing", "frames are missing"),
                ("repeated", "frames came again"),
                ("damaged", "frames are damaged"),
            ] {
                let count = end.count(count);
                if count > 0 {
                    faults.push(format!("{name}: {count} {what}"));
                }
            }
            if end.count("got_bytes") < self.args.bytes / 1024 * 1023 {
                faults.push(format!("{name}: it got {} bytes only", end.count("got_bytes")));
            }
        }
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            for (sent, got) in [("sent_frames", "got_frames"), ("sent_bytes", "got_bytes")] {
                let (sent, got) = (from.count(sent), to.count(got));
                if sent != got {
                    faults.push(format!("{}: sent {sent}, arrived {got}", name(from.side)));
                }
            }
            if from.text("sent_sha256") != to.text("got_sha256") {
                faults.push(format!("{}: other bytes arrived than were sent", name(from.side)));
            }
        }
        faults
    }

    pub(super) fn print(&self, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Text => print(self.text().trim_end()),
            Format::Json => print(self.object()),
        }
    }

    fn times(&self) -> Vec<Times> {
        let kinds = self.args.kinds().into_iter();
        let times = kinds.filter_map(|kind| {
            let of_kind = self.cuts.iter().filter(|cut| cut.kind == kind);
            let mut times: Vec<Duration> = of_kind.clone().map(|cut| cut.back_after).collect();
            times.sort();
            let bound = kind.bound(&self.plan, self.args.sessions == 1);
            let is_late = |time: &&Duration| bound.is_some_and(|bound| **time > bound);
            Some(Times {
                kind,
                bound,
                count: times.len(),
                late: times.iter().filter(is_late).count(),
                min: *times.first()?,
                median: *times.get(times.len() / 2)?,
                max: *times.last()?,
                failed: of_kind.clone().map(|cut| cut.failed).sum(),
                usage: of_kind.map(|cut| cut.usage).fold(Usage::default(), Add::add),
            })
        });
        times.collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let (all, survived) = (self.args.cuts, self.cuts.len());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{survived} of {all} cuts survived by {} session(s) in {:.1} s, seed {}\n",
            self.args.sessions,
            self.took.as_secs_f64(),
            self.seed,
        );
        let _ = writeln!(
            text,
            "back after, s      cuts    min  median     max   bound    late  failed  CPU, s  waited"
        );
        for Times { kind, bound, count, late, min, median, max, failed, usage } in self.times() {
            let [cpu, waited] = [usage.cpu_ns, usage.waited_ns].map(Duration::from_nanos);
            let [min, median, max, cpu, waited] =
                [min, median, max, cpu, waited].map(|time| time.as_secs_f64());
            let bound = bound.map_or_else(
                || "     -".to_owned(),
                |bound| format!("{:6.3}", bound.as_secs_f64()),
            );
            let name = kind.name();
            let _ = writeln!(
                text,
                "{name:15} {count:7} {min:6.3}  {median:6.3}  {max:6.3}  {bound} {late:7} \
                 {failed:7} {cpu:7.1} {waited:7.1}",
            );
        }
        let _ = writeln!(text);
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            let _ = writeln!(
                text,
                "from the {}: sent {} frames, {} B, sha256 {}\n                 got  {} frames, \
                 {} B, sha256 {}",
                name(from.side),
                from.count("sent_frames"),
                from.count("sent_bytes"),
                from.text("sent_sha256"),
                to.count("got_frames"),
                to.count("got_bytes"),
                to.text("got_sha256"),
            );
        }
        for end in [&self.client, &self.server] {
            let [away, back] = ["away", "back"].map(|count| end.count(count));
            let _ = writeln!(text, "{}: {away} times away, {back} times back", name(end.side));
        }
        for fault in self.faults() {
            let _ = writeln!(text, "FAULT: {fault}");
        }
        text
    }

    fn object(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let times = self.times().into_iter().map(|times| {
            let Times { kind, bound, count, late, min, median, max, failed, usage } = times;
            let [cpu, waited] = [usage.cpu_ns, usage.waited_ns].map(Duration::from_nanos);
            json!({
                "kind": kind.name(),
                "cuts": count,
                "bound_ms": bound.map(ms),
                "late": late,
                "min_ms": ms(min),
                "median_ms": ms(median),
                "max_ms": ms(max),
                "failed": failed,
                "cpu_ms": ms(cpu),
                "waited_ms": ms(waited),
            })
        });
        json!({
            "seed": self.seed,
            "sessions": self.args.sessions,
            "bytes": self.args.bytes,
            "tls": !self.args.plain,
            "resume": !self.args.no_resume,
            "cuts": self.args.cuts,
            "survived": self.cuts.len(),
            "seconds": self.took.as_secs_f64(),
            "back_after": times.collect::<Vec<_>>(),
            "client": self.client.fields(),
            "server": self.server.fields(),
            "faults": self.faults(),
        })
    }
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}
