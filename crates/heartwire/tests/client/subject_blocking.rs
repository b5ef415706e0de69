//! The client for programs without async, as it is.

use heartwire::client::ClientConfig;

pub(crate) use heartwire::blocking::{Client, Events};

/// It brings its own.
pub(crate) struct Ground;

pub(crate) fn start(config: ClientConfig) -> (Client, Events, Ground) {
    let (client, events) = Client::start(config).unwrap();
    (client, events, Ground)
}
