//! One step of rustls, the same for both sides.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

use super::session::RECORD_OVERHEAD;

/// A header, a close_notify of two bytes, and what encrypting adds.
const CLOSE_NOTIFY_LEN: usize = 2 + RECORD_OVERHEAD;

/// The TLS state of one side of a connection. It keeps no bytes that came, and none to be sent.
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
    /// Nothing: the peer said that it has closed.
    Closed,
    /// Nothing: it is over.
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

    /// Takes in the beginning of `ciphertext`. Plaintext goes into `plain`, which has to have room
    /// for that of one record, and what is to be sent is added to `outbound`.
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

    /// After a failure: adds the alert that tells the peer to `outbound`.
    pub(super) fn last_words(&mut self, outbound: &mut Vec<u8>) {
        // Nothing is looked at but what waits to be sent, as long as there is any. Once there is
        // none, the records that failed would be looked at again.
        while self.state().wants_write() {
            if !matches!(self.step(&mut [], &mut [], outbound).next, Next::Step) {
                return;
            }
        }
    }

    /// Adds the record for `outgoing` to `outbound`. `kept` is the ciphertext that steps have not
    /// used. `false` if there is no key for it: during the handshake, and after the end.
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
        // Early data is never offered, and never accepted.
        Ok(other) => Next::Failed(Error::General(format!("unexpected state {other:?}"))),
        Err(error) => Next::Failed(error),
    };
    Step { used, plain: len, next }
}

enum Sealed {
    Done,
    NoKey,
    /// What had been waiting was added first.
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
            // An update of the keys goes first.
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
    // It tells how much room it needs.
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outbound.resize(begin + needed.required_size, 0);
        let len = data.encode(outbound.get_mut(begin..).unwrap_or_default()).unwrap_or(0);
        outbound.truncate(begin + len);
    }
}
