//! Standard input.

use std::io::{self, Read};

/// Standard input. It does not read the terminal in the background (`heartwire connect HOST &`):
/// the kernel would stop the process for that, and the connection would die.
#[derive(Debug)]
pub(super) struct Stdin;

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
