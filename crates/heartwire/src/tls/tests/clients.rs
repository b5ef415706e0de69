//! Certificates of clients.

use crate::tls::{CertificateFault, ClientTls, ServerTls, TlsFault};

use super::certificates::{Authority, Files, Serve as _, Trust as _};
use super::rig::Pair;

struct World {
    authority: Authority,
    /// Issues certificates for clients.
    personnel: Authority,
    server: Files,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let server = authority.issue(&["localhost"]);
        Self { authority, personnel: Authority::new(), server }
    }

    fn require(&self) -> ServerTls {
        self.server.server().require_client_certificates(self.personnel.roots())
    }

    fn request(&self) -> ServerTls {
        self.server.server().request_client_certificates(self.personnel.roots())
    }

    fn client(&self) -> ClientTls {
        self.authority.client()
    }

    fn client_with(&self, files: &Files) -> ClientTls {
        self.client().certificate(&files.certificate, &files.key)
    }

    fn meet(server: ServerTls, client: ClientTls) -> Pair {
        let mut pair = Pair::new(&server.load().unwrap(), &client.load().unwrap(), "localhost");
        pair.run();
        pair
    }
}

#[test]
fn a_client_with_a_certificate_gets_in() {
    let world = World::new();
    let client = world.client_with(&world.personnel.issue(&["device 7"]));
    World::meet(world.require(), client.clone()).expect_online();
    World::meet(world.request(), client).expect_online();
}

#[test]
fn a_client_without_a_certificate_gets_in_only_where_none_is_required() {
    let world = World::new();
    World::meet(world.request(), world.client()).expect_online();
    let pair = World::meet(world.require(), world.client());
    assert_eq!(pair.server.fault(), TlsFault::NoCertificate);
    // To the client the handshake was over: it learns of this with what it reads next.
    assert!(!pair.client.session.is_handshaking());
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 116 });
    assert_eq!(
        pair.client.message(),
        "the peer requires a certificate from us (alert 116): \
         certificate required"
    );
}

#[test]
fn a_client_certificate_of_another_ca_is_rejected() {
    let world = World::new();
    let client = world.client_with(&world.authority.issue(&["device 7"]));
    for server in [world.require(), world.request()] {
        let pair = World::meet(server, client.clone());
        let fault = TlsFault::Certificate(CertificateFault::UnknownIssuer);
        assert_eq!(pair.server.fault(), fault);
        assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 48 });
    }
}

#[test]
fn a_client_whose_certificate_has_expired_does_not_get_in() {
    let world = World::new();
    let files = world.personnel.issue_with(&["device 7"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let pair = World::meet(world.require(), world.client_with(&files));
    assert_eq!(pair.server.fault(), TlsFault::Certificate(CertificateFault::Expired));
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 45 });
}

#[test]
fn a_client_with_the_certificate_of_another_key_does_not_get_in() {
    let world = World::new();
    let one = world.personnel.issue(&["device 7"]);
    let other = world.personnel.issue(&["device 8"]);
    let mixed = Files { certificate: one.certificate, key: other.key };
    let error = world.client_with(&mixed).load().unwrap_err().to_string();
    assert!(error.contains("is not the one of the first certificate in"), "{error}");
}

#[test]
fn data_of_a_client_does_not_get_through_before_it_is_accepted() {
    let world = World::new();
    let server = world.require().load().unwrap();
    let client = world.client().load().unwrap();
    let mut pair = Pair::new(&server, &client, "localhost");
    while pair.client.session.is_handshaking() {
        pair.server.turn(&mut pair.to_server, &mut pair.to_client);
        pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    }
    pair.client_says(b"let me in");
    pair.run();
    assert_eq!(pair.server.fault(), TlsFault::NoCertificate);
    assert!(pair.server.heard.is_empty());
}
