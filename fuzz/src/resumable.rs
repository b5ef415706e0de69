//! Frames of sessions that can be resumed, encoded independently of the code under test.

use arbitrary::Arbitrary;

use crate::knobs::Span;
use crate::place::{Ends, Place};
use crate::protocol::{self, Beat, Bye, Hello, Map, Welcome, framed};

/// The session that a client goes on with.
pub(crate) const SESSION: u64 = 99;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Frame<'a> {
    Plain(protocol::Frame<'a>),
    Ack(Place),
    End,
    Beat(Beat, Place),
    Hello(Hello, Offer),
    Welcome(Welcome, Answer),
    Bye(Bye, Place),
}

/// What a HELLO says of resuming.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Offer {
    resume: Option<Numbers>,
    resuming: Option<Resuming>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Numbers {
    to_server: u32,
    to_client: u32,
    /// Without it the map is not whole.
    grace: Option<Span>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Resuming {
    session: u64,
    link: u32,
    received: Place,
    /// Seldom of another length than 32.
    proof: u8,
    only: Option<bool>,
    unknown: bool,
}

/// What a WELCOME says of it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Answer {
    is_same_session: bool,
    resume: Option<Numbers>,
    resumed: Option<(Place, u8)>,
    lost: Option<Place>,
}

impl Frame<'_> {
    /// Appends the frame. `nonce` is the last one that the other end sent, `ends` where the frames
    /// end that it has queued.
    pub(crate) fn put(&self, nonce: u64, ends: &Ends, to: &mut Vec<u8>) {
        match self {
            Self::Plain(frame) => frame.put(nonce, to),
            Self::Ack(place) => framed(6, to, |to| place.put(ends, to)),
            Self::End => framed(7, to, |_| {}),
            Self::Beat(beat, place) => framed(0, to, |to| {
                beat.put_numbers(nonce, to);
                place.put(ends, to);
                beat.put_tail(to);
            }),
            Self::Hello(hello, offer) => framed(2, to, |to| {
                let mut map = hello.put(to);
                if let Some(numbers) = offer.resume {
                    numbers.put(map.key(12), 0, |_| {});
                }
                if let Some(resuming) = offer.resuming {
                    resuming.put(map.key(13), ends);
                }
            }),
            Self::Welcome(welcome, answer) => framed(3, to, |to| {
                let mut welcome = *welcome;
                if answer.is_same_session {
                    welcome.session = SESSION;
                }
                answer.put(&mut welcome.put(to), ends);
            }),
            Self::Bye(bye, place) => framed(4, to, |to| bye.put(to).position(5, *place, ends)),
        }
    }
}

impl Numbers {
    fn put(&self, map: &mut Map<'_>, first: u8, before: impl FnOnce(&mut Map<'_>)) {
        let mut map = Map::new(map.to);
        before(&mut map);
        map.key(first).u32(self.to_server);
        map.key(first + 1).u32(self.to_client);
        map.span(first + 2, self.grace);
    }
}

impl Resuming {
    fn put(&self, map: &mut Map<'_>, ends: &Ends) {
        let mut map = Map::new(map.to);
        map.key(0).u64(7);
        map.key(1).u64(self.session);
        map.key(2).u32(self.link);
        map.position(3, self.received, ends);
        map.proof(4, self.proof);
        if let Some(only) = self.only {
            map.key(5).to.push(0xf4 + u8::from(only));
        }
        map.unknown(self.unknown);
    }
}

impl Answer {
    fn put(&self, map: &mut Map<'_>, ends: &Ends) {
        if let Some(numbers) = self.resume {
            // Held, and the longest frame, of values that are there already.
            map.key(11).u32(numbers.to_server);
            map.key(12).u32(numbers.to_client);
            numbers.put(map.key(13), 2, |map| {
                map.key(0).u64(7);
                map.proof(1, 0);
            });
        }
        if let Some((received, proof)) = self.resumed {
            let mut resumed = Map::new(map.key(14).to);
            resumed.position(0, received, ends);
            resumed.proof(1, proof);
        }
        if let Some(lost) = self.lost {
            map.position(15, lost, ends);
        }
    }
}

impl Map<'_> {
    fn position(&mut self, key: u8, place: Place, ends: &Ends) {
        let position = place.of(ends);
        self.key(key).to.push(0x82);
        self.u64(position.frames);
        self.u64(position.bytes);
    }

    fn proof(&mut self, key: u8, len: u8) {
        let len = if len < 240 { 32 } else { len - 240 };
        self.key(key).to.extend([0x58, len]);
        self.to.extend(core::iter::repeat_n(7, usize::from(len)));
    }
}

impl Place {
    fn put(self, ends: &Ends, to: &mut Vec<u8>) {
        let position = self.of(ends);
        to.extend(position.frames.to_le_bytes());
        to.extend(position.bytes.to_le_bytes());
    }
}
