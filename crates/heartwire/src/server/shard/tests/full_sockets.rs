//! Clients that read nothing for a while: beats to them, verdicts on them, and their end.

use std::io;
use std::sync::mpsc;

use heartwire_testkit::{DATA, Got, header, hello, ms, policy};

use super::{v0, v1};
use crate::Reason;
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::server::{CommandError, Event, SessionId};
use crate::toy::Toy;

const NEWS: &[u8] = b"news";

/// A client whose socket is full, and for which something is queued.
#[track_caller]
fn fill(rig: &mut Rig, client: &Toy, id: SessionId) {
    client.got();
    client.state().room = 0;
    rig.handle.send(id, NEWS).unwrap();
    rig.run();
    assert!(rig.session(id).is_blocked);
}

#[track_caller]
fn read_all(rig: &mut Rig, client: &Toy) -> Vec<Got> {
    client.state().room = usize::MAX;
    rig.run();
    client.got()
}

#[test]
fn a_handler_is_told_that_its_reader_is_slow() {
    let (result, results) = mpsc::channel();
    let mut rig =
        Rig::acting(v0().limits(Limits::default().max_queue(64 * 1024)), move |event, control| {
            if let Event::Data { id, .. } = event {
                while control.send(*id, &[1; 8_192]).is_ok() {}
                let _ = result.send(control.send(*id, b""));
            }
        });
    let (client, id) = rig.online();
    client.state().room = 100_000;
    client.data(b"go");
    rig.run();
    rig.expect_data(id, b"go");
    assert_eq!(rig.offline(id).0, Reason::SlowReader);
    assert_eq!(results.recv().unwrap(), Err(CommandError::Gone));
    // What it was sent before is whole frames, cut where the connection ended.
    assert!(client.take_written().starts_with(&header(DATA, 8_192)));
    assert!(client.state().resets);
}

#[test]
fn a_full_socket_delays_no_verdict_and_no_beats_pile_up() {
    let mut rig = Rig::start(v0().policy(policy(10, 2_000)));
    let (client, id) = rig.online();
    client.beat();
    fill(&mut rig, &client, id);
    let queued = rig.session(id).queued;
    rig.pass(ms(1_999));
    rig.expect_nothing();
    assert_eq!(rig.session(id).queued, queued);
    rig.pass(ms(5));
    rig.verdict(id);
}

#[test]
fn a_beat_of_which_the_socket_takes_a_part_goes_on_where_it_stopped() {
    let mut rig = Rig::start(v1().policy(policy(200, 60_000)));
    let (client, id) = rig.welcomed(&hello());
    rig.pass(ms(1));
    client.got();
    client.state().room = 13;
    rig.pass(ms(210));
    assert!(rig.session(id).is_blocked);
    assert_eq!(client.state().written.len(), 13);
    let got = read_all(&mut rig, &client);
    assert!(matches!(got[..], [Got::Beat(_)]), "{got:?}");
    assert_eq!((client.state().written.len(), rig.session(id).queued), (0, 0));
}

#[test]
fn a_beat_that_finds_the_connection_gone_leaves_its_last_bytes_to_be_read() {
    let mut rig = Rig::start(v0().coalesce(1_000).policy(policy(200, 60_000)));
    let (client, id) = rig.online();
    client.beat();
    rig.run();
    client.data(b"last");
    rig.expect_nothing();
    client.state().write_error = Some(io::ErrorKind::ConnectionReset);
    rig.pass(ms(210));
    rig.expect_data(id, b"last");
    assert_eq!(rig.offline(id).0, Reason::Reset);
}

/// A beat that asks falls due while the client reads nothing. Then it says something, so that what
/// waits stands in for that beat; and the next one comes when it is due, though no timer was set
/// for it before.
#[test]
fn a_server_goes_on_beating_after_data_stood_in_for_a_beat_to_a_slow_client() {
    let mut rig = Rig::start(v0().policy(policy(200, 60_000)));
    let (client, id) = rig.online();
    fill(&mut rig, &client, id);
    rig.pass(ms(600));
    client.data(b"still here");
    rig.run();
    rig.expect_data(id, b"still here");
    assert!(read_all(&mut rig, &client).contains(&Got::Data(NEWS.to_vec())));
    rig.pass(ms(650));
    assert_eq!(client.got(), [Got::Heart, Got::Heart, Got::Heart]);
}

/// It goes out in front of what was queued before it, and sets the timer for the next one.
#[test]
fn a_beat_that_had_to_wait_for_the_socket_comes_first_and_others_after_it() {
    let mut rig = Rig::start(v1());
    let (client, id) = rig.welcomed(&hello());
    fill(&mut rig, &client, id);
    rig.pass(ms(300));
    let got = read_all(&mut rig, &client);
    assert!(matches!(&got[..], [Got::Beat(_), Got::Data(data)] if data == NEWS), "{got:?}");
    rig.pass(ms(550));
    // One every 75 to 100 ms.
    let beats = client.got().len();
    assert!((5..=7).contains(&beats), "{beats} beats");
}

/// The poller tells of a socket that takes bytes again. A broadcast must not find it out before, or
/// the beat that waits for this waits on.
#[test]
fn a_beat_that_waits_for_the_socket_is_sent_though_a_broadcast_comes_first() {
    let mut rig = Rig::start(v1());
    let (slow, slow_id) = rig.welcomed(&hello());
    let (other, _) = rig.welcomed(&hello());
    fill(&mut rig, &slow, slow_id);
    rig.pass(ms(300));
    // In one turn, between its look at the sockets and the command.
    rig.handle.broadcast(b"to all").unwrap();
    other.data(b"hold");
    let taking = slow.clone();
    rig.meanwhile(move || taking.state().room = usize::MAX);
    rig.run();
    let is_beat = |got: &Got| matches!(got, Got::Beat(_));
    assert_eq!(slow.got().iter().filter(|got| is_beat(got)).count(), 1);
}

/// A beat says for how long nothing was heard. What came while it waited for the socket lies in
/// there.
#[test]
fn a_beat_that_had_to_wait_tells_of_what_came_meanwhile() {
    let mut rig = Rig::start(v1().coalesce(1_000));
    let (client, id) = rig.welcomed(&hello());
    client.data(&[0; 40_001]);
    fill(&mut rig, &client, id);
    rig.pass(ms(2_500));
    client.beat_with(|_| {});
    let got = read_all(&mut rig, &client);
    let Some(Got::Beat(beat)) = got.first() else { panic!("{got:?}") };
    assert!(beat.silence() <= ms(20), "{beat:?}");
}
