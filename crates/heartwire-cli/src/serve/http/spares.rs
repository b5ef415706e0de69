//! Descriptors that HTTP keeps for itself: a server whose clients have taken all others still
//! answers whether it is alive.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that are accepted although no descriptor is left.
const SPARES: usize = 8;

/// Open files that make room for connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Spares(Arc<Mutex<Vec<File>>>);

impl Spares {
    fn lock(&self) -> MutexGuard<'_, Vec<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes one, so that there is a descriptor for a connection; false if there is none left.
    pub(super) fn give_up_one(&self) -> bool {
        self.lock().pop().is_some()
    }

    /// Opens as many as there are places for: after each connection, before a client takes its
    /// descriptor.
    pub(super) fn fill(&self) {
        let mut spares = self.lock();
        while spares.len() < SPARES {
            #[cfg(unix)]
            let spare = File::open("/dev/null");
            #[cfg(not(unix))]
            let spare = File::open("NUL");
            let Ok(spare) = spare else { return };
            spares.push(spare);
        }
    }
}
