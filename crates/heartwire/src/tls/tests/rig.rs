//! Two sessions, and what is between them.

use core::mem;
use std::io;

use crate::tls::session::{MIN_READ_LEN, Received, TlsSession};
use crate::tls::{SharedClientTls, SharedServerTls, Tickets, TlsFailure, TlsFault};

use super::certificates::{Authority, Serve as _, Trust as _};
use super::pipe::Pipe;

/// One end of a connection, and a driver that does what the documentation asks for.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) session: TlsSession,
    /// Plaintext that came.
    pub(super) heard: Vec<u8>,
    /// How it ended.
    pub(super) end: Option<Result<Received, TlsFailure>>,
    buffer: Vec<u8>,
}

impl Side {
    pub(super) fn new(session: TlsSession) -> Self {
        Self { session, heard: Vec::new(), end: None, buffer: vec![0; MIN_READ_LEN] }
    }

    /// Reads everything and writes everything. Returns whether anything came.
    pub(super) fn turn(&mut self, from: &mut Pipe, to: &mut Pipe) -> bool {
        let mut came = false;
        while self.end.is_none() {
            match self.session.read(from, &mut self.buffer) {
                Ok(Received::Nothing) => break,
                Ok(Received::Bytes(len)) => {
                    came = true;
                    self.heard.extend_from_slice(&self.buffer[..len]);
                }
                end => self.end = Some(end),
            }
        }
        let queued = self.session.queued();
        self.session.flush(to).unwrap();
        came || self.session.queued() < queued
    }

    pub(super) fn take_heard(&mut self) -> Vec<u8> {
        mem::take(&mut self.heard)
    }

    #[track_caller]
    pub(super) fn fault(&self) -> TlsFault {
        match &self.end {
            Some(Err(error)) => error.fault().expect("not the socket"),
            other => panic!("no fault, but {other:?}"),
        }
    }

    /// What is shown to a user.
    #[track_caller]
    pub(super) fn message(&self) -> String {
        match &self.end {
            Some(Err(error)) => error.to_string(),
            other => panic!("no error, but {other:?}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) server: Side,
    pub(super) client: Side,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
}

impl Pair {
    /// Both ends, before their first word.
    pub(super) fn new(server: &SharedServerTls, client: &SharedClientTls, host: &str) -> Self {
        Self::with_tickets(server, client, host, &mut Tickets::default())
    }

    /// The client may have been there before.
    pub(super) fn with_tickets(
        server: &SharedServerTls,
        client: &SharedClientTls,
        host: &str,
        tickets: &mut Tickets,
    ) -> Self {
        Self {
            server: Side::new(TlsSession::server(server).unwrap()),
            client: Side::new(TlsSession::client(client, host, tickets).unwrap()),
            to_server: Pipe::default(),
            to_client: Pipe::default(),
        }
    }

    /// A server for `localhost` and its client, who have shaken hands.
    pub(super) fn online() -> Self {
        let mut pair = Self::fresh();
        pair.run();
        pair.expect_online();
        pair
    }

    /// A server for `localhost` and its client.
    pub(super) fn fresh() -> Self {
        let authority = Authority::new();
        let server = authority.issue(&["localhost"]).server().load().unwrap();
        let client = authority.client().load().unwrap();
        Self::new(&server, &client, "localhost")
    }

    /// Until nothing happens any more.
    pub(super) fn run(&mut self) {
        loop {
            let server = self.server.turn(&mut self.to_server, &mut self.to_client);
            let client = self.client.turn(&mut self.to_client, &mut self.to_server);
            if !server && !client {
                return;
            }
        }
    }

    #[track_caller]
    pub(super) fn expect_online(&mut self) {
        for (name, side) in [("server", &self.server), ("client", &self.client)] {
            assert!(side.end.is_none(), "{name}: {:?}", side.end);
            assert!(!side.session.is_handshaking(), "the {name} is still shaking hands");
        }
        self.expect_talk();
    }

    /// Both hear what the other says.
    #[track_caller]
    pub(super) fn expect_talk(&mut self) {
        self.client_says(b"to the server");
        self.server_says(b"to the client");
        self.run();
        assert_eq!(self.server.take_heard(), b"to the server");
        assert_eq!(self.client.take_heard(), b"to the client");
    }

    #[track_caller]
    pub(super) fn client_says(&mut self, bytes: &[u8]) {
        write_all(&mut self.client.session, &mut self.to_server, bytes).unwrap();
    }

    #[track_caller]
    pub(super) fn server_says(&mut self, bytes: &[u8]) {
        write_all(&mut self.server.session, &mut self.to_client, bytes).unwrap();
    }
}

pub(super) fn write_all(session: &mut TlsSession, to: &mut Pipe, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        written += session.write(to, &bytes[written..])?;
    }
    Ok(())
}
