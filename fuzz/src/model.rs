//! What two ends have to agree on, written down a second time.

use core::time::Duration;

use heartwire_core::v1::{BEAT_FLOOR, Conflict, Contract, Direction, Offer, Terms};

/// Checks what came of two offers: a contract that works, or a conflict that there really is.
pub(crate) fn check_agreement(terms: &Terms, client: &Offer, agreed: &Result<Contract, Conflict>) {
    let floor = terms.offer.beat_floor().unwrap_or(BEAT_FLOOR);
    match agreed {
        Ok(contract) => {
            assert_eq!((contract.floor, contract.wake_bytes), (floor, terms.wake_bytes));
            check_direction(client, &terms.offer, floor, &contract.to_server);
            check_direction(&terms.offer, client, floor, &contract.to_client);
        }
        Err(conflict) => assert!(
            is_conflict(client, &terms.offer, floor, conflict)
                || is_conflict(&terms.offer, client, floor, conflict),
            "{conflict} is none: {client:?} {terms:?}"
        ),
    }
}

fn check_direction(sender: &Offer, receiver: &Offer, floor: Duration, agreed: &Direction) {
    let context = format_args!("{sender:?} to {receiver:?} is {agreed:?}");
    assert_eq!(agreed.ceiling(), receiver.limit_ceiling(), "{context}");
    assert_eq!(agreed.limit().is_some(), receiver.limit().is_some(), "{context}");
    if let Some(beat) = agreed.beat() {
        let least = sender.beat_floor().expect("a sender that cannot beat does not").max(floor);
        assert!(beat >= least, "{context}");
        let meant = sender.beat().into_iter().chain(receiver.want()).min();
        assert!(meant.is_none_or(|meant| beat >= meant.min(least)), "{context}");
    }
    let (Some(limit), Some(own)) = (agreed.limit(), receiver.limit()) else { return };
    let beat = agreed.beat().expect("nobody is judged who does not beat");
    assert!(limit >= beat * 2, "{context}");
    assert!(limit >= own, "{context}");
    assert!(limit == own || limit == beat * 3, "{context}");
    assert!(limit <= receiver.limit_ceiling(), "{context}");
    check_promises(agreed, beat, limit);
}

/// Whatever is promised, the limit leaves room for two beats and stays under the ceiling.
fn check_promises(agreed: &Direction, beat: Duration, limit: Duration) {
    assert_eq!(agreed.limit_for(beat), Some(limit), "{agreed:?}");
    let longest = agreed.promise_max();
    assert!(longest >= beat, "{agreed:?}");
    assert_eq!(longest.subsec_nanos() % 1_000_000, 0, "a beat promises whole milliseconds");
    for promise in [longest, beat, beat / 2, (beat + longest) / 2] {
        let limit = agreed.limit_for(promise).expect("it is judged");
        assert!(limit >= promise * 2, "{promise:?} {agreed:?}");
        assert!(limit <= agreed.ceiling(), "{promise:?} {agreed:?}");
    }
}

fn is_conflict(sender: &Offer, receiver: &Offer, floor: Duration, conflict: &Conflict) -> bool {
    let Some(own) = receiver.limit() else { return false };
    match (*conflict, sender.beat_floor()) {
        (Conflict::NoBeats { limit }, None) => limit == own,
        (Conflict::BeatTooSlow { beat, needed, ceiling }, Some(least)) => {
            // Nothing shorter would be possible, or the sender would have been asked for it.
            let wanted = receiver.want().unwrap_or(own / 3);
            let possible = sender.beat().map_or(wanted, |beat| beat.min(wanted));
            beat <= possible.max(least).max(floor) + Duration::from_millis(1)
                && needed == beat * 3
                && ceiling == receiver.limit_ceiling()
                && needed > ceiling
                && own < beat * 2
        }
        _ => false,
    }
}
