//! What each end knows of both directions, from beats alone.

use core::time::Duration;
use std::time::Instant;

use heartwire::client::Retry;
use heartwire::v1::Offer;
use heartwire::{Cause, Reason};

use crate::peer::{Peer, hello};
use crate::proxy::{Proxy, Way};
use crate::rig::{ClientRig, PATIENCE, Rig, client_config, config, ms, pass, policy};

/// Waits until both ends have measured a round trip, and returns the smallest of several readings:
/// a busy machine adds to one, and takes from none.
#[track_caller]
fn round_trips(rig: &Rig, client: &ClientRig, id: heartwire::server::SessionId) -> [Duration; 2] {
    let started = Instant::now();
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    while at_client.len() < 15 || at_server.len() < 15 {
        assert!(started.elapsed() < PATIENCE, "{at_client:?} {at_server:?}");
        pass(ms(100));
        at_client.extend(client.client.path().and_then(|path| path.rtt));
        at_server.extend(rig.info(id).path.and_then(|path| path.rtt));
    }
    [at_client, at_server].map(|mut readings| {
        readings.sort_unstable();
        // The median: what is usual, whichever way a single reading is off.
        readings[readings.len() / 2]
    })
}

#[test]
fn the_round_trip_over_loopback_is_what_the_kernel_measures() {
    for coalesce in [0, 4, 100] {
        let mut rig = Rig::start(config().coalesce(coalesce));
        let client = ClientRig::start(client_config(rig.addr()));
        client.online();
        let (id, _) = rig.online();
        // The kernel's own reading of a connection over loopback, from a socket of this test.
        let (peer, _) = Peer::welcomed(rig.addr(), &hello());
        let kernel = kernel::round_trip(&peer.stream);
        assert!(kernel < ms(5), "{kernel:?}");
        for rtt in round_trips(&rig, &client, id) {
            let off = rtt.abs_diff(kernel);
            assert!(off <= ms(5), "coalescing {coalesce}: {rtt:?}, and the kernel says {kernel:?}");
        }
        client.close();
    }
}

#[test]
fn the_round_trip_of_a_long_path_is_that_of_both_ways() {
    for coalesce in [0, 4] {
        let mut rig = Rig::start(config().coalesce(coalesce));
        let proxy = Proxy::new(rig.addr(), Way::delayed(ms(30)), Way::delayed(ms(50)));
        let client = ClientRig::start(client_config(proxy.addr));
        client.online();
        let (id, _) = rig.online();
        for rtt in round_trips(&rig, &client, id) {
            assert!(rtt >= ms(75), "coalescing {coalesce}: {rtt:?} of 80 ms");
            // Two threads of a busy machine stand for the path.
            assert!(rtt < ms(80 + 25), "coalescing {coalesce}: {rtt:?} of 80 ms");
        }
        client.close();
    }
}

/// Data wake the server while beats lie unread, which must not make those look younger than they are.
#[test]
fn data_between_the_beats_do_not_spoil_the_round_trip() {
    let mut rig = Rig::start(config().coalesce(100).policy(policy(400, 60_000)));
    let client = ClientRig::start(client_config(rig.addr()).policy(policy(150, 60_000)));
    client.online();
    let (id, _) = rig.online();
    let mut worst = [Duration::ZERO; 2];
    let mut readings = 0;
    for round in 0..60_u64 {
        client.send(b"data");
        assert_eq!(rig.data(id), b"data");
        pass(ms(37 + round % 23));
        let server = rig.info(id).path.and_then(|path| path.rtt);
        let client = client.client.path().and_then(|path| path.rtt);
        if let (Some(client), Some(server)) = (client, server) {
            worst = [worst[0].max(client), worst[1].max(server)];
            readings += 1;
        }
    }
    assert!(readings > 10, "{readings} readings");
    // Tens of milliseconds would be the time that a beat lay there.
    assert!(worst.iter().all(|&rtt| rtt < ms(30)), "{worst:?}");
    client.close();
}

#[test]
fn beats_behind_bulk_data_to_the_server_kill_nobody() {
    // What the client's own kernel takes, which is megabytes, is half a minute under way on the one path,
    // and a second on the other.
    for (rate, beats_min) in [(100_000, 0), (4_000_000, 3)] {
        let mut rig = Rig::start(config().policy(policy(100, 500)));
        let proxy = Proxy::new(rig.addr(), Way::slow(rate), Way::default());
        let config = client_config(proxy.addr).policy(policy(100, 500)).retry(Retry::Never);
        let client = ClientRig::start(config);
        client.online();
        let (id, _) = rig.online();
        let started = Instant::now();
        let mut received = 0;
        while started.elapsed() < ms(4000) {
            // There is always something to write.
            while client.client.try_send(vec![0; 16 * 1024]).is_ok() {}
            while let Some(event) = rig.next_within(ms(1)) {
                match event {
                    heartwire::server::Event::Data { data, .. } => received += data.len(),
                    other => panic!("{other:?} after {:?}", started.elapsed()),
                }
                while client.client.try_send(vec![0; 16 * 1024]).is_ok() {}
            }
        }
        assert!(received > 100_000, "{received} bytes");
        // They do not wait for a pause, which never comes.
        let beats = rig.info(id).beats;
        assert!(beats >= beats_min, "{beats} beats before {received} bytes");
        client.expect_quiet(ms(10));
    }
}

#[test]
fn beats_behind_bulk_data_to_the_client_kill_nobody() {
    let mut rig = Rig::start(config().policy(policy(100, 500)).outbound_max(16 << 20));
    let proxy = Proxy::new(rig.addr(), Way::default(), Way::slow(100_000));
    let config = client_config(proxy.addr).policy(policy(100, 500)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    for _ in 0..64 {
        rig.handle().send(id, &[0; 60_000]).unwrap();
    }
    let started = Instant::now();
    while started.elapsed() < ms(5000) {
        match client.next_within(ms(100)) {
            None | Some(heartwire::client::Event::Data(_)) => {}
            Some(other) => panic!("{other} after {:?}", started.elapsed()),
        }
    }
    rig.expect_quiet(ms(10));
    client.close();
}

/// Both ends come to a verdict, or see what the other's came to, within what silence alone promises.
#[test]
fn a_way_to_the_server_that_is_cut_is_found_by_both_ends() {
    let mut rig = Rig::start(config().policy(policy(100, 600)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 600)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    let cut = Instant::now();
    proxy.cut_to_server();
    let verdict = rig.verdict(id);
    assert_eq!(verdict.cause, Cause::Silence);
    // A beat was under way, or had just come.
    assert!(cut.elapsed() >= ms(600 - 100 - 20), "early: {verdict}");
    assert!(cut.elapsed() < ms(2000), "late: {verdict}");
    // The server has closed the connection, which gets through on this way.
    let reason = client.offline();
    assert!(matches!(reason, Reason::ClosedByPeer | Reason::Reset | Reason::Dead(_)), "{reason}");
    assert!(cut.elapsed() < ms(3000), "late: {:?}", cut.elapsed());
}

#[test]
fn a_way_to_the_client_that_is_cut_is_found_by_both_ends() {
    let mut rig = Rig::start(config().policy(policy(100, 600)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 600)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    let cut = Instant::now();
    proxy.cut_to_client();
    match client.offline() {
        Reason::Dead(verdict) => {
            assert_eq!(verdict.cause, Cause::Silence);
            assert!(cut.elapsed() >= ms(600 - 100 - 20), "early: {verdict}");
            assert!(cut.elapsed() < ms(2000), "late: {verdict}");
        }
        other => panic!("{other}"),
    }
    let reason = rig.offline(id);
    assert!(matches!(reason, Reason::ClosedByPeer | Reason::Reset | Reason::Dead(_)), "{reason}");
    assert!(cut.elapsed() < ms(3000), "late: {:?}", cut.elapsed());
}

#[test]
fn a_path_that_is_cut_both_ways_is_found_by_both_ends_on_their_own() {
    let mut rig = Rig::start(config().policy(policy(100, 600)));
    let proxy = Proxy::plain(rig.addr());
    let config = client_config(proxy.addr).policy(policy(100, 600)).retry(Retry::Never);
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    pass(ms(300));
    let cut = Instant::now();
    proxy.cut_to_client();
    proxy.cut_to_server();
    let verdict = rig.verdict(id);
    assert_eq!(verdict.cause, Cause::Silence);
    assert!(matches!(client.offline(), Reason::Dead(_)));
    assert!(cut.elapsed() >= ms(480) && cut.elapsed() < ms(2000), "{:?}", cut.elapsed());
}

/// It beats, and says with each beat that it hears nothing. A client of ours would have left.
#[test]
fn a_client_that_does_not_hear_the_server_is_found_by_its_own_account() {
    let mut rig = Rig::start(config().policy(policy(100, 400)));
    let mut hello = heartwire::v1::Hello::new(Offer::new(&policy(100, 500)));
    hello.agent = Some("deaf");
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello.encode());
    let (id, _) = rig.online();
    let deaf_since = Instant::now();
    let verdict = loop {
        let silence_ms = u32::try_from(deaf_since.elapsed().as_millis()).unwrap();
        peer.beat_with(|beat| beat.silence_ms = silence_ms);
        match rig.next_within(ms(50)) {
            None => assert!(deaf_since.elapsed() < PATIENCE, "it is never found"),
            Some(heartwire::server::Event::Verdict { verdict, .. }) => break verdict,
            Some(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(verdict.cause, Cause::Unheard);
    // Its limit and ours.
    let bound = verdict.bound.unwrap();
    assert_eq!(bound.earliest, ms(500 + 400));
    assert!(verdict.silence >= bound.earliest, "early: {verdict}");
    assert!(deaf_since.elapsed() >= ms(880), "early: {verdict} after {:?}", deaf_since.elapsed());
    assert!(deaf_since.elapsed() < ms(2500), "late: {verdict}");
    assert_eq!(rig.offline(id), Reason::Dead(verdict));
}

#[test]
fn a_reset_is_a_reset_at_both_ends() {
    let mut rig = Rig::start(config());
    let (peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    peer.reset();
    assert_eq!(rig.offline(id), Reason::Reset);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = client_config(listener.local_addr().unwrap()).retry(Retry::Never);
    let client = ClientRig::start(config);
    let mut peer = Peer::accept(&listener);
    peer.welcome_by(&heartwire::v1::Terms::new(Offer::new(&crate::rig::patient())));
    client.online();
    peer.reset();
    assert_eq!(client.offline(), Reason::Reset);
}

mod kernel {
    #![expect(unsafe_code, reason = "getsockopt for what no crate offers")]

    use core::mem::MaybeUninit;
    use core::time::Duration;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;

    /// The kernel's smoothed round-trip time.
    pub(super) fn round_trip(stream: &TcpStream) -> Duration {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut len = libc::socklen_t::try_from(size_of_val(&info)).unwrap();
        // SAFETY: the descriptor is open while `stream` is borrowed; `info` is writable for `len`
        // bytes, and every pattern of bytes is a `tcp_info`.
        let info = unsafe {
            let to = info.as_mut_ptr().cast();
            let fd = stream.as_raw_fd();
            let done = libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut len);
            assert_eq!(done, 0);
            info.assume_init()
        };
        Duration::from_micros(info.tcpi_rtt.into())
    }
}
