//! This process's file descriptors: how many there are and may be, and room for them at the start.

/// Maximum number of descriptors to make room for: at 8 bytes each it takes 8 MiB.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_ROOM: u64 = 1 << 20;

/// This process's limit of file descriptors.
#[cfg(unix)]
pub(super) fn most() -> usize {
    use rustix::process::{Resource, getrlimit};

    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
pub(super) fn most() -> usize {
    usize::MAX
}

/// How many descriptors this process has, where the system counts them: Linux from 6.2 on.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn used() -> Option<usize> {
    let count = std::fs::metadata("/proc/self/fd").ok()?.len();
    usize::try_from(count).ok().filter(|&count| count > 0)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const fn used() -> Option<usize> {
    None
}

/// Makes the kernel grow this process's descriptor table now, for `max_sessions` sessions.
///
/// The table doubles when it is full. In a process with several threads each doubling waits until
/// every processor has passed through the scheduler: 5 to 27 ms, measured, in which the shard that
/// accepted a client is paused. The table takes 8 bytes for each descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn make_room(max_sessions: usize) {
    use rustix::io::fcntl_dupfd_cloexec;

    let wanted = u64::try_from(max_sessions.min(most())).unwrap_or(u64::MAX).min(MAX_ROOM);
    let Some(highest) = wanted.checked_sub(1).and_then(|highest| i32::try_from(highest).ok())
    else {
        return;
    };
    // Duplicating any descriptor to a high number grows the table; if that fails, the table grows
    // as needed.
    let taken = std::fs::File::open("/dev/null").map(|any| fcntl_dupfd_cloexec(any, highest));
    if !matches!(taken, Ok(Ok(_))) {
        tracing::debug!(highest, "cannot grow the descriptor table now; it will grow in steps");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn make_room(_max_sessions: usize) {}
