use core::net::Ipv4Addr;
use core::sync::atomic::Ordering::SeqCst;
use std::io::Read;
use std::thread;

use mio::net::{TcpListener, TcpStream};

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn there_are_so_many_places_and_one_that_is_left_is_free_again() {
    let places = Places::new(2);
    assert!(places.enter() && places.enter());
    assert!(!places.enter() && !places.enter());
    assert_eq!(places.sessions(), 2);
    places.leave();
    assert!(places.enter() && !places.enter());
}

#[test]
fn no_more_enter_than_there_are_places_however_many_try_at_once() {
    const MOST: usize = 3;
    let places = Places::new(MOST);
    let seen = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    if places.enter() {
                        seen.fetch_max(places.sessions(), SeqCst);
                        places.leave();
                    }
                }
            });
        }
    });
    assert_eq!(places.sessions(), 0);
    assert!(seen.into_inner() <= MOST);
}

#[test]
fn refused_clients_are_logged_once() {
    let places = Places::new(0);
    assert!(!places.accept(at(0)));
    assert!(places.refuse(at(0)));
    assert!(!places.refuse(at(1)));
    assert!(!places.refuse(at(5_000)));
}

#[test]
fn accepting_again_is_logged_once_after_a_quiet_second() {
    let places = Places::new(1);
    places.refuse(at(0));
    assert!(!places.accept(at(999)));
    places.refuse(at(1_000));
    assert!(!places.accept(at(1_999)));
    assert!(places.accept(at(2_000)));
    assert!(!places.accept(at(9_000)));
    assert!(places.refuse(at(9_001)));
}

#[test]
fn of_many_shards_one_says_it() {
    let places = Places::new(0);
    let said = AtomicUsize::new(0);
    let say = |says: bool| said.fetch_add(usize::from(says), SeqCst);
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| say(places.refuse(at(0)))))));
    assert_eq!(said.swap(0, SeqCst), 1);
    let later = at(1_000);
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| say(places.accept(later))))));
    assert_eq!(said.into_inner(), 1);
}

/// A listener on the loopback, its address, and an [`Places`].
struct Rig {
    listener: Listener<TcpListener>,
    addr: SocketAddr,
    places: Places,
}

impl Rig {
    fn new(max_sessions: usize) -> Self {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let (socket, _) = bind(any, Family::Both, &KernelOptions::default(), false).unwrap();
        let addr = socket.local_addr().unwrap();
        let listener = Listener::new(vec![TcpListener::from_std(socket)]);
        Self { listener, addr, places: Places::new(max_sessions) }
    }

    fn connect(&self) -> std::net::TcpStream {
        std::net::TcpStream::connect(self.addr).unwrap()
    }

    fn accept(&mut self, millis: u64) -> Accepted<TcpStream> {
        self.listener.accept(&self.places, at(millis), |_| false)
    }
}

#[test]
fn accepting_stops_until_the_poller_reports_a_ready_listener() {
    let mut rig = Rig::new(9);
    let client = rig.connect();
    assert_eq!(rig.listener.next_try(at(0)), Some(at(0)));
    let Accepted::Client(_, peer) = rig.accept(0) else { panic!("a client waits") };
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(matches!(rig.accept(0), Accepted::None));
    assert_eq!(rig.listener.next_try(at(0)), None);
    rig.listener.handle_ready(0);
    rig.listener.handle_ready(0);
    // It is not there.
    rig.listener.handle_ready(1);
    assert_eq!(rig.listener.ready, [0]);
}

#[test]
fn a_client_without_a_place_is_handed_back_and_gone_when_it_is_dropped() {
    let mut rig = Rig::new(0);
    for first in [true, false] {
        let mut client = rig.connect();
        let Accepted::Refused { cause, first: said, client: Some((_, peer)) } = rig.accept(0)
        else {
            panic!("there is no place");
        };
        assert_eq!((cause, said), (Refusal::SessionLimit, first));
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_client_has_the_place_of_a_session_that_is_closed_for_it() {
    let mut rig = Rig::new(1);
    assert!(rig.places.enter());
    let _clients = [rig.connect(), rig.connect()];
    let leave = |lack| {
        assert_eq!(lack, Refusal::SessionLimit);
        rig.places.leave();
        true
    };
    assert!(matches!(rig.listener.accept(&rig.places, at(0), leave), Accepted::Client(..)));
    // It may have been taken by another shard.
    let refused = rig.listener.accept(&rig.places, at(0), |_| true);
    assert!(matches!(refused, Accepted::Refused { .. }));
}

#[test]
fn refusing_many_rests_between_and_goes_on() {
    let mut rig = Rig::new(0);
    let _clients: Vec<_> = (0..40).map(|_| rig.connect()).collect();
    let refused = |rig: &mut Rig, millis| {
        (0..100).take_while(|_| matches!(rig.accept(millis), Accepted::Refused { .. })).count()
    };
    assert_eq!(refused(&mut rig, 1_000), 16);
    assert_eq!(rig.listener.next_try(at(1_000)), Some(at(1_050)));
    assert_eq!(refused(&mut rig, 1_049), 0);
    assert_eq!(refused(&mut rig, 1_050), 16);
    assert_eq!(refused(&mut rig, 1_100), 8);
    assert_eq!(rig.listener.next_try(at(1_100)), None);
}

#[test]
fn errors_about_one_client_are_no_lack_of_room() {
    for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted] {
        assert!(is_about_one_client(&kind.into()));
    }
    for kind in [io::ErrorKind::OutOfMemory, io::ErrorKind::WouldBlock] {
        assert!(!is_about_one_client(&kind.into()));
    }
}

#[test]
fn a_system_without_a_free_port_to_choose_has_no_other_program_blamed_for_it() {
    let (addr, error) = ("127.0.0.1:0".parse().unwrap(), io::ErrorKind::AddrInUse.into());
    let text = crate::server::ServerError::Bind { addr, error }.to_string();
    assert!(text.contains("The system has no port left"), "{text}");
    assert!(!text.contains("Another program"), "{text}");
}

#[test]
fn a_port_that_needs_a_privilege_is_explained_with_both_ways_out() {
    let denied = |addr: &str| {
        let (addr, error) = (addr.parse().unwrap(), io::ErrorKind::PermissionDenied.into());
        crate::server::ServerError::Bind { addr, error }.to_string()
    };
    let text = denied("0.0.0.0:443");
    assert!(text.contains("choose a higher port"), "{text}");
    assert!(text.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"), "{text}");
    // Here no capability would help.
    let text = denied("0.0.0.0:29002");
    assert!(text.contains("SELinux") && !text.contains("CAP_NET_BIND_SERVICE"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_machine_without_ipv6_is_told_to_listen_on_ipv4() {
    let error = || io::Error::from_raw_os_error(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    let text = |addr: &str| {
        let addr = addr.parse().unwrap();
        crate::server::ServerError::Bind { addr, error: error() }.to_string()
    };
    let six = text("[::]:29002");
    assert!(six.contains("no IPv6: listen on an IPv4 address"), "{six}");
    assert!(!text("0.0.0.0:29002").contains("IPv6"));
}

#[test]
fn all_addresses_of_ipv6_are_those_of_both_unless_ipv4_has_the_port() {
    let family = |listen: &[&str]| {
        let listen: Vec<SocketAddr> = listen.iter().map(|addr| addr.parse().unwrap()).collect();
        Family::of(listen[0], listen.iter().copied())
    };
    for both in [&["[::]:1"][..], &["[::]:1", "0.0.0.0:2", "[::1]:1"], &["[::]:0", "0.0.0.0:0"]] {
        assert_eq!(family(both), Family::Both, "{both:?}");
    }
    for six in [&["[::]:1", "0.0.0.0:1"][..], &["[::]:1", "127.0.0.1:1"], &["[::1]:1"]] {
        assert_eq!(family(six), Family::Ipv6Only, "{six:?}");
    }
}

#[test]
fn adopted_socket_does_not_block_and_has_the_options_for_clients_to_come() {
    let passed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    SockRef::from(&passed).set_tcp_nodelay(false).unwrap();
    let (socket, report) = adopt(&passed, &KernelOptions::default()).unwrap();
    assert!(report.nodelay);
    assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(SockRef::from(&passed).tcp_nodelay().unwrap());
}
