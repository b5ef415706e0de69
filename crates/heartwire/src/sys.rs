//! Socket options of Linux that no maintained crate offers: the receive low-water mark, the time
//! since the last data came, unacknowledged bytes, and the retransmission timeout; and descriptors
//! that were passed to this process. The only module with unsafe code.
//!
//! Other systems return [`io::ErrorKind::Unsupported`] or `None`.

use core::time::Duration;
use std::io;

use socket2::{Domain, Socket, Type};

/// Tries what coalescing needs on a new socket: an error means that this system lacks it, or that a
/// sandbox forbids it.
pub(crate) fn try_coalescing() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    set_receive_mark(&socket, 2)?;
    since_last_receive(&socket)?;
    Ok(())
}

/// The state of the path to a peer.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the simulator makes them")]
pub struct Way {
    /// Time since anything came, data or acknowledgement; exact to about a jiffy.
    pub quiet: Duration,
    /// The kernel is trying to reach the peer and has had no answer yet. Data that waits because
    /// the peer does not read does not count.
    pub is_tried: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{resends_after, set_receive_mark, since_last_receive, unacknowledged, way};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use other::{resends_after, set_receive_mark, since_last_receive, unacknowledged, way};

#[cfg(unix)]
pub(crate) use passed::take_passed;

#[cfg(unix)]
mod passed {
    #![expect(unsafe_code, reason = "the number of a descriptor is all that a parent tells of it")]

    use core::ops::Range;
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::io;
    use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

    use rustix::io::{FdFlags, fcntl_setfd};

    /// Takes over descriptors that this process was started with, which its children then do not
    /// get. Later calls return none.
    pub(crate) fn take_passed(range: Range<RawFd>) -> io::Result<Vec<OwnedFd>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Relaxed) {
            return Ok(Vec::new());
        }
        for fd in range.clone() {
            // SAFETY: it is borrowed for one call, which fails if it is not open.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
            fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
        }
        // SAFETY: each is open. This process did not open them: its parent says that it passed
        // them, to nothing else in it but the first caller of this function.
        Ok(range.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    #![expect(unsafe_code, reason = "getsockopt and setsockopt for options that no crate offers")]

    use core::mem::{self, MaybeUninit};
    use core::time::Duration;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    use libc::{c_int, c_void, socklen_t};

    /// Sets `SO_RCVLOWAT`: a poller wakes when this many bytes wait, the peer has closed, or there
    /// is an error. A non-blocking read is not affected.
    pub(crate) fn set_receive_mark(socket: impl AsFd, bytes: u32) -> io::Result<()> {
        let value = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        let len = socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
        // SAFETY: the descriptor is borrowed for the call, so it is open; `value` is a live `c_int`
        // and `len` is its size, which is what this option takes. Nothing keeps the pointer.
        let result = unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                (&raw const value).cast::<c_void>(),
                len,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Time since the peer's last data came, read or not (`tcpi_last_data_recv` of `TCP_INFO`).
    /// Before any data it counts from the start of the connection.
    ///
    /// The kernel counts it in whole jiffies and rounds to milliseconds: the true time can be one
    /// [jiffy](crate::clock::jiffy) more or less.
    pub(crate) fn since_last_receive(socket: impl AsFd) -> io::Result<Duration> {
        let info = tcp_info(socket)?;
        Ok(Duration::from_millis(u64::from(info.tcpi_last_data_recv)))
    }

    /// The state of the path to the peer, while written bytes are not acknowledged; `None` if all
    /// are, or if the system cannot tell.
    pub(crate) fn way(socket: impl AsFd) -> Option<super::Way> {
        unacknowledged(&socket).filter(|&bytes| bytes > 0)?;
        let info = tcp_info(socket).ok()?;
        let quiet = info.tcpi_last_ack_recv.min(info.tcpi_last_data_recv);
        // If the local address is gone, nothing can be sent, and the kernel probes as for a peer
        // that does not read. Such a peer answers each probe, so one probe may be in flight to it.
        let is_tried = info.tcpi_unacked > 0 || info.tcpi_probes >= 2;
        Some(super::Way { quiet: Duration::from_millis(u64::from(quiet)), is_tried })
    }

    /// The kernel's retransmission timeout (`tcpi_rto`), computed from the round trips; it doubles
    /// each time.
    pub(crate) fn resends_after(socket: impl AsFd) -> Option<Duration> {
        let info = tcp_info(socket).ok()?;
        let now = Duration::from_micros(u64::from(info.tcpi_rto));
        now.checked_div(1_u32.checked_shl(u32::from(info.tcpi_backoff))?)
    }

    /// `TCP_INFO`, up to `tcpi_last_ack_recv` at least.
    fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut len = socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
        // SAFETY: the descriptor is borrowed for the call, so it is open; `info` has room for the
        // `len` bytes that the kernel may write, and `len` is a live `socklen_t`. Nothing keeps the
        // pointers.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast::<c_void>(),
                &raw mut len,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let needed = mem::offset_of!(libc::tcp_info, tcpi_last_ack_recv) + size_of::<u32>();
        if usize::try_from(len).is_ok_and(|len| len < needed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: `tcp_info` is made of integers, for which zeroed memory is a value; the kernel
        // has overwritten its first `len` bytes with integers of its own.
        Ok(unsafe { info.assume_init() })
    }

    /// Bytes written and not acknowledged by the peer's kernel (`SIOCOUTQ`); the end of the sending
    /// half counts as one. After a reset it keeps its value. `None` if the system cannot tell.
    pub(crate) fn unacknowledged(socket: impl AsFd) -> Option<usize> {
        let mut bytes: c_int = 0;
        // SAFETY: the descriptor is borrowed for the call, so it is open; this request writes one
        // `c_int`, and `bytes` is a live one. Nothing keeps the pointer.
        let result =
            unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).ok() } else { None }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other {
    use core::time::Duration;
    use std::io;

    pub(crate) fn set_receive_mark<S>(_socket: S, _bytes: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn since_last_receive<S>(_socket: S) -> io::Result<Duration> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) const fn way<S>(_socket: &S) -> Option<super::Way> {
        None
    }

    pub(crate) const fn resends_after<S>(_socket: &S) -> Option<Duration> {
        None
    }

    pub(crate) fn unacknowledged<S>(_socket: S) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests;
