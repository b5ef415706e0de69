//! Standard input, and its lines.

use std::io::{self, BufRead, Read};

/// A longer line of input is read in several parts: a peer accepts no longer body by default.
const MAX_LINE: u64 = 64 * 1024;

/// Standard input. It does not read the terminal in the background (`heartwire connect HOST &`):
/// the kernel would stop the process for that, and the connection would die.
#[derive(Debug)]
pub(crate) struct Stdin;

#[cfg(unix)]
impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::io::Errno;
        use std::io::IsTerminal;
        loop {
            let input = io::stdin();
            if input.is_terminal() {
                terminal::wait_for_input();
            }
            // Not through the buffer of the standard library, which `poll` does not see.
            match rustix::io::read(&input, &mut *buffer) {
                // Another process may have set `O_NONBLOCK`.
                Err(Errno::AGAIN) => _ = poll(&mut [PollFd::new(&input, PollFlags::IN)], None),
                read => return Ok(read?),
            }
        }
    }
}

#[cfg(not(unix))]
impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().lock().read(buffer)
    }
}

/// The next line without its end and `true`; or the next [`MAX_LINE`] bytes of a longer one and,
/// unless its end comes after them, `false`.
pub(crate) fn next_line(input: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, bool)>> {
    let mut line = Vec::new();
    if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let mut ended = line.last() == Some(&b'\n');
    if ended {
        line.pop();
    } else if input.fill_buf()?.first() == Some(&b'\n') {
        // The line filled one frame: its end is not an empty line.
        input.consume(1);
        ended = true;
    }
    Ok(Some((line, ended)))
}

#[cfg(unix)]
mod terminal {
    use core::time::Duration;
    use std::{io, thread};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::getpgrp;
    use rustix::termios::tcgetpgrp;

    /// Time between checks whether this process is in the foreground.
    const LOOK_AGAIN: Duration = Duration::from_secs(1);

    /// Waits until the terminal has input that this process may read.
    pub(super) fn wait_for_input() {
        loop {
            while is_of_others() {
                thread::sleep(LOOK_AGAIN);
            }
            // Ctrl-Z and `bg` can give the terminal to another job meanwhile.
            let input = io::stdin();
            let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], None);
            if ready.is_ok() && !is_of_others() {
                return;
            }
        }
    }

    /// Whether another job has the terminal. An error means that it controls no jobs, or is gone:
    /// reading shows which.
    fn is_of_others() -> bool {
        tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != getpgrp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of each line of this, and whether the line ends there.
    fn lines(input: &[u8]) -> Vec<(usize, bool)> {
        let mut input = input;
        let next = || next_line(&mut input).unwrap();
        core::iter::from_fn(next).map(|(line, ended)| (line.len(), ended)).collect()
    }

    #[test]
    fn a_line_that_is_too_long_for_a_frame_comes_in_two() {
        let max = usize::try_from(MAX_LINE).unwrap();
        let line = |len: usize| [vec![b'x'; len], b"\n".to_vec()].concat();
        assert_eq!(lines(&line(max - 1)), [(max - 1, true)]);
        assert_eq!(lines(&line(max)), [(max, true)]);
        assert_eq!(lines(&line(max + 1)), [(max, false), (1, true)]);
        assert_eq!(lines(b"one\n\nlast words"), [(3, true), (0, true), (10, false)]);
    }
}
