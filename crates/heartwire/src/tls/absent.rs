//! Uninhabited stand-ins for the TLS types, without the feature `tls`.

pub(crate) mod error;
#[expect(dead_code, reason = "most faults are found by TLS itself")]
mod fault;

use core::task::Waker;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use crate::server::{Ended, Until};

pub(crate) use error::{Detail, TlsError, TlsFailure};
#[cfg(test)]
pub(crate) use fault::CertificateFault;
pub(crate) use fault::{PROXY_HEADER, TlsFault};

pub(crate) const RECORD_OVERHEAD: usize = 0;
pub(crate) const MIN_READ_LEN: usize = 1;

#[derive(Clone, Debug)]
pub(crate) enum SharedServerTls {}

#[derive(Clone, Debug)]
pub(crate) enum SharedClientTls {}

impl SharedServerTls {
    pub(crate) fn changes(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn watch(&self, _shards: &Arc<[Waker]>) {
        match *self {}
    }
}

impl SharedClientTls {
    pub(crate) fn refresh(&self) {
        match *self {}
    }
}

pub(crate) enum Received {
    Nothing,
    Bytes(usize),
    Closed,
    #[expect(dead_code, reason = "only TLS detects it")]
    Truncated,
}

#[derive(Debug, Default)]
pub(crate) struct Tickets(());

#[derive(Debug)]
pub(crate) enum TlsSession {}

impl TlsSession {
    pub(crate) fn server(tls: &SharedServerTls) -> Result<Self, TlsFailure> {
        match *tls {}
    }

    pub(crate) fn client(
        tls: &SharedClientTls,
        _host: &str,
        _tickets: &mut Tickets,
    ) -> Result<Self, TlsFailure> {
        match *tls {}
    }

    pub(crate) fn read(
        &mut self,
        _socket: &mut impl Read,
        _buffer: &mut [u8],
    ) -> Result<Received, TlsFailure> {
        match *self {}
    }

    pub(crate) fn has_more(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_ended(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_partial(&self) -> bool {
        match *self {}
    }

    pub(crate) fn progress(&self) -> u32 {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_resumed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_outdated(&self, _tls: &SharedServerTls) -> bool {
        match *self {}
    }

    pub(crate) fn certificate_until(&self) -> Option<Until> {
        match *self {}
    }

    pub(crate) fn check_again(&self, _tls: &SharedServerTls, _wall: u64) -> Result<(), Ended> {
        match *self {}
    }

    pub(crate) fn held(&self) -> usize {
        match *self {}
    }

    pub(crate) fn queued(&self) -> usize {
        match *self {}
    }

    pub(crate) fn write(&mut self, _socket: &mut impl Write, _plain: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn write_vectored(
        &mut self,
        _socket: &mut impl Write,
        _slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _socket: &mut impl Write) -> io::Result<bool> {
        match *self {}
    }

    pub(crate) fn close(&mut self) {
        match *self {}
    }
}
