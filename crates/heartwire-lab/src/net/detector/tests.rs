use clap::ValueEnum;

use super::*;

#[test]
fn every_detector_has_a_plan_that_makes_sense() {
    for detector in Detector::ALL {
        let plan = detector.plan(Duration::ZERO, None).unwrap();
        let user_timeout = plan.end(Side::Client).kernel.user_timeout();
        assert!(user_timeout.is_none_or(|timeout| timeout >= TIMEOUT), "{detector:?}");
    }
}

#[test]
fn a_detector_is_typed_by_its_name() {
    assert_eq!(Detector::value_variants(), Detector::ALL);
    for detector in Detector::ALL {
        assert_eq!(Detector::from_str(detector.name(), false), Ok(detector));
    }
}

#[test]
fn settings_are_typed_as_the_program_reads_them() {
    let typed = |detector: Detector, side| {
        flags(&detector.plan(Duration::ZERO, None).unwrap().end(side)).join(" ")
    };
    assert_eq!(typed(Detector::None, Side::Client), "--interval=off --timeout=off");
    assert_eq!(
        typed(Detector::OneWay, Side::Client),
        "--interval=1000ms --timeout=off --peer-interval=1000ms"
    );
    assert_eq!(
        typed(Detector::OneWay, Side::Server),
        "--interval=off --timeout=3000ms --peer-interval=1000ms"
    );
    assert_eq!(
        typed(Detector::Asking, Side::Client),
        "--interval=off --timeout=3000ms --echo --peer-interval=1000ms"
    );
    assert_eq!(
        typed(Detector::Everything, Side::Server),
        "--interval=1000ms --timeout=3000ms --peer-interval=1000ms --keepalive=1s,1s,3 \
         --user-timeout=5000ms"
    );
}
