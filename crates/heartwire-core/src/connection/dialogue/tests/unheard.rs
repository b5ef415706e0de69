//! A peer that does not hear this end says so in its beats.

use super::*;

/// A server lets beats lie in its kernel, and knows when the last of them came.
#[test]
fn the_last_of_beats_that_are_read_together_says_when_the_peer_heard_this_end() {
    let mut pair = Pair::usual(ms(40));
    pair.now = pair.at(s(40));
    let beats: Vec<u8> = [5, 15, 25].into_iter().flat_map(beat_of_silence).collect();
    pair.server.take(&beats, &pair.terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).unheard, s(25));
    // Read later, a smaller silence is news, and a larger one has nothing to take back.
    pair.server.take(&beat_of_silence(1), &pair.terms, pair.now);
    pair.server.take(&beat_of_silence(2), &pair.terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).unheard, s(1));
}

fn beat_of_silence(secs: u32) -> Vec<u8> {
    let beat = Beat { silence_ms: secs * 1_000, promise_ms: 10_000, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    header.into_iter().chain(beat.encode()).collect()
}

#[test]
fn each_end_knows_when_the_other_last_heard_it() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let before = pair.link_state(Side::Client).unheard;
    assert!(before <= s(20), "{before:?}");
    pair.cut_to_server = true;
    pair.run_for(s(25));
    let unheard = pair.link_state(Side::Client).unheard;
    assert!((s(20)..=s(45)).contains(&unheard), "{unheard:?}");
    assert_eq!(pair.client.outcome, None);
}

#[test]
fn a_way_that_is_cut_is_found_by_both_ends() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    pair.cut_to_server = true;
    pair.run_for(s(31));
    // The server has not heard its client for its timeout.
    let Some(Ok(verdict)) = pair.server.outcome else { panic!("{:?}", pair.server.outcome) };
    assert_eq!((verdict.cause, verdict.silence), (Cause::Silence, s(30)));
    // It judges and falls silent, so the client can tell by that alone.
    pair.run_for(s(40));
    let Some(Ok(verdict)) = pair.client.outcome else { panic!("{:?}", pair.client.outcome) };
    assert_eq!(verdict.cause, Cause::Silence);
}

#[test]
fn a_peer_that_beats_but_does_not_hear_us_is_found_by_its_own_account() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let last_heard = pair.server.connection.last_heard();
    pair.cut_to_server = true;
    pair.cut_to_client = true;
    let (mut beat, mut nonce) = (Beat::decode(&[0; 32]), 1_000_000_000_000_000);
    for _ in 0..12 {
        // A beat of the server that says how long it has heard nothing.
        nonce += 1;
        beat.nonce = nonce;
        beat.promise_ms = 10_000;
        beat.silence_ms = millis(pair.now.saturating_since(last_heard));
        let header = codec::header(Kind::Heart, 32).unwrap();
        let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
        pair.client.take(&bytes, &pair.terms, pair.now);
        pair.run_for(s(5));
        if pair.client.outcome.is_some() {
            break;
        }
    }
    let Some(Ok(verdict)) = pair.client.outcome else { panic!("{:?}", pair.client.outcome) };
    assert_eq!(verdict.cause, Cause::Unheard);
    // Two timeouts of 30 s since the server last heard its client.
    assert_eq!(verdict.silence, s(60));
    assert_eq!(verdict.bound.unwrap().earliest, s(60));
}

#[test]
fn a_beat_behind_data_that_the_application_has_no_room_for_may_say_that_the_peer_hears_us() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let heart = |silence_ms| {
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        codec::header(Kind::Heart, 32).unwrap().into_iter().chain(beat.encode())
    };
    let now = pair.at(s(100));
    let data = codec::header(Kind::Data, 0).unwrap();
    let bytes: Vec<u8> = heart(100_000).chain(data).chain(heart(0)).collect();
    let (client, mut rest) = (&mut pair.client.connection, bytes.as_slice());
    client.handle_heard(now);
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Beat)));
    assert!(!client.is_over(now), "not all is known");
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Data(&[]))));
    assert!(!client.is_over(now), "not all is known");
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Beat)));
    assert!(!client.is_over(now), "it hears us");
}

#[test]
fn a_pause_of_ours_is_not_held_against_the_way_to_the_peer() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    pair.now = pair.at(s(500));
    // It reads first: the server's beats of that time, of which the last one has heard nothing for
    // long.
    let beat = Beat { nonce: 5, silence_ms: 490_000, promise_ms: 10_000, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    pair.client.pause = Some(Pause::new(pair.now, s(480)));
    pair.write();
    assert_eq!(pair.client.outcome, None);
}

#[test]
fn beats_that_are_held_up_behind_data_cause_no_verdict() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    // The client's beats come when all of its data have, which the server takes at its leisure.
    pair.cut_to_server = true;
    for _ in 0..600 {
        pair.server.connection.handle_heard(pair.now);
        pair.run_for(s(1));
    }
    pair.both_live();
}

#[test]
fn unheard_is_not_judged_while_the_application_does_not_read() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    let beat = Beat { nonce: 9, silence_ms: 40_000, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    // Its application does not let the client read any more, and the server's next beats wait.
    pair.now = pair.at(s(100));
    assert!(pair.client.connection.is_over(pair.now));
    pair.client.connection.handle_backpressure(pair.now);
    assert!(!pair.client.connection.is_over(pair.now));
    pair.write();
    assert_eq!(pair.client.outcome, None);
}
