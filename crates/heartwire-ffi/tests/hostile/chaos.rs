//! Any call at any time, with any frame of a server: each connection ends once, and nothing comes
//! behind its end.

use core::time::Duration;

use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_ffi::abi::*;
use proptest::prelude::*;

use crate::rig::*;

#[derive(Clone, Debug)]
enum Do {
    Connect,
    Disconnect,
    Feed(Vec<u8>),
    Events(usize),
    Poll,
    ReadDone(bool),
    Write(usize),
    Send(usize),
    Close,
    Retry,
    Promise(u32),
    Health(u32),
    Pass(u64),
    /// The clock shows anything.
    Show(u64),
    /// As long as the client asks for.
    Sleep,
}

fn bye() -> impl Strategy<Value = Vec<u8>> {
    let within = (any::<u32>(), any::<u32>()).prop_map(|(earliest, latest)| {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        RetryHint::Within { earliest: ms(earliest), latest: ms(earliest.max(latest)) }
    });
    let hint = prop_oneof![Just(RetryHint::Never), Just(RetryHint::AtWill), within];
    hint.prop_map(|hint| Bye::new(ByeCode::Full, hint).detail("too many").encode())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let message = (0_usize..600).prop_map(|len| frame(DATA, &vec![7; len]));
    let pad = (0_usize..3_000).prop_map(|len| frame(PAD, &vec![7; len]));
    let any_frame = (0..9, prop::collection::vec(any::<u8>(), 0..60))
        .prop_map(|(kind, body)| frame(kind, &body));
    let part = (any::<u8>(), message.clone()).prop_map(|(len, bytes)| {
        let len = bytes.len().min(len.into());
        bytes[..len].to_vec()
    });
    prop_oneof![
        4 => prop_oneof![Just(1_u32), Just(500), Just(60_000)].prop_map(welcome),
        4 => Just(beat()),
        4 => message,
        2 => pad,
        3 => bye(),
        1 => any_frame,
        2 => part,
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn what() -> impl Strategy<Value = Do> {
    prop_oneof![
        5 => Just(Do::Connect),
        3 => Just(Do::Disconnect),
        6 => bytes().prop_map(Do::Feed),
        6 => prop_oneof![0_usize..3, Just(100), Just(100)].prop_map(Do::Events),
        6 => Just(Do::Poll),
        4 => any::<bool>().prop_map(Do::ReadDone),
        6 => prop_oneof![0_usize..9, Just(100_000)].prop_map(Do::Write),
        4 => (0_usize..600).prop_map(Do::Send),
        1 => Just(Do::Close),
        1 => Just(Do::Retry),
        1 => any::<u32>().prop_map(Do::Promise),
        1 => (0_u32..5).prop_map(Do::Health),
        4 => (0_u64..400).prop_map(Do::Pass),
        1 => any::<u64>().prop_map(Do::Show),
        4 => Just(Do::Sleep),
    ]
}

/// Whether there is a connection, and what the application knows of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Nothing,
    Begun,
    Ended,
}

fn live(protocol: u32, plan: Vec<Do>) {
    let sizes = Sizes { rx: HW_MIN_RX, tx: 400 };
    let mut rig = Rig::sized(sizes, |config| config.protocol = protocol);
    let (mut known, mut has_link) = (Known::Nothing, false);
    for step in plan {
        match step {
            Do::Connect => {
                let expected = if has_link { Status::ERR_STATE } else { Status::OK };
                let now = rig.now;
                // SAFETY: it is a client.
                assert_eq!(unsafe { hw_client_connected(rig.client(), now) }, expected);
                if !has_link {
                    (known, has_link) = (Known::Begun, true);
                }
            }
            Do::Disconnect => {
                rig.disconnect();
                has_link = false;
            }
            Do::Feed(bytes) if has_link => {
                rig.feed(&bytes);
            }
            Do::Feed(_) => {}
            Do::Events(most) => {
                let events: Vec<Got> = core::iter::from_fn(|| rig.event()).take(most).collect();
                for event in events {
                    assert_eq!(known, Known::Begun, "{event:?}");
                    let is_end =
                        matches!(event, Got::Bye(_) | Got::Dead(_) | Got::Broken(_) | Got::Closed);
                    known = if is_end { Known::Ended } else { known };
                }
            }
            Do::Poll => {
                assert_eq!(rig.poll() == Step::Idle, !has_link);
            }
            Do::ReadDone(more) => {
                assert_eq!(rig.read_done(more) == Step::Idle, !has_link);
            }
            Do::Write(most) => {
                let len = rig.output().len();
                rig.written(most.min(len));
            }
            Do::Send(len) => {
                let room = rig.send_room();
                let status = rig.send(&vec![1; len]);
                // A message without a body has room also where none is longer.
                assert!(if len > 0 { (status == Status::OK) == (len <= room) } else { true });
            }
            Do::Close => {
                rig.close();
            }
            Do::Retry => {
                let wait = rig.retry_ms();
                assert!(!has_link || wait == 0, "{wait} ms");
            }
            Do::Promise(ms) => {
                let mut agreed = 0;
                // SAFETY: it is a client.
                let status = unsafe { hw_client_promise(rig.client(), ms, &mut agreed) };
                assert!(status != Status::OK || (1..=3_600_000).contains(&agreed));
            }
            Do::Health(health) => {
                // SAFETY: it is a client.
                let status = unsafe { hw_client_set_health(rig.client(), health) };
                assert_eq!(status == Status::OK, health < 3 && protocol == 0);
            }
            Do::Pass(ms) => rig.now = rig.now.saturating_add(ms),
            Do::Show(ms) => {
                let before = rig.now;
                rig.now = ms;
                rig.poll();
                rig.now = before;
            }
            Do::Sleep => {
                let deadline = rig.deadline();
                if deadline != HW_NEVER {
                    rig.now = rig.now.max(deadline);
                }
            }
        }
    }
    // However it was: it ends, and the next one works.
    rig.disconnect();
    let events = rig.events();
    let ends = events
        .iter()
        .filter(|event| matches!(event, Got::Bye(_) | Got::Dead(_) | Got::Broken(_) | Got::Closed))
        .count();
    assert_eq!(ends, usize::from(known == Known::Begun), "{events:?}");
    assert_eq!(rig.connected(), Status::OK);
    if protocol == 0 {
        assert_eq!(kinds(&rig.turn().0), [HELLO]);
        assert_eq!(rig.hear(&welcome(1)), [Got::Welcome]);
        assert_eq!(kinds(&rig.turn().0), [HEART]);
    }
}

proptest! {
    #[test]
    fn every_connection_ends_once(
        protocol in 0_u32..3,
        plan in prop::collection::vec(what(), 0..80),
    ) {
        live(protocol, plan);
    }
}
