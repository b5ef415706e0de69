//! Checks the server's verdicts against our own record of each connection's last byte.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::time::SystemTime;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A verdict as the server printed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VerdictLine {
    pub(crate) peer: SocketAddr,
    pub(crate) at_ns: u64,
    /// The last digit of the printed time; what comes after it was cut off.
    pub(crate) resolution_ns: u64,
}

/// The record of a connection. Times are ns of the system's clock, as in the server's verdicts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) local: SocketAddr,
    /// Just before the last write, so that a byte never seems younger than it is.
    pub(crate) last_sent_ns: u64,
    /// When the server closed it, as seen here.
    pub(crate) closed_ns: Option<u64>,
}

/// How late, in µs after last byte + timeout.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    histogram: Histogram<u64>,
    min_us: i64,
}

impl Lateness {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { histogram: histogram()?, min_us: i64::MAX })
    }

    fn record(&mut self, at_ns: u64, due_ns: u64) {
        let late_ns = i64::try_from(i128::from(at_ns) - i128::from(due_ns)).unwrap_or(i64::MAX);
        let late_us = late_ns.div_euclid(1000);
        self.min_us = self.min_us.min(late_us);
        // The histogram cannot hold an early one, which is counted separately.
        self.histogram.saturating_record(u64::try_from(late_us).unwrap_or(0));
    }

    /// Adds what another process counted.
    pub(crate) fn add(&mut self, counts: &Counts, min_us: i64) {
        counts.add_to(&mut self.histogram);
        self.min_us = self.min_us.min(min_us);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts::of(&self.histogram)
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(crate) fn min_us(&self) -> i64 {
        self.min_us
    }

    pub(crate) fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.histogram.max()
    }
}

/// A histogram as one process tells it to another: each value and how often it was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts(Vec<(u64, u64)>);

impl Counts {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let values = histogram.iter_recorded();
        Self(values.map(|at| (at.value_iterated_to(), at.count_at_value())).collect())
    }

    pub(crate) fn add_to(&self, histogram: &mut Histogram<u64>) {
        for &(value, count) in &self.0 {
            histogram.saturating_record_n(value, count);
        }
    }
}

/// Results of a freeze.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    /// By the times that the server printed with its verdicts.
    pub(crate) verdicts: Lateness,
    /// By the times at which the clients saw their connections closed.
    pub(crate) seen: Lateness,
    /// Verdicts, or closed connections where a server prints none, before last byte + timeout.
    pub(crate) early: u64,
    /// Verdicts and closed connections before the freeze.
    pub(crate) wrong: u64,
    /// Connections that were neither declared dead nor closed.
    pub(crate) missing: u64,
}

/// Checks every connection. `freeze_ns` is when the clients stopped sending, if they did.
pub(crate) fn judge(
    notes: &[Note],
    verdicts: &[VerdictLine],
    timeout: Duration,
    freeze_ns: Option<u64>,
) -> anyhow::Result<Judgement> {
    let timeout_ns = u64::try_from(timeout.as_nanos())?;
    let by_peer: HashMap<SocketAddr, &VerdictLine> =
        verdicts.iter().map(|verdict| (verdict.peer, verdict)).collect();
    let mut judgement = Judgement {
        verdicts: Lateness::new()?,
        seen: Lateness::new()?,
        early: 0,
        wrong: 0,
        missing: 0,
    };
    for note in notes {
        let verdict = by_peer.get(&note.local);
        let first_ns = verdict.map(|verdict| verdict.at_ns).into_iter().chain(note.closed_ns).min();
        let Some(freeze_ns) = freeze_ns else {
            judgement.wrong += u64::from(first_ns.is_some());
            continue;
        };
        if first_ns.is_some_and(|first_ns| first_ns < freeze_ns) {
            judgement.wrong += 1;
            continue;
        }
        let due_ns = note.last_sent_ns.saturating_add(timeout_ns);
        if let Some(verdict) = verdict {
            judgement.verdicts.record(verdict.at_ns, due_ns);
        }
        if let Some(closed_ns) = note.closed_ns {
            judgement.seen.record(closed_ns, due_ns);
        }
        // The latest time that is printed like this.
        let latest_ns = verdict
            .map(|verdict| verdict.at_ns.saturating_add(verdict.resolution_ns.saturating_sub(1)))
            .or(note.closed_ns);
        judgement.missing += u64::from(latest_ns.is_none());
        judgement.early += u64::from(latest_ns.is_some_and(|latest_ns| latest_ns < due_ns));
    }
    Ok(judgement)
}

/// For µs up to an hour, exact to a thousandth. What is longer counts as an hour.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 3_600_000_000, 3)?)
}

/// A time of the system's clock, in ns.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn note(port: u16, last_sent_ns: u64, closed_ns: Option<u64>) -> Note {
        Note { local: peer(port), last_sent_ns, closed_ns }
    }

    fn verdict(port: u16, at_ns: u64, resolution_ns: u64) -> VerdictLine {
        VerdictLine { peer: peer(port), at_ns, resolution_ns }
    }

    fn counts(judgement: &Judgement) -> (u64, u64, u64) {
        (judgement.early, judgement.wrong, judgement.missing)
    }

    #[test]
    fn a_verdict_is_late_from_our_last_byte_and_the_timeout() {
        let notes = [note(1, 100 * MS, Some(1_107 * MS)), note(2, 150 * MS, Some(1_160 * MS))];
        let verdicts = [verdict(1, 1_105 * MS, 1000), verdict(2, 1_152 * MS, 1000)];
        let judgement = judge(&notes, &verdicts, TIMEOUT, Some(200 * MS)).unwrap();
        assert_eq!(counts(&judgement), (0, 0, 0));
        assert_eq!((judgement.verdicts.count(), judgement.verdicts.min_us()), (2, 2_000));
        assert!(judgement.verdicts.max_us().abs_diff(5_000) <= 5);
        assert!(judgement.seen.max_us().abs_diff(10_000) <= 10);
    }

    #[test]
    fn a_verdict_before_the_timeout_is_early() {
        let verdicts = [verdict(1, 1_099 * MS, 1000)];
        let judgement = judge(&[note(1, 100 * MS, None)], &verdicts, TIMEOUT, Some(200 * MS));
        let judgement = judgement.unwrap();
        assert_eq!(counts(&judgement), (1, 0, 0));
        assert_eq!(judgement.verdicts.min_us(), -1_000);
    }

    #[test]
    fn digits_that_were_cut_off_make_no_verdict_early() {
        // Given at 1100.4 ms, printed as 1100 ms; due at 1100.3 ms.
        let notes = [note(1, 100 * MS + 300_000, None)];
        let judgement = judge(&notes, &[verdict(1, 1_100 * MS, MS)], TIMEOUT, Some(200 * MS));
        assert_eq!(counts(&judgement.unwrap()), (0, 0, 0));
    }

    #[test]
    fn a_close_is_judged_where_a_server_prints_no_verdicts() {
        let notes = [note(1, 100 * MS, Some(1_050 * MS)), note(2, 100 * MS, Some(1_101 * MS))];
        let judgement = judge(&notes, &[], TIMEOUT, Some(200 * MS)).unwrap();
        assert_eq!(counts(&judgement), (1, 0, 0));
    }

    #[test]
    fn an_end_before_the_freeze_is_false() {
        let notes = [note(1, 100 * MS, Some(150 * MS)), note(2, 100 * MS, None)];
        let verdicts = [verdict(2, 160 * MS, 1000)];
        let judgement = judge(&notes, &verdicts, TIMEOUT, Some(200 * MS)).unwrap();
        assert_eq!(counts(&judgement), (0, 2, 0));
    }

    #[test]
    fn without_a_freeze_every_end_is_false() {
        let notes = [note(1, 100 * MS, Some(5_000 * MS)), note(2, 100 * MS, None)];
        let judgement = judge(&notes, &[], TIMEOUT, None).unwrap();
        assert_eq!(counts(&judgement), (0, 1, 0));
    }

    #[test]
    fn lateness_of_several_processes_is_added_up() {
        let mut all = Lateness::new().unwrap();
        for (late_ms, min_us) in [(3, 3_000), (70, 70_000)] {
            let mut one = Lateness::new().unwrap();
            one.record(late_ms * MS, 0);
            assert_eq!(one.min_us(), min_us);
            let told = serde_json::to_string(&one.counts()).unwrap();
            all.add(&serde_json::from_str(&told).unwrap(), one.min_us());
        }
        assert_eq!((all.count(), all.min_us()), (2, 3_000));
        assert!(all.quantile_us(0.5).abs_diff(3_000) <= 3 && all.max_us().abs_diff(70_000) <= 70);
    }

    #[test]
    fn a_connection_without_a_verdict_is_missing() {
        let judgement = judge(&[note(1, 100 * MS, None)], &[], TIMEOUT, Some(200 * MS)).unwrap();
        assert_eq!(counts(&judgement), (0, 0, 1));
    }
}
