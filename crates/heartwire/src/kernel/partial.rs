//! Keepalive on systems where only the idle time can be set, and nothing read back.

use std::io;

use socket2::{SockRef, TcpKeepalive};

use super::Keepalive;

/// Settings that this system cannot read back.
pub(super) const MISSING: Option<&str> =
    Some("keepalive interval or count that could be read back");

pub(super) fn set(socket: &SockRef<'_>, keepalive: Keepalive) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keepalive.idle()))
}

pub(super) fn read(_socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
    Ok(None)
}
