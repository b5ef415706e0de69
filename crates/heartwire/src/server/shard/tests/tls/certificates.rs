//! Sessions whose client certificate is not accepted any more.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use heartwire_testkit::{Authority, Files, hello_as};

use super::*;
use crate::Credential;
use crate::server::auth::Tokens;

/// The CA of the server, that of the clients, and a server for both.
struct World {
    authority: Authority,
    clients: Authority,
    tls: SharedServerTls,
    rig: Rig,
}

impl World {
    fn new() -> Self {
        Self::of(v0())
    }

    fn of(config: ServerConfig) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = authority.issue(&["localhost"]);
        let roots = fs::read_to_string(clients.roots()).unwrap();
        let roots = authority.write("clients.pem", &roots);
        let revoked = authority.write("revoked.pem", &clients.revoke(&[]));
        let tls = ServerTls::new(&files.certificate, &files.key);
        let tls = tls.require_client_certificates(roots).revocation_lists(revoked).load().unwrap();
        let rig = Rig::start(config.policy(timeout(3_600_000)).tls(tls.clone()));
        // The handshake knows the time of day from the system.
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let wall = i64::try_from(rig.toy.wall_secs()).unwrap();
        rig.toy.change_wall(i64::try_from(real).unwrap() - wall);
        Self { authority, clients, tls, rig }
    }

    fn session(&self, files: &Files) -> TlsSession {
        let client = ClientTls::new().roots(self.authority.roots());
        let client = client.certificate(&files.certificate, &files.key).load().unwrap();
        TlsSession::client(&client, "localhost", &mut Tickets::default()).unwrap()
    }

    fn online(&mut self, files: &Files) -> (Client, SessionId) {
        let session = self.session(files);
        let (client, id) = Client::online(&mut self.rig, session);
        client.socket.send(&[]);
        (client, id)
    }

    fn with_serial(&self, serial: u64) -> Files {
        self.clients.issue_with(&["device"], |params| params.serial_number = Some(serial.into()))
    }

    /// Sets the time of day to so many seconds before 2090.
    fn set_clock_before_2090(&self, secs: i64) {
        let wall = i64::try_from(self.rig.toy.wall_secs()).unwrap();
        self.rig.toy.change_wall(3_786_912_000 - secs - wall);
    }

    fn until_2090(&self) -> Files {
        self.clients.issue_with(&["device"], |params| {
            params.not_after = rcgen::date_time_ymd(2090, 1, 1);
        })
    }

    #[track_caller]
    fn expect_end(&mut self, (client, id): (Client, SessionId), reason: Reason) {
        client.socket.close();
        self.rig.run();
        assert_eq!(self.rig.offline(id).0, reason);
    }
}

#[test]
fn a_session_ends_when_its_certificate_expires() {
    let mut world = World::new();
    world.set_clock_before_2090(5);
    let ends = world.online(&world.until_2090());
    world.rig.pass(ms(4_900));
    world.rig.expect_nothing();
    // It is valid in that second.
    world.rig.pass(ms(1_100));
    world.expect_end(ends, Reason::Expired(Credential::Certificate));
    assert_eq!(world.rig.count("expired"), 1);
}

#[test]
fn a_session_with_a_token_too_ends_with_either() {
    const TOKEN: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
    let tokens = Tokens::parse("a aaaaaaaaaaaaaaaaaaaa\nb bbbbbbbbbbbbbbbbbbbb").unwrap();
    for is_removed in [true, false] {
        let mut world = World::of(v1().protocols(Protocols::V1WithTokens(tokens.clone())));
        world.set_clock_before_2090(5);
        let session = world.session(&world.until_2090());
        let mut client = Client::new(&world.rig.door.connect(), session);
        let mut last = client.shaken_hands(&mut world.rig);
        last.extend(client.records(&hello_as("a", Some(TOKEN))));
        client.socket.send(&last);
        world.rig.run();
        let (id, _) = world.rig.told_online();
        let reason = if is_removed {
            tokens.replace(&Tokens::parse("b bbbbbbbbbbbbbbbbbbbb").unwrap());
            Reason::Revoked(Credential::Token)
        } else {
            world.rig.pass(ms(6_000));
            Reason::Expired(Credential::Certificate)
        };
        world.rig.run();
        world.expect_end((client, id), reason);
        tokens.replace(&Tokens::parse("a aaaaaaaaaaaaaaaaaaaa").unwrap());
    }
}

#[test]
fn a_session_ends_when_its_certificate_is_revoked_and_the_others_stay() {
    let mut world = World::new();
    let ends = world.online(&world.with_serial(7));
    let (stays, id) = world.online(&world.with_serial(8));
    world.authority.write("revoked.pem", &world.clients.revoke(&[7]));
    world.rig.expect_nothing();
    world.tls.reload().unwrap();
    world.rig.run();
    world.expect_end(ends, Reason::Revoked(Credential::Certificate));
    assert!(!stays.socket.state().is_shutdown, "{id}");
    world.rig.expect_nothing();
    assert_eq!((world.rig.count("revoked"), world.rig.handle.count()), (1, 1));
}

#[test]
fn all_sessions_end_when_the_ca_of_their_certificates_is_not_trusted_any_more() {
    let mut world = World::new();
    let all = [7, 8, 9].map(|serial| world.online(&world.with_serial(serial)));
    let other = fs::read_to_string(Authority::new().roots()).unwrap();
    world.authority.write("clients.pem", &other);
    world.authority.write("revoked.pem", &world.clients.revoke(&[]));
    world.tls.reload().unwrap();
    world.rig.run();
    for ends in all {
        world.expect_end(ends, Reason::Revoked(Credential::Certificate));
    }
}

/// Its handshake was verified by the settings that it began with.
#[test]
fn a_handshake_that_has_begun_before_is_verified_again() {
    let mut world = World::new();
    let session = world.session(&world.with_serial(7));
    let mut client = Client::new(&world.rig.door.connect(), session);
    world.rig.run();
    world.authority.write("revoked.pem", &world.clients.revoke(&[7]));
    world.tls.reload().unwrap();
    world.rig.run();
    let last = client.shaken_hands(&mut world.rig);
    client.socket.send(&last);
    world.rig.expect_nothing();
    assert_eq!(world.rig.count("revoked"), 1);
}
