use std::string::{String, ToString};
use std::vec::Vec;

use heartwire_core::kernel::KernelTimers;
use heartwire_core::{Policy, PolicyBuilder, Preset};

use super::*;
use crate::{End, Setup};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn end(policy: PolicyBuilder) -> End {
    End::new(policy.build().unwrap())
}

fn warnings(client: End, server: End, nat_timeout: Option<Duration>) -> Vec<Warning> {
    let plan = Setup::new(client, server).v0().nat_timeout(nat_timeout).plan().unwrap();
    plan.warnings().collect()
}

fn only(warnings: &[Warning]) -> (&'static str, String) {
    let [warning] = warnings else { panic!("{warnings:?}") };
    (warning.name(), warning.to_string())
}

#[test]
fn presets_end_no_healthy_connection() {
    for preset in [Preset::Default, Preset::Tutorial, Preset::Fast] {
        let [client, server] =
            [Side::Client, Side::Server].map(|side| End::new(preset.policy(side)));
        assert_eq!(warnings(client, server, Some(secs(20))), []);
    }
}

#[test]
fn the_usual_client_at_a_server_that_never_sends_is_warned_of() {
    let client = End::new(Preset::Default.policy(Side::Client));
    let server = End::new(Preset::Tutorial.policy(Side::Server));
    let warnings = warnings(client, server, None);
    let (silent, slow) = match warnings.as_slice() {
        [silent, slow] => (silent.to_string(), slow.to_string()),
        _ => panic!("{warnings:?}"),
    };
    assert!(silent.contains("the client has a timeout of 30s, but the server sends nothing"));
    // Its timeout of 15 s was made for beats of 3 s.
    assert!(
        slow.contains("the server has a timeout of 15s") && slow.contains("at least 20s"),
        "{slow}"
    );
}

#[test]
fn an_echo_is_only_traffic_if_the_other_end_beats() {
    let judging = end(Policy::builder().timeout(secs(9)).peer_interval(secs(3)));
    let echoing = end(Policy::builder().echo(true));
    assert_eq!(only(&warnings(judging, echoing, None)).0, "timeout_without_traffic");
    // Twice the beat is enough.
    let asking = end(Policy::builder().interval(secs(3)).timeout(secs(6)));
    assert_eq!(warnings(asking, echoing, None), []);
}

#[test]
fn a_user_timeout_below_the_timeout_speaks_before_it() {
    let policy = Policy::builder().interval(secs(3)).timeout(secs(9));
    let kernel = |secs_| KernelTimers::new(None, Some(secs(secs_))).unwrap();
    let hasty = end(policy).kernel(kernel(8));
    let (name, text) = only(&warnings(hasty, end(policy), None));
    assert_eq!(name, "user_timeout_too_short");
    assert!(text.contains("the client's user timeout of 8s is shorter than its timeout of 9s"));
    assert_eq!(warnings(end(policy).kernel(kernel(9)), end(policy), None), []);
}

#[test]
fn a_beat_must_pass_before_the_middlebox_forgets() {
    let beating = end(Policy::builder().interval(secs(10)));
    let (name, text) = only(&warnings(beating, beating, Some(secs(10))));
    assert_eq!(name, "nat_forgets");
    assert!(text.contains("10.2s go by") && text.contains("after 10s"), "{text}");
    let quiet_for = Duration::from_millis(10_200);
    assert_eq!(warnings(beating, beating, Some(quiet_for)).len(), 1);
    assert_eq!(warnings(beating, beating, Some(quiet_for + Duration::from_millis(1))), []);
    let quiet = end(Policy::builder());
    let (_, text) = only(&warnings(quiet, quiet, Some(secs(350))));
    assert!(text.contains("let the client send beats"), "{text}");
    assert_eq!(warnings(quiet, quiet, None), []);
}
