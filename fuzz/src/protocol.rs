//! Frames encoded independently of the code under test, so that they may contain anything.

use arbitrary::Arbitrary;

use crate::knobs::Span;

/// A frame with a correct header.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Frame<'a> {
    V0Beat,
    Data(&'a [u8]),
    Beat(Beat),
    Hello(Hello),
    Welcome(Welcome),
    Bye(Bye),
    Pad(u8),
    /// A header without a body yet.
    Header {
        kind: i8,
        len: i32,
    },
    Bytes(&'a [u8]),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Beat {
    nonce: u64,
    echo: Echo,
    held_us: u32,
    silence: u32,
    promise: Option<Span>,
    late_ms: u16,
    health: u8,
    notices: u8,
    tail: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Echo {
    Nothing,
    /// The last nonce that was sent.
    Last,
    Older(u32),
    NeverSent,
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Hello {
    versions: (u8, u8),
    pub(crate) durations: [Option<Span>; 5],
    instance: Option<u64>,
    max_frame: Option<u32>,
    unknown: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Welcome {
    pub(crate) session: u64,
    epoch: u64,
    durations: [Option<Span>; 7],
    wake_bytes: u32,
    unknown: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Bye {
    code: u32,
    retry: u8,
    window: Option<(Span, Span)>,
}

impl Hello {
    /// The HELLO of a v1 client.
    pub(crate) const fn v1(mut self) -> Self {
        self.versions = (1, 1);
        self
    }
}

impl Frame<'_> {
    /// Appends the frame. `nonce` is the last one that the other end sent.
    pub(crate) fn put(&self, nonce: u64, to: &mut Vec<u8>) {
        match self {
            Self::V0Beat => framed(0, to, |_| {}),
            Self::Data(body) => framed(1, to, |to| to.extend_from_slice(body)),
            Self::Beat(beat) => framed(0, to, |to| {
                beat.put_numbers(nonce, to);
                beat.put_tail(to);
            }),
            Self::Hello(hello) => framed(2, to, |to| {
                hello.put(to);
            }),
            Self::Welcome(welcome) => framed(3, to, |to| {
                welcome.put(to);
            }),
            Self::Bye(bye) => framed(4, to, |to| {
                bye.put(to);
            }),
            Self::Pad(len) => {
                framed(5, to, |to| to.extend(core::iter::repeat_n(0, usize::from(*len))))
            }
            Self::Header { kind, len } => {
                to.extend(i32::from(*kind).to_le_bytes());
                to.extend(len.to_le_bytes());
            }
            Self::Bytes(bytes) => to.extend_from_slice(bytes),
        }
    }
}

/// Appends a frame with this body, and the right header.
pub(crate) fn framed(kind: i32, to: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let header = to.len();
    to.extend(kind.to_le_bytes());
    to.extend([0; 4]);
    body(to);
    let len = i32::try_from(to.len() - header - 8).expect("frames in here are short");
    to[header + 4..header + 8].copy_from_slice(&len.to_le_bytes());
}

impl Beat {
    pub(crate) fn put_numbers(&self, nonce: u64, to: &mut Vec<u8>) {
        let echo = match self.echo {
            Echo::Nothing => 0,
            Echo::Last => nonce,
            Echo::Older(by) => nonce.saturating_sub(u64::from(by)),
            Echo::NeverSent => nonce.saturating_add(1),
            Echo::Any(echo) => echo,
        };
        to.extend(self.nonce.to_le_bytes());
        to.extend(echo.to_le_bytes());
        to.extend(self.held_us.to_le_bytes());
        to.extend(self.silence.to_le_bytes());
        to.extend(self.promise.map_or(0, |span| span.0).to_le_bytes());
        to.extend(self.late_ms.to_le_bytes());
        to.extend([self.health, self.notices]);
    }

    pub(crate) fn put_tail(&self, to: &mut Vec<u8>) {
        // Often none, seldom too long.
        to.extend(core::iter::repeat_n(0x99, usize::from(self.tail).saturating_sub(128)));
    }
}

impl Hello {
    pub(crate) fn put<'a>(&self, to: &'a mut Vec<u8>) -> Map<'a> {
        let mut map = Map::new(to);
        map.key(0).to.extend([0x82, self.versions.0 & 0x17, self.versions.1 & 0x17]);
        for (key, span) in (3..).zip(self.durations) {
            map.span(key, span);
        }
        if let Some(instance) = self.instance {
            map.key(9).u64(instance);
        }
        if let Some(max_frame) = self.max_frame {
            map.key(10).u32(max_frame);
        }
        // Of values that are there already, so that the kept inputs mean what they meant.
        if let (Some(session), Some(ago)) = (self.instance, self.max_frame) {
            map.key(11);
            let mut last = Map::new(map.to);
            last.key(0).to.extend([0x64, b'd', b'e', b'a', b'd']);
            last.key(1).u32(ago);
            last.key(2).u64(session);
            last.unknown(self.unknown);
        }
        map.unknown(self.unknown);
        map
    }
}

impl Welcome {
    pub(crate) fn put<'a>(&self, to: &'a mut Vec<u8>) -> Map<'a> {
        let mut map = Map::new(to);
        map.key(0).to.push(1);
        map.key(1).u64(self.session);
        map.key(2).u64(self.epoch);
        for (key, span) in (3..).zip(self.durations) {
            map.span(key, span);
        }
        map.key(10).u32(self.wake_bytes);
        map.unknown(self.unknown);
        map
    }
}

impl Bye {
    pub(crate) fn put<'a>(&self, to: &'a mut Vec<u8>) -> Map<'a> {
        let mut map = Map::new(to);
        map.key(0).u32(self.code);
        map.key(1).to.push(self.retry & 0x17);
        if let Some((earliest, latest)) = self.window {
            map.span(2, Some(earliest));
            map.span(3, Some(latest));
        }
        map
    }
}

/// A CBOR map of fewer than 24 entries.
pub(crate) struct Map<'a> {
    pub(crate) to: &'a mut Vec<u8>,
    header: usize,
}

impl<'a> Map<'a> {
    pub(crate) fn new(to: &'a mut Vec<u8>) -> Self {
        let header = to.len();
        to.push(0xa0);
        Self { to, header }
    }

    pub(crate) fn key(&mut self, key: u8) -> &mut Self {
        self.to[self.header] += 1;
        self.to.push(key);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.to.push(0x1a);
        self.to.extend(value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.to.push(0x1b);
        self.to.extend(value.to_be_bytes());
    }

    pub(crate) fn span(&mut self, key: u8, span: Option<Span>) {
        if let Some(span) = span {
            self.key(key).u32(span.0);
        }
    }

    /// An entry of a later version: an array of a text and null.
    pub(crate) fn unknown(&mut self, yes: bool) {
        if yes {
            self.key(20).to.extend([0x82, 0x61, b'x', 0xf6]);
            // And grease, whose key has three bytes.
            self.to[self.header] += 1;
            self.to.extend([0x19, 0x04, 0xd2, 0x41, 0xff]);
        }
    }
}
