use std::sync::mpsc;
use std::thread;

use heartwire::server::{Control, Event, Protocols, Server, ServerConfig};
use heartwire_testkit::{PATIENCE, Peer, data, ms};

use super::*;

/// A service manager's socket, and what tells it things.
fn pair() -> (tempfile::TempDir, UnixDatagram, Manager) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager::at(path.as_os_str().as_bytes()).unwrap();
    (directory, socket, manager)
}

fn next(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let len = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

#[test]
fn manager_that_takes_nothing_holds_up_nothing_and_gets_the_last_of_each_later() {
    let (_directory, socket, manager) = pair();
    let mut told = 0;
    let inner = manager.0.as_ref().unwrap();
    while inner.unsent.lock().unwrap().is_empty() {
        manager.tell(&[NotifyState::Status("early")]);
        told += 1;
    }
    manager.ready();
    manager.tell(&[NotifyState::Status("late")]);
    assert_eq!(*inner.unsent.lock().unwrap(), ["READY=1", "STATUS=late"]);
    for _ in 1..told {
        assert_eq!(next(&socket), "STATUS=early");
    }
    manager.tell(&[]);
    assert_eq!(next(&socket), "READY=1\nSTATUS=late");
    // It is told once.
    manager.tell(&[]);
    manager.stopping(Duration::ZERO);
    assert_eq!(next(&socket), "STOPPING=1");
}

#[test]
fn server_that_stops_does_not_say_that_it_is_ready_again() {
    let (_directory, socket, manager) = pair();
    let reloading = manager.reloading();
    assert!(next(&socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    manager.stopping(STOP_TIMEOUT);
    assert_eq!(next(&socket), "STOPPING=1");
    drop(reloading);
    drop(manager.reloading());
    manager.tell(&[NotifyState::Status("the end")]);
    assert_eq!(next(&socket), "STATUS=the end");
}

#[test]
fn drain_longer_than_a_service_manager_waits_is_announced() {
    let (_directory, socket, manager) = pair();
    manager.stopping(Duration::from_secs(7200));
    assert_eq!(next(&socket), "STOPPING=1\nEXTEND_TIMEOUT_USEC=7200000000");
}

#[test]
fn watchdog_is_fed_while_every_shard_turns_and_not_while_one_hangs() {
    let (_directory, socket, manager) = pair();
    let (hangs, has_hung) = mpsc::channel();
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).protocols(Protocols::V0);
    let server = Server::start(config.threads(2).drain(ms(0)), |_| {
        let hangs = hangs.clone();
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if matches!(event, Event::Data { .. }) {
                let (end, until) = mpsc::channel::<()>();
                hangs.send(end).unwrap();
                let _ = until.recv();
            }
        }
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = server.handle().clone();
    let waits = ms(400);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let feeder = thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = manager.feed_watchdog(&handle, waits) => {}
                _ = ended => {}
            }
        });
    });
    for _ in 0..3 {
        assert_eq!(next(&socket), "WATCHDOG=1");
    }
    let mut peer = Peer::connect(server.local_addrs()[0]);
    peer.send(&data(b"hang"));
    let hanging = has_hung.recv_timeout(PATIENCE).unwrap();
    // One may be for a turn before that.
    socket.set_read_timeout(Some(waits * 3)).unwrap();
    let fed = (0..3).take_while(|_| socket.recv(&mut [0; 64]).is_ok()).count();
    assert!(fed <= 1, "{fed} times");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(hanging);
    assert_eq!(next(&socket), "WATCHDOG=1");
    drop(end);
    feeder.join().unwrap();
}
