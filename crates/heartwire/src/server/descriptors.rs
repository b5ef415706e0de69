//! Room for very many descriptors, made once.

/// Room for more descriptors than this is not made beforehand: at 8 bytes each it takes 8 MiB.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_ROOM: u64 = 1 << 20;

/// How many descriptors this process may have, if there is an end to it.
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

/// Has the kernel grow this process's table of descriptors now, to what so many sessions need.
///
/// The table doubles when it is full. In a process with several threads each doubling waits until
/// every processor has passed through the scheduler: 5 to 27 ms, measured, in which the shard that
/// accepted a client stands still. The table takes 8 bytes for each descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn make_room(max_sessions: usize) {
    use rustix::io::fcntl_dupfd_cloexec;

    let wanted = u64::try_from(max_sessions.min(most())).unwrap_or(u64::MAX).min(MAX_ROOM);
    let Some(highest) = wanted.checked_sub(1).and_then(|highest| i32::try_from(highest).ok())
    else {
        return;
    };
    // Any descriptor will do. Taking a high number for a moment is what makes the room; where that
    // does not work, the table grows as it is needed.
    let taken = std::fs::File::open("/dev/null").map(|any| fcntl_dupfd_cloexec(any, highest));
    if !matches!(taken, Ok(Ok(_))) {
        tracing::debug!(highest, "could not make room for descriptors; it will grow in steps");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn make_room(_max_sessions: usize) {}
