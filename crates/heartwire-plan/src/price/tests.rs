use heartwire_core::{Policy, PolicyBuilder, Preset};

use super::*;
use crate::{End, Resume, Setup};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn v0(interval: Duration, timeout: Duration) -> Plan {
    let client = End::new(Policy::builder().interval(interval).build().unwrap());
    let server = Policy::builder().timeout(timeout).peer_interval(interval).build().unwrap();
    Setup::new(client, End::new(server)).v0().plan().unwrap()
}

fn v1(both: PolicyBuilder) -> Setup {
    let end = End::new(both.build().unwrap());
    Setup::new(end, end)
}

/// Reads of the server in a day.
fn reads(plan: &Plan, serving: Serving) -> u64 {
    plan.reads_every(serving).map_or(0, |every| times_in(DAY, every))
}

#[test]
fn a_server_reads_when_enough_beats_have_come_or_at_the_deadline() {
    let plan = v0(secs(3), secs(15));
    let with = |beats| reads(&plan, Serving::new().coalesce(Some(beats)));
    assert_eq!((with(0), with(1), with(3)), (28_800, 14_400, 7_200));
    assert_eq!(reads(&plan, Serving::new()), with(1));
    // The deadline is 13.5 s after the last read on average: no more can wait.
    assert_eq!((with(5), with(60_000)), (6_400, 6_400));
    // TLS's close_notify must not wait, nor does a server wait that has to answer.
    assert_eq!(reads(&plan, Serving::new().tls(true)), 28_800);
    let client = End::new(Policy::builder().interval(secs(3)).build().unwrap());
    let answers = Policy::builder().echo(true).timeout(secs(15)).build().unwrap();
    let answers = Setup::new(client, End::new(answers)).v0().plan().unwrap();
    assert_eq!(reads(&answers, Serving::new()), 28_800);
}

#[test]
fn a_price_is_that_of_its_reads_and_beats() {
    let price = v0(secs(60), secs(150)).price(Serving::new());
    // 720 reads of 6.6 µs.
    assert_eq!(price.processor_a_day, Duration::from_nanos(720 * 6_600));
    assert_eq!((price.user_bytes, price.kernel_bytes), (197, 4_600));
    assert_eq!(price.packets_a_day, 2_880);

    let both = v1(Policy::builder().interval(secs(7)).timeout(secs(700)));
    let plain = both.plan().unwrap();
    let price = plain.price(Serving::new());
    // Beats come after 6.125 s on average, and five of them are read at once.
    let beats = 86_400_000_u64.div_ceil(6_125);
    let cost = beats.div_ceil(5) * 10_900 + beats * 10_200;
    assert_eq!(price.processor_a_day, Duration::from_nanos(cost));
    assert_eq!(price.packets_a_day, 4 * beats);
    // Only memory grows where sessions can be resumed.
    let resumed = both.resume(Some(Resume::new(secs(60)))).plan().unwrap().price(Serving::new());
    assert_eq!(resumed.user_bytes, price.user_bytes + 101);
    assert_eq!(Price { user_bytes: price.user_bytes, ..resumed }, price);
}

#[test]
fn a_session_without_beats_costs_memory_alone() {
    let quiet = End::new(Policy::builder().build().unwrap());
    let price = Setup::new(quiet, quiet).v0().plan().unwrap().price(Serving::new());
    assert_eq!((price.processor_a_day, price.packets_a_day), (Duration::ZERO, 0));
    assert_eq!(price.user_bytes, 197);
}

#[test]
fn a_dearer_setting_never_costs_less() {
    let end = |side| End::new(Preset::Default.policy(side));
    let plan = Setup::new(end(Side::Client), end(Side::Server)).plan().unwrap();
    let mut cheaper = Duration::ZERO;
    for beats in (0..100).rev() {
        let price = plan.price(Serving::new().coalesce(Some(beats))).processor_a_day;
        assert!(price >= cheaper, "{beats}: {price:?} after {cheaper:?}");
        cheaper = price;
    }
    let [plain, tls] = [false, true].map(|tls| plan.price(Serving::new().tls(tls)));
    assert!(tls.processor_a_day > plain.processor_a_day && tls.user_bytes > plain.user_bytes);
    assert!(tls.accept > plain.accept);
}
