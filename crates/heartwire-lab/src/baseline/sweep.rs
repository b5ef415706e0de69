//! The reference's way, without its bugs: a map from connection to missed beats, which a sweep
//! walks every 3 s, adding 1 to each; a connection with 5 of them is closed.
//!
//! The sweep comes every fifth of the timeout. It tests before it adds, as the reference does, so a
//! silent connection is closed after 15 to 18 s, not after 15.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, accept_with, recv};

use super::{FLAGS, LISTENER, listen_on};

const MAX_MISSED: u32 = 5;

struct Connection {
    fd: OwnedFd,
    missed: u32,
}

pub(super) fn run(addr: SocketAddr, timeout: Duration) -> anyhow::Result<()> {
    let sweep_every = timeout / MAX_MISSED;

    let (listener, poll) = listen_on(addr)?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = [0_u8; 4096];
    let mut sweep_at = Instant::now() + sweep_every;
    loop {
        events.clear();
        let left = sweep_at.saturating_duration_since(Instant::now());
        // Whole milliseconds, rounded up: epoll knows nothing finer everywhere.
        let left = Duration::from_millis(u64::try_from(left.as_micros().div_ceil(1000))?);
        let left = Timespec::try_from(left)?;
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data.u64();
            if data == LISTENER {
                while let Ok(fd) = accept_with(&listener, FLAGS) {
                    let key = u64::try_from(fd.as_raw_fd())?;
                    let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&poll, &fd, EventData::new_u64(key), interest)?;
                    connections.insert(key, Connection { fd, missed: 0 });
                }
            } else if let Some(connection) = connections.get_mut(&data) {
                // A beat is far shorter than the buffer, so one read empties the socket.
                match recv(&connection.fd, &mut buffer, RecvFlags::empty()) {
                    Ok((_, 1..)) => connection.missed = 0,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    // Out of the map at once: the descriptor's number will be used again.
                    Ok((_, 0)) | Err(_) => drop(connections.remove(&data)),
                }
            }
        }
        if Instant::now() >= sweep_at {
            sweep_at += sweep_every;
            connections.retain(|_, connection| {
                if connection.missed >= MAX_MISSED {
                    return false;
                }
                connection.missed += 1;
                true
            });
        }
    }
}
