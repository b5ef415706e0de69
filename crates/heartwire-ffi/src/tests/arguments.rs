use core::ptr;

use super::rig::{Calls, Rig, config};
use crate::abi::*;

/// Changes a config.
type Change = fn(&mut Config);

#[test]
fn settings_out_of_range_are_refused() {
    let cases: [(Status, Protocol, Change); 18] = [
        (Status::ERR_ARGUMENT, Protocol::V1, |config| config.protocol = 3),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| config.timeout_ms = 19_999),
        (Status::ERR_ARGUMENT, Protocol::V0, |config| config.echo = 1),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| config.tick_ms = 65_536),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| config.name_len = 0),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| {
            (config.name, config.name_len) = (b"\xff".as_ptr().cast(), 1);
        }),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| {
            (config.name, config.name_len) = ([b'a'; 256].as_ptr().cast(), 256);
        }),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| {
            (config.token, config.token_len) = ([b'a'; 257].as_ptr(), 257);
        }),
        (Status::ERR_ARGUMENT, Protocol::V1, |config| {
            (config.agent, config.agent_len) = ([b'a'; 65].as_ptr().cast(), 65);
        }),
        (Status::ERR_SIZE, Protocol::V1, |config| config.rx_len = HW_MIN_RX - 1),
        (Status::ERR_SIZE, Protocol::V1, |config| config.tx_len = HW_MIN_TX - 1),
        (Status::ERR_SIZE, Protocol::V1, |config| {
            (config.token, config.token_len) = ([b'a'; 200].as_ptr(), 200);
            config.tx_len = 256;
        }),
        (Status::ERR_PROTOCOL, Protocol::V1, |config| config.echo = 1),
        (Status::ERR_PROTOCOL, Protocol::V0, |config| config.min_interval_ms = 1),
        (Status::ERR_PROTOCOL, Protocol::V0, |config| config.max_timeout_ms = 1),
        (Status::ERR_PROTOCOL, Protocol::V0, |config| config.grace_ms = 1),
        (Status::ERR_PROTOCOL, Protocol::Raw, |config| {
            (config.token, config.token_len) = (b"t".as_ptr(), 1);
        }),
        (Status::ERR_PROTOCOL, Protocol::Raw, |config| config.echo = 1),
    ];
    for (at, (status, protocol, change)) in cases.into_iter().enumerate() {
        let mut config = config(protocol);
        if protocol == Protocol::V1 {
            (config.name, config.name_len) = (b"x".as_ptr().cast(), 1);
        }
        change(&mut config);
        assert_eq!(Rig::of(config).map(drop), Err(status), "{at}");
    }
}

#[test]
fn pointers_are_checked() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    let client = rig.client();
    let nothing: *mut Client = ptr::null_mut();
    let mut len = 0;
    let mut bytes = ptr::null();
    // SAFETY: null is allowed, and all else lives.
    unsafe {
        hw_config_default(ptr::null_mut());
        let memory = nothing.cast();
        assert_eq!(hw_client_init(memory, 0, &config(Protocol::V0)), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_init(client.cast(), 0, ptr::null()), Status::ERR_ARGUMENT);
        assert_eq!(
            hw_client_init(client.cast(), HW_CLIENT_SIZE, &config(Protocol::V0)),
            Status::ERR_ARGUMENT
        );
        assert_eq!(hw_client_connected(nothing, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_feed(nothing, 0, bytes, 0, &mut len), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_event(nothing, 0, ptr::null_mut()), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_event(client, 0, ptr::null_mut()), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_poll(nothing, 0), Step::Idle);
        assert_eq!(hw_client_read_done(nothing, 0, true), Step::Idle);
        assert_eq!(hw_client_deadline(nothing), HW_NEVER);
        assert_eq!(hw_client_output(client, ptr::null_mut(), &mut len), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_output(client, &mut bytes, ptr::null_mut()), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_output(nothing, &mut bytes, &mut len), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_written(nothing, 0, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_send(nothing, 0, bytes, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_send_room(nothing), 0);
        assert_eq!(hw_client_promise(nothing, 0, ptr::null_mut()), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_set_health(nothing, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_close(nothing, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_disconnected(nothing, 0), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_retry_ms(nothing, 0), HW_NEVER);
        assert_eq!(hw_client_link(nothing, 0, ptr::null_mut()), Status::ERR_ARGUMENT);
    }
    rig.connected();
    // SAFETY: the same.
    unsafe {
        assert_eq!(hw_client_feed(client, 0, ptr::null(), 1, &mut len), Status::ERR_ARGUMENT);
        assert_eq!(
            hw_client_feed(client, 0, b"x".as_ptr(), 1, ptr::null_mut()),
            Status::ERR_ARGUMENT
        );
    }
    rig.write_all();
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    assert_eq!(rig.events().len(), 1, "nothing was changed");
    // SAFETY: the same.
    unsafe {
        assert_eq!(hw_client_send(client, 0, ptr::null(), 1), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_link(client, 0, ptr::null_mut()), Status::ERR_ARGUMENT);
        assert_eq!(hw_client_promise(client, 2_000, ptr::null_mut()), Status::OK);
    }
}

#[test]
fn more_than_the_output_cannot_have_been_written() {
    let mut rig = Rig::welcomed(1, |_| {});
    let len = rig.output().len();
    let (client, now) = (rig.client(), rig.now);
    // SAFETY: the client lives in the rig.
    assert_eq!(unsafe { hw_client_written(client, now, len + 1) }, Status::ERR_ARGUMENT);
    assert_eq!(rig.output().len(), len);
    rig.disconnect();
    // SAFETY: the same.
    assert_eq!(unsafe { hw_client_written(client, now, 1) }, Status::ERR_ARGUMENT);
}

#[test]
fn memory_that_was_not_initialised_is_no_client() {
    for filling in [0, u64::MAX, 0x0101_0101_0101_0101] {
        let mut memory = vec![filling; HW_CLIENT_SIZE / 8];
        let client: *mut Client = memory.as_mut_ptr().cast();
        let mut len = 0;
        // SAFETY: it has the size of a client.
        unsafe {
            assert_eq!(hw_client_connected(client, 0), Status::ERR_STATE);
            assert_eq!(hw_client_poll(client, 0), Step::Idle);
            assert_eq!(hw_client_deadline(client), HW_NEVER);
            assert_eq!(hw_client_feed(client, 0, ptr::null(), 0, &mut len), Status::ERR_STATE);
            assert_eq!(hw_client_retry_ms(client, 0), HW_NEVER);
        }
    }
}

#[test]
fn memory_that_is_not_aligned_or_too_small_is_refused() {
    let mut memory = vec![0_u64; HW_CLIENT_SIZE / 8 + 1];
    let (mut rx, mut tx) = ([0; HW_MIN_RX], [0; 300]);
    let mut config = config(Protocol::V1);
    (config.rx, config.rx_len) = (rx.as_mut_ptr(), rx.len());
    (config.tx, config.tx_len) = (tx.as_mut_ptr(), tx.len());
    let at: *mut u8 = memory.as_mut_ptr().cast();
    // SAFETY: all of it lives, and has its length.
    unsafe {
        let init = |at: *mut u8, size| hw_client_init(at.cast(), size, &config);
        assert_eq!(init(at, HW_CLIENT_SIZE - 1), Status::ERR_SIZE);
        assert_eq!(init(at.wrapping_add(4), HW_CLIENT_SIZE), Status::ERR_SIZE);
        assert_eq!(hw_client_connected(at.wrapping_add(4).cast(), 0), Status::ERR_ARGUMENT);
        assert_eq!(init(at, HW_CLIENT_SIZE), Status::OK);
    }
}

#[test]
fn a_client_can_be_made_anew_where_one_is() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    rig.connected();
    assert_eq!(rig.connected(), Status::ERR_STATE);
    let client = rig.client();
    let (mut rx, mut tx) = ([0; HW_MIN_RX], [0; HW_MIN_TX]);
    let mut config = config(Protocol::V0);
    (config.rx, config.rx_len) = (rx.as_mut_ptr(), rx.len());
    (config.tx, config.tx_len) = (tx.as_mut_ptr(), tx.len());
    // SAFETY: all of it lives.
    assert_eq!(unsafe { hw_client_init(client.cast(), HW_CLIENT_SIZE, &config) }, Status::OK);
    assert_eq!(rig.poll(), Step::Idle);
    assert_eq!(rig.connected(), Status::OK);
}

#[test]
fn calls_that_a_protocol_does_not_have_say_so() {
    for protocol in [Protocol::V0, Protocol::Raw] {
        let mut rig = Rig::new(protocol, |_| {});
        rig.connected();
        assert_eq!(rig.promise(5), Err(Status::ERR_PROTOCOL));
        assert_eq!(rig.set_health(0), Status::ERR_PROTOCOL);
    }
}

/// As the header says of `tx`.
#[test]
fn the_room_for_the_longest_hello_is_as_told() {
    let (name, agent) = ([b'n'; 255], [b'a'; 64]);
    for (grace_ms, more) in [(0, 180), (u32::MAX, 300)] {
        let mut config = config(Protocol::V1);
        (config.interval_ms, config.timeout_ms) = (2_000_000_000, u32::MAX);
        (config.min_interval_ms, config.max_timeout_ms) = (2_000_000_000, u32::MAX);
        (config.name, config.name_len) = (name.as_ptr().cast(), name.len());
        (config.token, config.token_len) = (name.as_ptr(), name.len());
        (config.agent, config.agent_len) = (agent.as_ptr().cast(), agent.len());
        (config.seed, config.grace_ms) = (u64::MAX, grace_ms);
        config.rx_len = 70_000;
        if grace_ms > 0 && !cfg!(feature = "resume") {
            continue;
        }
        config.tx_len = 2 * name.len() + more;
        assert_eq!(Rig::of(config).map(drop), Ok(()), "{more}");
        config.tx_len -= 40;
        assert_eq!(Rig::of(config).map(drop), Err(Status::ERR_SIZE), "{more}");
    }
}
