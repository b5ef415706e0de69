//! One end of a link, as the driver that holds it sees it.

use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};

use heartwire::internal::{Socket as Sockets, Way};
use heartwire_core::Side;

use super::Shared;
use crate::sim::broken::Broken;
use crate::sim::lie::Liar;
use crate::sim::link::{Both, LinkId, SocketError, other};
use crate::sim::net;
use crate::sim::tail::Tail;
use crate::sim::terms::Terms;

/// One end of a link.
#[derive(Debug)]
pub(in crate::sim) struct Socket {
    net: Shared,
    link: LinkId,
    side: Side,
    broken: Option<Broken>,
    liar: Option<Box<Liar>>,
    tail: Option<Box<Tail>>,
    is_reset_when_closed: bool,
    /// What a driver with imprecise time stamps adds to the age of bytes.
    vague: Duration,
}

impl Socket {
    pub(super) fn new(net: Shared, link: LinkId, side: Side, terms: &Both<Terms>) -> Self {
        let (terms, peer) = (terms.of(side), terms.of(other(side)));
        let liar = Liar::of(link, side, terms, peer).map(Box::new);
        let tail = (terms.tail_of_peer > 0).then(|| Box::new(Tail::new(terms.tail_of_peer)));
        let vague = terms.policy.timeout().unwrap_or_default() / 10;
        let broken = terms.broken;
        Self { net, link, side, broken, liar, tail, is_reset_when_closed: false, vague }
    }

    pub(in crate::sim) const fn link(&self) -> LinkId {
        self.link
    }

    fn error_of(&self, net: &net::Net, error: SocketError) -> io::Error {
        let kind = match error {
            // The peer closed before: this is only its system's answer to late bytes.
            SocketError::Reset if net.has_ended(self.link, self.side) => io::ErrorKind::BrokenPipe,
            SocketError::Reset => io::ErrorKind::ConnectionReset,
            SocketError::TimedOut => io::ErrorKind::TimedOut,
        };
        kind.into()
    }
}

/// The process has finished with it, or is gone.
impl Drop for Socket {
    fn drop(&mut self) {
        let mut net = self.net.lock();
        net.handle_closed(self.link, self.side);
        if !net.link(self.link).sockets.of(self.side).is_held {
            return;
        }
        if self.is_reset_when_closed {
            net.abort(self.link, self.side);
        } else {
            net.close(self.link, self.side);
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut net = self.net.ask(self.link, self.side);
        let (link, side) = (self.link, self.side);
        let mut kept = Vec::new();
        // A tail that did not fit is read again with what follows it: as from a kernel, a read that
        // does not fill the buffer has everything.
        let left = self.tail.as_mut().map(|tail| core::mem::take(&mut tail.left));
        let left = left.unwrap_or_default();
        let room = buffer.len().saturating_sub(left.len());
        let read = match &mut self.liar {
            Some(liar) => liar.read(&mut net, &mut kept, room),
            None => net.read(link, side, &mut kept, room),
        };
        if let Some(tail) = &mut self.tail {
            tail.append(&mut kept);
            kept.splice(..0, left);
            tail.left = kept.split_off(kept.len().min(buffer.len()));
        }
        match read {
            _ if !kept.is_empty() => {
                for (to, from) in buffer.iter_mut().zip(&kept) {
                    *to = *from;
                }
                Ok(kept.len())
            }
            net::Read::Bytes => Ok(0),
            net::Read::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            net::Read::End => Ok(0),
            net::Read::Failed(error) => Err(self.error_of(&net, error)),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut net = self.net.ask(self.link, self.side);
        let (link, side) = (self.link, self.side);
        let written = match &mut self.liar {
            Some(liar) => liar.write(&mut net, bytes),
            None => net.write(link, side, bytes),
        };
        match written {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            Ok(len) => Ok(len),
            Err(error) => Err(self.error_of(&net, error)),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sockets for Socket {
    fn peek(&mut self) -> io::Result<usize> {
        let mut net = self.net.ask(self.link, self.side);
        let (link, side) = (self.link, self.side);
        let is_busy = net.is_busy(net.link(link).sockets.of(side).host);
        if is_busy && self.broken == Some(Broken::TakesSlownessForDeath) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A client peeks where its application has no room. The application need not be busy: more
        // may have come at once than it takes at a time.
        let observer = net.link(link).observers.of(side).as_ref();
        let lacks_room = observer.is_some_and(|observer| observer.lacks_room(&net));
        // What did not fit into the buffer of the last read waits too.
        let has_left = self.tail.as_ref().is_some_and(|tail| !tail.left.is_empty());
        if (is_busy || lacks_room) && (has_left || net.has_news(link, side)) {
            net.note_backpressure(link, side);
        }
        if has_left || net.readable(link, side) > 0 {
            return Ok(1);
        }
        if net.has_ended(link, side) {
            return Ok(0);
        }
        match net.link(link).sockets.of(side).error {
            Some(error) => Err(self.error_of(&net, error)),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn shutdown_writing(&mut self) -> io::Result<()> {
        self.net.lock().shutdown_writing(self.link, self.side);
        Ok(())
    }

    fn reset_when_closed(&mut self) {
        self.is_reset_when_closed = true;
    }

    fn since_last_receive(&self) -> io::Result<Duration> {
        let net = self.net.ask(self.link, self.side);
        let (link, side) = (self.link, self.side);
        let since = net.since_last_arrival(link, side);
        Ok(match self.broken {
            Some(Broken::StampsWhenFound) => Duration::ZERO,
            Some(Broken::StampsBeforeReading) => net.since_turn(link, side).max(since),
            Some(Broken::StampsVaguely) => since + self.vague,
            Some(_) | None => since,
        })
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.net.lock().unacknowledged(self.link, self.side)
    }

    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()> {
        self.net.lock().set_mark(self.link, self.side, bytes.into());
        Ok(())
    }

    fn way(&self) -> Option<Way> {
        self.net.lock().way(self.link, self.side)
    }

    fn resends_after(&self) -> Option<Duration> {
        Some(self.net.lock().resends_after(self.link))
    }
}
