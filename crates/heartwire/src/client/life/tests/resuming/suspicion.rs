//! Spare connections, which are made on suspicion.

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

fn suspecting() -> Rig {
    let resume = Resume::default().window(WINDOW).grace(GRACE).suspect(true);
    resumable(|config| config.resume(resume))
}

/// Steps until a spare connection is asked for, with time passing. Returns how long that took.
fn until_spare(rig: &mut Rig) -> Option<Duration> {
    let began = rig.toy.now();
    for _ in 0..100 {
        let Step::Wait(wait) = rig.life.step() else { return None };
        rig.life.connection()?;
        if wait.spare {
            return Some(rig.toy.now().saturating_since(began));
        }
        rig.pass_until(wait);
    }
    panic!("nothing happens")
}

#[test]
fn silent_link_is_replaced_by_a_spare_connection_and_nothing_is_lost() {
    let mut rig = suspecting();
    rig.sends(1..=2);
    rig.toy.pass(SECOND);
    rig.toy.send(&ack(after(1)));
    rig.wait();
    assert_eq!(until_spare(&mut rig), Some(INTERVAL + INTERVAL / 2));
    assert!(rig.wait().spare, "until it is made");
    rig.told();
    let (old, spare) = (rig.toy.clone(), rig.toy.another());
    rig.life.spare_connected(spare.clone(), SERVER);
    rig.toy = spare;
    rig.wait();
    assert!(old.state().resets);
    assert_eq!(rig.hello().unwrap().link, 2);
    let told = rig.events();
    let [Event::Away { reason: Reason::Suspected, .. }] = told[..] else { panic!("{told:?}") };
    rig.is_resumed(2, after(1));
    rig.assert_beat_and(&messages([2]));
    assert_eq!(rig.told(), ["back"]);
}

#[test]
fn link_that_speaks_before_the_spare_connection_is_made_stays() {
    let mut rig = suspecting();
    until_spare(&mut rig);
    rig.toy.take_written();
    rig.told();
    let spare = rig.toy.another();
    // The client has not read it yet.
    rig.toy.send(&messages([1]));
    rig.life.spare_connected(spare.clone(), SERVER);
    assert!(spare.is_dropped());
    assert_eq!(spare.take_written(), [0; 0], "no HELLO");
    assert!(!rig.wait().spare);
    assert_eq!(rig.told(), ["data"]);
    assert!(rig.life.connection().is_some());
}

#[test]
fn link_that_ends_before_the_spare_connection_is_made_is_lost_as_ever() {
    let mut rig = suspecting();
    until_spare(&mut rig);
    rig.told();
    rig.toy.state().end = Some(RESET);
    let spare = rig.toy.another();
    rig.life.spare_connected(spare.clone(), SERVER);
    assert!(spare.is_dropped());
    let wait = rig.wait();
    assert_eq!(rig.told()[0], "away");
    assert_eq!(rig.comes_back(wait).link, 2);
}

#[test]
fn end_of_the_session_that_came_before_the_spare_connection_is_made_counts() {
    let kicked = Bye::new(ByeCode::Kicked, RetryHint::AtWill).encode();
    for (words, name) in [(kicked, "bye"), (frame(99, &[]), "protocol_error")] {
        let mut rig = suspecting();
        until_spare(&mut rig);
        rig.told();
        rig.toy.send(&words);
        rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
        let spare = rig.toy.another();
        rig.life.spare_connected(spare.clone(), SERVER);
        assert!(spare.is_dropped());
        rig.wait();
        assert_eq!(rig.end().0.name(), name);
    }
}

#[test]
fn changed_network_is_suspected_at_once_while_the_servers_kernel_is_silent() {
    for is_silent in [true, false] {
        let mut rig = suspecting();
        rig.toy.pass(SECOND);
        rig.client.network_changed();
        rig.toy.state().unacknowledged = Some(8);
        assert!(rig.wait().spare);
        rig.toy.state().unacknowledged = Some(if is_silent { 8 } else { 0 });
        rig.toy.take_written();
        rig.told();
        let spare = rig.toy.another();
        rig.life.spare_connected(spare.clone(), SERVER);
        assert_eq!(spare.is_dropped(), !is_silent);
        assert_eq!(rig.told(), if is_silent { &["away"][..] } else { &[] });
    }
}

#[test]
fn spare_connections_that_fail_are_made_again_and_the_verdict_is_as_ever() {
    let mut rig = suspecting();
    let began = rig.toy.now();
    let mut count = 0;
    while until_spare(&mut rig).is_some() {
        count += 1;
        rig.life.spare_not_connected(SERVER, io::ErrorKind::TimedOut.into());
        assert!(!rig.wait().spare, "not at once again");
    }
    assert!((3..=30).contains(&count), "{count}");
    let late = rig.toy.now().saturating_since(began).saturating_sub(TIMEOUT);
    assert!(late <= SECOND, "{late:?}");
    let told = rig.events();
    let [Event::Away { reason: Reason::Dead(_), .. }, Event::Waiting { .. }] = told[..] else {
        panic!("{told:?}")
    };
}

#[test]
fn sessions_are_not_suspected_unless_asked_and_unless_they_can_be_resumed() {
    let mut rig = resumable(|config| config);
    rig.client.network_changed();
    rig.toy.state().unacknowledged = Some(8);
    assert_eq!(until_spare(&mut rig), None);

    let resume = Resume::default().suspect(true);
    let mut rig =
        Rig::new(|config| config.v1(V1::default()).policy(Policy::default()).resume(resume));
    rig.connects();
    rig.toy.send(&welcome());
    rig.wait();
    assert_eq!(until_spare(&mut rig), None);
}
