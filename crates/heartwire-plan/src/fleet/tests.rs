use heartwire_core::{Policy, Preset};

use super::*;
use crate::{End, Resume, Setup, Waits};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn default_plan() -> Plan {
    let end = |side| End::new(Preset::Default.policy(side));
    Setup::new(end(Side::Client), end(Side::Server)).plan().unwrap()
}

fn fleet(sessions: u64) -> Fleet {
    Fleet::new(default_plan(), Serving::new(), sessions)
}

/// A node of which only one thing is scarce.
fn scarce(change: impl Fn(&mut Node)) -> Node {
    let plenty = 1 << 50;
    let mut node = Node {
        processors: 1 << 20,
        memory: plenty,
        descriptors: plenty,
        packets_per_s: plenty,
        accept_rate: 10_000,
    };
    change(&mut node);
    node
}

#[test]
fn scarce_resource_decides_how_many_a_node_carries() {
    let price = fleet(1).price();
    for (node, resource, room) in [
        (
            scarce(|node| node.processors = 1),
            Resource::Processors,
            DAY.as_nanos() / 2 / price.processor_a_day.as_nanos(),
        ),
        (
            scarce(|node| node.memory = 1 << 30),
            Resource::Memory,
            (1 << 29) / u128::from(price.user_bytes + price.kernel_bytes),
        ),
        (scarce(|node| node.descriptors = 20_000), Resource::Descriptors, 20_000),
        (
            scarce(|node| node.packets_per_s = 1_000),
            Resource::Packets,
            500 * 86_400 / u128::from(price.packets_a_day),
        ),
    ] {
        let most = fleet(10_000_000).node(node).most();
        assert_eq!(most, (resource, u64::try_from(room).unwrap()), "{node:?}");
    }
}

#[test]
fn nodes_that_are_left_after_a_zone_carry_all() {
    for sessions in [0, 1, 999_999, 1_000_000, 10_000_000, 100_000_000] {
        for zones in 0..7 {
            let fleet = fleet(sessions).zones(zones);
            let (nodes, most) = (fleet.nodes(), fleet.most().1);
            let lost = fleet.lost(if zones > 1 { Lost::Zone } else { Lost::Node });
            assert!((nodes - lost.nodes) * lost.storm.clients <= sessions + nodes * nodes);
            assert!(lost.nodes * most >= sessions, "{sessions} in {zones}");
            if zones > 1 {
                assert_eq!(nodes % zones, 0);
                // With one node less in each zone, it would not.
                let fewer = (nodes / zones - 1) * (zones - 1) * most;
                assert!(fewer < sessions.max(1), "{sessions} in {zones}");
            }
        }
    }
}

#[test]
fn clients_of_what_is_lost_go_to_what_is_left() {
    let node = scarce(|node| node.descriptors = 500_000);
    let fleet = fleet(10_000_000).node(node).outage(secs(30));
    assert_eq!((fleet.nodes(), fleet.sessions_per_node()), (30, 333_334));
    let [one, zone, all] = Lost::ALL.map(|lost| fleet.lost(lost));
    assert_eq!((one.clients, one.nodes, one.storm.clients), (333_334, 29, 11_495));
    assert_eq!((zone.clients, zone.nodes, zone.storm.clients), (3_333_334, 20, 166_667));
    assert_eq!((all.clients, all.nodes, all.storm.clients), (10_000_000, 30, 333_334));
    assert_eq!((zone.storm.outage, all.storm.outage), (Duration::ZERO, secs(30)));
    assert!(one.storm.back() < zone.storm.back() && zone.storm.back() < all.storm.back());
    // A machine that is gone without a word is noticed by the timeout.
    let silent = default_plan().outcome(Fault::MachineGoneIdle, Side::Client).finding().unwrap();
    assert_eq!(one.noticed, Some(silent.bound.latest));
}

#[test]
fn a_node_does_handshakes_with_what_is_kept_free() {
    let fleet = fleet(1_000_000);
    // Four of eight processors, and 23 µs each.
    assert_eq!(fleet.handshakes_per_s(), 4_000_000 / 23);
    assert_eq!(fleet.free_percent(25).handshakes_per_s(), 2_000_000 / 23);
    let storm = fleet.node(Node { accept_rate: 7, ..Node::default() }).lost(Lost::Node).storm;
    assert_eq!((storm.handshakes_per_s, storm.accept_rate), (4_000_000 / 23, 7));
}

#[test]
fn packets_and_bits_are_those_of_all_sessions() {
    let beating = End::new(Policy::builder().interval(secs(10)).build().unwrap());
    let server = Policy::builder().timeout(secs(30)).peer_interval(secs(10)).build().unwrap();
    let plan = Setup::new(beating, End::new(server)).v0().plan().unwrap();
    let fleet = Fleet::new(plan, Serving::new(), 10_000_000);
    // A beat of 60 B each 10 s, and its acknowledgement of 52 B.
    assert_eq!(fleet.packets_per_s(10_000_000), 2_000_000);
    assert_eq!(fleet.bits_per_s(), [480_000_000, 416_000_000]);
    assert_eq!(fleet.packets_per_s(1_000), 200);
}

#[test]
fn redis_is_as_many_as_its_memory_and_its_speed_need() {
    let one = Redis::new(1_000_000, 12);
    assert_eq!((one.servers(), one.names_each(), one.bytes_each()), (1, 1_000_000, 470_000_000));
    assert_eq!((one.renewals_per_s(), one.changes_per_s()), (3, 70));
    assert_eq!(one.announced(), secs(16));
    // A node of 500,000 names: 250 s at 2,000 a second.
    assert_eq!(one.offline(500_000), secs(32 + 250));

    let many = Redis::new(10_000_000, 12);
    assert_eq!(many.servers(), 3, "to be announced in a minute");
    assert!(many.announced() <= secs(60));
    let small = many.memory(1 << 30);
    assert_eq!(small.servers(), 10_000_000_u64.div_ceil(((1 << 29) - 220_000_000) / 250));
    assert!(small.bytes_each() <= 1 << 29);
    assert_eq!(many.lasts(secs(20)).changes_per_s(), 1_000_000);
}

#[test]
fn clients_wait_as_their_sessions_let_them() {
    let plan = default_plan();
    assert_eq!(plan.waits(), Waits::DEFAULT);
    let end = plan.end(Side::Client);
    let resumed = Setup::new(end, end).resume(Some(Resume::new(secs(60)))).plan().unwrap();
    assert_eq!(resumed.waits(), Waits::RESUMING);
}
