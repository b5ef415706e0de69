use core::time::Duration;
use std::collections::BTreeSet;
use std::io;

use heartwire_core::Verdict;
use heartwire_core::frame::Kind;
use heartwire_core::resume::Position;

use super::*;
use crate::reason::{Credential, ProxyFault};
use crate::tls::{TlsError, TlsFault};

/// What is counted of one end.
fn counted(reason: &Reason) -> BTreeSet<&'static str> {
    let counters = Counters::default();
    counters.count_end(reason);
    let stats = counters.read(&[]);
    assert!(stats.counts().all(|(_, count)| count <= 1), "{stats:?}");
    stats.counts().filter(|&(_, count)| count == 1).map(|(name, _)| name).collect()
}

#[test]
fn an_end_is_counted_under_the_name_of_its_reason() {
    let (time, length) = (Duration::ZERO, 1);
    let mut names = BTreeSet::new();
    for reason in [
        Reason::ClosedByPeer,
        Reason::Truncated,
        Reason::NoGoodbye,
        Reason::Reset,
        Reason::Dead(Verdict::kernel(time)),
        Reason::SlowReader,
        Reason::MostBuffered,
        Reason::Kicked,
        Reason::Shutdown,
        Reason::Unacknowledged,
        Reason::Bye(ByeCode::Done),
        Reason::TakenOver,
        Reason::Revoked(Credential::Token),
        Reason::Expired(Credential::Token),
        Reason::MaxAge,
        Reason::NotBack,
        Reason::Overflow,
        Reason::ReplayFull,
        Reason::Done,
        Reason::Tls(TlsError(TlsFault::Local)),
        Reason::Proxy(ProxyFault::Missing),
        Reason::Failed(io::ErrorKind::Other),
    ] {
        assert_eq!(counted(&reason), BTreeSet::from([reason.name()]));
        names.insert(reason.name());
    }
    for violation in [
        Violation::NegativeLength { length: -1 },
        Violation::TooLong { length, max: 0 },
        Violation::UnknownType { header: [0; 8] },
        Violation::BeatWithBody { length },
        Violation::NoFirstFrame { waited: time },
        Violation::SlowFrame { waited: time },
        Violation::Unexpected { kind: Kind::Pad },
        Violation::BeatLength { length },
        Violation::BadHello,
        Violation::NoCommonVersion { lowest: 2, highest: 3 },
        Violation::BadBye,
        Violation::UnknownNonce,
        Violation::PromiseTooLong { promise: time, max: time },
        Violation::TooFast,
        Violation::BadPosition { position: Position::default() },
        Violation::Window { window: 0 },
        Violation::BadAck,
    ] {
        let counted = counted(&Reason::Protocol(violation));
        assert_eq!(counted, BTreeSet::from(["protocol_error", violation.name()]));
        names.extend(counted);
    }
    for code in [
        ByeCode::Conflict,
        ByeCode::Unauthorized,
        ByeCode::TakenOver,
        ByeCode::NameInUse,
        ByeCode::Fighting,
        ByeCode::Protocol,
        ByeCode::Full,
        ByeCode::NotResumable,
    ] {
        let counted = counted(&Reason::Rejected(code));
        let name = format!("rejected_{}", code.name());
        assert_eq!(counted, BTreeSet::from(["rejected", &name]));
        names.extend(counted);
    }
    // What is left is not about ends.
    let others = Stats::default().counts().map(|(name, _)| name);
    let others: Vec<_> = others.filter(|name| !names.contains(name)).collect();
    let first =
        ["accepted", "refused", "hellos", "welcomed", "promises", "away", "resumed", "lost"];
    let tls = ["tls_handshakes", "tls_tickets"];
    assert_eq!(others, [&first[..], &tls, &["cut_off", "pauses"]].concat());
}

#[test]
fn reasons_without_a_counter_of_their_own_are_counted() {
    let cases = [
        (Reason::Protocol(Violation::BadWelcome), "protocol_error"),
        (Reason::Rejected(ByeCode::Draining), "rejected"),
        (Reason::NetworkChanged, "failed"),
        (Reason::NotResumed, "failed"),
        (Reason::Suspected, "failed"),
    ];
    for (reason, name) in cases {
        assert_eq!(counted(&reason), BTreeSet::from([name]));
    }
}

#[test]
fn the_work_of_all_shards_is_summed_up() {
    let shards = [ShardCounters::default(), ShardCounters::default()];
    let held = ShardHeld { all: 4, pending: 3, away: 2, clients: 1 };
    shards[0].publish(1, 10, held);
    shards[1].publish(2, 20, held);
    shards[0].counts.accepted.fetch_add(1, Relaxed);
    shards[1].counts.count_end(&Reason::MaxAge);
    let counters = Counters::default();
    counters.accepted.fetch_add(2, Relaxed);
    let stats = counters.read(&shards);
    assert_eq!((stats.turns, stats.timers), (3, 30));
    assert_eq!((stats.get("accepted"), stats.get("max_age")), (Some(3), Some(1)));
}

/// Of two shards, which alone write it.
#[test]
fn counters_of_a_shard_are_on_no_cache_line_of_another() {
    let shards = [ShardCounters::default(), ShardCounters::default()];
    let line = |at: *const ShardCounters| at.addr() / 128;
    let [one, two] = [&raw const shards[0], &raw const shards[1]].map(line);
    assert!(one != two && align_of::<ShardCounters>() >= 128);
}
