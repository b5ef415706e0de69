//! What is printed, and the bars.

use core::fmt::Write as _;

use serde_json::{Value, json};

use super::load::{Bulk, Trip, Way};
use super::relay::Relay;
use super::{Args, MESSAGES, Record, Table};
use crate::process::machine;

/// Of socat's throughput.
const LEAST_RATIO: f64 = 0.9;

/// In µs, of the p99 of a round trip, more than with socat.
const MOST_ADDED: f64 = 200.0;

/// In bytes, of each end.
const MOST_MEMORY: f64 = 20_000.0;

impl Record {
    fn bulk(&self, way: Way) -> &[Bulk] {
        let of_way = self.bulk.iter().find(|(this, _)| *this == way);
        of_way.map_or(&[], |(_, figures)| figures)
    }

    fn trips(&self, len: usize) -> &[Trip] {
        let of_len = self.trips.iter().find(|(this, _)| *this == len);
        of_len.map_or(&[], |(_, figures)| figures)
    }
}

impl Table {
    fn socats(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| matches!(record.relay, Relay::Socat { .. }))
    }

    /// The median of the rounds' ratios to the socat that was the faster one in the round.
    fn ratio(&self, record: &Record, way: Way) -> Option<f64> {
        let pairs = record.bulk(way).iter().enumerate().filter_map(|(round, figure)| {
            let socats = self.socats().filter_map(|socat| socat.bulk(way).get(round));
            let best = socats.map(|socat| socat.mib_per_s).reduce(f64::max)?;
            Some(figure.mib_per_s / best)
        });
        median(pairs)
    }

    /// The median of how much the p99 is above that of the socat that was quicker in the round.
    fn added(&self, record: &Record, len: usize, figure: fn(&Trip) -> f64) -> Option<f64> {
        let pairs = record.trips(len).iter().enumerate().filter_map(|(round, trip)| {
            let socats = self.socats().filter_map(|socat| socat.trips(len).get(round));
            Some(figure(trip) - socats.map(figure).reduce(f64::min)?)
        });
        median(pairs)
    }

    /// Whether everything that was measured is as it should be.
    pub(super) fn meets_bars(&self) -> bool {
        let Some(tunnel) = self.records.last() else { return true };
        let mut ratios = Way::ALL.iter().filter_map(|&way| self.ratio(tunnel, way));
        let mut added = MESSAGES.iter().filter_map(|&len| self.added(tunnel, len, |trip| trip.p99));
        let is_small = |bytes: f64| bytes <= MOST_MEMORY;
        ratios.all(|ratio| ratio >= LEAST_RATIO)
            && added.all(|added| added <= MOST_ADDED)
            && self.crowds.iter().all(|crowd| crowd.idle.into_iter().all(is_small))
    }
}

pub(super) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// A figure, or a dash.
fn shown(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
}

// Writing to a string does not fail.
pub(super) fn text(tables: &[Table]) -> String {
    let mut text = String::new();
    for table in tables {
        let which = if table.tls { "TLS between the ends" } else { "no TLS" };
        let _ = writeln!(text, "{which}");
        for way in Way::ALL {
            for record in table.records.iter().filter(|record| !record.bulk(way).is_empty()) {
                let _ = writeln!(
                    text,
                    "  {:4} {:9} {:>8} MiB/s  {:>5} of socat  {:>6} ms CPU per MiB",
                    way.name(),
                    record.relay.name(),
                    shown(median(record.bulk(way).iter().map(|bulk| bulk.mib_per_s)), 0),
                    shown(table.ratio(record, way), 2),
                    shown(median(record.bulk(way).iter().map(|bulk| bulk.cpu_ms_per_mib)), 3),
                );
            }
        }
        for len in MESSAGES {
            for record in table.records.iter().filter(|record| !record.trips(len).is_empty()) {
                let of = |figure: fn(&Trip) -> f64| {
                    shown(median(record.trips(len).iter().map(figure)), 1)
                };
                let _ = writeln!(
                    text,
                    "  {len:4} B {:9} p50 {:>6}  p99 {:>6}  p99.9 {:>7} us; above socat: {:>6} \
                     {:>6}",
                    record.relay.name(),
                    of(|trip| trip.p50),
                    of(|trip| trip.p99),
                    of(|trip| trip.p999),
                    shown(table.added(record, len, |trip| trip.p50), 1),
                    shown(table.added(record, len, |trip| trip.p99), 1),
                );
            }
        }
        for crowd in &table.crowds {
            let [near, far] = crowd.idle;
            let [near_used, far_used] = crowd.used;
            let _ = writeln!(
                text,
                "  {:4} connections, bytes each: near {near:.0}, far {far:.0}; after they have \
                 carried 64 KiB: near {near_used:.0}, far {far_used:.0}",
                crowd.connections,
            );
        }
    }
    let _ = writeln!(text, "{}", machine());
    text
}

pub(super) fn object(args: &Args, tables: &[Table]) -> Value {
    let tables: Vec<Value> = tables.iter().map(of_table).collect();
    json!({ "rounds": args.rounds, "bytes": args.bytes, "trips": args.trips, "tables": tables })
}

fn of_table(table: &Table) -> Value {
    let mut bulk = Vec::new();
    let mut trips = Vec::new();
    for record in &table.records {
        let relay = record.relay.name();
        for way in Way::ALL.into_iter().filter(|&way| !record.bulk(way).is_empty()) {
            let of = |figure: fn(&Bulk) -> f64| record.bulk(way).iter().map(figure);
            bulk.push(json!({
                "relay": relay,
                "direction": way.name(),
                "mib_per_s": median(of(|bulk| bulk.mib_per_s)),
                "ratio": table.ratio(record, way),
                "cpu_ms_per_mib": median(of(|bulk| bulk.cpu_ms_per_mib)),
            }));
        }
        for len in MESSAGES.into_iter().filter(|&len| !record.trips(len).is_empty()) {
            let of = |figure: fn(&Trip) -> f64| record.trips(len).iter().map(figure);
            trips.push(json!({
                "relay": relay,
                "bytes": len,
                "p50_us": median(of(|trip| trip.p50)),
                "p99_us": median(of(|trip| trip.p99)),
                "p999_us": median(of(|trip| trip.p999)),
                "above_socat_p50_us": table.added(record, len, |trip| trip.p50),
                "above_socat_p99_us": table.added(record, len, |trip| trip.p99),
            }));
        }
    }
    let crowds = table.crowds.iter().map(|crowd| {
        let ends = |[near, far]: [f64; 2]| json!({ "near": near, "far": far });
        let (idle, used) = (ends(crowd.idle), ends(crowd.used));
        json!({ "connections": crowd.connections, "idle_bytes": idle, "used_bytes": used })
    });
    let crowds: Vec<Value> = crowds.collect();
    json!({ "tls": table.tls, "bulk": bulk, "trips": trips, "crowds": crowds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(relay: Relay, speeds: &[f64], p99: &[f64]) -> Record {
        let bulk = |&mib_per_s| Bulk { mib_per_s, cpu_ms_per_mib: 1.0 };
        let trip = |&p99| Trip { p50: 1.0, p99, p999: 9.0 };
        Record {
            relay,
            bulk: vec![(Way::Up, speeds.iter().map(bulk).collect())],
            trips: vec![(1, p99.iter().map(trip).collect())],
        }
    }

    fn table(speeds: &[f64], p99: &[f64]) -> Table {
        let socat = |block| Relay::Socat { block, tls: false };
        let records = vec![
            record(Relay::Direct, &[900.0; 3], &[10.0; 3]),
            record(socat(None), &[100.0, 50.0, 10.0], &[30.0, 40.0, 50.0]),
            record(socat(Some(65_536)), &[50.0, 100.0, 200.0], &[50.0, 40.0, 30.0]),
            record(Relay::Tunnel { bin: "heartwire".into(), tls: false }, speeds, p99),
        ];
        Table { tls: false, records, crowds: Vec::new() }
    }

    #[test]
    fn the_better_socat_of_each_round_is_the_measure() {
        let table = table(&[90.0, 80.0, 300.0], &[130.0, 240.0, 430.0]);
        let tunnel = table.records.last().unwrap();
        assert_eq!(table.ratio(tunnel, Way::Up), Some(0.9));
        assert_eq!(table.added(tunnel, 1, |trip| trip.p99), Some(200.0));
        assert!(table.meets_bars());
    }

    #[test]
    fn each_bar_can_be_missed() {
        assert!(!table(&[89.0; 3], &[30.0; 3]).meets_bars());
        assert!(!table(&[200.0; 3], &[240.2; 3]).meets_bars());
        let mut table = table(&[200.0; 3], &[30.0; 3]);
        assert!(table.meets_bars());
        let idle = [1_000.0, 20_001.0];
        table.crowds.push(super::super::Crowd { connections: 1, idle, used: [0.0; 2] });
        assert!(!table.meets_bars());
    }
}
