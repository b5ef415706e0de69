//! Heartbeats over WebSockets, for tokio-tungstenite.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::beat::{Answer, Beat};
use super::lines::Lines;

/// Heartbeats as WebSocket pings, which pongs answer.
///
/// A browser answers pings by itself, and its pages do not see them: for pages use [`Text`].
///
/// Pings carry the nonce, so [`Heartbeat::rtt`](super::Heartbeat::rtt) returns the round-trip time.
/// Tungstenite answers the peer's pings whenever the stream is polled. The application sees neither
/// pings nor pongs.
///
/// The defaults of tokio-tungstenite suit few, busy connections: a read buffer of 128 KiB,
/// allocated at once, a write buffer of 128 KiB, no limit to writes that wait for a peer that does
/// not read, messages of up to 64 MiB. For many connections use a `WebSocketConfig` with less, as
/// `examples/websocket.rs` does.
///
/// A message counts as a sign of life when it is complete. For big messages over slow links, wrap
/// the connection below the WebSocket in [`LastByte::watch`](super::LastByte::watch).
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a ping has no settings")]
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

/// Heartbeats as text messages, for pages in browsers.
///
/// A page can neither send nor see a WebSocket's pings, so it cannot tell a dead server from an
/// idle one. It can see text messages: a page that receives the first of the [`Lines`] answers with
/// the second.
///
/// Pings and pongs reach the application as without the wrapper. They are signs of life, but not
/// heartbeats.
///
/// ```
/// use heartwire::wrap::Lines;
/// use heartwire::wrap::websocket::Text;
///
/// // `PING` and `PONG`.
/// let plain = Text::default();
/// // In a JSON protocol: the text has to be equal byte for byte.
/// let json = Text(Lines::new(r#"{"type":"ping"}"#, r#"{"type":"pong"}"#));
/// # let _ = (plain, json);
/// ```
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a text has no other settings")]
pub struct Text(pub Lines);

impl Beat<Message> for Text {
    type Out = Message;

    fn is_beat(&mut self, item: &Message) -> bool {
        text(item).is_some_and(|text| self.0.is_beat(&text))
    }

    fn beat(&mut self, nonce: u64) -> Message {
        message(<Lines as Beat<&str>>::beat(&mut self.0, nonce))
    }

    fn answer(&mut self, beat: &Message) -> Answer<Message> {
        match text(beat).map(|text| self.0.answer(&text)) {
            Some(Answer::Owed(answer)) => Answer::Owed(message(answer)),
            Some(Answer::Echo) => Answer::Echo,
            Some(Answer::Never) | None => Answer::Never,
        }
    }
}

fn text(message: &Message) -> Option<&str> {
    let Message::Text(text) = message else { return None };
    Some(text)
}

fn message(text: Cow<'static, str>) -> Message {
    Message::Text(text.into_owned().into())
}

#[cfg(test)]
mod tests;
