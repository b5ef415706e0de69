//! A calendar queue: the next events, of millions in the near future.

/// The width of a day, in nanoseconds. Whatever is added must be at least as far ahead, so that a
/// day does not change any more once it has begun.
pub(super) const DAY: u64 = 1_000_000;

/// A ring of days, each with what happens on it.
#[derive(Debug)]
pub(super) struct Calendar<T> {
    days: Vec<Vec<(u64, T)>>,
    /// The number of the day that comes next.
    today: u64,
    len: usize,
}

impl<T: Ord> Calendar<T> {
    /// A calendar for what is never further ahead than `span` nanoseconds.
    pub(super) fn new(span: u64) -> Self {
        let days = usize::try_from(span / DAY).unwrap_or(usize::MAX).saturating_add(2);
        Self { days: (0..days).map(|_| Vec::new()).collect(), today: 0, len: 0 }
    }

    /// `what` happens at `at`, which is not before the day that comes next.
    pub(super) fn add(&mut self, at: u64, what: T) {
        let day = at / DAY;
        debug_assert!(day >= self.today, "{at} is over");
        debug_assert!(day - self.today < self.ring(), "{at} is too far ahead");
        if let Some(day) = self.day_mut(day) {
            day.push((at, what));
            self.len += 1;
        }
    }

    /// The next day on which something happens, in order. Give it back with
    /// [`reuse`](Self::reuse).
    pub(super) fn next_day(&mut self) -> Option<Vec<(u64, T)>> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..self.days.len() {
            let today = self.today;
            self.today += 1;
            let Some(day) = self.day_mut(today).filter(|day| !day.is_empty()) else { continue };
            let mut day = core::mem::take(day);
            self.len -= day.len();
            day.sort_unstable();
            return Some(day);
        }
        None
    }

    /// Reuses the memory of a past day.
    pub(super) fn reuse(&mut self, mut room: Vec<(u64, T)>) {
        room.clear();
        if let Some(yesterday) = self.day_mut(self.today.saturating_sub(1))
            && yesterday.is_empty()
        {
            *yesterday = room;
        }
    }

    fn ring(&self) -> u64 {
        u64::try_from(self.days.len()).unwrap_or(u64::MAX)
    }

    fn day_mut(&mut self, day: u64) -> Option<&mut Vec<(u64, T)>> {
        let index = usize::try_from(day % self.ring()).unwrap_or_default();
        self.days.get_mut(index)
    }
}
