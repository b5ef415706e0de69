//! Frame and handshake timeouts.

use heartwire_testkit::{data, hello, ms, timeout};

use super::{v0, v1};
use crate::server::Protocols;
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::{Reason, Violation};

#[test]
fn the_handshake_has_one_deadline_however_busy_it_looks() {
    let limits = Limits::default().handshake_timeout(Some(ms(400))).frame_timeout(Some(ms(60_000)));
    let hello = hello();
    for protocols in [Protocols::Any, Protocols::V1] {
        for (sent, dribbled) in [(0, 0), (4, 0), (12, 0), (0, 30), (9, 20)] {
            let mut rig = Rig::start(v1().protocols(protocols.clone()).limits(limits.clone()));
            let client = rig.door.connect();
            client.send(&hello[..sent]);
            rig.run();
            for (byte, _) in hello[sent..].iter().zip(0..dribbled) {
                rig.pass(ms(10));
                client.send(&[*byte]);
            }
            rig.pass(ms(399 - 10 * dribbled));
            assert!(!client.state().is_closed);
            rig.pass(ms(5));
            assert!(client.state().is_closed, "{protocols:?}, {sent} and {dribbled}");
            assert_eq!(rig.count("no_first_frame"), 1);
            rig.expect_nothing();
        }
    }
}

#[test]
fn a_frame_that_trickles_is_life_for_its_time_and_then_slow() {
    let limits = Limits::default().frame_timeout(Some(ms(4_000)));
    let mut rig = Rig::start(v0().limits(limits).policy(timeout(2_000)));
    let (client, id) = rig.online();
    client.data(b"");
    rig.run();
    rig.expect_data(id, b"");
    for byte in &data(b"a frame without an end")[..16] {
        client.send(&[*byte]);
        rig.pass(ms(249));
    }
    rig.expect_nothing();
    client.send(b"!");
    rig.pass(ms(21));
    let (reason, _) = rig.offline(id);
    let Reason::Protocol(Violation::SlowFrame { waited }) = reason else { panic!("{reason}") };
    assert!((ms(4_000)..=ms(4_005)).contains(&waited), "{waited:?}");
    assert_eq!(rig.count("slow_frame"), 1);
}
