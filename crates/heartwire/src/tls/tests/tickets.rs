//! Clients that return with a ticket, and what a ticket must not do.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::SystemTime;

use crate::tls::{
    CertificateFault, ServerTls, SharedClientTls, SharedServerTls, Tickets, TlsFault,
};

use super::certificates::{Authority, Files, Serve as _, Trust as _};
use super::rig::Pair;

/// A server that asks for certificates, and one client of it.
struct World {
    authority: Authority,
    /// Issues the certificates of clients.
    clients: Authority,
    identity: Files,
    roots: PathBuf,
    revoked: PathBuf,
    server: SharedServerTls,
    client: SharedClientTls,
    tickets: Tickets,
}

impl World {
    fn new() -> Self {
        Self::of(Authority::new(), |clients| {
            clients.issue_with(&["device 7"], |params| params.serial_number = Some(7.into()))
        })
    }

    fn of(authority: Authority, device: impl FnOnce(&Authority) -> Files) -> Self {
        let clients = Authority::new();
        let identity = authority.issue(&["localhost", "gateway.example"]);
        let roots = authority.write("clients.pem", &fs::read_to_string(clients.roots()).unwrap());
        let revoked = authority.write("revoked.pem", &clients.revoke(&[]));
        let device = device(&clients);
        let client = authority.client().certificate(device.certificate, device.key);
        let (server, client) =
            (settings(&identity, &roots, &revoked).load().unwrap(), client.load().unwrap());
        let tickets = Tickets::default();
        Self { authority, clients, identity, roots, revoked, server, client, tickets }
    }

    fn settings(&self) -> ServerTls {
        settings(&self.identity, &self.roots, &self.revoked)
    }

    fn connect_to(&mut self, server: &SharedServerTls) -> Pair {
        let mut pair = Pair::with_tickets(server, &self.client, "localhost", &mut self.tickets);
        pair.run();
        pair
    }

    fn connect(&mut self) -> Pair {
        let server = self.server.clone();
        self.connect_to(&server)
    }

    #[track_caller]
    fn expect_resumed(&mut self) {
        expect(self.connect(), true);
    }

    #[track_caller]
    fn expect_full(&mut self) {
        expect(self.connect(), false);
    }
}

fn settings(identity: &Files, roots: &PathBuf, revoked: &PathBuf) -> ServerTls {
    identity.server().require_client_certificates(roots).revocation_lists(revoked)
}

#[track_caller]
fn expect(mut pair: Pair, is_resumed: bool) {
    pair.expect_online();
    let found = [&pair.server, &pair.client].map(|side| side.session.has_resumed());
    assert_eq!(found, [is_resumed; 2]);
}

#[test]
fn a_client_returns_with_a_ticket_each_time() {
    let mut world = World::new();
    world.expect_full();
    for _ in 0..5 {
        world.expect_resumed();
    }
}

#[test]
fn each_client_has_its_own_tickets() {
    let mut world = World::new();
    world.expect_full();
    let mut another = Tickets::default();
    let mut visit = || {
        let mut pair = Pair::with_tickets(&world.server, &world.client, "localhost", &mut another);
        pair.run();
        pair
    };
    expect(visit(), false);
    expect(visit(), true);
    world.expect_resumed();
}

#[test]
fn a_ticket_is_for_one_name() {
    let mut world = World::new();
    world.expect_full();
    let mut pair =
        Pair::with_tickets(&world.server, &world.client, "gateway.example", &mut world.tickets);
    pair.run();
    expect(pair, false);
}

#[test]
fn a_client_with_other_settings_starts_afresh() {
    let mut world = World::new();
    world.expect_full();
    world.client.reload().unwrap();
    world.expect_full();
    world.expect_resumed();
}

#[test]
fn tickets_can_be_turned_off() {
    let mut world = World::new();
    world.server = world.settings().without_tickets().load().unwrap();
    world.expect_full();
    world.expect_full();
    // While there are some, and for those that have been given out.
    world.server = world.settings().load().unwrap();
    world.expect_full();
    world.expect_resumed();
    world.server.replace(&world.settings().without_tickets().load().unwrap());
    world.expect_full();
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_tickets() {
    let mut world = World::new();
    world.expect_full();
    world.server.reload().unwrap();
    world.expect_resumed();
    world.server.replace(&world.settings().load().unwrap());
    world.expect_resumed();
}

#[test]
fn a_new_certificate_of_the_server_is_shown_to_those_who_return() {
    let mut world = World::new();
    world.expect_full();
    let new = world.authority.issue(&["localhost"]);
    fs::copy(new.certificate, &world.identity.certificate).unwrap();
    fs::copy(new.key, &world.identity.key).unwrap();
    world.server.reload().unwrap();
    world.expect_full();
    world.expect_resumed();
}

#[test]
fn a_ticket_does_not_admit_a_revoked_client() {
    let mut world = World::new();
    world.expect_full();
    fs::write(&world.revoked, world.clients.revoke(&[7])).unwrap();
    world.expect_resumed();
    world.server.reload().unwrap();
    let pair = world.connect();
    assert_eq!(pair.server.fault(), TlsFault::Certificate(CertificateFault::Revoked));
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 44 });
}

#[test]
fn a_ticket_does_not_admit_a_client_whose_ca_is_not_trusted_any_more() {
    let mut world = World::new();
    world.expect_full();
    fs::copy(Authority::new().roots(), &world.roots).unwrap();
    world.server.reload().unwrap();
    let pair = world.connect();
    assert_eq!(pair.server.fault(), TlsFault::Certificate(CertificateFault::UnknownIssuer));
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 48 });
}

#[test]
fn a_ticket_without_a_certificate_is_not_enough_when_one_is_required() {
    let mut world = World::new();
    world.client = world.authority.client().load().unwrap();
    let request = |world: &World| world.identity.server().request_client_certificates(&world.roots);
    for before in [world.identity.server(), request(&world)] {
        world.server = before.load().unwrap();
        world.expect_full();
        world.expect_resumed();
        world.server.replace(&world.settings().load().unwrap());
        assert_eq!(world.connect().server.fault(), TlsFault::NoCertificate);
        world.tickets = Tickets::default();
    }
}

/// When a certificate expires that is made now, and then waits for that.
struct Expiry(SystemTime);

impl Expiry {
    fn soon() -> Self {
        Self(SystemTime::now() + Duration::from_secs(2))
    }

    fn limit(&self, params: &mut rcgen::CertificateParams) {
        params.not_after = self.0.into();
    }

    fn wait(&self) {
        // It is valid in its last second.
        let over = self.0 + Duration::from_secs(1);
        while let Ok(left) = over.duration_since(SystemTime::now()) {
            sleep(left + Duration::from_millis(1));
        }
    }
}

#[test]
fn a_ticket_does_not_admit_a_client_whose_certificate_has_expired() {
    let soon = Expiry::soon();
    let mut world = World::of(Authority::new(), |clients| {
        clients.issue_with(&["device 7"], |params| soon.limit(params))
    });
    world.expect_full();
    world.expect_resumed();
    soon.wait();
    let expired = TlsFault::Certificate(CertificateFault::Expired);
    // TLS was over for the client: it is cut off, gets no new ticket, and learns the reason when it
    // has none.
    for _ in 0..2 {
        let pair = world.connect();
        assert!(pair.server.session.has_resumed());
        assert_eq!(pair.server.fault(), expired);
        assert!(pair.to_client.bytes.is_empty() && pair.client.end.is_none());
        assert!(pair.server.message().contains("has expired"), "{}", pair.server.message());
    }
    let pair = world.connect();
    assert!(!pair.server.session.has_resumed());
    assert_eq!(pair.server.fault(), expired);
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 45 });
}

#[test]
fn data_of_an_expired_client_with_a_ticket_does_not_get_through() {
    let soon = Expiry::soon();
    let mut world = World::of(Authority::new(), |clients| {
        clients.issue_with(&["device 7"], |params| soon.limit(params))
    });
    world.expect_full();
    soon.wait();
    let mut pair =
        Pair::with_tickets(&world.server, &world.client, "localhost", &mut world.tickets);
    while pair.client.session.is_handshaking() {
        pair.server.turn(&mut pair.to_server, &mut pair.to_client);
        pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    }
    pair.client_says(b"let me in");
    pair.run();
    assert_eq!(pair.server.fault(), TlsFault::Certificate(CertificateFault::Expired));
    assert!(pair.server.heard.is_empty());
}

#[test]
fn a_client_does_not_return_to_a_server_whose_certificate_has_expired() {
    let soon = Expiry::soon();
    let mut world = World::new();
    world.identity = world.authority.issue_with(&["localhost"], |params| soon.limit(params));
    world.server = world.settings().load().unwrap();
    world.expect_full();
    soon.wait();
    for _ in 0..2 {
        let pair = world.connect();
        assert_eq!(pair.client.fault(), TlsFault::Certificate(CertificateFault::Expired));
        assert!(pair.client.message().contains("has expired"), "{}", pair.client.message());
    }
}

#[test]
fn a_ticket_of_another_process_is_ignored() {
    let mut world = World::new();
    world.expect_full();
    // Made with the keys of another process.
    let server = world.settings().load().unwrap();
    expect(world.connect_to(&server), false);
}

#[test]
fn a_failed_attempt_does_not_cost_the_only_ticket() {
    let mut world = World::new();
    world.expect_full();
    drop(Pair::with_tickets(&world.server, &world.client, "localhost", &mut world.tickets));
    world.expect_resumed();
}

const KEYS: [&str; 3] = [
    "1111111111111111111111111111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222222222222222222222222222",
    "ABCDEFabcdef3333333333333333333333333333333333333333333333333333",
];

#[test]
fn tickets_with_keys_from_a_file_outlast_the_process() {
    let mut world = World::new();
    let keys = world.authority.write("tickets.keys", &format!("# today\n{}\n", KEYS[0]));
    let load = |world: &World| world.settings().ticket_keys(&keys).load().unwrap();
    world.server = load(&world);
    world.expect_full();
    world.server = load(&world);
    world.expect_resumed();
    // A new key in front, and tickets of the old one are accepted.
    world.authority.write("tickets.keys", &format!("{}\n\n  {}\n", KEYS[2], KEYS[0]));
    world.server.reload().unwrap();
    world.expect_resumed();
    // The client has returned with the old key, and has a ticket of the new one.
    world.authority.write("tickets.keys", KEYS[2]);
    world.server = load(&world);
    world.expect_resumed();
    world.authority.write("tickets.keys", KEYS[1]);
    world.server.reload().unwrap();
    world.expect_full();
}

#[test]
fn keys_from_a_file_are_no_use_for_other_settings() {
    let mut world = World::new();
    let keys = world.authority.write("tickets.keys", KEYS[0]);
    world.server = world.settings().ticket_keys(&keys).load().unwrap();
    world.expect_full();
    fs::write(&world.revoked, world.clients.revoke(&[7])).unwrap();
    world.server = world.settings().ticket_keys(&keys).load().unwrap();
    let pair = world.connect();
    assert_eq!(pair.server.fault(), TlsFault::Certificate(CertificateFault::Revoked));
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_their_line() {
    let world = World::new();
    let keys = world.authority.write("tickets.keys", "");
    let expect = |text: &str, words: &str| {
        fs::write(&keys, text).unwrap();
        let error = world.settings().ticket_keys(&keys).load().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    expect("", "tickets.keys holds no key of session tickets");
    expect("# nothing\n\n", "tickets.keys holds no key of session tickets");
    expect(&KEYS[0][1..], "line 1 of ");
    expect(&format!("{}\n{}0", KEYS[0], KEYS[1]), "line 2 of ");
    expect(&format!("\n#\n{}", KEYS[0].replace("11111", "1111g")), "line 3 of ");
    expect(&[KEYS[0]; 65].join("\n"), "line 65 of ");
    fs::remove_file(&keys).unwrap();
    let error = world.settings().ticket_keys(&keys).load().unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
}
