//! A second implementation of the negotiation rules.

use core::time::Duration;

use heartwire_core::v1::{Conflict, Contract, Direction, MIN_INTERVAL, Offer, Terms};

/// Checks the result of two offers: a contract that works, or a real conflict.
pub(crate) fn check_agreement(terms: &Terms, client: &Offer, agreed: &Result<Contract, Conflict>) {
    let min_interval = terms.offer.shortest_interval().unwrap_or(MIN_INTERVAL);
    match agreed {
        Ok(contract) => {
            assert_eq!(
                (contract.min_interval(), contract.wake_bytes),
                (min_interval, terms.wake_bytes)
            );
            check_direction(client, &terms.offer, min_interval, &contract.to_server);
            check_direction(&terms.offer, client, min_interval, &contract.to_client);
        }
        Err(conflict) => assert!(
            is_conflict(client, &terms.offer, min_interval, conflict)
                || is_conflict(&terms.offer, client, min_interval, conflict),
            "{conflict} is none: {client:?} {terms:?}"
        ),
    }
}

fn check_direction(sender: &Offer, receiver: &Offer, min_interval: Duration, agreed: &Direction) {
    let context = format_args!("{sender:?} to {receiver:?} is {agreed:?}");
    assert_eq!(agreed.max_timeout(), receiver.longest_timeout(), "{context}");
    assert_eq!(agreed.timeout().is_some(), receiver.timeout().is_some(), "{context}");
    if let Some(interval) = agreed.interval() {
        let least = sender
            .shortest_interval()
            .expect("a sender that cannot beat does not")
            .max(min_interval);
        assert!(interval >= least, "{context}");
        let meant = sender.interval().into_iter().chain(receiver.want()).min();
        assert!(meant.is_none_or(|meant| interval >= meant.min(least)), "{context}");
    }
    let (Some(timeout), Some(own)) = (agreed.timeout(), receiver.timeout()) else { return };
    let interval = agreed.interval().expect("no timeout without an interval");
    assert!(timeout >= interval * 2, "{context}");
    assert!(timeout >= own, "{context}");
    assert!(timeout == own || timeout == interval * 3, "{context}");
    assert!(timeout <= receiver.longest_timeout(), "{context}");
    check_promises(agreed, interval, timeout);
}

/// With every promise, the timeout leaves room for two beats and stays under the maximum timeout.
fn check_promises(agreed: &Direction, interval: Duration, timeout: Duration) {
    assert_eq!(agreed.timeout_for(interval), Some(timeout), "{agreed:?}");
    let longest = agreed.max_promise();
    assert!(longest >= interval, "{agreed:?}");
    assert_eq!(longest.subsec_nanos() % 1_000_000, 0, "a beat promises whole milliseconds");
    for promise in [longest, interval, interval / 2, (interval + longest) / 2] {
        let timeout = agreed.timeout_for(promise).expect("it is judged");
        assert!(timeout >= promise * 2, "{promise:?} {agreed:?}");
        assert!(timeout <= agreed.max_timeout(), "{promise:?} {agreed:?}");
    }
}

fn is_conflict(
    sender: &Offer,
    receiver: &Offer,
    min_interval: Duration,
    conflict: &Conflict,
) -> bool {
    let Some(own) = receiver.timeout() else { return false };
    match (*conflict, sender.shortest_interval()) {
        (Conflict::NoBeats { timeout }, None) => timeout == own,
        (Conflict::BeatTooSlow { interval, needed, max_timeout }, Some(least)) => {
            // Nothing shorter would be possible, or the sender would have been asked for it.
            let wanted = receiver.want().unwrap_or(own / 3);
            let possible = sender.interval().map_or(wanted, |interval| interval.min(wanted));
            interval <= possible.max(least).max(min_interval) + Duration::from_millis(1)
                && needed == interval * 3
                && max_timeout == receiver.longest_timeout()
                && needed > max_timeout
                && own < interval * 2
        }
        _ => false,
    }
}
