//! Watches this machine's network for changes.

use std::sync::Arc;

use super::app::Controls;

/// Watches this machine's network (Linux and Android only), for a process with many clients:
/// after each change it calls [`network_changed`](super::Client::network_changed) on all of them.
/// A single client can watch it [by itself](super::ClientConfig::watch_network).
#[derive(Debug, Default)]
pub struct NetworkWatch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    watch: linux::Watch,
}

impl NetworkWatch {
    /// Begins to watch. It takes one file descriptor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until an address or an interface has changed, or the machine was suspended; within a
    /// second after that. Never returns where the system cannot be watched.
    pub async fn changed(&mut self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        self.watch.changed().await;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        core::future::pending::<()>().await;
    }
}

/// Makes the client check its connection after each change, if there is a client. Never returns.
pub(super) async fn watch(client: Option<Arc<Controls>>) {
    let Some(controls) = client else { return core::future::pending().await };
    let mut network = NetworkWatch::new();
    loop {
        network.changed().await;
        controls.network_changed();
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use core::time::Duration;
    use std::io;
    use std::os::fd::OwnedFd;

    use heartwire_core::internal::returning::LOOK_EVERY;
    use rustix::io::Errno;
    use rustix::net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
    };
    use tokio::time::sleep;
    use tracing::debug;

    use crate::clock;

    /// Interfaces, and addresses of IPv4 and IPv6 (`RTMGRP_*` in `linux/rtnetlink.h`).
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;

    /// `RTM_NEWLINK`, `RTM_DELLINK`; `RTM_NEWADDR`, `RTM_DELADDR`.
    const LINKS: [u16; 2] = [16, 17];
    const ADDRESSES: [u16; 2] = [20, 21];

    /// Lengths of a message's header, and of what comes before the attributes of an interface.
    const HEADER_LEN: usize = 16;
    const LINK_LEN: usize = 16;

    /// The attribute of frequent messages about the state of a wireless network.
    const IFLA_WIRELESS: u16 = 11;

    /// Maximum number of messages read each time.
    const MAX_READS: usize = 64;

    /// A suspend shorter than this breaks no connection.
    const MIN_SUSPENDED: Duration = Duration::from_secs(1);

    #[derive(Debug)]
    pub(super) struct Watch {
        socket: Option<OwnedFd>,
        suspended: Duration,
    }

    impl Default for Watch {
        fn default() -> Self {
            let socket = listen();
            if let Err(error) = &socket {
                debug!(%error, "cannot watch the network, only suspends");
            }
            Self { socket: socket.ok(), suspended: clock::suspended() }
        }
    }

    impl Watch {
        pub(super) async fn changed(&mut self) {
            loop {
                sleep(LOOK_EVERY).await;
                let was_suspended = core::mem::replace(&mut self.suspended, clock::suspended());
                let has_changed = self.socket.as_ref().is_some_and(has_changed);
                if has_changed || self.suspended.saturating_sub(was_suspended) >= MIN_SUSPENDED {
                    debug!(has_changed, "the network may have changed");
                    return;
                }
            }
        }
    }

    fn listen() -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // The first of netlink's protocols, `NETLINK_ROUTE`.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUPS))?;
        Ok(socket)
    }

    /// Whether the kernel has reported a change since the last call.
    fn has_changed(socket: &OwnedFd) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        let mut has_changed = false;
        // Bounded, because more messages may keep coming.
        for _ in 0..MAX_READS {
            match recv(socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((len, _)) => has_changed |= tells_change(buffer.get(..len).unwrap_or_default()),
                // More has changed than the socket could hold.
                Err(Errno::NOBUFS) => has_changed = true,
                Err(_) => break,
            }
        }
        has_changed
    }

    /// Whether one of these messages is about an address, or about an interface and not only its
    /// radio.
    fn tells_change(mut bytes: &[u8]) -> bool {
        while let (Some(len), Some(kind)) = (number(bytes, 0), short(bytes, 4)) {
            let len = usize::try_from(len).unwrap_or(usize::MAX).max(HEADER_LEN);
            let message = bytes.get(..len).unwrap_or(bytes);
            if ADDRESSES.contains(&kind) || (LINKS.contains(&kind) && !is_of_radio(message)) {
                return true;
            }
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }

    fn is_of_radio(message: &[u8]) -> bool {
        let mut attributes = message.get(HEADER_LEN + LINK_LEN..).unwrap_or_default();
        while let (Some(len), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
            if kind == IFLA_WIRELESS {
                return true;
            }
            let len = usize::from(len).max(4).next_multiple_of(4);
            attributes = attributes.get(len..).unwrap_or_default();
        }
        false
    }

    fn number(bytes: &[u8], at: usize) -> Option<u32> {
        bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
    }

    fn short(bytes: &[u8], at: usize) -> Option<u16> {
        bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
    }

    #[cfg(test)]
    mod tests;
}
