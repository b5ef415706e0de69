//! What the simulated world does not come to, or only rarely: each rule, broken once.

use super::*;

const SLACK: Duration = Duration::from_millis(5);
const GRACE: Duration = Duration::from_secs(10);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn session() -> Session {
    let agreed = ResumeOffer { to_server: 40, to_client: 40, grace: GRACE };
    Session::new((7, 1), 1, agreed, SLACK, at(0))
}

/// Messages of these lengths, sent by the client and accepted.
fn sent(lens: &[usize]) -> (Session, Vec<Vec<u8>>) {
    let (mut session, mut from) = (session(), 0);
    let bodies = lens.iter().map(|&len| {
        let body = Body { at: from, len };
        from += len_of(len);
        session.tell_sent(Side::Client, body);
        body.bytes()
    });
    let bodies = bodies.collect();
    session.accept_all(Side::Client);
    (session, bodies)
}

#[track_caller]
fn breaks(broken: Result<(), Breach>, promise: Invariant) {
    assert_eq!(broken.map_err(|breach| breach.invariant), Err(promise));
}

#[test]
fn a_message_that_is_missing_and_one_that_comes_twice_break_the_order() {
    let (mut session, bodies) = sent(&[3, 5, 4]);
    session.tell_data(Side::Client, &bodies[0]).unwrap();
    breaks(session.tell_data(Side::Client, &bodies[0]), Invariant::NoGapNoRepeat);
    breaks(session.tell_data(Side::Client, &bodies[2]), Invariant::NoGapNoRepeat);
    session.tell_data(Side::Client, &bodies[1]).unwrap();
    session.tell_data(Side::Client, &bodies[2]).unwrap();
    breaks(session.tell_data(Side::Client, &[]), Invariant::NoGapNoRepeat);
}

#[test]
fn data_waits_for_a_client_that_has_the_session_until_it_is_told_the_end() {
    let mut session = session();
    session.tell_sent(Side::Server, Body { at: 0, len: 3 });
    assert!(!session.may_wait_for_its_client(), "it has not heard of it");
    session.is_the_clients = true;
    session.tell_online(Side::Client).unwrap();
    assert!(session.may_wait_for_its_client());
    session.tell_offline(Side::Client, &Reason::Shutdown, true).unwrap();
    assert!(!session.may_wait_for_its_client());
}

#[test]
fn data_that_was_delivered_waits_no_longer() {
    let mut session = session();
    session.is_the_clients = true;
    let body = Body { at: 0, len: 3 };
    session.tell_sent(Side::Server, body);
    session.tell_data(Side::Server, &body.bytes()).unwrap();
    assert!(!session.may_wait_for_its_client());
}

#[test]
fn an_end_comes_once_behind_all_messages_and_nothing_follows_it() {
    let (mut session, bodies) = sent(&[3]);
    breaks(session.tell_ended(Side::Client), Invariant::NoGapNoRepeat);
    session.tell_end(Side::Client);
    breaks(session.tell_ended(Side::Client), Invariant::NoGapNoRepeat);
    session.tell_data(Side::Client, &bodies[0]).unwrap();
    // It counts as a frame, once the application knows of it.
    let end = Position { frames: 2, bytes: 19 };
    breaks(session.tell_taken(Side::Server, end), Invariant::TrueAcks);
    session.tell_ended(Side::Client).unwrap();
    session.tell_taken(Side::Server, end).unwrap();
    breaks(session.tell_ended(Side::Client), Invariant::NoGapNoRepeat);
    breaks(session.tell_data(Side::Client, &[]), Invariant::NoGapNoRepeat);
}

#[test]
fn a_session_is_done_when_both_ends_are_delivered_and_acknowledged() {
    let done = |session: &mut Session| {
        session.told.server = Told::Online;
        session.tell_offline(Side::Server, &Reason::Done, false)
    };
    let mut session = session();
    for side in [Side::Client, Side::Server] {
        breaks(done(&mut session), Invariant::NothingLost);
        session.tell_end(side);
        session.tell_ended(side).unwrap();
    }
    breaks(done(&mut session), Invariant::NothingLost);
    session.hear_taken(Side::Server, Position { frames: 1, bytes: 8 });
    done(&mut session).unwrap();
}

#[test]
fn an_acknowledgement_is_of_what_was_taken_over_and_does_not_go_back() {
    let (mut session, bodies) = sent(&[3, 5]);
    let position = |frames, bytes| Position { frames, bytes };
    let told = |session: &mut Session, frames, bytes| {
        session.tell_taken(Side::Server, position(frames, bytes))
    };
    told(&mut session, 0, 0).unwrap();
    breaks(told(&mut session, 1, 11), Invariant::TrueAcks);
    session.tell_data(Side::Client, &bodies[0]).unwrap();
    breaks(told(&mut session, 1, 3), Invariant::TrueAcks);
    told(&mut session, 1, 11).unwrap();
    breaks(told(&mut session, 0, 0), Invariant::TrueAcks);
}

#[test]
fn bytes_on_their_way_fit_into_the_window() {
    let (mut session, bodies) = sent(&[12, 12]);
    session.check_window(Side::Client).unwrap();
    session.tell_sent(Side::Client, Body { at: 24, len: 0 });
    session.check_window(Side::Client).unwrap();
    session.accept_all(Side::Client);
    breaks(session.check_window(Side::Client), Invariant::WithinTheWindow);
    session.tell_data(Side::Client, &bodies[0]).unwrap();
    session.hear_taken(Side::Client, Position { frames: 1, bytes: 20 });
    session.check_window(Side::Client).unwrap();
}

#[test]
fn a_loss_is_exact_or_at_least_the_truth() {
    let said = |frames, bytes, exact| {
        let mut said = Undelivered::NOTHING;
        (said.frames, said.bytes, said.exact) = (frames, bytes, exact);
        said
    };
    let lost = |undelivered, unwritten: (usize, u64)| {
        let (mut session, bodies) = sent(&[3, 5, 4]);
        session.tell_data(Side::Client, &bodies[0])?;
        let (messages, bytes) = unwritten;
        let unwritten = Unwritten { messages, bytes: Some(bytes) };
        session.tell_undelivered(Side::Client, &undelivered, unwritten)?;
        session.tell_data(Side::Client, &bodies[1])?;
        session.tell_online(Side::Server).unwrap();
        session.tell_offline(Side::Server, &Reason::Kicked, false).unwrap();
        session.check_loss(Side::Client)
    };
    // The application that is to take them gets one more.
    lost(said(1, 4, true), (0, 0)).unwrap();
    lost(said(3, 19, true), (2, 15)).unwrap();
    lost(said(2, 9, false), (0, 0)).unwrap();
    lost(said(3, 12, false), (0, 0)).unwrap();
    for (undelivered, unwritten) in [
        (said(2, 9, true), (0, 0)),  // which comes although it was said to be lost
        (said(0, 0, true), (0, 0)),  // which does not come
        (said(1, 5, true), (0, 0)),  // other bytes
        (said(1, 4, false), (0, 0)), // too low
        (said(2, 8, false), (0, 0)), // the same of the bytes
        (said(2, 9, false), (1, 0)), // without what was not written
    ] {
        breaks(lost(undelivered, unwritten), Invariant::TrueLoss);
    }
}

#[test]
fn away_and_back_alternate_between_online_and_offline() {
    let online = || {
        let mut session = session();
        session.tell_online(Side::Client).unwrap();
        session
    };
    let away = |session: &mut Session| session.tell_away(Side::Client, GRACE);
    let back = |session: &mut Session| session.tell_back(Side::Client);
    let offline =
        |session: &mut Session| session.tell_offline(Side::Client, &Reason::Shutdown, false);
    type Step = fn(&mut Session) -> Result<(), Breach>;
    let steps: [Step; 3] = [away, back, offline];
    let mut whole = online();
    for step in [0, 1, 0, 2] {
        steps[step](&mut whole).unwrap();
    }
    for wrong in [&[0, 0][..], &[1], &[0, 1, 1], &[2, 2], &[2, 0], &[2, 1]] {
        let mut session = online();
        let (last, before) = wrong.split_last().unwrap();
        before.iter().for_each(|&step| steps[step](&mut session).unwrap());
        breaks(steps[*last](&mut session), Invariant::AwayAndBack);
    }
    breaks(away(&mut session()), Invariant::AwayAndBack);
    breaks(online().tell_online(Side::Client), Invariant::AwayAndBack);
    // A server need not have noticed that its client had lost a link.
    let mut server = session();
    server.tell_online(Side::Server).unwrap();
    server.tell_back(Side::Server).unwrap();
}

#[test]
fn a_session_is_away_for_its_grace_and_no_longer() {
    let away = || {
        let mut session = session();
        session.tell_online(Side::Server).unwrap();
        session.tell_away(Side::Server, GRACE).unwrap();
        session.go_away(Side::Server, at(0));
        session
    };
    let tick = Duration::from_millis(10);
    let check = |session: &Session, now, runs_since| {
        session.check(Side::Server, at(now), at(runs_since), tick)
    };
    check(&away(), 10_010, 0).unwrap();
    breaks(check(&away(), 10_011, 0), Invariant::BackInTime);
    check(&away(), 10_011, 10_001).unwrap();
    let mut paused = away();
    paused.handle_pause(Side::Server, at(3_000));
    check(&paused, 13_010, 0).unwrap();
    let back = |now, runs_since| away().come_back(Side::Server, at(now), at(runs_since));
    back(10_005, 0).unwrap();
    breaks(back(10_006, 0), Invariant::BackInTime);
    back(20_000, 20_000).unwrap();
    let given_up = |now| {
        let mut session = away();
        session.end(Side::Server, at(now));
        session.tell_offline(Side::Server, &Reason::NotBack, false)
    };
    given_up(9_995).unwrap();
    breaks(given_up(9_994), Invariant::BackInTime);
    let mut longer = session();
    longer.tell_online(Side::Server).unwrap();
    breaks(longer.tell_away(Side::Server, GRACE + tick), Invariant::BackInTime);
    // And one that is not away is not given up for that.
    let mut online = session();
    online.tell_online(Side::Server).unwrap();
    breaks(online.tell_offline(Side::Server, &Reason::NotBack, false), Invariant::AwayAndBack);
}

#[test]
fn a_link_that_is_lost_ends_no_session_that_has_begun() {
    let ends = |reason, has_begun| {
        let mut session = session();
        session.has_begun = has_begun;
        session.tell_online(Side::Server).unwrap();
        session.tell_offline(Side::Server, &reason, false)
    };
    for reason in [Reason::Reset, Reason::ClosedByPeer, Reason::Truncated] {
        breaks(ends(reason, true), Invariant::OutlivesItsLinks);
        ends(reason, false).unwrap();
    }
    ends(Reason::Kicked, true).unwrap();
    let mut session = session();
    session.tell_online(Side::Server).unwrap();
    session.tell_online(Side::Client).unwrap();
    let gone = session.tell_offline(Side::Client, &Reason::NotResumed, false);
    breaks(gone, Invariant::OutlivesItsLinks);
}
