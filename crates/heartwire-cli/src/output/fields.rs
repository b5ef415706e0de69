//! The parts that several events share, as JSON. `docs/events.md` describes them.
//!
//! Events hold the library's types; these functions are for `serialize_with`.

use core::time::Duration;

use heartwire::v1::{Contract, Direction};
use heartwire::{Policy, Reason, Replayed, TICK, Undelivered, Verdict};
use serde::{Serialize, Serializer};

/// A time: in JSON, milliseconds with up to three decimals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Millis(pub(crate) Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.as_secs_f64() * 1e6).round() / 1e3)
    }
}

pub(crate) fn policy<S: Serializer>(policy: &Policy, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        interval_ms: Option<Millis>,
        timeout_ms: Option<Millis>,
        peer_interval_ms: Option<Millis>,
        echo: bool,
        bound_ms: Option<[Millis; 2]>,
        bound_after_fault_ms: Option<[Millis; 2]>,
    }
    let both = |bound: heartwire::Bound| [Millis(bound.earliest), Millis(bound.latest)];
    let fields = Fields {
        interval_ms: policy.interval().map(Millis),
        timeout_ms: policy.timeout().map(Millis),
        peer_interval_ms: policy.peer_interval().map(Millis),
        echo: policy.echo(),
        bound_ms: policy.bound(TICK).map(both),
        bound_after_fault_ms: policy.bound_after_fault(TICK).map(both),
    };
    fields.serialize(serializer)
}

pub(crate) fn contract<S: Serializer>(
    contract: &Contract,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct OneWay {
        interval_ms: Option<Millis>,
        timeout_ms: Option<Millis>,
    }
    #[derive(Serialize)]
    struct Fields {
        to_server: OneWay,
        to_client: OneWay,
        wake_bytes: u32,
    }
    let one_way = |direction: &Direction| OneWay {
        interval_ms: direction.interval().map(Millis),
        timeout_ms: direction.timeout().map(Millis),
    };
    let fields = Fields {
        to_server: one_way(&contract.to_server),
        to_client: one_way(&contract.to_client),
        wake_bytes: contract.wake_bytes,
    };
    fields.serialize(serializer)
}

pub(crate) fn verdict<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    VerdictFields::from(verdict).serialize(serializer)
}

#[derive(Serialize)]
struct VerdictFields {
    cause: &'static str,
    silence_ms: Millis,
    earliest_ms: Option<Millis>,
    latest_ms: Option<Millis>,
    paused_ms: Millis,
    late_ms: Millis,
}

impl From<&Verdict> for VerdictFields {
    fn from(verdict: &Verdict) -> Self {
        Self {
            cause: verdict.cause.name(),
            silence_ms: Millis(verdict.silence),
            earliest_ms: verdict.bound.map(|bound| Millis(bound.earliest)),
            latest_ms: verdict.bound.map(|bound| Millis(bound.latest)),
            paused_ms: Millis(verdict.paused),
            late_ms: Millis(verdict.late),
        }
    }
}

/// Why a connection ended; with the verdict where the peer is dead.
pub(crate) fn reason<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        reason: &'static str,
        detail: String,
        violation: Option<&'static str>,
        #[serde(flatten)]
        verdict: Option<VerdictFields>,
    }
    let verdict = if let Reason::Dead(verdict) = reason { Some(verdict.into()) } else { None };
    let fields = Fields {
        reason: reason.name(),
        detail: reason.to_string(),
        violation: violation(*reason),
        verdict,
    };
    fields.serialize(serializer)
}

/// What is sent again over a new connection.
pub(crate) fn replayed<S: Serializer>(
    replayed: &Replayed,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        replayed: u64,
        replayed_bytes: u64,
    }
    let Replayed { frames, bytes, .. } = *replayed;
    Fields { replayed: frames, replayed_bytes: bytes }.serialize(serializer)
}

/// What the other application has not taken over at the end of a session.
pub(crate) fn undelivered<S: Serializer>(
    undelivered: &Undelivered,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        undelivered: u64,
        undelivered_bytes: u64,
        undelivered_exact: bool,
    }
    let Undelivered { frames, bytes, exact, .. } = *undelivered;
    Fields { undelivered: frames, undelivered_bytes: bytes, undelivered_exact: exact }
        .serialize(serializer)
}

/// The rule of the protocol that the peer broke, as PROTOCOL.md names it.
pub(crate) fn violation(reason: Reason) -> Option<&'static str> {
    if let Reason::Protocol(violation) = reason { Some(violation.name()) } else { None }
}
