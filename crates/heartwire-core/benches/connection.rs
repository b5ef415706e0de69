//! What one connection costs the loop that drives it: a beat, a wake-up for nothing, a deadline.

use core::hint::black_box;
use core::time::Duration;

use criterion::Criterion;
use heartwire_core::order::Outbound;
use heartwire_core::{Connection, Instant, Policy, Preset, Settings, Side, frame};

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn server() -> Settings {
    Settings::new(Preset::Tutorial.policy(Side::Server))
}

fn beat_received(criterion: &mut Criterion) {
    criterion.bench_function("connection/beat received", |bencher| {
        let mut connection = Connection::new(server(), at(0));
        let mut millis = 0;
        bencher.iter(|| {
            millis += 1;
            let mut bytes = black_box(frame::BEAT.as_slice());
            connection.handle_heard(at(millis));
            connection.handle_received(at(millis), &mut bytes).is_ok()
        });
    });
}

fn timeout_early(criterion: &mut Criterion) {
    criterion.bench_function("connection/timeout, nothing due", |bencher| {
        let mut connection = Connection::new(server(), at(0));
        bencher.iter(|| connection.poll(black_box(at(1)), Outbound::Clear));
    });
}

fn timeout_beat(criterion: &mut Criterion) {
    criterion.bench_function("connection/timeout, beat due and written", |bencher| {
        let policy = Policy::builder().interval(Duration::from_millis(1)).build();
        let mut connection = Connection::new(Settings::new(policy.unwrap_or_default()), at(0));
        // A first beat from the peer, so that no frame is waited for.
        let first = connection.handle_received(at(0), &mut frame::BEAT.as_slice());
        assert!(first.is_ok_and(|event| event.is_some()), "a beat is a frame");
        let mut millis = 0;
        bencher.iter(|| {
            millis += 1;
            let writes = connection.poll(black_box(at(millis)), Outbound::Clear);
            (writes, connection.poll(at(millis), Outbound::Clear))
        });
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    beat_received(&mut criterion);
    timeout_early(&mut criterion);
    timeout_beat(&mut criterion);
    criterion.final_summary();
}
