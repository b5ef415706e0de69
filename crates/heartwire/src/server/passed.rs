//! Sockets that a service manager passes to a server when it starts it.

use std::os::fd::{OwnedFd, RawFd};
use std::{env, io, process};

use crate::sys;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Takes over the sockets that a service manager such as systemd passed to this process, each with
/// its name, by the protocol of `sd_listen_fds(3)`. None, if nothing was passed; sockets without a
/// name have an empty one.
///
/// ```no_run
/// use heartwire::server::{Server, ServerConfig, passed_sockets};
///
/// let (_name, socket) = passed_sockets()?.pop().expect("a socket");
/// let server = Server::start_with_events(ServerConfig::from_listener(socket.into()))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Call it once, early: the sockets have the descriptors from 3 on, so nothing else may close or
/// use these before. Later calls return none. The environment stays as it is, because it cannot be
/// changed safely beside other threads; but it names this process, and the sockets are closed in
/// children, so these take nothing over.
///
/// # Errors
///
/// `LISTEN_FDS` or `LISTEN_FDNAMES` make no sense, or not all of the descriptors are open. Nothing
/// was taken over then.
pub fn passed_sockets() -> io::Result<Vec<(String, OwnedFd)>> {
    let variable = |name| env::var(name).ok();
    let is_ours = variable("LISTEN_PID").is_some_and(|pid| pid == process::id().to_string());
    let Some(count) = variable("LISTEN_FDS").filter(|_| is_ours) else { return Ok(Vec::new()) };
    let names = names(&count, variable("LISTEN_FDNAMES").as_deref())?;
    let count = RawFd::try_from(names.len()).unwrap_or(RawFd::MAX);
    let sockets = sys::take_passed(FIRST..FIRST.saturating_add(count))?;
    Ok(names.into_iter().zip(sockets).collect())
}

/// The names of so many sockets.
fn names(count: &str, names: Option<&str>) -> io::Result<Vec<String>> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    // A count that fits has a size that can be allocated.
    let count: u16 = count.parse().map_err(|_| wrong(format!("LISTEN_FDS is `{count}`")))?;
    let count = usize::from(count);
    let names = names.filter(|names| !names.is_empty() || count > 1);
    let Some(names) = names else { return Ok(vec![String::new(); count]) };
    let names: Vec<String> = names.split(':').map(str::to_owned).collect();
    if names.len() != count {
        let given = names.len();
        return Err(wrong(format!("LISTEN_FDNAMES has {given} names, and LISTEN_FDS is {count}")));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
