//! What stands in for the service manager of Linux elsewhere: none passes or asks for anything.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;

use heartwire::server::Handle;

pub(crate) const VARIABLES: [&str; 0] = [];

#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) sessions: Vec<TcpListener>,
    pub(crate) http: Option<HttpSocket>,
}

#[derive(Debug)]
pub(crate) enum HttpSocket {}

impl Passed {
    pub(crate) fn take() -> anyhow::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        Vec::new()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Manager;

impl Manager {
    pub(crate) fn find() -> Self {
        Self
    }

    pub(crate) fn ready(&self) {}

    pub(crate) fn reloading(&self) {}

    pub(crate) fn stopping(&self, _within: Duration) {}

    pub(crate) async fn report(self, _handle: Handle) {}
}
