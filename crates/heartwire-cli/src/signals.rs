//! Signals: stop (SIGTERM, Ctrl-C), read files again (SIGHUP), network changed (SIGUSR1).

use core::time::Duration;
use std::io;

use tokio::time::Instant;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

/// A second signal within this time counts as the same one: coreutils' `timeout` signals both the
/// process and its group.
const SAME_WITHIN: Duration = Duration::from_millis(250);

/// SIGTERM and Ctrl-C. While this exists neither kills the process, and none is missed.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(windows)]
    interrupt: CtrlC,
    /// When the last signal was taken.
    obeyed_at: Option<Instant>,
}

impl Stop {
    /// Must be called within a runtime.
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            obeyed_at: None,
        })
    }

    /// Must be called within a runtime.
    #[cfg(windows)]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, obeyed_at: None })
    }

    /// Waits for the next signal.
    pub(crate) async fn signal(&mut self) {
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            #[cfg(windows)]
            self.interrupt.recv().await;
            if self.obeyed_at.is_none_or(|at| at.elapsed() >= SAME_WITHIN) {
                self.obeyed_at = Some(Instant::now());
                return;
            }
        }
    }
}

/// SIGHUP: read the files again. Windows has nothing like it.
#[derive(Debug)]
pub(crate) struct Hangup {
    #[cfg(unix)]
    hangup: Signal,
}

impl Hangup {
    /// Must be called within a runtime. From then on the signal does not kill the process.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn signal(&mut self) {
        #[cfg(unix)]
        self.hangup.recv().await;
        #[cfg(not(unix))]
        core::future::pending::<()>().await;
    }
}

/// SIGUSR1: the network has changed. Windows has nothing like it.
#[derive(Debug)]
pub(crate) struct Look {
    #[cfg(unix)]
    look: Signal,
}

impl Look {
    /// Must be called within a runtime. From then on the signal does not kill the process.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            look: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn signal(&mut self) {
        #[cfg(unix)]
        self.look.recv().await;
        #[cfg(not(unix))]
        core::future::pending::<()>().await;
    }
}
