//! The lines that `heartwire connect` prints on standard error.

use core::net::SocketAddr;

use heartwire::Reason;
use heartwire::client::{Bye, ConnectError, Event};
use heartwire::kernel::KernelReport;
use heartwire::v1::{RetryHint, Welcome};
use serde_json::{Value, json};

use crate::output::{
    Line, contract_fields, counted, millis, round_trip, verdict_fields, violation, with,
};

/// The line of an event.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library may learn new events")]
pub(super) fn line(event: &Event) -> Line {
    match event {
        Event::Connecting { attempt } => Line {
            event: "connecting",
            text: format!("attempt {attempt}"),
            fields: json!({ "attempt": attempt }),
        },
        Event::Online { peer, kernel, welcome } => online(*peer, kernel, welcome.as_deref()),
        Event::Health(health) => Line {
            event: "health",
            text: format!("the server reports that it is {}", health.name()),
            fields: json!({ "health": health.name() }),
        },
        Event::TooFast => Line {
            event: "too_fast",
            text: "the server reports far more heartbeats from this client than agreed".to_owned(),
            fields: json!({}),
        },
        Event::Offline { peer, reason, unsent, unacknowledged, beats, bye, .. } => {
            let bye = bye.as_deref();
            let fields = json!({
                "peer": peer.to_string(),
                "reason": reason.name(),
                "detail": reason.to_string(),
                "violation": violation(*reason),
                "unsent": unsent,
                "unacknowledged": unacknowledged,
                "beats": beats,
                "bye": bye.map(bye_fields),
            });
            let said = bye.map(describe_bye).unwrap_or_default();
            let mut counts = counted(*beats, "beat");
            if let 1.. = unsent {
                let unsent = u64::try_from(*unsent).unwrap_or(u64::MAX);
                counts.push_str(&format!(", {} not sent", counted(unsent, "message")));
            }
            if let 1.. = unacknowledged {
                let bytes = u64::try_from(*unacknowledged).unwrap_or(u64::MAX);
                counts.push_str(&format!(", {} not acknowledged", counted(bytes, "byte")));
            }
            Line {
                event: "offline",
                text: format!("{peer} {reason}{said}; {counts}"),
                fields: if let Reason::Dead(verdict) = reason {
                    with(fields, verdict_fields(verdict))
                } else {
                    fields
                },
            }
        }
        Event::Waiting { wait, attempt } => Line {
            event: "waiting",
            text: format!("{:.3} s before attempt {attempt}", wait.as_secs_f64()),
            fields: json!({ "wait_ms": millis(*wait), "attempt": attempt }),
        },
        Event::Failed { error } => {
            let text = error.to_string();
            Line {
                event: "failed",
                text: format!("{text}{}", hint(error)),
                fields: json!({
                    "error": text,
                    "violation": broken_rule(error),
                    "retryable": error.is_retryable(),
                }),
            }
        }
        Event::Paused(pause) => Line {
            event: "paused",
            text: format!("this process was paused for {:.3} s", pause.gap.as_secs_f64()),
            fields: json!({ "gap_ms": millis(pause.gap) }),
        },
        Event::Lagged { count } => Line {
            event: "lagged",
            text: format!("{} dropped: not read in time", counted(*count, "event")),
            fields: json!({ "count": count }),
        },
        Event::Closed => Line { event: "closed", text: String::new(), fields: json!({}) },
        other => Line {
            event: "other",
            text: other.to_string(),
            fields: json!({ "detail": other.to_string() }),
        },
    }
}

/// The option that may help after a failure.
fn hint(error: &ConnectError) -> &'static str {
    let tls = if let ConnectError::Tls { error, .. } = error { Some(error.name()) } else { None };
    match tls {
        Some("tls_expected") => "; add --tls",
        Some("certificate_unknown_issuer") => "; see --tls-ca",
        _ if error.may_speak_v0() => "; for v0: --protocol v0",
        Some(_) | None => "",
    }
}

/// The rule that a server broke before its WELCOME.
fn broken_rule(error: &ConnectError) -> Option<&'static str> {
    if let ConnectError::NoWelcome { reason, .. } = error { violation(*reason) } else { None }
}

fn online(peer: SocketAddr, kernel: &KernelReport, welcome: Option<&Welcome>) -> Line {
    let fields = json!({ "peer": peer.to_string(), "kernel": kernel.to_string() });
    let Some(welcome) = welcome else {
        let fields = with(fields, json!({ "protocol": "v0" }));
        return Line { event: "online", text: format!("{peer} ({kernel})"), fields };
    };
    Line {
        event: "online",
        text: format!("{peer} ({kernel}): {}", welcome.contract),
        fields: with(
            with(
                fields,
                json!({
                    "protocol": "v1",
                    "session": welcome.session,
                    "epoch": welcome.epoch,
                }),
            ),
            contract_fields(&welcome.contract),
        ),
    }
}

/// The text of a BYE, after its code.
fn describe_bye(bye: &Bye) -> String {
    let detail = match bye.detail.as_str() {
        "" => String::new(),
        // A peer cannot write control characters to a terminal.
        detail => format!(": \"{}\"", detail.escape_debug()),
    };
    let retry = match bye.retry {
        RetryHint::Never => "do not reconnect".to_owned(),
        RetryHint::AtWill => "reconnect at will".to_owned(),
        RetryHint::Within { earliest, latest } => {
            let (earliest, latest) = (earliest.as_secs_f64(), latest.as_secs_f64());
            format!("reconnect in {earliest:.3} to {latest:.3} s")
        }
    };
    format!("{detail} ({retry})")
}

fn bye_fields(bye: &Bye) -> Value {
    let (retry, window) = match bye.retry {
        RetryHint::Never => ("never", None),
        RetryHint::AtWill => ("at_will", None),
        RetryHint::Within { earliest, latest } => ("within", Some((earliest, latest))),
    };
    json!({
        "code": bye.code.name(),
        "number": bye.code.number(),
        "detail": bye.detail,
        "retry": retry,
        "earliest_ms": window.map(|(earliest, _)| millis(earliest)),
        "latest_ms": window.map(|(_, latest)| millis(latest)),
    })
}

/// The state of both directions.
pub(super) fn rtt_line(link: &heartwire::LinkState) -> Line {
    Line {
        event: "rtt",
        text: format!(
            "round trip {}; the server heard us {:.1} s ago and is {}",
            round_trip(link),
            link.unheard.as_secs_f64(),
            link.peer_health.name()
        ),
        fields: json!({
            "rtt_ms": link.rtt.map(millis),
            "unheard_ms": millis(link.unheard),
            "peer_late_ms": millis(link.peer_late),
            "peer_health": link.peer_health.name(),
        }),
    }
}
