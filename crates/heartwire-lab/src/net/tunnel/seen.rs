//! What a client has printed, and when.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};

/// What stands before each number that is sent, so that it is found in what a client prints.
pub(super) const MARK: &str = "hw-";

/// What a client has printed so far.
#[derive(Debug)]
pub(super) struct Seen {
    /// When the last data came.
    pub(super) last_at: Instant,
    /// The longest time without data.
    pub(super) gap: Duration,
    /// The last number.
    pub(super) latest: u64,
    /// Numbers that were left out.
    pub(super) missing: u64,
    /// Numbers that came again, or late.
    pub(super) repeated: u64,
    pub(super) bytes: u64,
    sha256: Sha256,
    /// Nothing more comes.
    pub(super) is_over: bool,
}

impl Seen {
    fn new() -> Self {
        Self {
            last_at: Instant::now(),
            gap: Duration::ZERO,
            latest: 0,
            missing: 0,
            repeated: 0,
            bytes: 0,
            sha256: Sha256::new(),
            is_over: false,
        }
    }

    /// Data came.
    pub(super) fn handle_data(&mut self, bytes: u64) {
        let now = Instant::now();
        self.gap = self.gap.max(now - self.last_at);
        self.last_at = now;
        self.bytes += bytes;
    }

    fn handle_line(&mut self, line: &[u8]) {
        self.handle_data(u64::try_from(line.len()).unwrap_or(u64::MAX));
        // pg_dump writes a random key there.
        if !line.starts_with(b"\\restrict") && !line.starts_with(b"\\unrestrict") {
            self.sha256.update(line);
        }
        let Some(number) = number(line) else { return };
        if self.latest != 0 {
            self.missing += number.saturating_sub(self.latest + 1);
            self.repeated += u64::from(number <= self.latest);
        }
        self.latest = self.latest.max(number);
    }

    pub(super) fn checksum(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }
}

/// The number in a line, if it has one.
fn number(line: &[u8]) -> Option<u64> {
    let line = str::from_utf8(line).ok()?;
    let digits = line.split_once(MARK)?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// Reads all of it, at most so many bytes a second.
pub(super) fn read_all(output: impl Read, per_second: Option<u64>) -> Seen {
    let seen = Mutex::new(Seen::new());
    pass(output, per_second, &seen);
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Reads it in a thread of its own.
pub(super) fn read(output: impl Read + Send + 'static, per_second: Option<u64>) -> Reading {
    let reading = Reading(Arc::new(Mutex::new(Seen::new())));
    let seen = Arc::clone(&reading.0);
    thread::spawn(move || pass(output, per_second, &seen));
    reading
}

/// What is being read.
#[derive(Debug)]
pub(super) struct Reading(Arc<Mutex<Seen>>);

impl Reading {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(output: impl Read, per_second: Option<u64>, seen: &Mutex<Seen>) {
    let mut output = BufReader::new(output);
    let began = Instant::now();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let bytes = {
            let mut seen = lock(seen);
            seen.handle_line(&line);
            seen.bytes
        };
        line.clear();
        if let Some(per_second) = per_second {
            let due = Duration::from_millis(bytes.saturating_mul(1000) / per_second.max(1));
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    lock(seen).is_over = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_in_what_clients_print_around_them() {
        let printed =
            b"OK\n1.5 [0 192.0.2.2:7] \"PUBLISH\" \"lab\" \"hw-7\"\r\nhw-8\necho hw-$((9))\n\
                        hw-9\nhw-12\nhw-12\n";
        let seen = read_all(printed.as_slice(), None);
        assert_eq!((seen.latest, seen.missing, seen.repeated), (12, 2, 1));
        assert!(seen.is_over);
    }

    #[test]
    fn a_random_key_does_not_change_a_checksum() {
        let sum = |text: &str| read_all(text.as_bytes(), None).checksum();
        assert_eq!(sum("\\restrict a\nrow\n\\unrestrict a\n"), sum("row\n"));
        assert_ne!(sum("row\n"), sum("rows\n"));
    }
}
