//! The table of `crowd --grow`, and the page that it stands on.

use core::fmt::Write as _;

use super::{Growth, Report};
use crate::bench::{Late, float};

/// A row for each size.
pub(super) fn table(growth: &Growth) -> String {
    let mut text = String::from(
        "| sessions | servers | beats | servers' CPU per beat (user + system) | wake-ups per beat \
         | servers' CPU | memory per session | in the kernel, both ends | verdict, ms after the \
         timeout: p50 / p99 / p99.9 / max | verdicts | early | false | missing |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in &growth.sizes {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} µs ({:.2} + {:.2}) | {:.3} | {:.1} % of a processor | {:.0} B \
             | {:.0} B | {} | {} | {} | {} | {} |",
            grouped(report.sessions),
            report.processes,
            report.beats,
            report.beat_cpu_us,
            report.beat_user_us,
            report.beat_system_us,
            report.wakeups_per_beat,
            report.busy * 100.0,
            report.user_bytes,
            report.kernel_bytes_both_ends,
            report.verdict_ms.map_or_else(|| "-".to_owned(), late),
            report.verdict_ms.map_or(0, |late| late.count),
            report.early,
            report.wrong,
            report.missing,
        );
    }
    for Report { sessions, warnings, .. } in &growth.sizes {
        for warning in warnings {
            let _ = writeln!(text, "\nWARNING, {} sessions: {warning}", grouped(*sessions));
        }
    }
    text
}

fn late(late: Late) -> String {
    let Late { p50, p99, p999, max, .. } = late;
    format!("{p50:.1} / {p99:.1} / {p999:.1} / {max:.1}")
}

/// `docs/growth.md`.
pub(super) fn page(growth: &Growth) -> String {
    let Growth { machine, time, command, protocol, interval_ms, timeout_ms, .. } = growth;
    let (interval, timeout) = (float(*interval_ms) / 1e3, float(*timeout_ms) / 1e3);
    format!(
        "# How cost grows\n\n\
         <!-- Written by `{command}`; do not edit. -->\n\n\
         What a session costs while there are more and more of them: real clients on loopback that \
         each send a heartbeat every {interval} s on protocol {protocol}, to as many servers as \
         descriptors demand, each with a timeout of {timeout} s. At the end a part of the clients \
         falls silent at once, and each verdict is compared with that client's last byte. \
         [The lab](lab.md#a-million-sessions) says how it is done.\n\n\
         ![CPU per beat, memory and lateness](growth.svg)\n\n\
         {}\n\
         Interval, timeout and time are the same for all sizes, because what a session costs \
         depends on them. A beat is dearer where few come: the server sleeps between two of \
         them and is woken for each, and its own work of every second has few beats to be \
         divided by. Where many come, one wake-up reads several, but what it needs of each is \
         no longer in the processor's caches. Memory per session is how much the servers and \
         the kernel's small objects grew; the kernel has both ends of each connection here, so \
         a server on its own machine needs half of that. Clients and servers share the \
         processors.\n\n\
         {machine}, {time}: `{command}`. The numbers are in [growth.json](growth.json).\n",
        table(growth)
    )
}

/// With commas between thousands.
pub(super) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (digit, left) in digits.chars().zip((0..digits.len()).rev()) {
        text.push(digit);
        if left > 0 && left.is_multiple_of(3) {
            text.push(',');
        }
    }
    text
}
