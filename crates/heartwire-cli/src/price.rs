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
    use heartwire::{Preset, Side};
    use heartwire_plan::price::Serving;
    use heartwire_plan::{End, Setup};

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
        let published = std::fs::read_to_string(format!("{published}{PUBLISHED}")).unwrap();
        assert!(published.contains(MEASURED), "{PUBLISHED} was not measured on {MEASURED}");
    }

    #[test]
    fn billions_are_rounded_to_tenths() {
        let written = [0, 49_999_999, 50_000_000, 999_999_999, 4_640_000_000].map(tenths);
        assert_eq!(written, ["0.0", "0.0", "0.1", "1.0", "4.6"]);
    }
}
