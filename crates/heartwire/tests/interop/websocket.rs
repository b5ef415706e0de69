//! A WebSocket server of Node's `ws`, which pings as well and drops clients that do not answer; and
//! the page of the book, run by Node.

use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::wrap::Heartbeat;
use heartwire::wrap::websocket::{Ping, Text};
use heartwire_testkit::{PATIENCE, skip};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async, connect_async_with_config};

use super::peer::Peer;
use super::{CALM, freeze, policy};

/// Where `.ci/run` installs `ws`, unless `NODE_PATH` says otherwise.
const NODE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/node_modules");

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg("-e").arg(script);
    if std::env::var_os("NODE_PATH").is_none() {
        command.env("NODE_PATH", NODE_PATH);
    }
    command
}

#[tokio::test]
async fn a_websocket_that_is_frozen_is_dead() {
    let Some(mut peer) = Peer::start(&mut node(include_str!("websocket.js"))) else { return };
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

/// The page of the book. It sends back what it gets, and prints why the connection ended.
async fn visit() -> Option<(Peer, Heartbeat<WebSocketStream<TcpStream>, Text>)> {
    let chapter = include_str!("../../../../docs/book/src/devices.md");
    let (_, page) = chapter.split_once("```js\n").unwrap();
    let page = page.split_once("```").unwrap().0;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let script = format!(
        "globalThis.WebSocket = require('ws');
        {page}
        const socket = connect('{url}', 2000, (data) => socket.send(data), console.log);"
    );
    let mut peer = Peer::start(&mut node(&script))?;
    let stream = tokio::select! {
        accepted = listener.accept() => accepted.unwrap().0,
        // Without `ws` it ends at once.
        () = peer.ended() => {
            skip("ws is not installed (npm install ws)");
            return None;
        }
    };
    let socket = accept_async(stream).await.unwrap();
    Some((peer, Heartbeat::new(socket, Text::default(), policy()).after_first_beat()))
}

#[tokio::test]
async fn a_page_that_is_frozen_is_dead() {
    let Some((peer, mut page)) = visit().await else { return };
    assert!(timeout(CALM, page.next()).await.is_err());
    page.send(Message::text("hello")).await.unwrap();
    assert_eq!(page.next().await.unwrap().unwrap(), Message::text("hello"));
    freeze(&peer, async { page.next().await?.unwrap_err().verdict() }).await;
}

#[tokio::test]
async fn a_page_finds_a_server_that_hangs() {
    let Some((mut peer, mut page)) = visit().await else { return };
    assert!(timeout(CALM, page.next()).await.is_err());
    // Nothing polls it any more.
    let line = spawn_blocking(move || peer.first_line());
    let line = timeout(PATIENCE, line).await.unwrap().unwrap().unwrap();
    let silence = line.strip_prefix("dead: silent for ").and_then(|rest| rest.strip_suffix(" ms"));
    assert!(silence.unwrap().parse::<u32>().unwrap() >= 2_000, "{line}");
    drop(page);
}
