//! Standard input.

use std::io::{self, Read};

/// Standard input. As long as it is a terminal that another job has, it is not read: the shell would stop
/// the whole process for that, which is to hold a connection (`heartwire connect HOST &`).
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
