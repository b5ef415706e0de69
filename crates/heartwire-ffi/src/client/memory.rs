//! Moves bytes in memory that the caller gave. What has no room is left out: nothing here panics.

/// Copies as many bytes as there is room for. Returns how many.
pub(super) fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let len = to.len().min(from.len());
    if let Some(((to, _), (from, _))) = to.split_at_mut_checked(len).zip(from.split_at_checked(len))
    {
        to.copy_from_slice(from);
    }
    len
}

/// Moves the bytes from `start` to `end` to the front.
pub(super) fn to_front(memory: &mut [u8], start: usize, end: usize) {
    if let Some(used) = memory.get_mut(..end) {
        used.copy_within(start.min(used.len()).., 0);
    }
}

/// Moves the bytes from `at` to `end` by `len` to the back.
pub(super) fn make_gap(memory: &mut [u8], (at, end): (usize, usize), len: usize) {
    let tail = end.checked_add(len).and_then(|end| memory.get_mut(at..end));
    if let Some(tail) = tail {
        if let Some(moved) = tail.len().checked_sub(len) {
            tail.copy_within(..moved, len);
        }
    }
}

/// Moves the bytes up to `end` by `len` to `at`.
pub(super) fn close_gap(memory: &mut [u8], (at, end): (usize, usize), len: usize) {
    if let Some(tail) = memory.get_mut(at..end) {
        let len = len.min(tail.len());
        tail.copy_within(len.., 0);
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
