//! A process that does not outlive its test.

use core::time::Duration;
use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, ms};

/// A process that is killed at the end of its test, if it is still there.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Stops it, until it is thawed.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Freezes it for `time`, in which it waits for something: only then it can tell that it stood
    /// still. So it has a while before that to come to it.
    pub fn stand_still(&self, time: Duration) {
        thread::sleep(ms(600));
        self.freeze();
        thread::sleep(time);
        self.thaw();
    }

    /// Has it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the process is still there after {PATIENCE:?}");
            thread::sleep(ms(2));
        }
    }
}
