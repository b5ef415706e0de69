//! A client in memory of its own, and the frames of a server.

use core::mem::MaybeUninit;
use core::time::Duration;

use heartwire_core::Policy;
use heartwire_core::v1::{Contract, Offer, Terms, Welcome};
pub(crate) use heartwire_ffi::abi;

use self::abi::*;
pub(crate) use crate::calls::Calls;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dead {
    pub(crate) silence_ms: u32,
    pub(crate) earliest_ms: u32,
    pub(crate) latest_ms: u32,
}

/// An event, with what it points to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Welcome,
    Beat,
    Promise(u32),
    Data(Vec<u8>),
    End,
    Bye(u32),
    Dead(Dead),
    Broken(ViolationCode),
    Closed,
}

pub(crate) struct Rig {
    /// One of them. (To move a box would end what points into it.)
    memory: Vec<ClientMemory>,
    /// What the client points to.
    _rx: Vec<u8>,
    _tx: Vec<u8>,
    pub(crate) now: u64,
}

/// Sizes of a test's memory.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rx: usize,
    pub(crate) tx: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rx: 1024, tx: 1024 }
    }
}

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = MaybeUninit::uninit();
    // SAFETY: it has room for a config, which is written whole.
    let mut config = unsafe {
        hw_config_default(config.as_mut_ptr());
        config.assume_init()
    };
    (config.interval_ms, config.timeout_ms, config.seed) = (1_000, 3_000, 1);
    change(&mut config);
    config
}

impl Rig {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::sized(Sizes::default(), change)
    }

    pub(crate) fn sized(sizes: Sizes, change: impl FnOnce(&mut Config)) -> Self {
        let mut rx = vec![0xee; sizes.rx];
        let mut tx = vec![0xee; sizes.tx];
        let mut config = config(change);
        (config.rx, config.rx_len) = (rx.as_mut_ptr(), rx.len());
        (config.tx, config.tx_len) = (tx.as_mut_ptr(), tx.len());
        let mut memory = vec![ClientMemory { bytes: [0xee; HW_CLIENT_SIZE] }];
        // SAFETY: all of it stays as long as the client.
        let made = unsafe { hw_client_init(memory.as_mut_ptr().cast(), HW_CLIENT_SIZE, &config) };
        assert_eq!(made, Status::OK);
        Self { memory, _rx: rx, _tx: tx, now: 1_000 }
    }

    pub(crate) fn event(&mut self) -> Option<Got> {
        let (now, mut event) = (self.now, MaybeUninit::<Event>::uninit());
        // SAFETY: it is a client; the event is written whole, and what it points to stays.
        unsafe {
            assert_eq!(hw_client_event(self.client(), now, event.as_mut_ptr()), Status::OK);
            let Event { kind, of } = event.assume_init();
            Some(match kind {
                EventKind::NONE => return None,
                EventKind::WELCOME => Got::Welcome,
                EventKind::BEAT => Got::Beat,
                EventKind::PROMISE => Got::Promise(of.promise_ms),
                EventKind::DATA => {
                    Got::Data(core::slice::from_raw_parts(of.data.ptr, of.data.len).to_vec())
                }
                EventKind::END => Got::End,
                EventKind::BYE => Got::Bye(of.bye.code),
                EventKind::DEAD => {
                    let Verdict { silence_ms, earliest_ms, latest_ms, .. } = of.dead;
                    Got::Dead(Dead { silence_ms, earliest_ms, latest_ms })
                }
                EventKind::BROKEN => Got::Broken(of.broken.code),
                EventKind::CLOSED => Got::Closed,
            })
        }
    }

    pub(crate) fn events(&mut self) -> Vec<Got> {
        core::iter::from_fn(|| self.event()).take(1_000).collect()
    }

    /// Feeds bytes, part by part if they have no room at once. Returns the events.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) -> Vec<Got> {
        let mut events = Vec::new();
        loop {
            let taken = self.feed(bytes);
            bytes = &bytes[taken..];
            let new = self.events();
            assert!(taken > 0 || bytes.is_empty() || !new.is_empty(), "it takes nothing more");
            events.extend(new);
            if bytes.is_empty() {
                return events;
            }
        }
    }

    /// Writes all that waits.
    pub(crate) fn write(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        loop {
            let output = self.output();
            if output.is_empty() {
                return written;
            }
            self.written(output.len());
            written.extend(output);
        }
    }

    /// Does what is to be done now, as a caller that finds nothing to read: writes, and answers
    /// each demand for a read. Returns what was written, and the last step.
    pub(crate) fn turn(&mut self) -> (Vec<u8>, Step) {
        let mut written = Vec::new();
        let mut step = self.poll();
        for _ in 0..1_000 {
            match step {
                Step::Read => step = self.read_done(false),
                Step::Write => {
                    let output = self.write();
                    assert!(!output.is_empty(), "there is something to write");
                    written.extend(output);
                    step = self.poll();
                }
                Step::Sleep | Step::Close | Step::Idle => return (written, step),
            }
        }
        panic!("there is no end to it");
    }

    /// Lets time pass, as a punctual caller, for so long or until the connection is to be closed.
    pub(crate) fn pass(&mut self, ms: u64) -> Step {
        let until = self.now + ms;
        loop {
            let (_, step) = self.turn();
            if step != Step::Sleep || self.now >= until {
                return step;
            }
            let deadline = self.deadline();
            assert!(deadline > self.now, "it sleeps until {deadline}, and it is {}", self.now);
            self.now = deadline.min(until);
        }
    }

    /// A connection on which the server has accepted this client and everything is written.
    pub(crate) fn welcomed(change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::new(change);
        rig.welcome(1);
        rig
    }

    pub(crate) fn welcome(&mut self, wake_bytes: u32) {
        assert_eq!(self.connected(), Status::OK);
        assert!(!self.turn().0.is_empty());
        assert_eq!(self.hear(&welcome(wake_bytes)), [Got::Welcome]);
        assert!(!self.turn().0.is_empty());
    }
}

// SAFETY: the client lives in the rig.
unsafe impl Calls for Rig {
    fn client(&mut self) -> *mut Client {
        self.memory.as_mut_ptr().cast()
    }

    fn now(&self) -> u64 {
        self.now
    }
}

/// The contract with a client of the usual settings.
pub(crate) fn contract(wake_bytes: u32) -> Contract {
    let ms = Duration::from_millis;
    let policy = Policy::builder().interval(ms(1_000)).timeout(ms(3_000)).build().unwrap();
    let offer = Offer::new(&policy).min_interval(Some(ms(1)));
    Terms::new(offer).wake_bytes(wake_bytes).agree(&offer).unwrap()
}

pub(crate) fn welcome(wake_bytes: u32) -> Vec<u8> {
    Welcome::new(7, 0, contract(wake_bytes)).encode()
}

pub(crate) fn frame(kind: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = kind.to_le_bytes().to_vec();
    frame.extend(i32::try_from(body.len()).unwrap().to_le_bytes());
    frame.extend(body);
    frame
}

/// Types and bodies of frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(i32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let kind = i32::from_le_bytes(*header[..4].first_chunk().unwrap());
        let len = usize::try_from(i32::from_le_bytes(*header[4..].first_chunk().unwrap())).unwrap();
        frames.push((kind, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "a frame is not whole");
    frames
}

pub(crate) fn kinds(bytes: &[u8]) -> Vec<i32> {
    frames(bytes).into_iter().map(|(kind, _)| kind).collect()
}

pub(crate) const HEART: i32 = 0;
pub(crate) const DATA: i32 = 1;
pub(crate) const HELLO: i32 = 2;
pub(crate) const PAD: i32 = 5;

/// A beat of the server, which promises the next within its interval.
pub(crate) fn beat() -> Vec<u8> {
    let mut body = [0; 32];
    body[0] = 1;
    body[24..28].copy_from_slice(&1_000_u32.to_le_bytes());
    frame(HEART, &body)
}
