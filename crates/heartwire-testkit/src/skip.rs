//! Skipping tests that need more than the Rust toolchain and a shell.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Reports that this test is skipped, and why.
///
/// # Panics
///
/// If `HEARTWIRE_SKIP=never`, as on a machine where everything is installed.
#[track_caller]
pub fn skip(why: &str) {
    let is_allowed = std::env::var_os("HEARTWIRE_SKIP").is_none_or(|value| value != "never");
    assert!(is_allowed, "HEARTWIRE_SKIP=never, but {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not with `println!`, which the test harness hides when a test passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// The program `name`, which was built beside the one that is tested. If it was not, the test is
/// skipped.
#[track_caller]
pub fn built_beside(tested: &str, name: &str) -> Option<PathBuf> {
    let program = Path::new(tested).with_file_name(name);
    let is_built = program.is_file();
    if !is_built {
        skip(&format!("{} is not built", program.display()));
    }
    is_built.then_some(program)
}
