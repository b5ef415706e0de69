//! A hierarchical timer wheel: insert, cancel and expire in constant time.
//!
//! Six levels of 64 slots. A slot of level 0 is one tick wide, a slot of each further level as wide
//! as the whole level below it. An entry's level follows from its *distance*, and it moves down
//! when its slot is reached: five moves at most, each shared by the few entries of one slot.
//! (Choosing the level by the highest differing bit instead is a little shorter, but then whole
//! populations move at once whenever a high digit turns.)

use alloc::vec::Vec;
use core::time::Duration;

use crate::time::{Instant, nanos};

const LEVELS: u8 = 6;
const SLOT_BITS: u8 = 6;
const SLOTS: u8 = 1 << SLOT_BITS;
/// The farthest place for an entry, in ticks. One that is due later is placed there, and again when
/// that slot is reached. 8 years with ticks of 4 ms.
const REACH: u64 = (1 << (SLOT_BITS * LEVELS)) - 1;
/// The shortest tick. With it any `Instant` fits into an entry, in ticks.
const MIN_TICK_NANOS: u64 = 1_000;
/// No entry: the end of a list.
const NONE: u32 = u32::MAX;

/// A timer wheel: deadlines for many keys, at most one per key.
///
/// Keys are small integers that the application chooses, such as the indexes of a slab: the wheel
/// keeps 16 bytes for each key up to the largest one used. Deadlines are rounded *up* to the next
/// tick.
///
/// Arm a key once and leave it alone while its deadline moves later: when it expires, look up the
/// real deadline and insert it again if that has not passed. So traffic costs no timer work. If a
/// deadline moves *earlier*, insert it again.
///
/// ```
/// use core::time::Duration;
/// use heartwire_core::{Instant, wheel::Wheel};
///
/// let mut wheel = Wheel::new(Duration::from_millis(8));
/// let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
/// wheel.insert(7, at(15_000));
/// assert_eq!(wheel.poll(at(14_999)), None);
/// assert_eq!(wheel.poll(at(15_008)), Some(7));
/// assert_eq!(wheel.poll(at(15_008)), None);
/// ```
#[derive(Debug)]
pub struct Wheel {
    tick_nanos: u64,
    /// The tick up to which everything has expired. No occupied slot of a level above 0 starts at
    /// or before it.
    elapsed: u64,
    /// For each level, one bit for each slot that has entries: nothing else is read while nothing
    /// is due.
    occupied: [u64; 6],
    /// For each level, the first entry of each slot.
    headers: [[u32; 64]; 6],
    entries: Vec<Entry>,
}

/// A key's place in the wheel: a link in the list of its slot. 16 bytes, because there is one for
/// each session of a server.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The deadline in ticks, above [`PLACE_BITS`] bits for the place.
    at_and_place: u64,
    next: u32,
    prev: u32,
}

/// Enough for all places, and 0 for none.
const PLACE_BITS: u8 = 9;

impl Entry {
    const IDLE: Self = Self { at_and_place: 0, next: NONE, prev: NONE };

    fn new(at: u64, place: Place, next: u32) -> Self {
        let number = u64::from(place.level) * u64::from(SLOTS) + u64::from(place.slot) + 1;
        Self { at_and_place: at << PLACE_BITS | number, next, prev: NONE }
    }

    const fn at(&self) -> u64 {
        self.at_and_place >> PLACE_BITS
    }

    /// `None` while the key is not armed.
    fn place(&self) -> Option<Place> {
        let number = (self.at_and_place & ((1 << PLACE_BITS) - 1)).checked_sub(1)?;
        let level = u8::try_from(number / u64::from(SLOTS)).ok()?;
        Some(Place { level, slot: digit(number, 0) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    level: u8,
    slot: u8,
}

#[expect(
    clippy::indexing_slicing,
    reason = "levels and slots are digits of fixed width, and links only name entries that exist"
)]
impl Wheel {
    /// An empty wheel whose deadlines are rounded up to whole ticks of this length (at least 1 µs),
    /// at the origin of its driver's clock.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        Self::with_capacity(tick, 0)
    }

    /// The same, with room for the keys below `keys`.
    #[must_use]
    pub fn with_capacity(tick: Duration, keys: usize) -> Self {
        Self {
            tick_nanos: nanos(tick).max(MIN_TICK_NANOS),
            elapsed: 0,
            occupied: [0; 6],
            headers: [[NONE; 64]; 6],
            entries: Vec::with_capacity(keys),
        }
    }

    /// Arms `key` for `at`, in place of any deadline it had.
    ///
    /// A deadline that has passed expires at the next [`poll`](Self::poll).
    ///
    /// # Panics
    ///
    /// If `key` is `u32::MAX`, which no slab that fits in memory reaches.
    pub fn insert(&mut self, key: u32, at: Instant) {
        assert_ne!(key, NONE, "a wheel's keys are below u32::MAX");
        self.remove(key);
        let index = index(key);
        if index >= self.entries.len() {
            self.entries.resize(index + 1, Entry::IDLE);
        }
        self.link(key, at.as_nanos().div_ceil(self.tick_nanos));
    }

    /// Disarms `key`. Returns whether it was armed.
    pub fn remove(&mut self, key: u32) -> bool {
        let Some(entry) = self.entries.get(index(key)) else { return false };
        let Some(place) = entry.place() else { return false };
        self.unlink(key, place);
        true
    }

    /// The deadline that `key` is armed for, rounded up to a tick.
    #[must_use]
    pub fn armed(&self, key: u32) -> Option<Instant> {
        let entry = self.entries.get(index(key))?;
        entry.place().map(|_| self.instant(entry.at()))
    }

    /// Takes out one key whose deadline has passed. Call it until it returns `None`.
    ///
    /// Keys with the same tick come in no particular order.
    #[must_use]
    pub fn poll(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos() / self.tick_nanos;
        if now < self.elapsed {
            return None;
        }
        loop {
            let place = Place { level: 0, slot: digit(self.elapsed, 0) };
            let key = self.header(place);
            if key != NONE {
                self.unlink(key, place);
                return Some(key);
            }
            match self.next_start() {
                Some(start) if start <= now => self.advance(start),
                Some(_) | None => {
                    self.elapsed = now;
                    return None;
                }
            }
        }
    }

    /// When to call [`poll`](Self::poll) next: no key expires before, though one need not expire
    /// then. `None` if no key is armed.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.next_start().map(|start| self.instant(start))
    }

    /// The first tick of the first occupied slot.
    fn next_start(&self) -> Option<u64> {
        (0..LEVELS).filter_map(|level| self.next_start_of(level)).min()
    }

    fn next_start_of(&self, level: u8) -> Option<u64> {
        let occupied = self.occupied[usize::from(level)];
        if occupied == 0 {
            return None;
        }
        // Slots of level 0 are 0 to 63 ahead of us. In the levels above, the slot we are in has
        // been emptied, so they are 1 to 64 ahead.
        let nearest = u32::from(level > 0);
        let turned = occupied.rotate_right(u32::from(digit(self.elapsed, level)) + nearest);
        let ahead = u64::from(nearest + turned.trailing_zeros());
        let here = self.elapsed >> (SLOT_BITS * level);
        Some(here.saturating_add(ahead) << (SLOT_BITS * level))
    }

    /// Moves on to `to`, the start of the first occupied slot, and empties every slot above level 0
    /// that starts there into the levels below.
    fn advance(&mut self, to: u64) {
        self.elapsed = to;
        for level in (1..LEVELS).rev() {
            let width = 1_u64 << (SLOT_BITS * level);
            if to % width != 0 {
                continue;
            }
            let place = Place { level, slot: digit(to, level) };
            let mut key = self.header(place);
            self.occupied[usize::from(level)] &= !(1 << place.slot);
            self.headers[usize::from(level)][usize::from(place.slot)] = NONE;
            while key != NONE {
                let entry = self.entries[index(key)];
                self.link(key, entry.at());
                key = entry.next;
            }
        }
    }

    /// The place for a deadline, from where we are now.
    fn place(&self, at: u64) -> Place {
        let distance = at.saturating_sub(self.elapsed).min(REACH);
        // The level is the number of the distance's highest digit that is not zero.
        let bits = u64::BITS - (distance | 1).leading_zeros();
        let level = u8::try_from((bits - 1) / u32::from(SLOT_BITS)).unwrap_or(LEVELS - 1);
        Place { level, slot: digit(self.elapsed.saturating_add(distance), level) }
    }

    fn link(&mut self, key: u32, at: u64) {
        let place = self.place(at);
        let next = self.header(place);
        if next != NONE {
            self.entries[index(next)].prev = key;
        }
        self.entries[index(key)] = Entry::new(at, place, next);
        self.headers[usize::from(place.level)][usize::from(place.slot)] = key;
        self.occupied[usize::from(place.level)] |= 1 << place.slot;
    }

    fn unlink(&mut self, key: u32, place: Place) {
        let Entry { next, prev, .. } =
            core::mem::replace(&mut self.entries[index(key)], Entry::IDLE);
        if next != NONE {
            self.entries[index(next)].prev = prev;
        }
        if prev != NONE {
            self.entries[index(prev)].next = next;
            return;
        }
        self.headers[usize::from(place.level)][usize::from(place.slot)] = next;
        if next == NONE {
            self.occupied[usize::from(place.level)] &= !(1 << place.slot);
        }
    }

    fn header(&self, place: Place) -> u32 {
        self.headers[usize::from(place.level)][usize::from(place.slot)]
    }

    fn instant(&self, tick: u64) -> Instant {
        Instant::from_nanos(tick.saturating_mul(self.tick_nanos))
    }
}

/// The slot that `tick` falls into on `level`.
fn digit(tick: u64, level: u8) -> u8 {
    let digit = (tick >> (SLOT_BITS * level)) & u64::from(SLOTS - 1);
    u8::try_from(digit).unwrap_or(SLOTS - 1)
}

fn index(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
