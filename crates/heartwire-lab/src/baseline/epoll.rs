//! The cheapest possible server: one thread, one epoll, one `recv` for each wake-up, and nothing
//! else.
//!
//! It reads beats and forgets them. It has *no liveness*: a silent client is never closed.
//! `heartwire-lab bench --compare` measures what liveness costs on top of it. One that
//! answers sends back what each `recv` has read, with one `send`.
//!
//! Edge-triggered, because a level-triggered epoll looks at every socket once more after it was
//! read. That took about an eighth more CPU for each beat when beats came in bursts; one by one,
//! the two did not differ by more than the noise.

use core::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, accept_with, recv, send};

use super::{FLAGS, LISTENER, listen_on};

pub(super) fn run(addr: SocketAddr, answers: bool) -> anyhow::Result<()> {
    let (listener, poll) = listen_on(addr)?;
    // By descriptor: 4 bytes for each connection, and nothing more.
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = [0_u8; 4096];
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data.u64();
            if data == LISTENER {
                while let Ok(connection) = accept_with(&listener, FLAGS) {
                    let fd = usize::try_from(connection.as_raw_fd())?;
                    let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                    let data = EventData::new_u64(u64::try_from(fd)?);
                    epoll::add(&poll, &connection, data, interest)?;
                    if connections.len() <= fd {
                        connections.resize_with(fd + 1, || None);
                    }
                    if let Some(slot) = connections.get_mut(fd) {
                        *slot = Some(connection);
                    }
                }
            } else if let Some(slot) = connections.get_mut(usize::try_from(data)?)
                && let Some(connection) = slot
            {
                // A beat is far shorter than the buffer, so one read empties the socket.
                match recv(&*connection, &mut buffer, RecvFlags::empty()) {
                    Ok((len @ 1.., _)) => {
                        let beat = buffer.get(..len).unwrap_or_default();
                        if answers && !answer(connection, beat) {
                            *slot = None;
                        }
                    }
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Ok((0, _)) | Err(_) => *slot = None,
                }
            }
        }
    }
}

/// Sends a beat back; false if the connection has ended.
fn answer(connection: &OwnedFd, beat: &[u8]) -> bool {
    match send(connection, beat, SendFlags::NOSIGNAL) {
        // A client that does not read its answers gets no more of them.
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    }
}
