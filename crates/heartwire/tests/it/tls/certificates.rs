//! What a server and a client of ours make of the kit's certificates.

use heartwire::tls::{ClientTls, ServerTls};
pub(crate) use heartwire_testkit::{Authority, Files};

pub(crate) trait Serve {
    /// A server that shows this certificate.
    fn server(&self) -> ServerTls;
}

impl Serve for Files {
    fn server(&self) -> ServerTls {
        ServerTls::new(&self.certificate, &self.key)
    }
}

pub(crate) trait Trust {
    /// A client that trusts only this authority.
    fn client(&self) -> ClientTls;
}

impl Trust for Authority {
    fn client(&self) -> ClientTls {
        ClientTls::new().roots(self.roots())
    }
}
