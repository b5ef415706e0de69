//! A latch at which a handler waits until the test opens it.

use std::sync::{Arc, Condvar, Mutex};

use crate::PATIENCE;

/// A latch at which a handler, and so its shard, waits until the test opens it. It is closed at
/// first.
#[derive(Clone, Debug, Default)]
pub struct Latch(Arc<(Mutex<Passes>, Condvar)>);

#[derive(Debug, Default)]
struct Passes {
    left: u32,
    open: bool,
}

impl Latch {
    /// Lets one handler pass: the one that waits, or the next.
    pub fn let_one_pass(&self) {
        self.0.0.lock().unwrap().left += 1;
        self.0.1.notify_all();
    }

    /// Opens the latch.
    pub fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    /// Waits until the latch lets it pass.
    pub fn pass(&self) {
        let passes = self.0.0.lock().unwrap();
        let closed = |passes: &mut Passes| passes.left == 0 && !passes.open;
        let (mut passes, _) = self.0.1.wait_timeout_while(passes, PATIENCE, closed).unwrap();
        passes.left = passes.left.saturating_sub(1);
    }
}
