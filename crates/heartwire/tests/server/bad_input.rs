//! Whatever a client sends ends that client's session at most, with a reason that has a name.

use std::io::Write;
use std::time::Instant;

use heartwire::server::{Event, SessionId, Stats};
use heartwire::{Caps, Reason, Violation};

use crate::peer::{HEART, OTHER, Peer, data, head, ms};
use crate::rig::{Rig, config, limit};

/// A server that echoes, with a client that has nothing to do with what another one does.
struct Bystander {
    rig: Rig,
    peer: Peer,
    id: SessionId,
}

impl Bystander {
    #[track_caller]
    fn new(caps: Caps) -> Self {
        // A head that is not a client's first would otherwise wait for its deadline.
        let mut rig = Rig::echo(config().caps(caps).coalesce(0));
        let (peer, id) = rig.connect();
        Self { rig, peer, id }
    }

    /// A new client sends `bytes` and is refused for this; nothing else happens.
    #[track_caller]
    fn expect_violation(&mut self, bytes: &[u8], violation: Violation) {
        let before = self.rig.stats();
        let (mut peer, id) = self.rig.connect();
        peer.send(bytes);
        assert_eq!(self.rig.expect_offline(id).reason, Reason::Protocol(violation));
        peer.expect_end();
        let after = self.rig.stats();
        assert_eq!(after.protocol_error, before.protocol_error + 1);
        assert_eq!(counted(&after, &violation), counted(&before, &violation) + 1);
        self.rig.expect_echo(&mut self.peer, self.id);
    }

    #[track_caller]
    fn finish(mut self) {
        self.rig.expect_echo(&mut self.peer, self.id);
        assert_eq!(self.rig.handle().count(), 1);
        self.rig.finish();
    }
}

/// What the server has counted under a violation's name.
fn counted(stats: &Stats, violation: &Violation) -> u64 {
    match violation.name() {
        "negative_length" => stats.negative_length,
        "too_long" => stats.too_long,
        "unknown_type" => stats.unknown_type,
        "beat_with_body" => stats.beat_with_body,
        "no_first_frame" => stats.no_first_frame,
        "slow_frame" => stats.slow_frame,
        other => panic!("{other} is not counted"),
    }
}

fn unknown_type(bytes: &[u8]) -> Violation {
    Violation::UnknownType { head: bytes[..8].try_into().unwrap() }
}

#[test]
fn a_negative_length_is_refused() {
    let mut world = Bystander::new(Caps::default());
    for length in [-1, -2, i32::MIN, i32::MIN + 1] {
        world.expect_violation(&head(OTHER, length), Violation::NegativeLength { length });
        world.expect_violation(&head(HEART, length), Violation::NegativeLength { length });
    }
    world.finish();
}

#[test]
fn a_length_over_the_cap_is_refused_from_the_head_alone() {
    let mut world = Bystander::new(Caps::default().body_len_max(1_000));
    for length in [1_001, 65_536, i32::MAX] {
        let violation = Violation::TooLong { length: length.unsigned_abs(), max: 1_000 };
        world.expect_violation(&head(OTHER, length), violation);
    }
    world.finish();
}

#[test]
fn an_unknown_type_is_refused_whatever_its_length() {
    let mut world = Bystander::new(Caps::default());
    for kind in [2, 3, -1, i32::MAX, i32::MIN, 0x0100_0000] {
        for length in [0, 1, -1, i32::MAX] {
            let bytes = head(kind, length);
            world.expect_violation(&bytes, unknown_type(&bytes));
        }
    }
    world.finish();
}

#[test]
fn another_protocol_is_refused_and_guessed_at() {
    let mut world = Bystander::new(Caps::default());
    let big_endian = [1_i32.to_be_bytes(), 5_i32.to_be_bytes()].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"POST /login HTTP/1.0\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a TLS handshake"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "a PROXY protocol header"),
        (&big_endian, "a frame with big-endian integers"),
    ];
    for (bytes, guess) in cases {
        let violation = unknown_type(bytes);
        assert!(violation.to_string().contains(guess), "{violation}");
        world.expect_violation(bytes, violation);
    }
    world.finish();
}

#[test]
fn a_beat_with_a_body_is_refused() {
    let mut world = Bystander::new(Caps::default());
    for length in [1, 8, i32::MAX] {
        let violation = Violation::BeatWithBody { length: length.unsigned_abs() };
        world.expect_violation(&[head(HEART, length), vec![0; 8]].concat(), violation);
    }
    world.finish();
}

#[test]
fn what_came_whole_before_a_breach_counts_and_what_comes_after_it_does_not() {
    let mut world = Bystander::new(Caps::default());
    let (mut peer, id) = world.rig.connect();
    peer.send(&[head(HEART, 0), data(b"good"), head(7, 0), data(b"lost")].concat());
    world.rig.expect_data(id, b"good");
    let offline = world.rig.expect_offline(id);
    assert_eq!(offline.reason, Reason::Protocol(unknown_type(&head(7, 0))));
    assert_eq!(offline.beats, 1);
    world.finish();
}

#[test]
fn a_breach_may_come_byte_by_byte() {
    let mut world = Bystander::new(Caps::default());
    let (mut peer, id) = world.rig.connect();
    head(OTHER, -1).chunks(1).for_each(|byte| peer.send(byte));
    let violation = Violation::NegativeLength { length: -1 };
    assert_eq!(world.rig.expect_offline(id).reason, Reason::Protocol(violation));
    world.finish();
}

#[test]
fn a_client_that_never_says_anything_is_refused_after_its_time() {
    const WITHIN: u64 = 2_000;
    let mut world = Bystander::new(Caps::default().first_frame(Some(ms(WITHIN))));
    world.rig.expect_echo(&mut world.peer, world.id);
    let connecting = Instant::now();
    let (mut peer, id) = world.rig.connect();
    // Part of a head is no frame.
    peer.send(&head(OTHER, 0)[..7]);
    let reason = world.rig.expect_offline(id).reason;
    assert!(connecting.elapsed() >= ms(WITHIN));
    let Reason::Protocol(Violation::NoFirstFrame { waited }) = reason else { panic!("{reason}") };
    assert!(waited >= ms(WITHIN) && waited <= connecting.elapsed(), "waited {waited:?}");
    world.finish();
}

#[test]
fn a_limit_shorter_than_the_time_for_the_first_frame_calls_the_client_dead() {
    let caps = Caps::default().first_frame(Some(ms(5_000)));
    let mut rig = Rig::start(config().policy(limit(150)).caps(caps));
    let connecting = Instant::now();
    let (_peer, id) = rig.connect();
    rig.expect_verdict_in_bound(id, ms(150), connecting);
    rig.finish();
}

#[test]
fn a_slow_frame_is_refused_however_steadily_it_trickles() {
    const WITHIN: u64 = 250;
    let mut world = Bystander::new(Caps::default().frame(Some(ms(WITHIN))));
    // A head, and a body of less than one KiB, for which there is no extra time.
    for bytes in [head(OTHER, 0)[..7].to_vec(), data(&[0; 1_000])[..900].to_vec()] {
        let (mut peer, id) = world.rig.connect();
        peer.data(b"");
        world.rig.expect_data(id, b"");
        peer.expect_data(b"");
        let beginning = Instant::now();
        let trickling = peer.trickle(bytes, ms(15));
        let reason = world.rig.expect_offline(id).reason;
        let Reason::Protocol(Violation::SlowFrame { waited }) = reason else { panic!("{reason}") };
        assert!(waited >= ms(WITHIN) && waited <= beginning.elapsed(), "waited {waited:?}");
        trickling.join().unwrap().expect_end();
    }
    world.finish();
}

#[test]
fn a_long_body_has_a_second_more_for_each_kib() {
    let mut rig = Rig::start(config().caps(Caps::default().frame(Some(ms(100)))));
    let (mut peer, id) = rig.connect();
    let bytes = data(&[3; 8_192]);
    let (start, rest) = bytes.split_at(1_000);
    peer.send(start);
    rig.expect_quiet(ms(400));
    peer.send(rest);
    rig.expect_data(id, &[3; 8_192]);
    rig.finish();
}

#[test]
fn a_frame_that_trickles_in_within_its_time_is_delivered() {
    let caps = Caps::default().frame(Some(ms(9_000)));
    let mut rig = Rig::start(config().caps(caps).policy(limit(2_000)));
    let (mut peer, id) = rig.connect();
    let mut silent_since = Instant::now();
    for byte in data(b"abc").chunks(1) {
        // 11 × 250 ms are longer than the limit: the bytes of the frame are life.
        rig.expect_quiet(ms(250));
        silent_since = Instant::now();
        peer.send(byte);
    }
    rig.expect_data(id, b"abc");
    rig.expect_verdict_in_bound(id, ms(2_000), silent_since);
    rig.finish();
}

#[test]
fn lengths_that_are_announced_take_no_memory() {
    const CLIENTS: usize = 500;
    // 1 TiB in all.
    let mut rig = Rig::echo(config().caps(Caps::default().body_len_max(u32::MAX)));
    let (mut bystander, bystander_id) = rig.connect();
    let (size, resident) = memory();
    let clients: Vec<Peer> = (0..CLIENTS)
        .map(|_| {
            let (mut peer, _) = rig.connect();
            peer.send(&head(OTHER, i32::MAX));
            peer.send(b"and so it begins");
            peer
        })
        .collect();
    rig.expect_echo(&mut bystander, bystander_id);
    let (size_after, resident_after) = memory();
    // Other tests run in this process: the bounds are far below 1 TiB, and above what those take.
    assert!(size_after.saturating_sub(size) < 32 << 30, "{size} to {size_after}");
    assert!(resident_after.saturating_sub(resident) < 256 << 20, "{resident} to {resident_after}");
    drop(clients);
    for _ in 0..CLIENTS {
        let event = rig.next();
        assert!(matches!(event, Event::Offline { reason: Reason::Truncated, .. }), "{event:?}");
    }
    rig.finish();
}

/// The virtual and the resident size of this process in bytes.
fn memory() -> (u64, u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut pages = statm.split(' ').map(|pages| pages.parse::<u64>().unwrap() * 4096);
    (pages.next().unwrap(), pages.next().unwrap())
}

#[test]
fn random_bytes_end_the_sessions_they_come_from() {
    const SEED: u64 = 39_002;
    let mut random = Random(SEED);
    let mut world = Bystander::new(Caps::default().body_len_max(64));
    for round in 0..200 {
        let len = 8 + random.below(200);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.byte()).collect();
        // Half of them get as far as a valid type, so that lengths and bodies are random too.
        if round % 2 == 0 {
            bytes[..4].copy_from_slice(&OTHER.to_le_bytes());
        }
        // A quarter, a valid length too, so that the second head is the random one.
        if round % 4 == 0 {
            bytes[4..8].copy_from_slice(&[random.byte() % 64, 0, 0, 0]);
        }
        let (mut peer, id) = world.rig.connect();
        // The server may close before it has all of them.
        let _ = peer.stream.write_all(&bytes);
        drop(peer);
        let reason = loop {
            match world.rig.next() {
                Event::Data { id: of, data } if of == id => {
                    assert!(data.len() <= 64);
                }
                Event::Offline { id: of, reason, .. } if of == id => {
                    break reason;
                }
                other => panic!("round {round} of seed {SEED}: {other:?}"),
            }
        };
        assert!(
            matches!(
                reason,
                // The last one, if the client did not read an echo.
                Reason::Protocol(_) | Reason::Truncated | Reason::ClosedByPeer | Reason::Reset
            ),
            "round {round} of seed {SEED}: {reason}"
        );
    }
    world.finish();
}

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
