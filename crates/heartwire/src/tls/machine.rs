//! One step of rustls, for both ends.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, HandshakeKind};

use super::session::RECORD_OVERHEAD;

/// Length of a `close_notify` record: two bytes and the overhead.
const CLOSE_NOTIFY_LEN: usize = 2 + RECORD_OVERHEAD;

/// The TLS state of one end of a connection. It buffers no bytes.
pub(super) enum Machine {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// The result of a step.
pub(super) struct Step {
    /// Bytes of ciphertext that were used up.
    pub(super) used: usize,
    /// Bytes of plaintext that came out.
    pub(super) plain: usize,
    pub(super) next: Next,
}

pub(super) enum Next {
    /// Another step.
    Step,
    /// More ciphertext.
    Bytes,
    /// Nothing: the peer sent `close_notify`.
    Closed,
    /// Nothing: TLS failed.
    Failed(Error),
}

/// What to encrypt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

impl Machine {
    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    /// Processes the front of `ciphertext`. Plaintext goes into `plain`, which needs room for one
    /// record, and bytes to send are added to `outbound`.
    pub(super) fn step(
        &mut self,
        ciphertext: &mut [u8],
        plain: &mut [u8],
        outbound: &mut Vec<u8>,
    ) -> Step {
        match self {
            Self::Server(server) => step(server.process_tls_records(ciphertext), plain, outbound),
            Self::Client(client) => step(client.process_tls_records(ciphertext), plain, outbound),
        }
    }

    /// After a failure: adds the alert for the peer to `outbound`.
    pub(super) fn last_words(&mut self, outbound: &mut Vec<u8>) {
        // Only while there are bytes to send: after that, rustls would process the failed records
        // again.
        while self.state().wants_write() {
            if !matches!(self.step(&mut [], &mut [], outbound).next, Next::Step) {
                return;
            }
        }
    }

    /// Adds the record for `outgoing` to `outbound`. `kept` is the ciphertext that steps have not
    /// used. False if there is no key: during the handshake, and after the end.
    pub(super) fn encrypt(
        &mut self,
        outgoing: Outgoing<'_>,
        kept: &mut [u8],
        outbound: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        loop {
            let sealed = match self {
                Self::Server(server) => seal(server.process_tls_records(kept), outgoing, outbound),
                Self::Client(client) => seal(client.process_tls_records(kept), outgoing, outbound),
            };
            match sealed? {
                Sealed::Done => return Ok(true),
                Sealed::NoKey => return Ok(false),
                Sealed::OthersFirst => {}
            }
        }
    }

    /// The certificates of the peer, its own first.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// Whether the handshake is over, and was one with a ticket.
    pub(super) fn has_resumed(&self) -> bool {
        let state = self.state();
        !state.is_handshaking() && state.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn state(&self) -> &CommonState {
        match self {
            Self::Server(server) => server,
            Self::Client(client) => client,
        }
    }
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut [u8],
    outbound: &mut Vec<u8>,
) -> Step {
    let UnbufferedStatus { discard: mut used, state } = status;
    let mut len = 0;
    let next = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Next::Step,
                Some(Err(error)) => break Next::Failed(error),
                Some(Ok(record)) => {
                    used += record.discard;
                    let to = len + record.payload.len();
                    let Some(room) = plain.get_mut(len..to) else {
                        break Next::Failed(Error::General("no room for a record".into()));
                    };
                    room.copy_from_slice(record.payload);
                    len = to;
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(data)) => {
            encode(data, outbound);
            Next::Step
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Next::Step
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Next::Bytes,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Next::Closed,
        // Early data is never offered or accepted.
        Ok(other) => Next::Failed(Error::General(format!("unexpected state {other:?}"))),
        Err(error) => Next::Failed(error),
    };
    Step { used, plain: len, next }
}

enum Sealed {
    Done,
    NoKey,
    /// Waiting bytes were added first; try again.
    OthersFirst,
}

fn seal<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: Outgoing<'_>,
    outbound: &mut Vec<u8>,
) -> Result<Sealed, Error> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of states is open")]
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => {
            encrypt(&mut traffic, outgoing, outbound)?;
            Ok(Sealed::Done)
        }
        ConnectionState::EncodeTlsData(data) => {
            encode(data, outbound);
            Ok(Sealed::OthersFirst)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Sealed::OthersFirst)
        }
        _ => Ok(Sealed::NoKey),
    }
}

fn encrypt<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    outgoing: Outgoing<'_>,
    outbound: &mut Vec<u8>,
) -> Result<(), Error> {
    let begin = outbound.len();
    let mut room = match outgoing {
        Outgoing::Data(plain) => plain.len() + RECORD_OVERHEAD,
        Outgoing::CloseNotify => CLOSE_NOTIFY_LEN,
    };
    loop {
        outbound.resize(begin + room, 0);
        let space = outbound.get_mut(begin..).unwrap_or_default();
        let sealed = match outgoing {
            Outgoing::Data(plain) => traffic.encrypt(plain, space),
            Outgoing::CloseNotify => traffic.queue_close_notify(space),
        };
        match sealed {
            Ok(len) => {
                outbound.truncate(begin + len);
                return Ok(());
            }
            // A key update goes first.
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(error) => {
                outbound.truncate(begin);
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outbound: &mut Vec<u8>) {
    let begin = outbound.len();
    // The error says how much room it needs.
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outbound.resize(begin + needed.required_size, 0);
        let len = data.encode(outbound.get_mut(begin..).unwrap_or_default()).unwrap_or(0);
        outbound.truncate(begin + len);
    }
}
