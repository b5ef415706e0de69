//! What a million clients with some settings cost their server.

use core::fmt;

use heartwire_plan::price::{MEASURED, PUBLISHED, Price};
use serde::Serialize;

/// How many the price is for: so that a small share of a processor is a number that one can read.
const CLIENTS: u64 = 1_000_000;

const SECONDS_A_DAY: f64 = 86_400.0;

/// What a million idle clients cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Million {
    processors: f64,
    user_bytes: u64,
    kernel_bytes: u64,
    packets_a_day: u64,
}

impl Million {
    pub(crate) fn of(price: &Price) -> Self {
        let processors = price.processor_a_day.as_secs_f64() * 1e6 / SECONDS_A_DAY;
        Self {
            // No figure is more exact than that.
            processors: (processors * 1e3).round() / 1e3,
            user_bytes: price.user_bytes.saturating_mul(CLIENTS),
            kernel_bytes: price.kernel_bytes.saturating_mul(CLIENTS),
            packets_a_day: price.packets_a_day.saturating_mul(CLIENTS),
        }
    }
}

impl fmt::Display for Million {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, kernel) = (tenths(self.user_bytes), tenths(self.kernel_bytes));
        write!(
            f,
            "{:.2} processors, {user} GB and {kernel} GB of the kernel's, {} billion packets a day \
             (by the figures of {MEASURED}, {PUBLISHED})",
            self.processors,
            tenths(self.packets_a_day),
        )
    }
}

/// Billions, to a tenth.
fn tenths(number: u64) -> String {
    let tenths = number.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::fs;

    use heartwire::{Policy, Preset, Side};
    use heartwire_plan::price::Serving;
    use heartwire_plan::{End, Setup};
    use serde_json::Value;

    use super::*;

    #[test]
    fn price_of_a_million_is_a_million_times_that_of_one() {
        let end = |side| End::new(Preset::Default.policy(side));
        let plan = Setup::new(end(Side::Client), end(Side::Server)).plan().unwrap();
        let price = plan.price(Serving::new());
        let million = Million::of(&price);
        let seconds = price.processor_a_day.as_secs_f64() * 1e6;
        let off = (million.processors * SECONDS_A_DAY - seconds).abs();
        assert!(off <= SECONDS_A_DAY / 2e3, "{million:?}");
        assert_eq!(million.user_bytes, 1_000_000 * price.user_bytes);
        let text = million.to_string();
        assert!(text.ends_with(&format!("(by the figures of {MEASURED}, {PUBLISHED})")), "{text}");
        let published = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let published = fs::read_to_string(format!("{published}{PUBLISHED}")).unwrap();
        assert!(published.contains(MEASURED), "{PUBLISHED} was not measured on {MEASURED}");
    }

    /// The ledger may be newer than the figures, and of another machine; but where it differs by
    /// more than this, the figures have to be those of the ledger.
    const NEAR: core::ops::RangeInclusive<f64> = 0.4..=2.5;

    #[test]
    fn figures_are_near_those_of_the_ledger() {
        let ledger = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ledger.json");
        // Until it is written for the first time, and where this package is built by itself.
        let Ok(ledger) = fs::read_to_string(ledger) else { return };
        let ledger: Value = serde_json::from_str(&ledger).unwrap();
        assert!(ledger["command"].as_str().unwrap().contains("--interval 250ms"), "another load");
        let (interval, timeout) = (Duration::from_millis(250), Duration::from_secs(15));
        for (id, is_v1, tls) in [
            ("v0", false, false),
            ("v0-tls", false, true),
            ("v1", true, false),
            ("v1-tls", true, true),
        ] {
            let client = End::new(Policy::builder().interval(interval).build().unwrap());
            let server = Policy::builder().timeout(timeout).peer_interval(interval);
            let setup = Setup::new(client, End::new(server.build().unwrap()));
            let setup = if is_v1 { setup } else { setup.v0() };
            let price = setup.plan().unwrap().price(Serving::new().tls(tls));
            // On v1 a beat comes up to a quarter early.
            let beats = SECONDS_A_DAY / 0.25 * if is_v1 { 8.0 / 7.0 } else { 1.0 };
            let row = ledger["servers"].as_array().unwrap().iter().find(|row| row["id"] == *id);
            let row = row.unwrap();
            for (name, figure) in [
                ("beat_cpu_us", price.processor_a_day.as_secs_f64() * 1e6 / beats),
                ("accept_cpu_us", price.accept.as_secs_f64() * 1e6),
                ("user_bytes", f64::from(u32::try_from(price.user_bytes).unwrap())),
            ] {
                let there = row[name].as_f64().unwrap();
                assert!(NEAR.contains(&(figure / there)), "{id}, {name}: {figure}, and {there}");
            }
        }
    }

    #[test]
    fn billions_are_rounded_to_tenths() {
        let written = [0, 49_999_999, 50_000_000, 999_999_999, 4_640_000_000].map(tenths);
        assert_eq!(written, ["0.0", "0.0", "0.1", "1.0", "4.6"]);
    }
}
