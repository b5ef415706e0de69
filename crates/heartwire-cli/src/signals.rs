//! The signals that mean "stop".

use std::io;

/// Waits for SIGTERM or Ctrl-C.
#[cfg(unix)]
pub(crate) async fn stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn stop() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
