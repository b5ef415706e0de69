//! Whatever a client sends ends that client's session at most, with a reason that has a name. What
//! each header means, the core's tests hold.

use heartwire::server::limits::Limits;
use heartwire::server::{Event, SessionId, Stats};
use heartwire::{Reason, Violation};
use heartwire_testkit::{DATA, HEART, Peer, ServerRig, data, header};

use super::config;

/// A server that echoes, with a client that has nothing to do with what another one does.
struct Bystander {
    rig: ServerRig,
    peer: Peer,
    id: SessionId,
}

impl Bystander {
    #[track_caller]
    fn new(limits: Limits) -> Self {
        // A header that is not a client's first would otherwise wait for its deadline.
        let mut rig = ServerRig::echo(config().limits(limits).coalesce(0));
        let (peer, id) = rig.connect();
        Self { rig, peer, id }
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
    stats.get(violation.name()).unwrap_or_else(|| panic!("{violation} is not counted"))
}

fn unknown_type(bytes: &[u8]) -> Violation {
    Violation::UnknownType { header: bytes[..8].try_into().unwrap() }
}

#[test]
fn each_breach_ends_its_session_and_is_counted_and_named() {
    let mut world = Bystander::new(Limits::default().max_frame(1_000));
    let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let breaches = [
        (header(DATA, -1), Violation::NegativeLength { length: -1 }),
        // From the header alone.
        (header(DATA, 1_001), Violation::TooLong { length: 1_001, max: 1_000 }),
        ([header(HEART, 8), vec![0; 8]].concat(), Violation::BeatWithBody { length: 8 }),
        (http.clone(), unknown_type(&http)),
        (header(2, i32::MAX), unknown_type(&header(2, i32::MAX))),
    ];
    for (bytes, violation) in breaches {
        let rig = &mut world.rig;
        let before = rig.stats();
        let (mut peer, id) = rig.connect();
        peer.send(&bytes);
        assert_eq!(rig.offline(id), Reason::Protocol(violation));
        peer.expect_end();
        let after = rig.stats();
        let breaches = |stats: &Stats| stats.get("protocol_error").unwrap();
        assert_eq!(breaches(&after), breaches(&before) + 1);
        assert_eq!(counted(&after, &violation), counted(&before, &violation) + 1);
        rig.expect_echo(&mut world.peer, world.id);
    }
    world.finish();
}

#[test]
fn frames_before_a_breach_count_and_frames_after_it_do_not() {
    let mut world = Bystander::new(Limits::default());
    let (mut peer, id) = world.rig.connect();
    peer.send(&[header(HEART, 0), data(b"good"), header(7, 0), data(b"lost")].concat());
    world.rig.expect_data(id, b"good");
    let offline = world.rig.expect_offline(id);
    assert_eq!(offline.reason, Reason::Protocol(unknown_type(&header(7, 0))));
    assert_eq!(offline.beats, 1);
    world.finish();
}

#[test]
fn lengths_that_are_announced_take_no_memory() {
    const CLIENTS: usize = 500;
    // 1 TiB in all.
    let mut rig = ServerRig::start(config().limits(Limits::default().max_frame(u32::MAX)));
    let (size, resident) = memory();
    let clients: Vec<Peer> = (0..CLIENTS)
        .map(|_| {
            let (mut peer, _) = rig.connect();
            peer.send(&[&header(DATA, i32::MAX)[..], b"and so it begins"].concat());
            peer
        })
        .collect();
    rig.turn();
    let (size_after, resident_after) = memory();
    // Other tests run in this process: the bounds are far below 1 TiB, and above what those take.
    assert!(size_after.saturating_sub(size) < 32 << 30, "{size} to {size_after}");
    assert!(resident_after.saturating_sub(resident) < 1 << 30, "{resident} to {resident_after}");
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
