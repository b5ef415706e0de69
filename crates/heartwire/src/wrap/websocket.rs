//! Beats of WebSockets, as tokio-tungstenite has them.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::beat::{Answer, Beat};
use super::lines::Lines;

/// A ping is a beat, and a pong answers it.
///
/// A browser answers pings by itself, and its pages see none of them: see [`Text`].
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

/// Heartbeats that are text messages, for pages in browsers.
///
/// A page can neither send a WebSocket's pings nor see them, so it cannot tell a silent server from one
/// that has nothing to say. These it can see: a page that gets the first of the [`Lines`] answers with the
/// second.
///
/// Pings and pongs come through to the application as they do without the wrapper. They are life, and no
/// heartbeats.
///
/// ```
/// use heartwire::wrap::Lines;
/// use heartwire::wrap::websocket::Text;
///
/// // `PING` and `PONG`.
/// let plain = Text::default();
/// // In a protocol of JSON: the text has to be the same, byte for byte.
/// let json = Text(Lines::new(r#"{"type":"ping"}"#, r#"{"type":"pong"}"#));
/// # let _ = (plain, json);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a text is a line, and nothing besides")]
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
