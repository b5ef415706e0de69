//! What `heartwire serve` says when it starts: all that is in force.

use core::net::SocketAddr;

use heartwire::server::{Server, ServerConfig};
use heartwire::{FrameLimits, Policy, Side};
use serde_json::json;

use super::args::ServeArgs;
use crate::output::{Line, describe_policy, millis, policy_fields};
use crate::values::ProtocolArg;

pub(super) fn line(
    args: &ServeArgs,
    server: &Server,
    limits: FrameLimits,
    open_files: Option<u64>,
    pending: usize,
    own_tokens: Option<bool>,
) -> anyhow::Result<Line> {
    let policy = args.policy.policy(Side::Server)?;
    let addresses: Vec<String> = server.local_addrs().iter().map(SocketAddr::to_string).collect();
    let on = addresses.join(" and ");
    let tls = if args.tls.tls_cert.is_some() { " with TLS" } else { "" };
    let files = open_files.map_or_else(|| "no timeout".to_owned(), |files| files.to_string());
    let handshake_timeout = limits
        .handshake_within()
        .map_or_else(|| "any time".to_owned(), |within| format!("{within:?}"));
    let protocols = Protocols::of(args);
    let names = match own_tokens {
        _ if !protocols.v1 => "",
        None => "\n  names: there are no tokens, so a client that knows a name can end its session",
        Some(false) => {
            "\n  names: a client with a token for all can end the session of a name without one of its own"
        }
        Some(true) => "\n  names: each has a token of its own",
    };
    Ok(Line {
        event: "listening",
        text: format!(
            "on {on}{tls}\n  policy: {}\n  beats: {}\n  kernel: {}{names}\n  bounds: {} sessions (open files: {files}), \
             {pending} clients that wait to be let in, frames of {} B, {} B queued per session, first frame within {handshake_timeout}",
            describe_policy(&policy, "client"),
            describe_coalescing(args, server, protocols, &policy),
            server.kernel(),
            args.max_sessions,
            args.limits.max_frame,
            args.max_queue,
        ),
        fields: json!({
            "addresses": addresses,
            "tls": args.tls.tls_cert.is_some(),
            "policy": policy_fields(&policy),
            "receive_mark": server.receive_mark(),
            "wake_bytes_v0": protocols.v0.then(|| server.wake_bytes_v0()),
            "wake_bytes_v1": protocols.v1.then(|| server.wake_bytes_v1()),
            "kernel": server.kernel().to_string(),
            "names_have_tokens": own_tokens.unwrap_or(false),
            "max_sessions": args.max_sessions,
            "open_files": open_files,
            "max_pending": pending,
            "max_frame": args.limits.max_frame,
            "max_queue": args.max_queue,
            "max_buffered": args.max_buffered,
            "max_pending_buffered": args.max_pending_buffered,
            "handshake_timeout_ms": limits.handshake_within().map(millis),
            "drain_ms": millis(args.drain),
        }),
    })
}

/// Which versions are spoken.
#[derive(Clone, Copy)]
struct Protocols {
    v0: bool,
    v1: bool,
}

impl Protocols {
    fn of(args: &ServeArgs) -> Self {
        let v0 = args.tokens.is_none() && args.protocol != Some(ProtocolArg::V1);
        Self { v0, v1: args.protocol != Some(ProtocolArg::V0) }
    }
}

/// What holding beats back saves, and what it costs.
fn describe_coalescing(
    args: &ServeArgs,
    server: &Server,
    protocols: Protocols,
    policy: &Policy,
) -> String {
    if server.receive_mark() == 1 && server.wake_bytes_v1() == 1 {
        let why = if args.coalesce == Some(0) {
            "--coalesce is 0"
        } else if policy.echo() {
            "they are to be answered"
        } else if policy.timeout().is_none() {
            "no deadline would look for them"
        } else {
            "this system cannot hold them back"
        };
        return format!("each is read as it comes: {why}");
    }
    let both = protocols.v0 && protocols.v1;
    let on = |protocol: &str| if both { format!(" on {protocol}") } else { String::new() };
    let v0 = protocols.v0.then(|| {
        if server.receive_mark() == 1 {
            let on_v0 = on("v0");
            return format!("each of a client{on_v0} is read as it comes, as TLS's goodbye has to be");
        }
        let short = match server.wake_bytes_v0() {
            9 => "a data frame without a body".to_owned(),
            bytes => format!("a data frame of less than {bytes} B, its header included,"),
        };
        format!(
            "up to {} of a client{} wait in the kernel, and {short} can wait for more bytes, {:?} at most",
            args.coalesce.unwrap_or(ServerConfig::COALESCE),
            on("v0"),
            policy.timeout().unwrap_or_default(),
        )
    });
    let v1 = protocols.v1.then(|| {
        format!(
            "up to {} of a client{} wait in the kernel, and no data: what is short is padded to {} B",
            args.coalesce.unwrap_or(ServerConfig::COALESCE_V1),
            on("v1"),
            server.wake_bytes_v1(),
        )
    });
    let parts: Vec<String> = [v0, v1].into_iter().flatten().collect();
    parts.join(";\n         ")
}

#[cfg(test)]
mod tests;
