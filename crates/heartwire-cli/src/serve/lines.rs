//! The lines that `serve` prints: one for each event, and a last one.

use core::net::SocketAddr;

use heartwire::server::{Agreed, Event, Handle, SessionId};
use serde_json::{Value, json};

use crate::output::{
    Line, contract_fields, counted, millis, preview, verdict_fields, violation, with,
};
use crate::values::typed;

/// The line of an event. A data event has only the beginning of its data, which is `bytes` long.
pub(super) fn line(event: &Event<Vec<u8>>, bytes: usize) -> Line {
    match event {
        Event::Online { id, peer, agreed } => online(*id, *peer, agreed.as_deref()),
        Event::Promise { id, interval, timeout } => Line {
            event: "promise",
            text: format!("{id} sends a heartbeat every {} from now on", typed(*interval)),
            fields: json!({
                "session": id.to_string(),
                "interval_ms": millis(*interval),
                "timeout_ms": timeout.map(millis),
            }),
        },
        Event::Health { id, health } => Line {
            event: "health",
            text: format!("{id} reports that it is {}", health.name()),
            fields: json!({ "session": id.to_string(), "health": health.name() }),
        },
        Event::Rejected { peer, name, code } => {
            let who = name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
            Line {
                event: "rejected",
                text: format!("{peer}{who}: {}", code.name()),
                fields: json!({ "peer": peer.to_string(), "name": name, "code": code.name() }),
            }
        }
        Event::Fighting { name, peer } => Line {
            event: "fighting",
            text: format!(
                "two clients keep replacing each other under the name {name:?}, one from {peer}"
            ),
            fields: json!({ "name": name, "peer": peer.to_string() }),
        },
        Event::Data { id, data } => Line {
            event: "data",
            text: format!("{id} {bytes} B {}", preview(data, bytes)),
            fields: json!({
                "session": id.to_string(),
                "bytes": bytes,
                "preview": preview(data, bytes),
            }),
        },
        Event::Verdict { id, peer, verdict } => Line {
            event: "verdict",
            text: format!("{id} {peer} dead: {verdict}"),
            fields: with(
                json!({ "session": id.to_string(), "peer": peer.to_string() }),
                verdict_fields(verdict),
            ),
        },
        Event::Offline { id, peer, reason, beats, lasted } => Line {
            event: "offline",
            text: format!(
                "{id} {peer} {reason}; {} in {:.1} s",
                counted((*beats).into(), "beat"),
                lasted.as_secs_f64()
            ),
            fields: json!({
                "session": id.to_string(),
                "peer": peer.to_string(),
                "reason": reason.name(),
                "detail": reason.to_string(),
                "violation": violation(*reason),
                "beats": beats,
                "lasted_ms": millis(*lasted),
            }),
        },
        Event::Paused { shard, pause } => Line {
            event: "paused",
            text: format!(
                "shard {shard} was paused for {:.3} s; timeouts restarted",
                pause.gap.as_secs_f64()
            ),
            fields: json!({ "shard": shard, "gap_ms": millis(pause.gap) }),
        },
        Event::Refusing { cause } => Line {
            event: "refusing",
            text: format!("new clients: {}", cause.name()),
            fields: json!({ "cause": cause.name() }),
        },
        Event::Accepting { refused } => Line {
            event: "accepting",
            text: format!("again; refused so far: {refused}"),
            fields: json!({ "refused": refused }),
        },
        // The library may learn new events.
        other => Line {
            event: "other",
            text: other.to_string(),
            fields: json!({ "detail": other.to_string() }),
        },
    }
}

fn online(id: SessionId, peer: SocketAddr, agreed: Option<&Agreed>) -> Line {
    let fields = json!({ "session": id.to_string(), "peer": peer.to_string() });
    let Some(agreed) = agreed else {
        let fields = with(fields, json!({ "protocol": "v0" }));
        return Line { event: "online", text: format!("{id} {peer}"), fields };
    };
    let name = agreed.name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
    Line {
        event: "online",
        text: format!("{id} {peer}{name}: {}", agreed.contract),
        fields: with(
            with(
                fields,
                json!({
                    "protocol": "v1",
                    "name": agreed.name,
                    "epoch": agreed.epoch,
                    "agent": agreed.agent,
                }),
            ),
            contract_fields(&agreed.contract),
        ),
    }
}

pub(super) fn stopped(server: &Handle) -> Line {
    let stats = server.stats();
    let nonzero = stats.counts().filter(|&(_, count)| count > 0);
    let text: Vec<String> = nonzero.map(|(name, count)| format!("{name} {count}")).collect();
    let text = if text.is_empty() { "nothing happened".to_owned() } else { text.join(", ") };
    let fields = stats.counts().map(|(name, count)| (name.to_owned(), json!(count)));
    Line { event: "stopped", text, fields: Value::Object(fields.collect()) }
}
