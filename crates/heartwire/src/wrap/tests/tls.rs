//! The wrappers over TLS of another library.

use std::sync::Arc;

use crate::wrap::{Alive, EmptyFrame, Error, Heartbeat, LastByte, verdict_in};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, copy_bidirectional,
    duplex,
};
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::rig::{assert_in_bound, assert_waits, both, judge, secs};

/// More than is ever on its way here.
const LEN: usize = 64 * 1024;

/// Both ends of one TLS connection, after the handshake.
async fn tls<C, S>(client: C, server: S) -> (client::TlsStream<C>, server::TlsStream<S>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let theirs = ServerConfig::builder().with_no_client_auth();
    let theirs = theirs.with_single_cert(vec![certificate], key).unwrap();
    let ours = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(
        TlsConnector::from(Arc::new(ours)).connect(name, client),
        TlsAcceptor::from(Arc::new(theirs)).accept(server),
    );
    (client.unwrap(), server.unwrap())
}

type Wrapped<T> = Heartbeat<Framed<T, LengthDelimitedCodec>, EmptyFrame>;

fn wrap<T: AsyncRead + AsyncWrite>(stream: T) -> Wrapped<T> {
    Heartbeat::new(Framed::new(stream, LengthDelimitedCodec::new()), EmptyFrame, both())
}

async fn connected()
-> (Wrapped<client::TlsStream<DuplexStream>>, Wrapped<server::TlsStream<DuplexStream>>) {
    let (near, far) = duplex(LEN);
    let (near, far) = tls(near, far).await;
    (wrap(near), wrap(far))
}

#[tokio::test(start_paused = true)]
async fn beats_keep_a_connection_within_tls_and_their_absence_ends_it() {
    let (mut near, mut far) = connected().await;
    near.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap()[..], b"hello"[..]);
    // Ten timeouts of nothing but beats.
    tokio::join!(assert_waits(near.next(), secs(100)), assert_waits(far.next(), secs(100)));
    far.send(Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap()[..], b"still here"[..]);
    // The other end hangs: it is not polled, and nothing is closed.
    let heard_at = Instant::now();
    assert!(matches!(near.next().await, Some(Err(Error::Dead(_)))));
    assert_in_bound(heard_at, secs(10));
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_tls_did_not_announce_is_an_error_and_one_that_it_did_is_an_end() {
    let (mut near, far) = connected().await;
    drop(far);
    assert!(matches!(near.next().await, Some(Err(Error::Inner(_)))));
    let (mut near, mut far) = connected().await;
    SinkExt::<Bytes>::close(&mut far).await.unwrap();
    assert!(near.next().await.is_none());
}

/// A record is decrypted when it is whole; below TLS its bytes count as they come.
#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_record_that_is_not_whole_are_life_if_watched_below_tls() {
    for watched in [true, false] {
        let ((near, mut to_client), (mut to_server, far)) = (duplex(LEN), duplex(LEN));
        let (near, last_byte) = LastByte::watch(near);
        let (near, mut far) = tokio::select! {
            shaken = tls(near, far) => shaken,
            _ = copy_bidirectional(&mut to_client, &mut to_server) => panic!("no end closes"),
        };
        tokio::spawn(dribble(to_server, to_client));
        let framed = Framed::new(near, LengthDelimitedCodec::new());
        let mut near = Heartbeat::new(framed, EmptyFrame, judge());
        if watched {
            near = near.last_byte(last_byte);
        }
        far.write_all(b"\0\0\0\x05hello").await.unwrap();
        far.flush().await.unwrap();
        match near.next().await.unwrap() {
            Ok(frame) => assert!(watched && frame[..] == b"hello"[..]),
            Err(Error::Dead(_)) => assert!(!watched),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Takes 3 s for each byte.
async fn dribble(mut from: DuplexStream, mut to: DuplexStream) {
    let mut byte = [0];
    while from.read_exact(&mut byte).await.is_ok() {
        sleep(secs(3)).await;
        if to.write_all(&byte).await.is_err() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reading_bytes_out_of_tls_ends_with_the_verdict() {
    let (near, far) = duplex(LEN);
    let (near, mut far) = tls(near, far).await;
    let mut near = Alive::new(near, judge());
    far.write_all(b"hello").await.unwrap();
    far.flush().await.unwrap();
    let mut text = [0; 5];
    near.read_exact(&mut text).await.unwrap();
    let heard_at = Instant::now();
    let error = near.read_u8().await.unwrap_err();
    assert!(verdict_in(&error).is_some(), "{error}");
    assert_in_bound(heard_at, secs(10));
}
