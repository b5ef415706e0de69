use std::collections::HashSet;

use super::*;

const SHARDS: [u8; 4] = [0, 1, 254, 255];
const SLOTS: [u32; 5] = [0, 1, 255, 256, MAX_SLOTS - 1];
const GENERATIONS: [u32; 5] = [0, 1, 1 << 24, u32::MAX - 1, u32::MAX];

fn all() -> impl Iterator<Item = (u8, u32, u32)> {
    SHARDS.into_iter().flat_map(|shard| {
        let of_slot = move |slot| GENERATIONS.map(move |generation| (shard, slot, generation));
        SLOTS.into_iter().flat_map(of_slot)
    })
}

#[test]
fn an_id_gives_back_what_it_was_made_of() {
    for (shard, slot, generation) in all() {
        let id = SessionId::new(shard, slot, generation);
        let parts = (id.shard(), id.slot(), id.generation());
        assert_eq!(parts, (usize::from(shard), slot, generation));
    }
}

#[test]
fn ids_of_different_parts_are_different_numbers_and_texts() {
    let ids: Vec<SessionId> = all().map(|(a, b, c)| SessionId::new(a, b, c)).collect();
    assert_eq!(ids.iter().map(|id| id.as_u64()).collect::<HashSet<_>>().len(), ids.len());
    assert_eq!(ids.iter().map(ToString::to_string).collect::<HashSet<_>>().len(), ids.len());
}

#[test]
fn an_id_reads_as_shard_slot_and_use() {
    let id = SessionId::new(0, 17, 3);
    assert_eq!((id.to_string(), format!("{id:?}")), ("0-17-3".into(), "SessionId(0-17-3)".into()));
}

#[test]
fn every_shard_has_an_id_of_its_own() {
    assert_eq!(SessionId::new(u8::MAX, 0, 0).shard(), MAX_SHARDS - 1);
}

#[test]
fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
    for id in [(0, 0, 0), (255, MAX_SLOTS - 1, u32::MAX)] {
        let id = SessionId::new(id.0, id.1, id.2);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let too_high = format!("0-{MAX_SLOTS}-0");
    for text in ["", "0-0", "0-0-0-0", "0-0-00", "+0-0-0", "256-0-0", "0-0-x", &too_high] {
        assert_eq!(text.parse::<SessionId>(), Err(NotAnId), "{text}");
    }
}
