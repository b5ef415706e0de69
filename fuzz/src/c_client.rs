//! The client for C, through its calls: whatever a program in C calls, and whatever its server
//! sends, the client keeps to its header.
#![expect(unsafe_code, reason = "the calls are made as C makes them")]

use std::mem::MaybeUninit;
use std::ptr;

use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::Beat;
use heartwire_core::v1::{self, ByeCode, Offer, ResumeTerms, RetryHint, Secret, Terms};
use heartwire_core::{
    Connection, Event as FromPeer, Instant, Policy, Protocol as CoreProtocol, Settings,
};
use heartwire_ffi::abi::*;

/// Words around each piece of memory that stay as they are.
const GUARD: usize = 4;
const GUARDED: u64 = 0xa5a5_a5a5_a5a5_a5a5;
/// More rounds than any client needs until it sleeps: 64 reads in a row, and what they lead to.
const MAX_ROUNDS: usize = 200;

/// Runs the program that these bytes are.
pub fn run(program: &[u8]) {
    let mut input = Input(program);
    if let Some(mut run) = Run::new(&mut input) {
        while let Some(op) = input.byte() {
            run.step(op, &mut input);
        }
        run.check();
    }
}

/// The program: bytes that are used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn small(&mut self) -> usize {
        self.byte().unwrap_or_default().into()
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = self.small().min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}

/// Bytes for the client, between guards.
struct Memory(Vec<u64>);

impl Memory {
    fn new(len: usize) -> Self {
        Self(vec![GUARDED; len.div_ceil(8) + 2 * GUARD])
    }

    fn at(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().wrapping_add(GUARD).cast()
    }

    fn check(&self) {
        let (front, back) = (&self.0[..GUARD], &self.0[self.0.len() - GUARD..]);
        assert!(front.iter().chain(back).all(|&word| word == GUARDED), "outside of its memory");
    }
}

/// A client, and what a program in C knows of it.
struct Run {
    memory: Memory,
    rx: Memory,
    tx: Memory,
    protocol: Protocol,
    tick_ms: u64,
    now: u64,
    /// The latest time so far, as the client sees it: `now` goes back at times.
    latest: u64,
    /// What was written on this connection, and how much of it is frames that were looked at.
    written: Vec<u8>,
    seen: usize,
    /// Messages that were accepted and not written yet.
    sent: Vec<Vec<u8>>,
    has_said_bye: bool,
    is_connected: bool,
    is_welcomed: bool,
    /// Events that end a connection.
    ends: usize,
    /// When bytes were fed last, or the connection was made.
    heard: u64,
    /// When the client first said that the connection is to be closed, and that time as of then.
    closed: Option<(u64, u64)>,
    nonce: u64,
    /// Bytes that the client had no room for.
    rest: Vec<u8>,
}

impl Run {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let protocol = match input.byte()? % 4 {
            0 | 1 => Protocol::V1,
            2 => Protocol::V0,
            _ => Protocol::Raw,
        };
        let (rx_len, tx_len) = (HW_MIN_RX + input.small(), HW_MIN_TX + 4 * input.small());
        let flags = input.byte()?;
        let mut run = Self {
            memory: Memory::new(HW_CLIENT_SIZE),
            rx: Memory::new(rx_len),
            tx: Memory::new(tx_len),
            protocol,
            tick_ms: 100,
            now: 1_000,
            latest: 1_000,
            written: Vec::new(),
            seen: 0,
            sent: Vec::new(),
            has_said_bye: false,
            is_connected: false,
            is_welcomed: false,
            ends: 0,
            heard: 0,
            closed: None,
            nonce: 0,
            rest: Vec::new(),
        };
        let mut config = MaybeUninit::uninit();
        // SAFETY: it has room for a config, which is filled in.
        let mut config = unsafe {
            hw_config_default(config.as_mut_ptr());
            config.assume_init()
        };
        config.protocol = protocol as ProtocolNumber;
        (config.interval_ms, config.timeout_ms) = (1_000, 3_000);
        if protocol == Protocol::V0 && flags & 1 != 0 {
            (config.interval_ms, config.echo) = (0, 1);
        }
        if protocol == Protocol::V1 && flags & 1 != 0 {
            config.grace_ms = 60_000;
        }
        if flags & 2 != 0 {
            config.timeout_ms = 0;
        }
        config.clock_step_ms = u32::from(flags >> 4);
        (config.rx, config.rx_len) = (run.rx.at(), rx_len);
        (config.tx, config.tx_len) = (run.tx.at(), tx_len);
        // SAFETY: all memory has its length, and lives as long as the run.
        let status = unsafe { hw_client_init(run.memory.at().cast(), HW_CLIENT_SIZE, &config) };
        run.check();
        match status {
            Status::OK => {
                run.pass(0);
                Some(run)
            }
            Status::ERR_SIZE => None,
            other => panic!("not initialised: {other:?}"),
        }
    }

    fn client(&mut self) -> *mut Client {
        self.memory.at().cast()
    }

    fn check(&self) {
        for memory in [&self.memory, &self.rx, &self.tx] {
            memory.check();
        }
    }

    fn step(&mut self, op: u8, input: &mut Input<'_>) {
        match op % 16 {
            0 => self.connect(),
            1 => self.disconnect(),
            2 => self.feed(input.bytes().to_vec()),
            3 => self.answer(input),
            4 => self.pass(input.small()),
            5 => self.pass(64 * input.small()),
            6 => self.send(input.small() * 3),
            7 => drop(self.write(input.small())),
            8 => self.settle(input.small()),
            9 => self.run_to_deadline(),
            10 => self.now = self.now.saturating_sub(u64::from(input.byte().unwrap_or_default())),
            11 => self.promise(input),
            12 => self.close(),
            13 => self.take_events(input.small()),
            14 => self.feed_rest(),
            _ => self.look(),
        }
        self.check();
    }

    /// Time passes, and the client is told.
    fn pass(&mut self, ms: usize) {
        self.now += ms as u64;
        self.latest = self.latest.max(self.now);
        // SAFETY: see `connect`.
        let status = unsafe { hw_client_written(self.client(), self.now, 0) };
        assert_eq!(status, Status::OK);
    }

    fn connect(&mut self) {
        // SAFETY: the client lives in the run, as in all that follows.
        match unsafe { hw_client_connected(self.client(), self.now) } {
            Status::OK => {
                assert!(!self.is_connected);
                (self.is_connected, self.is_welcomed) = (true, self.protocol != Protocol::V1);
                (self.written, self.seen, self.sent) = (Vec::new(), 0, Vec::new());
                (self.has_said_bye, self.ends, self.rest) = (false, 0, Vec::new());
                (self.heard, self.closed) = (self.latest, None);
            }
            other => assert!(self.is_connected && other == Status::ERR_STATE),
        }
    }

    fn disconnect(&mut self) {
        // SAFETY: see `connect`.
        unsafe {
            assert_eq!(hw_client_disconnected(self.client(), self.now), Status::OK);
            assert_eq!(hw_client_poll(self.client(), self.now), Step::Idle);
            let wait = hw_client_retry_ms(self.client(), self.now);
            assert_eq!(hw_client_retry_ms(self.client(), self.now), wait, "it is drawn once");
        }
        self.is_connected = false;
        self.rest.clear();
    }

    fn feed(&mut self, bytes: Vec<u8>) {
        self.rest.extend_from_slice(&bytes);
        self.feed_rest();
    }

    fn feed_rest(&mut self) {
        let (bytes, mut taken) = (std::mem::take(&mut self.rest), usize::MAX);
        // SAFETY: see `connect`.
        let status = unsafe {
            hw_client_feed(self.client(), self.now, bytes.as_ptr(), bytes.len(), &mut taken)
        };
        if status == Status::OK {
            assert!(self.is_connected && taken <= bytes.len());
            self.rest = bytes[taken..].to_vec();
            if !bytes.is_empty() {
                self.heard = self.latest;
            }
        } else {
            assert!(!self.is_connected && status == Status::ERR_STATE);
        }
    }

    /// What a server sends that keeps to the protocol, more or less.
    fn answer(&mut self, input: &mut Input<'_>) {
        self.nonce += 1;
        let bytes = match (self.protocol, input.small() % 8) {
            (Protocol::V1, 0 | 1) => match self.welcome(input) {
                Some(welcome) => welcome,
                None => return,
            },
            (Protocol::V1, 2 | 3) => self.beat(input),
            (Protocol::V1, 4) => {
                let retry = match input.small() % 3 {
                    0 => RetryHint::Never,
                    1 => RetryHint::AtWill,
                    _ => {
                        let ms = |number: usize| std::time::Duration::from_millis(number as u64);
                        RetryHint::Within { earliest: ms(1_000), latest: ms(1_000 + input.small()) }
                    }
                };
                v1::Bye::new(ByeCode::Draining, retry).detail("later").encode()
            }
            (Protocol::V1, 5) => frame(Kind::Pad, &vec![0; 9 * input.small()]),
            (Protocol::V0, 0..6) => frame(Kind::Heart, &[]),
            _ => frame(Kind::Data, &vec![7; 2 * input.small()]),
        };
        self.feed(bytes);
    }

    /// The WELCOME to the HELLO that was written.
    fn welcome(&mut self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        let seconds = std::time::Duration::from_secs;
        let own = Policy::builder().interval(seconds(1)).timeout(seconds(3)).build().unwrap();
        let settings = Settings::new(own).protocol(CoreProtocol::V1Only);
        let mut server = Connection::new(settings, Instant::from_nanos(0));
        let mut bytes = self.written.as_slice();
        let event = server.handle_received(Instant::from_nanos(0), &mut bytes);
        let Ok(Some(FromPeer::Hello(hello))) = event else { return None };
        let terms = Terms::new(Offer::new(&own)).wake_bytes(3 * input.small() as u32);
        let grants = input.small() & 1 == 0;
        let grant = hello.resume.filter(|_| grants);
        let resume =
            grant.map(|offer| ResumeTerms { server: 1, key: Secret([1; 32]), agreed: offer });
        let contract = terms.agree(&hello.offer).ok()?;
        Some(v1::Welcome::new(self.nonce, 0, contract).resume(resume).encode())
    }

    fn beat(&self, input: &mut Input<'_>) -> Vec<u8> {
        let beat = Beat {
            nonce: self.nonce,
            echo: input.small() as u64,
            held_us: 0,
            silence_ms: 64 * input.small() as u32,
            promise_ms: 20 * input.small() as u32,
            late_ms: 0,
            health: v1::Health::Ok,
            too_fast: false,
        };
        frame(Kind::Heart, &beat.encode())
    }

    fn send(&mut self, len: usize) {
        let body = vec![self.sent.len() as u8; len];
        // SAFETY: see `connect`.
        unsafe {
            let room = hw_client_send_room(self.client());
            let status = hw_client_send(self.client(), self.now, body.as_ptr(), len);
            if status == Status::OK {
                assert!(len <= room && self.is_connected && self.is_welcomed);
                self.sent.push(body);
            } else {
                assert!(len > room || room == 0, "{status:?}: {len} {room}");
            }
        }
    }

    fn write(&mut self, most: usize) -> usize {
        let (mut bytes, mut len) = (ptr::null(), usize::MAX);
        // SAFETY: see `connect`; the output stays until the next call.
        unsafe {
            assert_eq!(hw_client_output(self.client(), &mut bytes, &mut len), Status::OK);
            assert!(len == 0 || self.is_connected);
            let output = std::slice::from_raw_parts(bytes, len.min(most)).to_vec();
            let status = hw_client_written(self.client(), self.now, len + 1);
            assert_eq!(status, Status::ERR_ARGUMENT);
            let status = hw_client_written(self.client(), self.now, output.len());
            assert_eq!(status, Status::OK);
            self.written.extend_from_slice(&output);
            self.look_at_written();
            output.len()
        }
    }

    /// What was written is whole frames that may come when they do, with the messages in order.
    fn look_at_written(&mut self) {
        if self.protocol == Protocol::Raw {
            let sent: Vec<u8> = self.sent.concat();
            assert!(sent.starts_with(&self.written));
            return;
        }
        while let Some((header, rest)) = self.written[self.seen..].split_first_chunk() {
            let header = codec::read_header(*header).expect("a header is well-formed");
            let Some(body) = rest.get(..header.body_len as usize) else { return };
            assert!(!self.has_said_bye, "something follows a BYE");
            let is_first = self.seen == 0;
            match (self.protocol, header.kind) {
                (Protocol::V1, Kind::Hello) => assert!(is_first),
                (Protocol::V1, _) if is_first => panic!("the first frame is no HELLO"),
                (Protocol::V1, Kind::Pad | Kind::Ack | Kind::Heart) | (_, Kind::Heart) => {}
                (Protocol::V1, Kind::Bye) => self.has_said_bye = true,
                (_, Kind::Data) => {
                    assert!(!self.sent.is_empty(), "a message was not sent");
                    assert_eq!(self.sent.remove(0), body);
                }
                (_, kind) => panic!("a client does not say {kind:?}"),
            }
            self.seen += 8 + body.len();
        }
    }

    /// Does what the client asks for until it sleeps. The socket takes at most so many bytes.
    fn settle(&mut self, mut room: usize) {
        // SAFETY: see `connect`.
        let mut step = unsafe { hw_client_poll(self.client(), self.now) };
        for _ in 0..MAX_ROUNDS {
            match step {
                Step::Write => {
                    let written = self.write(room);
                    room -= written;
                    if written == 0 {
                        return;
                    }
                    // SAFETY: see `connect`.
                    step = unsafe { hw_client_poll(self.client(), self.now) };
                }
                Step::Read => {
                    if !self.rest.is_empty() {
                        self.feed_rest();
                    }
                    // SAFETY: see `connect`.
                    step = unsafe { hw_client_read_done(self.client(), self.now, room % 2 == 1) };
                }
                Step::Sleep => {
                    assert!(self.is_connected);
                    return;
                }
                Step::Close => {
                    assert!(self.is_connected);
                    self.closed.get_or_insert((self.latest, self.heard));
                    return;
                }
                Step::Idle => return assert!(!self.is_connected),
            }
        }
        panic!("the client has no rest");
    }

    fn run_to_deadline(&mut self) {
        self.now = self.latest;
        // SAFETY: see `connect`.
        let deadline = unsafe { hw_client_deadline(self.client()) };
        if deadline < self.now + 1_000_000 {
            self.now = self.now.max(deadline) + self.nonce % (self.tick_ms + 1);
            self.latest = self.now;
        }
        self.settle(1_000);
    }

    fn promise(&mut self, input: &mut Input<'_>) {
        let (interval_ms, mut agreed) = (64 * input.small() as u32, u32::MAX);
        // SAFETY: see `connect`.
        unsafe {
            let status = hw_client_promise(self.client(), interval_ms, &mut agreed);
            assert!(status != Status::OK || agreed >= 1_000);
            hw_client_set_health(self.client(), interval_ms % 5);
        }
    }

    fn close(&mut self) {
        // SAFETY: see `connect`.
        let status = unsafe { hw_client_close(self.client(), self.now) };
        assert!(status != Status::OK || self.is_connected);
    }

    fn take_events(&mut self, most: usize) {
        for _ in 0..most {
            let mut event = MaybeUninit::<Event>::uninit();
            // SAFETY: see `connect`; the event is filled in, and what it points to is there.
            unsafe {
                let status = hw_client_event(self.client(), self.now, event.as_mut_ptr());
                assert_eq!(status, Status::OK);
                let event = event.assume_init();
                if event.kind == EventKind::NONE {
                    return;
                }
                self.handle(&event);
            }
        }
    }

    /// # Safety
    ///
    /// What the event points to is there.
    unsafe fn handle(&mut self, event: &Event) {
        let is_end = matches!(
            event.kind,
            EventKind::BYE | EventKind::DEAD | EventKind::BROKEN | EventKind::CLOSED
        );
        self.ends += usize::from(is_end);
        assert!(self.ends <= 1, "a connection ends once");
        assert!(is_end || self.ends == 0, "{:?} follows the end", event.kind);
        // SAFETY: the kind says which part there is.
        unsafe {
            match event.kind {
                EventKind::WELCOME => {
                    assert!(!std::mem::replace(&mut self.is_welcomed, true));
                }
                EventKind::DATA => {
                    let Bytes { ptr, len } = event.of.data;
                    assert!(self.is_welcomed);
                    std::hint::black_box(std::slice::from_raw_parts(ptr, len).to_vec());
                }
                EventKind::BYE => {
                    let Bye { detail, detail_len, .. } = event.of.bye;
                    let detail = std::slice::from_raw_parts(detail.cast(), detail_len);
                    assert!(std::str::from_utf8(detail).is_ok());
                }
                EventKind::DEAD => {
                    let Verdict { cause, silence_ms, paused_ms, earliest_ms, latest_ms, .. } =
                        event.of.dead;
                    let counted = silence_ms - paused_ms;
                    assert!((earliest_ms..=latest_ms).contains(&counted), "not in its bound");
                    if cause == Cause::Silence {
                        let (at, heard) = self.closed.expect("a verdict is a step");
                        assert!(at >= heard + u64::from(earliest_ms), "early");
                    }
                }
                _ => {}
            }
        }
    }

    fn look(&mut self) {
        let mut link = MaybeUninit::<Link>::uninit();
        // SAFETY: see `connect`.
        let status = unsafe { hw_client_link(self.client(), self.now, link.as_mut_ptr()) };
        assert!(status != Status::OK || self.is_connected);
    }
}

fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut frame = codec::header(kind, body.len()).unwrap().to_vec();
    frame.extend_from_slice(body);
    frame
}
