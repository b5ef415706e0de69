//! Promises: how long an end will be silent, and what the other end makes of it.

use super::*;

#[test]
fn a_promise_is_kept_and_moves_the_timeout_of_the_other_end() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    assert_eq!(pair.client.connection.promise(s(300)), Some(s(300)));
    pair.run_for(s(1));
    assert_eq!(pair.server.connection.policy().timeout(), Some(s(600)));
    let beats = pair.server.beats;
    pair.run_for(s(1500));
    let beats = pair.server.beats - beats;
    assert!((5..=6).contains(&beats), "{beats}");
    pair.both_live();
    // And back.
    assert_eq!(pair.client.connection.promise(s(10)), Some(s(10)));
    pair.run_for(s(1));
    assert_eq!(pair.server.connection.policy().timeout(), Some(s(30)));
    pair.cut_to_server = true;
    pair.run_for(s(31));
    assert!(matches!(pair.server.outcome, Some(Ok(_))), "{:?}", pair.server.outcome);
}

#[test]
fn a_promise_keeps_to_the_contract() {
    let mut pair = Pair::usual(ms(40));
    assert_eq!(pair.client.connection.promise(s(100_000)), Some(s(1800)));
    assert_eq!(pair.client.connection.promise(ms(1)), Some(s(1)));
    pair.run_for(s(10));
    pair.both_live();
}

#[test]
fn a_promise_that_is_repeated_is_no_news() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(1));
    let beats = pair.server.beats;
    for _ in 0..1000 {
        // It comes to what the contract allows, each time.
        assert_eq!(pair.client.connection.promise(s(100_000)), Some(s(1800)));
        pair.run_for(ms(1));
    }
    assert_eq!(pair.server.beats, beats + 1);
}

#[test]
fn a_promise_that_is_shortened_leaves_the_peer_time_to_hear_of_it() {
    let mut pair = Pair::usual(ms(40));
    pair.client.connection.promise(s(300));
    // The server has heard nothing for 220 s, as its beats say, and rightly so.
    pair.run_for(s(220));
    assert!(pair.link_state(Side::Client).unheard > s(205));
    pair.client.connection.promise(s(10));
    assert!(!pair.client.connection.is_over(pair.now));
    // A beat that was under way meanwhile says so too.
    pair.server.connection.beat_now();
    pair.run_for(s(100));
    pair.both_live();
}

#[test]
fn a_promise_beyond_the_contract_ends_the_connection() {
    let mut pair = Pair::usual(ms(40));
    let beat = Beat { nonce: 1, promise_ms: 1_800_001, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    pair.server.take(&bytes, &pair.terms, pair.now);
    let too_long = Violation::PromiseTooLong { promise: ms(1_800_001), max: s(1800) };
    assert_eq!(pair.server.outcome, Some(Err(too_long)));
}

#[test]
fn a_promise_that_no_beat_has_told_yet_proves_nothing() {
    let mut pair = Pair::usual(ms(40));
    pair.client.connection.promise(s(300));
    pair.run_for(s(290));
    pair.client.connection.promise(s(10));
    // Before that is told, a beat of the server is read: it goes by what it was promised.
    let beat = Beat { nonce: 1, silence_ms: 280_000, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    pair.run_for(s(100));
    pair.both_live();
}

#[test]
fn a_promise_that_waits_for_the_socket_is_not_in_force() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let (terms, client) = (pair.terms, &mut pair.client);
    let (unheard_since, mut now) = (pair.now, pair.now);
    let mut waiting = None;
    // The server, which gives no verdicts, hears nothing any more, and says so each second.
    for secs in 1.. {
        now = now.saturating_add(s(1));
        let silence_ms = millis(now.saturating_since(unheard_since));
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        let header = codec::header(Kind::Heart, 32).unwrap();
        client.take(&header.into_iter().chain(beat.encode()).collect::<Vec<u8>>(), &terms, now);
        // The client's application cannot make up its mind.
        client.connection.promise(if secs % 2 == 0 { s(300) } else { s(10) });
        let mut next = client.connection.poll(now, Outbound::Waiting);
        let over = loop {
            next = match next {
                Next::ReadFirst(read) => client.connection.judge(read, Found::All, None),
                Next::Write(beat) => {
                    waiting = Some(beat);
                    client.connection.poll(now, Outbound::Waiting)
                }
                Next::SleepUntil(_) => break None,
                Next::Over(over) => break Some(over),
            };
        };
        if let Some(Over::Dead(verdict)) = over {
            assert_eq!((verdict.cause, secs), (Cause::Unheard, 60), "{verdict}");
            break;
        }
        assert!(secs < 60, "no verdict");
    }
    assert!(waiting.is_some_and(|beat| beat.is_news()));
}

#[test]
fn a_promise_is_in_force_when_its_beat_has_been_written() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let now = pair.now;
    let connection = &mut pair.client.connection;
    // The timeouts are 30 s each, and 600 s for a server that was promised a beat in 300 s.
    connection.promise(s(300));
    let Next::ReadFirst(read) = connection.poll(now, Outbound::Waiting) else { panic!("no beat") };
    let Next::Write(beat) = connection.judge(read, Found::All, None) else { panic!("no beat") };
    let unheard_for = |silence_ms, connection: &mut Connection| {
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        let header = codec::header(Kind::Heart, 32).unwrap();
        let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
        connection.handle_heard(now);
        connection.handle_received(now, &mut bytes.as_slice()).unwrap();
        let dialogue = connection.stage.dialogue().unwrap();
        dialogue.unheard_at().map(|at| at.saturating_since(dialogue.heard_by_peer_at()))
    };
    assert_eq!(unheard_for(31_000, connection), Some(s(60)), "it waits");
    connection.handle_beat_written(&beat, now);
    assert_eq!(unheard_for(31_000, connection), None, "the server is not impatient");
    assert_eq!(unheard_for(600_000, connection), Some(s(630)));
}
