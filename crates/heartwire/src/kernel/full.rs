//! Keepalive on systems where all settings can be read back.

use std::io;

use socket2::{SockRef, TcpKeepalive};

use super::Keepalive;

/// Settings that this system cannot read back.
pub(super) const MISSING: Option<&str> = None;

pub(super) fn set(socket: &SockRef<'_>, keepalive: Keepalive) -> io::Result<()> {
    let params = TcpKeepalive::new()
        .with_time(keepalive.idle())
        .with_interval(keepalive.interval())
        .with_retries(keepalive.count());
    socket.set_tcp_keepalive(&params)
}

pub(super) fn read(socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
    if !socket.keepalive()? {
        return Ok(None);
    }
    let keepalive = Keepalive::new(
        socket.tcp_keepalive_time()?,
        socket.tcp_keepalive_interval()?,
        socket.tcp_keepalive_retries()?,
    );
    keepalive.map(Some).map_err(io::Error::other)
}
