//! A server that is full: what it costs, whom it serves, and how it comes back.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use heartwire_testkit::{
    BEAT, LineEvent as Event, PATIENCE, Peer, lasting_address, ms, wait_until,
};
use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::program::{Client, Server};
use crate::side_by_side;

/// A client that is accepted is sent a beat by then, and none that is refused is.
const ARGS: &[&str] = &["--on-data", "echo", "--interval", "1s", "--timeout", "60s"];

#[test]
fn a_full_server_serves_whom_it_has_and_turns_others_away() {
    side_by_side(&[
        ("out of descriptors", || be_out_of_descriptors("1")),
        ("maximum number of sessions reached", || {
            let server = Server::start(&[ARGS, &["--max-sessions", "10"]].concat());
            assert_eq!(be_full(&server, "max_sessions"), 10);
        }),
    ]);
}

#[test]
fn a_full_server_of_two_shards_turns_others_away() {
    be_out_of_descriptors("2");
}

fn be_out_of_descriptors(shards: &str) {
    let args = [ARGS, &["--threads", shards]].concat();
    let server = Server::start_with_files("127.0.0.1:0", 64, &args);
    assert_eq!(server.event("listening")["open_files"], 64);
    let accepted = be_full(&server, "descriptors");
    assert!((20..64).contains(&accepted), "{accepted} of 64 descriptors were used");
}

/// Returns how many clients the server took.
fn be_full(server: &Server, cause: &str) -> usize {
    const CLIENTS: usize = 200;
    // All connect, and each is accepted or closed: no client is left to wait.
    let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(server.addr)).collect();
    assert_eq!(server.event("refusing")["cause"], cause);
    let start = Instant::now();
    clients.retain(|peer| !is_refused(&peer.stream));
    assert!(start.elapsed() < PATIENCE, "200 clients had to wait {:?}", start.elapsed());
    let online = server.events.first_events("online", clients.len());
    let online: HashSet<_> = online.iter().map(|event| event.text("peer").to_owned()).collect();
    let held: HashSet<_> = clients.iter().map(|peer| peer.addr().to_string()).collect();
    assert_eq!(held, online, "who is not refused is a session");
    expect_service(&mut clients);
    let accepted = clients.len();

    let knockers = Knockers::default();
    thread::scope(|scope| {
        // However the test ends, so do they.
        let _stop = StopOnDrop(&knockers);
        for _ in accepted..CLIENTS {
            scope.spawn(|| knockers.knock(server.addr));
        }
        knockers.wait_until_refused(CLIENTS);
        expect_service(&mut clients);
        #[cfg(target_os = "linux")]
        {
            let refused_before = knockers.refused.load(Ordering::Relaxed);
            let cpu_before = cpu_time(server);
            let start = Instant::now();
            thread::sleep(ms(3000));
            let cpu = cpu_time(server).saturating_sub(cpu_before);
            let refused = knockers.refused.load(Ordering::Relaxed) - refused_before;
            let took = start.elapsed();
            // A server that spins uses all that the machine can spare; one that does not uses a
            // little for each client, and accepts at most 16 of them in 50 ms.
            assert!(cpu < took / 5, "{cpu:?} of CPU in {took:?} to refuse {refused} clients");
        }
        expect_service(&mut clients);
        assert_eq!(server.events.events_so_far("refusing").len(), 1, "it is said once");

        // Room for one: one of those that knock has it.
        let gone = clients.pop().unwrap();
        let online_before = server.events.events_so_far("online").len();
        drop(gone);
        server.events.first_events("online", online_before + 1);
    });

    let refused = knockers.refused.load(Ordering::Relaxed);
    let accepting = come_again(server, clients);
    assert!(accepting.count("refused") >= u64::try_from(refused).unwrap(), "{accepting:?}");
    assert_eq!(server.events.events_so_far("refusing").len(), 1);
    accepted
}

/// Every client of a full server gets an answer, and its own.
#[track_caller]
fn expect_service(held: &mut [Peer]) {
    for (number, peer) in held.iter_mut().enumerate() {
        peer.send(&BEAT);
        peer.expect_echo(format!("for {number}").as_bytes());
    }
}

/// Whether the first thing to come is the end of the connection. Something comes, in any case.
#[track_caller]
fn is_refused(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 8]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => true,
        Err(error) => panic!("neither taken nor refused: {error}"),
    }
}

/// How long the server has run on a processor, from `/proc/PID/stat` (utime and stime, in the
/// hundredths of a second that Linux counts in, whatever its timer does).
#[cfg(target_os = "linux")]
fn cpu_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process.0.id())).unwrap();
    // The second field, the name, is in parentheses; the next one is the third.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let hundredths: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ms(10 * hundredths)
}

/// Clients that come again about every 50 ms until they are taken.
#[derive(Debug, Default)]
struct Knockers {
    stop: AtomicBool,
    refused: AtomicUsize,
    taken: Mutex<Vec<TcpStream>>,
}

impl Knockers {
    fn knock(&self, server: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if !is_refused(&stream) {
                return self.taken.lock().unwrap().push(stream);
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            thread::sleep(ms(50));
        }
    }

    /// Whether or not the server listens yet.
    fn knock_at_a_closed_door(&self, server: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(stream) = TcpStream::connect_timeout(&server, ms(1000)) {
                // Stays until it is closed. A client whose last step of connecting was dropped, as
                // the queue was full, is never told that the server has gone.
                stream.set_read_timeout(Some(ms(1000))).unwrap();
                while matches!((&stream).read(&mut [0; 8]), Ok(1..)) {}
            } else {
                thread::sleep(ms(1));
            }
        }
    }

    #[track_caller]
    fn wait_until_refused(&self, count: usize) {
        wait_until("no client is left waiting", || self.refused.load(Ordering::Relaxed) >= count);
    }
}

struct StopOnDrop<'a>(&'a Knockers);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Makes room, and comes again and again until the server says that it accepts clients.
#[track_caller]
fn come_again(server: &Server, held: Vec<Peer>) -> Event {
    let deadline = Instant::now() + PATIENCE;
    for leaving in held {
        let addr = leaving.addr();
        drop(leaving);
        server.event_of("offline", addr);
    }
    loop {
        let peer = Peer::connect(server.addr);
        let addr = peer.addr();
        server.event_of("online", addr);
        if let Some(accepting) = server.events.events_so_far("accepting").pop() {
            return accepting;
        }
        assert!(Instant::now() < deadline, "it accepts clients and does not say so");
        drop(peer);
        server.event_of("offline", addr);
        thread::sleep(ms(50));
    }
}

#[test]
fn a_server_that_is_full_from_its_first_moment_starts_all_the_same() {
    let addr = lasting_address();
    let knockers = Knockers::default();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&knockers);
        for _ in 0..100 {
            scope.spawn(|| knockers.knock_at_a_closed_door(addr));
        }
        for _ in 0..5 {
            let server = Server::start_with_files(&addr.to_string(), 64, ARGS);
            server.event("refusing");
            // Killed: it would take seconds to take leave of them all.
            drop(server);
        }
    });
}

/// However many may wait by the settings: there are not so many descriptors.
#[test]
fn silent_connections_leave_their_descriptors_to_newcomers() {
    let args = [
        "--protocol",
        "v1",
        "--max-pending",
        "1000",
        "--handshake-timeout",
        "60s",
        "--threads",
        "1",
    ];
    let server = Server::start_with_files("127.0.0.1:0", 64, &args);
    let _silent: Vec<Peer> = (0..80).map(|_| Peer::connect(server.addr)).collect();
    assert_eq!(server.event("refusing")["cause"], "descriptors");
    thread::sleep(ms(1100));
    for _ in 0..3 {
        Client::start(server.addr, &["--protocol", "v1", "--retry", "never"]).event("online");
    }
}
