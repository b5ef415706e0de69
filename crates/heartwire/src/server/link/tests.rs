#![cfg(target_os = "linux")]

use core::time::Duration;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use heartwire_core::{Connection, Policy, Settings};

use super::Link;
use crate::clock;
use crate::server::reactor::{Machine, Reactor};
use crate::tls::Received;

fn link() -> (TcpStream, Link<mio::net::TcpStream>, Machine) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let now = clock::now();
    let connection = Connection::new(Settings::new(Policy::default()), now);
    let stream = mio::net::TcpStream::from_std(stream);
    let (_, machine, _) = Reactor::new(true).unwrap();
    (client, Link::new(stream, peer, connection), machine)
}

/// The kernel counts arrivals in jiffies, so this must hold at every phase of its clock: that is
/// what the many rounds and the odd waits are for. The waits are spun, to be exact.
#[test]
fn arrivals_from_the_kernel_are_never_too_early_and_mostly_three_jiffies_late_at_most() {
    let (mut client, mut link, machine) = link();
    let jiffy = clock::jiffy();
    let mut lateness = Vec::new();
    for round in 0..300_u32 {
        let sent_at = clock::now();
        client.write_all(&[0; 8]).unwrap();
        let arrived_by = clock::now();
        let wait = Duration::from_micros(u64::from(round) * 37 % 9_000);
        while clock::now().saturating_since(arrived_by) < wait {}
        assert!(matches!(link.read(&mut [0; 64], &machine).unwrap(), Received::Bytes(8)));
        link.hear_from_kernel(false, &machine);
        let heard_at = link.connection.last_heard();
        assert!(heard_at >= sent_at, "{:?} too early", sent_at.saturating_since(heard_at));
        lateness.push(heard_at.saturating_since(arrived_by));
    }
    // A busy machine may hold a few up between the two clocks that are read.
    lateness.sort_unstable();
    let most = lateness[lateness.len() * 3 / 4];
    assert!(most <= jiffy * 3 + Duration::from_millis(2), "{most:?} late");
}

/// A shard that was held up reads late what has woken it.
#[test]
fn bytes_that_were_read_late_count_from_their_arrival() {
    const HELD_UP: Duration = Duration::from_millis(60);
    let (mut client, mut link, machine) = link();
    let jiffy = clock::jiffy();
    let mut younger = Vec::new();
    for _ in 0..16 {
        let sent_at = clock::now();
        client.write_all(&[0; 8]).unwrap();
        std::thread::sleep(HELD_UP);
        assert!(matches!(link.read(&mut [0; 64], &machine).unwrap(), Received::Bytes(8)));
        let read_at = clock::now();
        link.hear_from_kernel(true, &machine);
        let heard_at = link.connection.last_heard();
        assert!(heard_at >= sent_at, "{:?} too early", sent_at.saturating_since(heard_at));
        younger.push(read_at.saturating_since(heard_at));
    }
    // A busy machine may hold up the write instead.
    younger.sort_unstable();
    assert!(younger[8] + jiffy * 3 + Duration::from_millis(1) >= HELD_UP, "{younger:?}");
}
