//! A client as C has it, in memory that checks itself, and the frames of a server.

use core::mem::MaybeUninit;
use std::vec::Vec;

use heartwire_core::Policy;
use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::Beat;
use heartwire_core::v1::{Contract, Health, Hello, Offer, Terms, Welcome as CoreWelcome};
use heartwire_core::{Connection, Event as FromPeer, Instant, Protocol as CoreProtocol, Settings};

use self::abi::*;
pub(super) use super::calls::Calls;
pub(super) use crate::abi;

/// Bytes around the client's memory that must stay as they are.
const GUARD: usize = 64;
const GUARDED: u8 = 0xa5;

pub(super) struct Rig {
    /// Not a box: taking the pointer once more would end the one before.
    memory: Vec<u64>,
    rx: Vec<u8>,
    tx: Vec<u8>,
    name: Vec<u8>,
    pub(super) now: u64,
    /// Everything that was written.
    pub(super) written: Vec<u8>,
}

/// An event, with what it points to copied.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Welcome { session: u64, resumed: bool, lost: bool },
    Beat,
    Promise(u32),
    Data(Vec<u8>),
    End,
    Bye { code: u32, detail: Vec<u8> },
    Dead(Dead),
    Broken(ViolationCode),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dead {
    pub(super) cause: Cause,
    pub(super) silence_ms: u32,
    pub(super) bound: (u32, u32),
    pub(super) paused_ms: u32,
}

pub(super) fn config(protocol: Protocol) -> Config {
    let mut config = MaybeUninit::uninit();
    // SAFETY: it has room for a config.
    let mut config = unsafe {
        hw_config_default(config.as_mut_ptr());
        config.assume_init()
    };
    config.protocol = match protocol {
        Protocol::V1 => 0,
        Protocol::V0 => 1,
        Protocol::Raw => 2,
    };
    config.seed = 7;
    config
}

impl Rig {
    /// A client that is idle at 1,000,000 ms.
    pub(super) fn new(protocol: Protocol, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(protocol);
        (config.interval_ms, config.timeout_ms) = (1_000, 3_000);
        change(&mut config);
        Self::of(config).unwrap()
    }

    /// A client with this config; of `rx` and `tx` only the lengths count, if they are not 0.
    pub(super) fn of(mut config: Config) -> Result<Self, Status> {
        let or = |len, default| if len == 0 { default } else { len };
        let words = (HW_CLIENT_SIZE + 2 * GUARD) / 8;
        let pattern = u64::from_ne_bytes([GUARDED; 8]);
        let mut rig = Self {
            memory: std::vec![pattern; words],
            rx: std::vec![0xee; or(config.rx_len, 600)],
            tx: std::vec![0xee; or(config.tx_len, 600)],
            name: b"pump-7".to_vec(),
            now: 1_000_000,
            written: Vec::new(),
        };
        (config.rx, config.rx_len) = (rig.rx.as_mut_ptr(), rig.rx.len());
        (config.tx, config.tx_len) = (rig.tx.as_mut_ptr(), rig.tx.len());
        if config.protocol == 0 && config.name.is_null() {
            (config.name, config.name_len) = (rig.name.as_ptr().cast(), rig.name.len());
        }
        // SAFETY: all of this lives as long as the rig.
        let status = unsafe { hw_client_init(rig.client().cast(), HW_CLIENT_SIZE, &config) };
        result(status, || rig)
    }

    /// A v1 client that was welcomed by a server that is woken by so many bytes.
    pub(super) fn welcomed(wake_bytes: u32, change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::new(Protocol::V1, change);
        assert_eq!(rig.connected(), Status::OK);
        rig.write_all();
        let welcome = rig.welcome(wake_bytes, |welcome| welcome);
        rig.feed_all(&welcome);
        let told = rig.events();
        assert_eq!(told, [Told::Welcome { session: 99, resumed: false, lost: false }]);
        rig.written.clear();
        rig
    }

    /// The HELLO that the client has written, and the WELCOME of a server to it.
    pub(super) fn welcome(
        &self,
        wake_bytes: u32,
        change: impl FnOnce(CoreWelcome) -> CoreWelcome,
    ) -> Vec<u8> {
        self.with_hello(|hello| {
            let contract = contract(&hello.offer, wake_bytes);
            change(CoreWelcome::new(99, 7, contract)).encode()
        })
    }

    pub(super) fn with_hello<T>(&self, with: impl FnOnce(&Hello<'_>) -> T) -> T {
        let settings = Settings::new(Policy::default()).protocol(CoreProtocol::V1Only);
        let mut server = Connection::new(settings, Instant::from_nanos(0));
        let mut bytes = self.written.as_slice();
        match server.handle_received(Instant::from_nanos(0), &mut bytes) {
            Ok(Some(FromPeer::Hello(hello))) => with(&hello),
            other => panic!("no HELLO: {other:?}"),
        }
    }

    pub(super) fn feed_all(&mut self, bytes: &[u8]) {
        assert_eq!(self.feed(bytes), bytes.len());
    }

    pub(super) fn event(&mut self) -> Option<Told> {
        let mut event = MaybeUninit::<Event>::uninit();
        // SAFETY: the client lives in the rig; the event was filled in, and points into the rig.
        unsafe {
            let status = hw_client_event(self.client(), self.now, event.as_mut_ptr());
            assert_eq!(status, Status::OK);
            told(&event.assume_init())
        }
    }

    pub(super) fn events(&mut self) -> Vec<Told> {
        core::iter::from_fn(|| self.event()).collect()
    }

    /// Writes at most so many bytes of the output. Returns how many.
    pub(super) fn write(&mut self, most: usize) -> usize {
        let mut output = self.output();
        output.truncate(most);
        Calls::written(self, output.len());
        self.written.extend_from_slice(&output);
        output.len()
    }

    pub(super) fn write_all(&mut self) {
        while self.write(usize::MAX) > 0 {}
    }

    pub(super) fn promise(&mut self, interval_ms: u32) -> Result<u32, Status> {
        let mut agreed = 0;
        // SAFETY: the same.
        result(unsafe { hw_client_promise(self.client(), interval_ms, &mut agreed) }, || agreed)
    }

    pub(super) fn set_health(&mut self, health: HealthNumber) -> Status {
        // SAFETY: the same.
        unsafe { hw_client_set_health(self.client(), health) }
    }

    pub(super) fn link(&mut self) -> Result<Link, Status> {
        let mut link = MaybeUninit::<Link>::uninit();
        // SAFETY: the same.
        let status = unsafe { hw_client_link(self.client(), self.now, link.as_mut_ptr()) };
        // SAFETY: it was filled in.
        result(status, || unsafe { link.assume_init() })
    }

    /// The types of the frames that were written since the last call, and their bodies.
    pub(super) fn frames(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let written = core::mem::take(&mut self.written);
        let mut rest = written.as_slice();
        let mut frames = Vec::new();
        while let Some((header, after)) = rest.split_first_chunk() {
            let header = codec::read_header(*header).unwrap();
            let (body, after) = after.split_at(usize::try_from(header.body_len).unwrap());
            frames.push((header.kind, body.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty(), "a frame was not written whole: {rest:?}");
        frames
    }

    pub(super) fn kinds(&mut self) -> Vec<Kind> {
        self.frames().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Does what the client asks for until it sleeps, as if the socket were empty and took all.
    pub(super) fn settle(&mut self) -> Step {
        let mut step = self.poll();
        for _ in 0..100 {
            step = match step {
                Step::Write => {
                    self.write_all();
                    self.poll()
                }
                Step::Read => self.read_done(false),
                Step::Sleep | Step::Close | Step::Idle => return step,
            };
        }
        panic!("the client has no rest");
    }

    /// Lets time pass until then, and does what the client asks for at each deadline.
    pub(super) fn run_to(&mut self, until: u64) -> Step {
        loop {
            let step = self.settle();
            let deadline = self.deadline();
            if step != Step::Sleep {
                return step;
            }
            if deadline > until {
                self.now = self.now.max(until);
                return self.settle();
            }
            self.now = self.now.max(deadline);
        }
    }
}

// SAFETY: the client lives in the rig.
unsafe impl Calls for Rig {
    fn client(&mut self) -> *mut Client {
        self.memory.as_mut_ptr().wrapping_add(GUARD / 8).cast()
    }

    fn now(&self) -> u64 {
        self.now
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let guard = u64::from_ne_bytes([GUARDED; 8]);
        let words = GUARD / 8;
        let (front, back) = (&self.memory[..words], &self.memory[self.memory.len() - words..]);
        assert!(front.iter().chain(back).all(|&word| word == guard), "outside of its memory");
    }
}

fn result<T>(status: Status, value: impl FnOnce() -> T) -> Result<T, Status> {
    if status == Status::OK { Ok(value()) } else { Err(status) }
}

fn contract(offer: &Offer, wake_bytes: u32) -> Contract {
    let seconds = core::time::Duration::from_secs;
    let policy = Policy::builder().interval(seconds(1)).timeout(seconds(3)).build().unwrap();
    Terms::new(Offer::new(&policy)).wake_bytes(wake_bytes).agree(offer).unwrap()
}

/// # Safety
///
/// What the event points to is still there.
unsafe fn told(event: &Event) -> Option<Told> {
    // SAFETY: the kind says which part is set, and the caller that it is still there.
    unsafe {
        Some(match event.kind {
            EventKind::NONE => return None,
            EventKind::WELCOME => {
                let Welcome { session, resumed, lost, .. } = event.of.welcome;
                Told::Welcome { session, resumed, lost }
            }
            EventKind::BEAT => Told::Beat,
            EventKind::PROMISE => Told::Promise(event.of.promise_ms),
            EventKind::DATA => {
                let Bytes { ptr, len } = event.of.data;
                Told::Data(core::slice::from_raw_parts(ptr, len).to_vec())
            }
            EventKind::END => Told::End,
            EventKind::BYE => {
                let Bye { code, detail, detail_len, .. } = event.of.bye;
                let detail = core::slice::from_raw_parts(detail.cast(), detail_len).to_vec();
                Told::Bye { code, detail }
            }
            EventKind::DEAD => {
                let Verdict { cause, silence_ms, earliest_ms, latest_ms, paused_ms, .. } =
                    event.of.dead;
                let bound = (earliest_ms, latest_ms);
                Told::Dead(Dead { cause, silence_ms, bound, paused_ms })
            }
            EventKind::BROKEN => Told::Broken(event.of.broken.code),
            EventKind::CLOSED => Told::Closed,
        })
    }
}

/// A beat of a server on v1 that has heard the client just now.
pub(super) fn beat(nonce: u64) -> Vec<u8> {
    beat_with(nonce, 1_000, 0)
}

pub(super) fn beat_with(nonce: u64, promise_ms: u32, silence_ms: u32) -> Vec<u8> {
    let beat = Beat {
        nonce,
        echo: 0,
        held_us: 0,
        silence_ms,
        promise_ms,
        late_ms: 0,
        health: Health::Ok,
        too_fast: false,
    };
    frame(Kind::Heart, &beat.encode())
}

pub(super) fn data(body: &[u8]) -> Vec<u8> {
    frame(Kind::Data, body)
}

pub(super) fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut frame = codec::header(kind, body.len()).unwrap().to_vec();
    frame.extend_from_slice(body);
    frame
}
