//! The part of MQTT 3.1.1 that the example needs, and its heartbeats.

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use heartwire::wrap::{Answer, Beat};
use tokio_util::codec::{Decoder, Encoder};

pub(crate) const CONNECT: u8 = 0x10;
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const PINGREQ: u8 = 0xc0;
pub(crate) const PINGRESP: u8 = 0xd0;

/// The longest packet that a peer may send.
const MAX_FRAME: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The type and its flags.
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

impl Packet {
    pub(crate) fn new(kind: u8, body: &[u8]) -> Self {
        Self { kind, body: Bytes::copy_from_slice(body) }
    }

    pub(crate) fn connect(client_id: &str, keep_alive_secs: u16) -> Self {
        let mut body = BytesMut::new();
        put_text(&mut body, "MQTT");
        // Version 3.1.1, a clean session.
        body.put_slice(&[4, 2]);
        body.put_u16(keep_alive_secs);
        put_text(&mut body, client_id);
        Self { kind: CONNECT, body: body.freeze() }
    }

    pub(crate) fn subscribe(id: u16, topic: &str) -> Self {
        let mut body = BytesMut::new();
        body.put_u16(id);
        put_text(&mut body, topic);
        body.put_u8(0);
        Self { kind: SUBSCRIBE, body: body.freeze() }
    }

    pub(crate) fn publish(topic: &str, payload: &[u8]) -> Self {
        let mut body = BytesMut::new();
        put_text(&mut body, topic);
        body.put_slice(payload);
        Self { kind: PUBLISH, body: body.freeze() }
    }
}

fn put_text(body: &mut BytesMut, text: &str) {
    // Nothing here is longer than 65,535 bytes.
    body.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    body.put_slice(text.as_bytes());
}

/// The heartbeat of an MQTT client: it sends PINGREQ, and the broker answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PingRequest;

impl Beat<Packet> for PingRequest {
    type Out = Packet;

    fn is_beat(&mut self, item: &Packet) -> bool {
        item.kind == PINGRESP
    }

    fn beat(&mut self, _nonce: u64) -> Packet {
        Packet::new(PINGREQ, &[])
    }

    fn answer(&mut self, _beat: &Packet) -> Answer<Packet> {
        Answer::Never
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec;

impl Decoder for Codec {
    type Item = Packet;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Packet>> {
        let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
        // The length comes in groups of seven bits, the lowest first.
        let mut len = 0;
        for (n, &byte) in rest.iter().take(4).enumerate() {
            len |= usize::from(byte & 0x7f) << (7 * n);
            if len > MAX_FRAME {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the packet is too long"));
            }
            if byte & 0x80 == 0 {
                let header_len = n + 2;
                if bytes.len() < header_len + len {
                    return Ok(None);
                }
                bytes.advance(header_len);
                return Ok(Some(Packet { kind, body: bytes.split_to(len).freeze() }));
            }
        }
        if rest.len() < 4 {
            return Ok(None);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the length of the packet has no end"))
    }
}

impl Encoder<Packet> for Codec {
    type Error = io::Error;

    fn encode(&mut self, packet: Packet, bytes: &mut BytesMut) -> io::Result<()> {
        bytes.put_u8(packet.kind);
        let mut len = packet.body.len();
        while len > 0x7f {
            bytes.put_u8(u8::try_from(len & 0x7f).unwrap_or(0) | 0x80);
            len >>= 7;
        }
        bytes.put_u8(u8::try_from(len).unwrap_or(0));
        bytes.put_slice(&packet.body);
        Ok(())
    }
}
