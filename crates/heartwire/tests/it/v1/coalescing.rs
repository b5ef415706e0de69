//! Beats of v1 stay in the kernel, data do not, and both ends know as much as without.
#![cfg(any(target_os = "linux", target_os = "android"))]

use heartwire::v1::{Offer, Terms};
use heartwire_testkit::{ClientRig, Got, Listener, PAD, ServerRig, client_config, patient, policy};

use super::config;

#[test]
fn data_of_any_length_wake_a_coalescing_server_at_once() {
    // The server sends beats so rarely that it would read its sockets later than a test waits.
    let quiet = policy(30_000, 90_000);
    let mut rig = ServerRig::start(config().coalesce(1000).policy(quiet));
    let client = ClientRig::start(client_config(rig.addr()).policy(quiet));
    let welcome = client.online();
    assert_eq!(welcome.contract.wake_bytes, 40 * 1000 + 1);
    let (id, _) = rig.online();
    for len in [0, 1, 2, 31, 32, 33, 152, 153, 154, 1000, 39_000, 39_993, 40_000, 50_000, 0, 1] {
        let body = vec![7; len];
        client.send(&body);
        assert!(rig.data(id) == body, "{len} bytes");
    }
    // Several at a time, which may be cut anywhere on the way.
    for lens in [[10, 20, 30], [65_000, 475, 1], [64_000, 0, 0], [1, 65_483, 2]] {
        for len in lens {
            client.send(&vec![1; len]);
        }
        for len in lens {
            assert_eq!(rig.data(id).len(), len);
        }
    }
    client.close();
}

#[test]
fn padding_is_not_sent_to_a_server_that_any_byte_wakes() {
    let mut rig = ServerRig::start(config().coalesce(0));
    let client = ClientRig::start(client_config(rig.addr()));
    assert_eq!(client.online().contract.wake_bytes, 1);
    let (id, _) = rig.online();
    client.send(b"!");
    assert_eq!(rig.data(id), b"!");
    client.close();

    // And padding comes where it is needed, before anything else.
    let listener = Listener::new();
    for (wake_bytes, pads) in [(1, false), (9, false), (161, true)] {
        let client = ClientRig::start(client_config(listener.addr()));
        let mut peer = listener.accept();
        peer.welcome_by(&Terms::new(Offer::new(&patient())).wake_bytes(wake_bytes));
        client.online();
        client.send(b"!");
        peer.expect_beat();
        let mut got = peer.next();
        // The first beat is to wake the server too, unless the data comes with it.
        if pads && got == Got::Other(PAD) {
            got = peer.next();
        }
        assert_eq!(got, Got::Data(b"!".to_vec()));
        let follows = peer.next();
        assert_eq!(follows == Got::Other(PAD), pads, "{wake_bytes}: {follows:?}");
        drop(peer);
        client.close();
    }
}
