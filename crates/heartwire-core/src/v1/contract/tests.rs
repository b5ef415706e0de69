use std::string::ToString;

use super::*;
use crate::policy::{Preset, Side};

const fn s(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn offer(preset: Preset, side: Side) -> Offer {
    Offer::new(&preset.policy(side))
}

/// Beat and timeout of each direction, to the server first.
fn agreed(client: Offer, server: Offer) -> [(Option<Duration>, Option<Duration>); 2] {
    let contract = Terms::new(server).agree(&client).unwrap();
    [contract.to_server, contract.to_client].map(|d| (d.interval(), d.timeout()))
}

#[test]
fn two_ends_with_one_preset_get_that_preset() {
    for preset in [Preset::Default, Preset::Fast] {
        let policy = preset.policy(Side::Client);
        let both = agreed(offer(preset, Side::Client), offer(preset, Side::Server));
        assert_eq!(both, [(policy.interval(), policy.timeout()); 2]);
    }
}

#[test]
fn a_shorter_timeout_gets_more_frequent_beats() {
    let both = agreed(offer(Preset::Default, Side::Client), offer(Preset::Fast, Side::Server));
    let strict = Preset::Fast.policy(Side::Server);
    assert_eq!(both[0], (strict.interval(), strict.timeout()));
    // The server would beat as often as it means to, and the client waits as long as it means to.
    assert_eq!(both[1], (strict.interval(), Some(s(30))));
}

#[test]
fn a_server_that_would_send_nothing_beats_for_a_client_that_judges() {
    let both = agreed(offer(Preset::Default, Side::Client), offer(Preset::Tutorial, Side::Server));
    assert_eq!(both, [(Some(s(3)), Some(s(15))), (Some(s(10)), Some(s(30)))]);
}

#[test]
fn ends_without_timeouts_get_only_beats_that_the_sender_wants() {
    let silent = Offer::new(&Policy::builder().build().unwrap());
    assert_eq!(agreed(silent, silent), [(None, None); 2]);
    let beating = Offer::new(&Policy::builder().interval(s(10)).build().unwrap());
    assert_eq!(agreed(beating, silent), [(Some(s(10)), None), (None, None)]);
}

#[test]
fn a_timeout_that_two_beats_do_not_fit_into_becomes_three_beats() {
    let hasty = Offer::new(&Policy::builder().timeout(s(6)).build().unwrap());
    let slow = offer(Preset::Default, Side::Client).min_interval(Some(s(10)));
    let [to_server, _] = agreed(slow, hasty);
    assert_eq!(to_server, (Some(s(10)), Some(s(30))));
}

#[test]
fn a_conflict_names_the_numbers_of_both_ends() {
    let hasty = Offer::new(&Policy::builder().timeout(s(6)).build().unwrap()).max_timeout(s(20));
    let slow = offer(Preset::Default, Side::Client).min_interval(Some(s(10)));
    let conflict = Terms::new(hasty).agree(&slow).unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "one end sends beats every 10s at most, which needs a timeout of 30s, and the other \
         agrees to 20s at most"
    );
    let mute = slow.min_interval(None);
    let conflict = Terms::new(hasty).agree(&mute).unwrap_err();
    assert_eq!(conflict.to_string(), "one end has a timeout of 6s, and the other sends no beats");
    // And the other way round.
    assert_eq!(Terms::new(mute).agree(&hasty), Err(Conflict::NoBeats { timeout: s(6) }));
}

#[test]
fn the_servers_min_interval_holds_for_both_ends() {
    let eager = Offer::new(&Policy::builder().interval(s(2)).timeout(s(5)).build().unwrap());
    let server = offer(Preset::Default, Side::Server).min_interval(Some(s(4)));
    let both = agreed(eager, server);
    assert_eq!(both, [(Some(s(4)), Some(s(30))), (Some(s(4)), Some(s(12)))]);
}

#[test]
fn a_promise_moves_the_timeout_and_leaves_room_for_two_beats() {
    let usual = offer(Preset::Default, Side::Server);
    let contract = Terms::new(usual).agree(&offer(Preset::Default, Side::Client)).unwrap();
    let direction = contract.to_server;
    assert_eq!(direction.timeout_for(s(10)), Some(s(30)));
    assert_eq!(direction.timeout_for(s(15)), Some(s(35)));
    assert_eq!(direction.timeout_for(s(60)), Some(s(120)));
    assert_eq!(direction.timeout_for(s(5)), Some(s(25)));
    // An hour at most.
    assert_eq!(direction.max_promise(), s(1800));
    assert_eq!(direction.timeout_for(s(1800)), Some(s(3600)));
}

#[test]
fn a_max_timeout_is_no_lower_than_the_timeout_under_it() {
    // A client that said so could not accept its own contract.
    let low = offer(Preset::Default, Side::Client).max_timeout(s(20));
    assert_eq!((low.timeout(), low.longest_timeout()), (Some(s(30)), s(30)));
    let contract = Terms::new(offer(Preset::Default, Side::Server)).agree(&low).unwrap();
    assert_eq!(contract.to_client.timeout(), Some(s(30)));
    // A peer that claims it is not believed either.
    let ms = |millis| Millis::new(millis);
    let told = Offer::of_parts(None, None, None, ms(5_000), ms(10).unwrap());
    assert_eq!(told.longest_timeout(), s(5));
}

#[test]
fn three_of_the_longest_intervals_do_not_overflow() {
    let longest = Duration::from_millis(u64::from(u32::MAX));
    let slow = offer(Preset::Default, Side::Client).min_interval(Some(longest));
    let patient = offer(Preset::Default, Side::Server).max_timeout(longest);
    let needed = longest * 3;
    let too_slow = Conflict::BeatTooSlow { interval: longest, needed, max_timeout: longest };
    assert_eq!(Terms::new(patient).agree(&slow), Err(too_slow));
}

#[test]
fn the_longest_promise_can_be_kept_in_whole_milliseconds() {
    let odd = offer(Preset::Default, Side::Server).max_timeout(Duration::from_millis(3_600_001));
    let contract = Terms::new(odd).agree(&offer(Preset::Default, Side::Client)).unwrap();
    assert_eq!(contract.to_server.max_promise(), s(1800));
}

#[test]
fn a_beat_without_a_timeout_can_be_promised() {
    let seldom = Offer::new(&Policy::builder().interval(s(7200)).build().unwrap());
    let silent = Offer::new(&Policy::builder().build().unwrap());
    assert_eq!(silent.longest_timeout(), s(3600));
    let contract = Terms::new(silent).agree(&seldom).unwrap();
    assert_eq!(contract.to_server.max_promise(), s(7200));
}

#[test]
fn a_contract_displays_both_intervals_and_timeouts() {
    let usual = offer(Preset::Default, Side::Server);
    let contract = Terms::new(usual).agree(&offer(Preset::Tutorial, Side::Client)).unwrap();
    assert_eq!(
        contract.to_string(),
        "client interval 3s, server timeout 30s; server interval 10s, client timeout off"
    );
}

#[test]
fn a_short_timeout_lowers_the_min_interval() {
    let judging = Policy::builder().timeout(Duration::from_millis(450)).build().unwrap();
    let beating = Policy::builder().interval(Duration::from_millis(100)).build().unwrap();
    let contract = Terms::new(Offer::new(&judging)).agree(&Offer::new(&beating)).unwrap();
    assert_eq!(contract.to_server.interval(), Some(Duration::from_millis(150)));
    assert_eq!(contract.to_server.timeout(), judging.timeout());
}
