//! Races connections to several addresses (RFC 8305).

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use tokio::time::sleep;

/// Delay before the next address is tried too (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the addresses in order, starting each one [`HEAD_START`] after the one before, or at
/// once when that fails. Returns the first connection, and drops the others. Failures until then go
/// to `tried`, in the order of the addresses.
pub(super) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
    tried: &mut Vec<(SocketAddr, io::Error)>,
) -> Option<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = addresses.iter().copied();
    let mut running: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let won = loop {
        if let Some(address) = left.next() {
            running.push((address, Box::pin(connect(address))));
        } else if running.is_empty() {
            break None;
        }
        tokio::select! {
            biased;
            (address, result) = first_of(&mut running) => match result {
                Ok(connection) => break Some(connection),
                Err(error) => tried.push((address, error)),
            },
            () = sleep(HEAD_START), if left.len() > 0 => {}
        }
    };
    tried.sort_by_key(|tried| addresses.iter().position(|&address| address == tried.0));
    won
}

/// Waits until one of the futures is ready, earlier ones first, and removes it.
async fn first_of<F: Future>(
    running: &mut Vec<(SocketAddr, Pin<Box<F>>)>,
) -> (SocketAddr, F::Output) {
    poll_fn(|context| {
        let ready = running.iter_mut().enumerate().find_map(|(at, (address, future))| match future
            .as_mut()
            .poll(context)
        {
            Poll::Ready(output) => Some((at, *address, output)),
            Poll::Pending => None,
        });
        let Some((at, address, output)) = ready else { return Poll::Pending };
        running.remove(at);
        Poll::Ready((address, output))
    })
    .await
}

#[cfg(test)]
mod tests;
