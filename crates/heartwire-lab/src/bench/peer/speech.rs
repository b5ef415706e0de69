//! What a client says to a peer: how it begins, its beats, and its replies to what it is asked.

use core::time::Duration;

use super::{Peer, keep_alive};
use crate::bench::load::{Question, Speech};

/// PINGREQ, and what comes back: PINGRESP.
const MQTT_PING: [u8; 2] = [0xc0, 0];
const MQTT_ANSWER: usize = 2;

const NATS_HELLO: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nPING\r\n";
const NATS_PING: &[u8] = b"PING\r\n";
const NATS_PONG: &[u8] = b"PONG\r\n";

const REDIS_PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const REDIS_PONG: &[u8] = b"+PONG\r\n";

/// The handshake of RFC 6455; a client would check the server's answer to its key.
const WS_HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: aGVhcnR3aXJlLWJlYXRzIQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// A ping and a pong of a client: final, without a payload, and masked, as a client's frames are.
const WS_PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];
const WS_PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];
/// A server's are not masked.
const WS_ASKED: [u8; 2] = [0x89, 0];

impl Peer {
    pub(in crate::bench) fn speech(self, wanted: Duration) -> Speech {
        let plain = Speech::v0();
        match self {
            Self::Mosquitto => Speech {
                hello: mqtt_connect(keep_alive(wanted)),
                beat: MQTT_PING.to_vec(),
                answer_len: MQTT_ANSWER,
                is_greeted: true,
                question: None,
            },
            Self::Nats => Speech {
                hello: NATS_HELLO.to_vec(),
                beat: NATS_PING.to_vec(),
                answer_len: NATS_PONG.len(),
                is_greeted: true,
                question: Some(Question { asked: NATS_PING.to_vec(), reply: NATS_PONG.to_vec() }),
            },
            Self::Redis => {
                Speech { beat: REDIS_PING.to_vec(), answer_len: REDIS_PONG.len(), ..plain }
            }
            Self::Ws => Speech {
                hello: WS_HELLO.to_vec(),
                beat: WS_PING.to_vec(),
                answer_len: WS_ASKED.len(),
                is_greeted: true,
                question: Some(Question { asked: WS_ASKED.to_vec(), reply: WS_PONG.to_vec() }),
            },
            Self::Netty | Self::Erlang => plain,
        }
    }
}

/// CONNECT of MQTT 3.1.1: a clean session of a client without a name.
fn mqtt_connect(keep_alive: u16) -> Vec<u8> {
    const CLEAN_SESSION: u8 = 0x02;
    let [high, low] = keep_alive.to_be_bytes();
    vec![0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, CLEAN_SESSION, high, low, 0, 0]
}
