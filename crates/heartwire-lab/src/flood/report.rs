//! The report of a flood, for people and for programs.

use core::time::Duration;
use std::rc::Rc;

use serde_json::{Value, json};

use super::args::{Format, Transport};
use super::server::Told;
use super::{crowd, honest};
use crate::output;

/// Results of one flood.
pub(super) struct Outcome {
    pub(super) transport: Transport,
    pub(super) clients: u32,
    pub(super) silent: u32,
    pub(super) time: Duration,
    /// Of the server.
    pub(super) cpu: Duration,
    pub(super) memory_before: u64,
    pub(super) memory_most: u64,
    pub(super) memory_bound: u64,
    pub(super) honest: Rc<honest::Tally>,
    pub(super) crowd: Rc<crowd::Tally>,
    pub(super) told: Told,
    /// The server's `stopped` event.
    pub(super) stopped: Value,
}

impl Outcome {
    /// Whether the flood did no harm.
    pub(super) fn is_fine(&self) -> bool {
        let honest = &self.honest;
        self.false_verdicts() == 0
            && honest.lost.get() == 0
            && honest.shut_out.get() == 0
            && self.crowd.let_in.get() == 0
            && self.memory_most <= self.memory_bound
    }

    /// All honest clients lived, so every verdict is false.
    fn false_verdicts(&self) -> u64 {
        self.honest.verdicts.get() + self.told.verdicts
    }

    fn per_second(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "far below 2^52")]
        let count = count as f64;
        count / self.time.as_secs_f64()
    }

    fn object(&self) -> Value {
        let (honest, crowd) = (&self.honest, &self.crowd);
        json!({
            "transport": self.transport.name(),
            "seconds": self.time.as_secs_f64(),
            "clients": self.clients,
            "false_verdicts": self.false_verdicts(),
            "lost": honest.lost.get(),
            "client_pauses": honest.pauses.get(),
            "server_pauses": self.told.pauses,
            "newcomers": honest.newcomers.get(),
            "shut_out": honest.shut_out.get(),
            "slowest_newcomer_ms": honest.slowest.get().as_secs_f64() * 1e3,
            "silent_asked": self.silent,
            "max_silent": crowd.max_silent.get(),
            "silent_connected": crowd.connected.get(),
            "silent_closed": crowd.closed.get(),
            "handshakes": crowd.begun.get(),
            "handshakes_per_s": self.per_second(crowd.begun.get()),
            "handshakes_refused": crowd.refused.get(),
            "handshakes_failed": crowd.failed.get(),
            "let_in": crowd.let_in.get(),
            "server_cpu": self.cpu.as_secs_f64() / self.time.as_secs_f64(),
            "memory_before": self.memory_before,
            "memory_most": self.memory_most,
            "memory_bound": self.memory_bound,
            "stopped": self.stopped,
        })
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let (honest, crowd) = (&self.honest, &self.crowd);
        vec![
            ("false verdicts", self.false_verdicts().to_string()),
            ("honest clients", format!("{}, {} lost", self.clients, honest.lost.get())),
            (
                "new clients",
                format!(
                    "{}, {} locked out, slowest {:.0} ms",
                    honest.newcomers.get(),
                    honest.shut_out.get(),
                    honest.slowest.get().as_secs_f64() * 1e3
                ),
            ),
            (
                "silent",
                format!(
                    "{} at a time, {} connected, {} closed",
                    crowd.max_silent.get(),
                    crowd.connected.get(),
                    crowd.closed.get()
                ),
            ),
            (
                "handshakes",
                format!(
                    "{:.0} a second, {} begun, {} rejected for their token, {} ended otherwise",
                    self.per_second(crowd.begun.get()),
                    crowd.begun.get(),
                    crowd.refused.get(),
                    crowd.failed.get()
                ),
            ),
            (
                "server",
                format!(
                    "{:.0} % of a processor, {} to {} MB of memory (bound {} MB), {} pauses",
                    100.0 * self.cpu.as_secs_f64() / self.time.as_secs_f64(),
                    megabytes(self.memory_before),
                    megabytes(self.memory_most),
                    megabytes(self.memory_bound),
                    self.told.pauses
                ),
            ),
        ]
    }
}

const fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

pub(super) fn print(outcomes: &[Outcome], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let floods: Vec<Value> = outcomes.iter().map(Outcome::object).collect();
            output::print(json!({ "floods": floods }))
        }
        Format::Text => {
            for outcome in outcomes {
                output::print(format_args!(
                    "{}, {:.0} s: {}",
                    outcome.transport.name(),
                    outcome.time.as_secs_f64(),
                    if outcome.is_fine() { "no harm done" } else { "FAILED" }
                ))?;
                for (name, what) in outcome.rows() {
                    output::print(format_args!("  {name:<15} {what}"))?;
                }
            }
            Ok(())
        }
        Format::Markdown => {
            output::print("| | what | how much |\n|---|---|---|")?;
            for outcome in outcomes {
                for (name, what) in outcome.rows() {
                    output::print(format_args!(
                        "| {} | {name} | {what} |",
                        outcome.transport.name()
                    ))?;
                }
            }
            Ok(())
        }
    }
}
