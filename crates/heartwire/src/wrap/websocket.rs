//! Beats of WebSockets, as tokio-tungstenite has them.

use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::beat::{Answer, Beat};

/// A ping is a beat, and a pong answers it.
///
/// Pings carry the nonce, so [`Heartbeat::rtt`](super::Heartbeat::rtt) tells the round trip. The
/// peer's pings are answered by tungstenite itself, whenever the stream is polled. Neither pings nor
/// pongs come through to the application.
///
/// The defaults of tokio-tungstenite are made for few, busy connections: 128 KiB to read into,
/// allocated at once, 128 KiB to gather writes, writes that may pile up without end behind a peer
/// that does not read, messages of 64 MiB. For many connections give it a `WebSocketConfig` with
/// less, as `examples/websocket.rs` does.
///
/// A message is heard when it is whole. If big ones come over slow links, wrap the connection below
/// the WebSocket in [`LastByte::watch`](super::LastByte::watch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say about a ping")]
pub struct Ping;

impl Beat<Message> for Ping {
    type Out = Message;

    fn is_beat(&mut self, item: &Message) -> bool {
        item.is_ping() || item.is_pong()
    }

    fn beat(&mut self, nonce: u64) -> Message {
        Message::Ping(Bytes::copy_from_slice(&nonce.to_be_bytes()))
    }

    fn answer(&mut self, _beat: &Message) -> Answer<Message> {
        Answer::Never
    }

    fn nonce(&self, beat: &Message) -> Option<u64> {
        let Message::Pong(payload) = beat else { return None };
        Some(u64::from_be_bytes(payload.as_ref().try_into().ok()?))
    }
}
