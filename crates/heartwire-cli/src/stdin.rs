//! Standard input, and its lines.

use std::io::{self, BufRead, Read};

/// A line of input longer than this is read in several parts: the longest body that a peer takes by
/// default.
const MAX_LINE: u64 = 64 * 1024;

/// Standard input. As long as it is a terminal that another job has, it is not read: the shell would stop
/// the whole process for that, which is to hold a connection (`heartwire connect HOST &`).
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
            // Past the buffer of the standard library, of which the system knows nothing.
            match rustix::io::read(&input, &mut *buffer) {
                // Another process may have made it one that does not wait (`O_NONBLOCK`).
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

/// The next line without its end and `true`; or the next [`MAX_LINE`] bytes of a longer one and, unless its
/// end comes after them, `false`.
pub(crate) fn next_line(input: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, bool)>> {
    let mut line = Vec::new();
    if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let mut ended = line.last() == Some(&b'\n');
    if ended {
        line.pop();
    } else if input.fill_buf()?.first() == Some(&b'\n') {
        // The line was as long as one frame can be: its end is not an empty line.
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

    /// How often it is looked whether this has become the job in the foreground.
    const LOOK_AGAIN: Duration = Duration::from_secs(1);

    /// Waits until reading the terminal brings something and stops nothing.
    pub(super) fn wait_for_input() {
        loop {
            while is_of_others() {
                thread::sleep(LOOK_AGAIN);
            }
            // Between Ctrl-Z and `bg` the terminal can be given to another job while this waits.
            let input = io::stdin();
            let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], None);
            if ready.is_ok() && !is_of_others() {
                return;
            }
        }
    }

    /// Whether another job has it. An error means that it is not the terminal by which jobs are
    /// controlled, or is gone: reading will tell.
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
