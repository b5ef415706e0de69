//! A wrapped connection of wire v0 against our own server and client, over real sockets.

use core::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::client::{self, Client, ClientConfig};
use heartwire::server::{self, Server, ServerConfig};
use heartwire::wrap::Heartbeat;
use heartwire::wrap::v0::{Codec, Frame, Heart};
use heartwire::{Policy, Reason, Wire};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use crate::rig::ms;

fn policy() -> Policy {
    Policy::builder().beat(ms(50)).limit(ms(2_000)).build().unwrap()
}

#[tokio::test]
async fn a_wrapped_client_and_our_server_keep_each_other_alive() {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).policy(policy());
    let (server, mut events) = Server::start_with_events(config).unwrap();
    let stream = TcpStream::connect(server.local_addrs()[0]).await.unwrap();
    let mut client = Heartbeat::new(Framed::new(stream, Codec::new()), Heart, policy());
    // Longer than either limit: beats alone keep it.
    assert!(timeout(ms(4_500), client.next()).await.is_err());
    client.send(Bytes::from_static(b"still here")).await.unwrap();
    loop {
        match events.recv().await.unwrap() {
            server::Event::Data { id, data } => {
                assert_eq!(&*data, b"still here");
                server.handle().send(id, b"so am I").unwrap();
                break;
            }
            // A busy machine makes a shard stand still.
            server::Event::Online { .. } | server::Event::Stalled { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let frame = client.next().await.unwrap().unwrap();
    assert_eq!(frame, Frame::Data(Bytes::from_static(b"so am I")));
    drop(client);
    let reason = loop {
        match events.recv().await.unwrap() {
            server::Event::Offline { reason, .. } => break reason,
            server::Event::Stalled { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason, Reason::ClosedByPeer);
}

#[tokio::test]
async fn a_wrapped_server_and_our_client_keep_each_other_alive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (client, mut events) =
        Client::start(ClientConfig::new(address).wire(Wire::V0).policy(policy()));
    let (stream, _) = listener.accept().await.unwrap();
    let mut server = Heartbeat::new(Framed::new(stream, Codec::new()), Heart, policy());
    assert!(timeout(ms(4_500), server.next()).await.is_err());
    client.send(b"still here".to_vec()).await.unwrap();
    let frame = server.next().await.unwrap().unwrap();
    assert_eq!(frame, Frame::Data(Bytes::from_static(b"still here")));
    // It stops beating: the client finds that out.
    loop {
        match timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap() {
            client::Event::Offline { reason: Reason::Dead(verdict), .. } => {
                assert_eq!(
                    verdict.silence,
                    ms(2_000) + verdict.stalled + verdict.late.min(heartwire::TICK)
                );
                break;
            }
            client::Event::Connecting { .. }
            | client::Event::Online { .. }
            | client::Event::Stalled(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(server);
}
