//! What happens when there is no room for another client.

use heartwire::Reason;
use heartwire::server::Event;
use heartwire::server::limits::{Admission, Refusal};
use heartwire_testkit::{End, Peer, ServerRig, ms};

use super::{config, listening};

#[test]
fn a_client_beyond_the_most_is_closed_at_once_and_it_is_said_once() {
    let mut rig = ServerRig::echo(config().admission(Admission::default().max_sessions(2)));
    let (mut first, first_id) = rig.connect();
    let (second, second_id) = rig.connect();
    for round in 0..40 {
        assert_eq!(Peer::connect(rig.addr()).expect_end(), End::Closed);
        if round == 0 {
            assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
        }
    }
    assert_eq!((rig.count("refused"), rig.count("accepted"), rig.handle().count()), (40, 2, 2));
    rig.expect_echo(&mut first, first_id);
    drop(second);
    assert_eq!(rig.offline(second_id), Reason::ClosedByPeer);
    // There is room again, and it is used at once; the log says so after a quiet second.
    let mut said = 0;
    for _ in 0..2 {
        let peer = Peer::connect(rig.addr());
        let id = loop {
            match rig.next() {
                Event::Accepting { refused: 40 } => said += 1,
                Event::Online { id, .. } => break id,
                other => panic!("{other:?}"),
            }
        };
        drop(peer);
        rig.expect_offline(id);
        rig.expect_quiet(ms(1_050));
    }
    assert_eq!(said, 1);
    rig.finish();
}

#[test]
fn the_most_sessions_are_those_of_all_shards_together() {
    for reuse_port in [true, false] {
        let mut rig = ServerRig::start(
            config()
                .threads(3)
                .reuse_port(reuse_port)
                .admission(Admission::default().max_sessions(5)),
        );
        let clients: Vec<_> = (0..5).map(|_| rig.connect()).collect();
        for round in 0..10 {
            assert_eq!(Peer::connect(rig.addr()).expect_end(), End::Closed);
            if round == 0 {
                assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
            }
        }
        rig.turn();
        assert_eq!((rig.handle().count(), rig.count("refused")), (5, 10));
        drop(clients);
        (0..5).for_each(|_| assert!(matches!(rig.next(), Event::Offline { .. })));
        let _again: Vec<_> = (0..5).map(|_| rig.connect()).collect();
        rig.finish();
    }
}

#[test]
fn a_crowd_at_one_address_keeps_no_other_address_waiting() {
    const CROWD: usize = 600;
    let config = listening("127.0.0.1:0").also_listen("127.0.0.2:0".parse().unwrap());
    let mut rig =
        ServerRig::start(config.threads(1).admission(Admission::default().max_sessions(0)));
    let [quiet, crowded] = *rig.server().local_addrs() else { panic!("two addresses") };
    let refused = |rig: &ServerRig| rig.handle().stats().get("refused").unwrap();
    for (quiet, crowded) in [(quiet, crowded), (crowded, quiet)] {
        // Refused at 16 in 50 ms, which is two seconds for all of them.
        let crowd: Vec<Peer> = (0..CROWD).map(|_| Peer::connect(crowded)).collect();
        let before = refused(&rig);
        assert_eq!(Peer::connect(quiet).expect_end(), End::Closed);
        let meanwhile = refused(&rig) - before;
        assert!(meanwhile < 400, "{meanwhile} of the crowd came first");
        crowd.into_iter().for_each(|mut peer| assert_eq!(peer.expect_end(), End::Closed));
    }
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    rig.finish();
}

/// In a process of its own, because others would miss the descriptors.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_uses_its_last_descriptor_has_refused_no_client() {
    const INSIDE: &str = "HEARTWIRE_TEST_WITH_64_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_some() {
        return with_few_descriptors();
    }
    let this = "server::limits::a_server_that_uses_its_last_descriptor_has_refused_no_client";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .args([this])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(target_os = "linux")]
fn with_few_descriptors() {
    let mut rig = ServerRig::echo(config());
    let (mut first, first_id) = rig.connect();
    let open = || std::fs::File::open("/dev/null");
    let mut held: Vec<_> = core::iter::from_fn(|| open().ok()).collect();
    // Room for one client, at both of its ends.
    held.truncate(held.len() - 2);
    let (second, second_id) = rig.connect();
    // The shard tries its spare one for a moment.
    rig.turn();
    assert!(open().is_err());
    rig.expect_quiet(ms(200));
    assert_eq!(rig.count("refused"), 0);
    // With room for its own end only, the next one is refused, once.
    held.pop();
    let mut refused = Peer::connect(rig.addr());
    assert_eq!(refused.expect_end(), End::Closed);
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::Descriptors });
    rig.expect_quiet(ms(200));
    assert_eq!(rig.count("refused"), 1);
    rig.expect_echo(&mut first, first_id);
    // What is free again is used again.
    drop(second);
    rig.expect_offline(second_id);
    let (mut third, third_id) = rig.connect();
    rig.expect_echo(&mut third, third_id);
    rig.finish();
}
