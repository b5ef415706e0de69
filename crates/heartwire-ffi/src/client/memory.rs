//! Moves bytes in memory that the caller gave. What has no room is left out: nothing here panics,
//! and no code for a panic is linked, as there would be with the moves of the standard library.

use core::cell::Cell;

/// Copies as many bytes as there is room for. Returns how many.
pub(super) fn copy(to: &mut [u8], from: &[u8]) -> usize {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    to.len().min(from.len())
}

/// The same bytes, of which some can be read while others are written.
fn cells(memory: &mut [u8]) -> &[Cell<u8>] {
    Cell::from_mut(memory).as_slice_of_cells()
}

/// Moves the bytes from `start` to `end` to the front.
pub(super) fn to_front(memory: &mut [u8], start: usize, end: usize) {
    if start > 0 {
        close_gap(memory, (0, end), start);
    }
}

/// Moves the bytes from `at` to `end` by `len` to the back.
pub(super) fn make_gap(memory: &mut [u8], (at, end): (usize, usize), len: usize) {
    let memory = cells(memory);
    let tail = end.checked_add(len).and_then(|end| memory.get(at..end)).unwrap_or_default();
    let moved = tail.get(len..).unwrap_or_default();
    // From behind, as the two can overlap.
    for (to, from) in moved.iter().zip(tail).rev() {
        to.set(from.get());
    }
}

/// Moves the bytes up to `end` by `len` to `at`.
pub(super) fn close_gap(memory: &mut [u8], (at, end): (usize, usize), len: usize) {
    let tail = cells(memory).get(at..end).unwrap_or_default();
    for (to, from) in tail.iter().zip(tail.get(len..).unwrap_or_default()) {
        to.set(from.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_opens_and_closes() {
        let mut memory = [1, 2, 3, 0, 0, 9];
        make_gap(&mut memory, (1, 3), 2);
        assert_eq!(memory, [1, 2, 3, 2, 3, 9]);
        close_gap(&mut memory, (1, 5), 2);
        assert_eq!(memory, [1, 2, 3, 2, 3, 9]);
        to_front(&mut memory, 4, 6);
        assert_eq!(memory[..2], [3, 9]);
    }

    #[test]
    fn bytes_without_room_are_left_out() {
        let mut memory = [0; 2];
        assert_eq!(copy(&mut memory, &[1, 2, 3]), 2);
        make_gap(&mut memory, (0, 2), 1);
        make_gap(&mut memory, (usize::MAX, usize::MAX), 1);
        close_gap(&mut memory, (0, 3), 1);
        close_gap(&mut memory, (0, 2), 9);
        to_front(&mut memory, 3, 2);
        to_front(&mut memory, 0, 3);
        assert_eq!(memory, [1, 2]);
    }
}
