use super::*;

#[test]
fn an_event_is_what_has_a_time_and_a_name() {
    let line =
        r#"{"time":"2026-11-22T10:00:00.250000Z","event":"offline","reason":"dead","beats":7}"#;
    let told = Told::parse(Side::Server, line).unwrap();
    assert_eq!(
        (told.side, told.event.as_str(), told.text("reason")),
        (Side::Server, "offline", "dead")
    );
    assert!((told.number("beats") - 7.0).abs() < f64::EPSILON);
    assert_eq!(told.text("cause"), "");
    assert_eq!(humantime::format_rfc3339_millis(told.at).to_string(), "2026-11-22T10:00:00.250Z");
    for line in ["", "heartwire: cannot listen", r#"{"event":"offline"}"#, r#"{"time":"now"}"#] {
        assert_eq!(Told::parse(Side::Client, line), None, "{line}");
    }
}

#[test]
fn a_closed_gate_is_waited_for() {
    let latch = Arc::new(Latch::default());
    latch.wait_until_open();
    latch.set(false);
    let waiting = thread::spawn({
        let latch = Arc::clone(&latch);
        move || latch.wait_until_open()
    });
    latch.set(true);
    waiting.join().unwrap();
}
