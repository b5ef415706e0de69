//! The round trip, as both ends measure it.

use super::*;

#[test]
fn both_ends_know_the_round_trip_from_their_first_words_on() {
    // The client has the WELCOME, and its first beat is on its way.
    let mut pair = Pair::usual(ms(40));
    assert_eq!(pair.link_state(Side::Client).rtt, Some(ms(80)));
    assert_eq!(pair.link_state(Side::Server).rtt, None);
    pair.run_for(ms(40));
    assert_eq!(pair.link_state(Side::Server).rtt, Some(ms(80)));
}

/// The server lets beats wait in its kernel and knows about when they came.
#[test]
fn a_round_trip_that_looks_like_nothing_is_not_told_as_nothing() {
    let rough = |rtt| {
        let server = Offer::new(&usual(Side::Server));
        let contract = Terms::new(server).wake_bytes(161).agree(&Offer::new(&usual(Side::Client)));
        let now = Instant::from_nanos(1_000_000_000_000);
        let (contract, arrived) = (contract.unwrap().into(), Arrived::at(now));
        let client = Dialogue::new(Side::Client, (1, contract), Health::Ok, arrived, now);
        let mut client = client.with_rtt(rtt);
        move |reading| {
            client.handle_rtt(reading);
            let link_state = client.link_state(now);
            (link_state.rtt, link_state.rtt_below)
        }
    };
    let below = Some(arrival::MAX_SPAN);
    let mut of_handshake = rough(Some(ms(1)));
    assert_eq!(of_handshake(ms(0)), (Some(ms(1)), None), "it can be so");
    assert_eq!(of_handshake(ms(9)), (Some(ms(1)), None), "it can be so");
    assert_eq!(of_handshake(ms(50)), (Some(ms(50)), None), "it cannot");
    assert_eq!(of_handshake(ms(0)), (None, below), "it has become short again");
    let mut unknown = rough(None);
    assert_eq!(unknown(ms(2)), (None, below));
}

#[test]
fn beats_tell_both_ends_the_round_trip() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(30));
    for side in [Side::Client, Side::Server] {
        let link_state = pair.link_state(side);
        // What was held is told in whole microseconds.
        let rtt = link_state.rtt.unwrap();
        assert!((ms(80)..ms(80) + Duration::from_micros(2)).contains(&rtt), "{rtt:?}");
        assert_eq!((link_state.peer_health, link_state.too_fast), (Health::Ok, false));
    }
}

#[test]
fn beats_that_lay_unread_do_not_spoil_the_round_trip() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(62));
    let before = pair.link_state(Side::Server).rtt.unwrap();
    let echoed = pair.server.connection.stage.dialogue().unwrap().heard.nonce;
    pair.client.connection.beat_now();
    let mut held = pair.client.turn(pair.now)[0].as_ref().to_vec();
    held.extend(codec::data_header(0).unwrap());
    // The beat waits in the server's kernel until data wake it. When it came is not known.
    pair.run_for(s(4));
    let terms = pair.terms;
    pair.server.take(&held, &terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).rtt, Some(before));
    assert_eq!(pair.server.connection.stage.dialogue().unwrap().heard.nonce, echoed);
    // The client's own reading is as good as before.
    pair.run_for(s(30));
    for side in [Side::Client, Side::Server] {
        let rtt = pair.link_state(side).rtt.unwrap();
        assert!((ms(80)..ms(81)).contains(&rtt), "{side:?}: {rtt:?}");
    }
}

/// Of beats that are left in the kernel only the last one's arrival is known.
#[test]
fn beats_that_were_known_without_a_read_do_not_spoil_the_round_trip() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(62));
    let before = pair.link_state(Side::Server).rtt.unwrap();
    let terms = pair.terms;
    pair.client.connection.beat_now();
    let mut held = pair.client.turn(pair.now)[0].as_ref().to_vec();
    let read_at = pair.server.connection.last_read();
    pair.server.connection.beat_now();
    pair.now = pair.at(s(3));
    let next = pair.server.connection.poll(pair.now, Outbound::Clear);
    let Next::ReadFirst(read) = next else { panic!("{next:?}") };
    let next = pair.server.connection.judge(read, Found::Unread(pair.now), None);
    assert!(matches!(next, Next::Write(_)), "{next:?}");
    assert_eq!(pair.server.connection.last_heard(), pair.now);
    assert_eq!(pair.server.connection.last_read(), read_at);
    // Right after it, data wakes the server, which reads both.
    held.extend(codec::data_header(0).unwrap());
    pair.server.take(&held, &terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).rtt, Some(before));
}

#[test]
fn a_beat_right_before_data_is_measured() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    pair.server.connection.handle_heard(pair.now);
    pair.now = pair.at(ms(8));
    pair.client.connection.beat_now();
    let mut bytes = pair.client.turn(pair.now)[0].as_ref().to_vec();
    bytes.extend(codec::data_header(0).unwrap());
    let terms = pair.terms;
    pair.server.take(&bytes, &terms, pair.now);
    let heard_at = pair.server.connection.stage.dialogue().unwrap().heard.at;
    // Between the last byte before it, and its own.
    assert_eq!(pair.now.saturating_since(heard_at), ms(4));
}

#[test]
fn a_held_time_that_overflows_its_field_measures_nothing() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let before = pair.link_state(Side::Server).rtt;
    let beat = Beat { nonce: 1, echo: 1, held_us: u32::MAX, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.server.take(&bytes, &terms, pair.now);
    assert_eq!((pair.link_state(Side::Server).rtt, pair.server.outcome), (before, None));
}
