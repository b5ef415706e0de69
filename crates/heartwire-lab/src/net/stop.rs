//! Ctrl-C and SIGTERM: the lab cleans up before it exits.

use core::sync::atomic::{AtomicBool, Ordering};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::namespace::remove_leftovers;
use crate::output::say;

/// Whether the lab was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first signal asks the lab to stop, and the second one kills it. The next run
    /// removes what that leaves behind.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let this = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_default(signal, Arc::clone(&this.0))
                .and_then(|_| flag::register(signal, Arc::clone(&this.0)))
                .context("cannot listen for signals")?;
        }
        Ok(this)
    }

    /// [Listens](Self::listen), and removes what an earlier run has left.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let this = Self::listen()?;
        for name in remove_leftovers()? {
            say(format_args!("heartwire-lab: removed {name}, which an earlier run had left"));
        }
        Ok(this)
    }

    /// Says that the run was stopped, with its exit code.
    pub(crate) fn exit() -> ExitCode {
        say("heartwire-lab: stopped; nothing is left behind, and nothing is reported");
        ExitCode::FAILURE
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
