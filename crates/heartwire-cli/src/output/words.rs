//! Figures and settings in words.

use heartwire::{LinkState, Policy, Replayed, TICK};

use crate::values::typed;

/// The round trip of a connection, as far as it is known.
pub(crate) fn round_trip(link: &LinkState) -> String {
    match (link.rtt, link.rtt_below) {
        (Some(rtt), _) => format!("{rtt:.1?}"),
        (None, Some(below)) => format!("under {below:?}"),
        (None, None) => "not known".to_owned(),
    }
}

/// A policy in a sentence or two; `peer` is "client" or "server".
pub(crate) fn describe_policy(policy: &Policy, peer: &str) -> String {
    let beats = match (policy.interval(), policy.echo()) {
        (Some(interval), _) if policy.timeout().is_none() => {
            format!("sends a heartbeat every {}", typed(interval))
        }
        (Some(interval), _) => {
            format!("sends a heartbeat when nothing was sent for {}", typed(interval))
        }
        (None, true) => format!("answers each heartbeat of the {peer}"),
        (None, false) => "sends no heartbeats".to_owned(),
    };
    let (Some(bound), Some(after_fault)) = (policy.bound(TICK), policy.bound_after_fault(TICK))
    else {
        return format!("{beats}; a silent {peer} is never declared dead");
    };
    let after_fault = match policy.peer_interval() {
        Some(peer_interval) => {
            format!(" ({after_fault} after the fault, if its interval is {})", typed(peer_interval))
        }
        None => String::new(),
    };
    format!("{beats}; a silent {peer} is declared dead {bound} after its last byte{after_fault}")
}

/// What is sent again over a new connection, in words.
pub(crate) fn describe_replayed(replayed: &Replayed) -> String {
    let Replayed { frames, bytes, .. } = *replayed;
    if frames == 0 {
        return "nothing had to be sent again".to_owned();
    }
    format!("{} ({bytes} B) sent again", counted(frames, "message"))
}

/// A number of things: `1 beat`, `2 beats`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "beat")), ["0 beats", "1 beat", "2 beats"]);
    }

    #[test]
    fn thousands_are_grouped() {
        let texts = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
