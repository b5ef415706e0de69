//! What a client of ours makes of the kit's certificates.

use heartwire::tls::ClientTls;
pub(crate) use heartwire_testkit::{Authority, Files};

pub(crate) trait Trust {
    /// A client that trusts only this authority.
    fn client(&self) -> ClientTls;
}

impl Trust for Authority {
    fn client(&self) -> ClientTls {
        ClientTls::new().roots(self.roots())
    }
}
