//! Descriptors that HTTP keeps for itself: a server whose clients have taken all others still
//! answers whether it is alive.

use std::fs::File;

/// Connections that are accepted although no descriptor is left.
const SPARES: usize = 8;

/// Open files that make room for connections.
#[derive(Debug)]
pub(super) struct Spares(Vec<File>);

impl Spares {
    pub(super) fn new() -> Self {
        let mut spares = Self(Vec::with_capacity(SPARES));
        spares.fill();
        spares
    }

    /// Closes one, so that there is a descriptor for a connection; false if there is none left.
    pub(super) fn give_up_one(&mut self) -> bool {
        self.0.pop().is_some()
    }

    /// Opens as many as there are places for.
    pub(super) fn fill(&mut self) {
        while self.0.len() < SPARES {
            #[cfg(unix)]
            let spare = File::open("/dev/null");
            #[cfg(not(unix))]
            let spare = File::open("NUL");
            let Ok(spare) = spare else { return };
            self.0.push(spare);
        }
    }
}
