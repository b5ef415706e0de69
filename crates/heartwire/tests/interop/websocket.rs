//! A WebSocket server of Node's `ws`, which pings as well, and drops whoever does not answer.

use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::wrap::Heartbeat;
use heartwire::wrap::websocket::Ping;
use heartwire_testkit::skip;
use tokio::time::timeout;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::peer::Peer;
use super::{CALM, freeze, policy};

/// Where `.ci/run` installs `ws`, unless `NODE_PATH` says otherwise.
const NODE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/node_modules");

#[tokio::test]
async fn a_websocket_that_is_frozen_is_dead() {
    let mut command = Command::new("node");
    command.arg("-e").arg(include_str!("websocket.js"));
    if std::env::var_os("NODE_PATH").is_none() {
        command.env("NODE_PATH", NODE_PATH);
    }
    let Some(mut peer) = Peer::start(&mut command) else { return };
    let Some(port) = peer.first_line() else { return skip("ws is not installed (npm install ws)") };

    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let url = format!("ws://127.0.0.1:{port}");
    let (socket, _) = connect_async_with_config(url, Some(config), true).await.unwrap();
    let mut socket = Heartbeat::new(socket, Ping, policy());

    assert!(timeout(CALM, socket.next()).await.is_err());
    assert!(socket.rtt().is_some(), "pongs bring the nonce back");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));

    freeze(&peer, async { socket.next().await?.unwrap_err().verdict() }).await;
}
