//! The bytes of one direction of a connection, cut into frames.

use heartwire_core::frame::{HEADER_LEN, Kind};
use heartwire_core::internal::codec::{self, Header};
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use heartwire_core::resume::Position;
use heartwire_core::v1::Welcome;
use heartwire_core::{Connection, Event, Instant, Settings};

/// A whole frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// A beat; of protocol v1, with its body.
    Beat(Option<Beat>),
    /// A body for the application.
    Data,
    /// END: the sender's application sends no more.
    End,
    /// HELLO: a client wants to connect.
    Hello,
    /// WELCOME: the client is accepted; the whole frame.
    Welcome(Vec<u8>),
    /// BYE: the sender is about to close.
    Bye,
    /// PAD.
    Pad,
}

/// The state of the bytes of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    /// The header of the current frame, and its body where it is needed.
    held: Vec<u8>,
    header: Option<Header>,
    body_left: usize,
    /// What the last frame says that was taken over, if it was a beat or an ACK of a session that
    /// can be resumed.
    pub(super) taken: Option<Position>,
    /// The bytes are not valid frames any more.
    is_broken: bool,
}

impl Frames {
    /// Whether a frame is incomplete.
    pub(super) const fn has_begun(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether that is one of data.
    pub(super) fn has_begun_data(&self) -> bool {
        // The header may have been cut itself.
        let has_begun_with = |kind: u8| self.held.first() == Some(&kind);
        self.header.map_or_else(|| has_begun_with(1), |header| header.kind == Kind::Data)
    }

    /// Takes bytes off the front up to the end of the next frame. `None` if they end before it
    /// does.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        if self.is_broken {
            return None;
        }
        if self.header.is_none() {
            let missing = HEADER_LEN.saturating_sub(self.held.len());
            let (header, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.held.extend_from_slice(header);
            *bytes = rest;
            let header = codec::read_header(*self.held.first_chunk()?);
            self.is_broken = header.is_err();
            let header = header.ok()?;
            self.header = Some(header);
            self.body_left = usize::try_from(header.body_len).unwrap_or(usize::MAX);
        }
        let header = self.header?;
        let (body, rest) = bytes.split_at_checked(self.body_left).unwrap_or((bytes, &[]));
        match header.kind {
            Kind::Heart | Kind::Welcome | Kind::Ack => self.held.extend_from_slice(body),
            Kind::Data | Kind::Hello | Kind::Bye | Kind::Pad | Kind::End => {}
        }
        self.body_left -= body.len();
        *bytes = rest;
        (self.body_left == 0).then(|| self.end(header.kind))
    }

    fn end(&mut self, kind: Kind) -> Frame {
        let body = self.held.get(HEADER_LEN..).unwrap_or_default();
        self.taken = match kind {
            Kind::Heart => body.get(BEAT_LEN..).and_then(position),
            Kind::Ack => position(body),
            Kind::Data | Kind::Hello | Kind::Welcome | Kind::Bye | Kind::Pad | Kind::End => None,
        };
        let frame = match kind {
            Kind::Heart => Frame::Beat(body.first_chunk().map(Beat::decode)),
            Kind::Data => Frame::Data,
            Kind::Hello => Frame::Hello,
            Kind::Welcome => Frame::Welcome(core::mem::take(&mut self.held)),
            Kind::Bye => Frame::Bye,
            Kind::End => Frame::End,
            // Neither shows more than life.
            Kind::Pad | Kind::Ack => Frame::Pad,
        };
        self.header = None;
        self.held.clear();
        frame
    }
}

fn position(body: &[u8]) -> Option<Position> {
    let (frames, rest) = body.split_first_chunk()?;
    let bytes = rest.first_chunk()?;
    let (frames, bytes) = (u64::from_le_bytes(*frames), u64::from_le_bytes(*bytes));
    Some(Position { frames, bytes })
}

/// Decodes a WELCOME, as a client with these settings.
pub(super) fn welcome_of(frame: &[u8], client: Settings) -> Option<Welcome> {
    let now = Instant::from_nanos(0);
    match Connection::new(client, now).handle_received(now, &mut &*frame) {
        Ok(Some(Event::Welcome(welcome))) => Some(*welcome),
        Ok(_) | Err(_) => None,
    }
}
