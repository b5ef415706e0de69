//! The result: a page, or one object.

use core::fmt::Write as _;
use core::time::Duration;

use serde_json::{Value, json};

use super::args::Args;
use super::carrier::Carrier;
use super::cell::Outcome;
use super::trial::Record;
use crate::net::report::Machine;

/// Everything that a run has found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) args: Args,
    pub(super) machine: Machine,
    pub(super) took: Duration,
    pub(super) records: Vec<Record>,
}

const HEAD: &str = "\
<!-- Written by `heartwire-lab tunnel --write docs/tunnel-outages.md`. Change the program, not this
     page. -->

# Other programs through an outage

Debian's own ssh, PostgreSQL, Redis and mosquitto, each client at work with its server over each
carrier at once, in network namespaces with a NAT router between them. Then all of their connections
are hit by the same fault.

- **plain TCP**: the client connects to the server.
- **socat**: it connects to `socat TCP-LISTEN:…,fork TCP:…` on its own machine.
- **autossh**: it connects to a port that `autossh -M 0 -N -L …` forwards, with
  `ServerAliveInterval=3` and `ServerAliveCountMax=3`, which finds an outage about as soon as the
  tunnel does. (Without these options ssh leaves that to the kernel, as plain TCP does.)
- **heartwire tunnel**: it connects to `heartwire tunnel connect` on its own machine, with TLS to a
  `heartwire tunnel serve` beside the server. The interactive ssh has `tunnel connect --stdio` as
  its `ProxyCommand` instead.";

const WORK: &str = "\
The clients' work: ssh runs a shell on a terminal, in which a command is typed whenever its
predecessor has answered. psql inserts rows in one transaction in the same way, and commits in the
end, when the server must have all of them. scp copies a file to the server, and pg_dump dumps a
table, each in about 20 s without a fault; the copy and the dump must have the right SHA-256.
`redis-cli MONITOR` and `redis-cli SUBSCRIBE` print what a client at the server publishes ten times
a second, and `mosquitto_sub` what `mosquitto_pub` sends over the same carrier with QoS 0; every
number must be there, once and in order.

**survived**: the client got everything, and was without data for so long at most. **ended**: the
client exited with an error so long after the fault began. **went on**: the client connected again
by itself, and some of the data was lost. **hung**: none of these in the time that it had. pg_dump
has data for a while that was under way before the fault. redis-cli has keepalive of its own.";

impl Report {
    /// Whether every application survived every fault over the tunnel.
    pub(super) fn is_right(&self) -> bool {
        let [survived, all] = self.survived(Carrier::Tunnel);
        survived == all && !self.records.is_empty()
    }

    /// How many applications survived, and of how many.
    fn survived(&self, carrier: Carrier) -> [usize; 2] {
        let of_carrier = self.records.iter().filter(|record| record.carrier == carrier);
        let survived = of_carrier.clone().filter(|record| record.outcome.is_survived());
        [survived.count(), of_carrier.count()]
    }

    pub(super) fn markdown(&self) -> String {
        let mut page = String::new();
        // Writing into text cannot fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> core::fmt::Result {
        writeln!(page, "{HEAD}\n")?;
        for carrier in self.args.carriers() {
            let [survived, all] = self.survived(carrier);
            writeln!(page, "- {}: {survived} of {all} survived", carrier.title())?;
        }
        let Args { down, wait, bytes, .. } = self.args;
        let Machine { kernel, processors, time } = &self.machine;
        let date = humantime::format_rfc3339_seconds(*time).to_string();
        let (date, _) = date.split_once('T').unwrap_or_default();
        writeln!(
            page,
            "\nLinux {kernel}, {processors} processors, {date}, {:.0} s in all. scp copies {} MiB, \
             and pg_dump dumps\nhalf as much. An application has {} after the fault to get \
             everything. To repeat it, as root:\n",
            self.took.as_secs_f64(),
            bytes >> 20,
            seconds(wait),
        )?;
        writeln!(
            page,
            "```sh\ncargo build --release --workspace\ntarget/release/heartwire-lab tunnel --down \
             {}s --write docs/tunnel-outages.md\n```\n\n{WORK}",
            down.as_secs_f64(),
        )?;
        for fault in self.args.faults() {
            writeln!(page, "\n## {}\n", fault.title(self.args.down))?;
            let titles: Vec<&str> =
                self.args.carriers().into_iter().map(|carrier| carrier.title()).collect();
            writeln!(page, "| | {} |", titles.join(" | "))?;
            writeln!(page, "|---{}|", "|---".repeat(titles.len()))?;
            for app in self.args.apps() {
                write!(page, "| {} |", app.title())?;
                for carrier in self.args.carriers() {
                    let is_this = |record: &&Record| {
                        (record.fault, record.app, record.carrier) == (fault, app, carrier)
                    };
                    let record = self.records.iter().find(is_this);
                    let cell = record.map(|record| record.outcome.cell()).unwrap_or_default();
                    write!(page, " {cell} |")?;
                }
                writeln!(page)?;
            }
        }
        Ok(())
    }

    pub(super) fn object(&self) -> Value {
        let records = self.records.iter().map(|record| {
            let (how, seconds, detail) = match &record.outcome {
                Outcome::Survived { gap } => ("survived", Some(gap.as_secs_f64()), None),
                Outcome::Ended { after, said } => ("ended", Some(after.as_secs_f64()), Some(said)),
                Outcome::Wrong { how } => ("wrong", None, Some(how)),
                Outcome::Hung => ("hung", None, None),
            };
            json!({
                "fault": record.fault.name(),
                "app": record.app.name(),
                "carrier": record.carrier.name(),
                "how": how,
                "seconds": seconds,
                "detail": detail,
            })
        });
        let records: Vec<Value> = records.collect();
        json!({ "right": self.is_right(), "seconds": self.took.as_secs_f64(), "records": records })
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

impl Outcome {
    const fn is_survived(&self) -> bool {
        matches!(self, Self::Survived { .. })
    }

    fn cell(&self) -> String {
        match self {
            Self::Survived { gap } => {
                format!("**survived**, {:.1} s without data", gap.as_secs_f64())
            }
            Self::Ended { after, .. } => format!("ended after {:.1} s", after.as_secs_f64()),
            Self::Wrong { how } => how.clone(),
            Self::Hung => "hung".to_owned(),
        }
    }
}
