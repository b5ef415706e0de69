use core::time::Duration;
use std::net::{TcpListener, TcpStream};

use heartwire_core::v1::{self, Offer, Terms};
use heartwire_core::{Policy, Settings};

use super::*;
use crate::server::LastConnection;
use crate::server::admission::Principal;
use crate::server::resume::resume_rate;

fn session() -> Session<mio::net::TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let stream = mio::net::TcpStream::from_std(TcpStream::connect(peer).unwrap());
    let now = Instant::from_nanos(0);
    let connection = Connection::new(Settings::new(Policy::default()), now);
    Session::new(SessionId::new(0, 0, 0), stream, peer, connection, now)
}

fn identity() -> Identity {
    Identity::new("hall/door-3", 7)
}

fn agreed() -> Box<Agreed> {
    let offer = Offer::new(&Policy::default());
    let contract = Terms::new(offer).agree(&offer).unwrap();
    let last = LastConnection::of(v1::LastConnection::new("reset", Duration::ZERO, Some(1)));
    let last = Some(last);
    Box::new(Agreed {
        name: None,
        epoch: 0,
        instance: None,
        agent: None,
        last,
        contract,
        grace: None,
    })
}

fn applicant() -> Box<Applicant> {
    let claimant = Claimant { principal: Principal::ANYBODY, instance: None };
    Box::new(Applicant { agreed: agreed(), claimant, resume: None, resuming: None, lost: None })
}

#[test]
fn a_client_comes_in_once_its_name_is_free() {
    let mut session = session();
    assert!(session.phase().is_pending() && session.wait_no_more().is_none());
    session.wait_for(Some(identity()), applicant());
    assert_eq!(session.phase(), Phase::Live(Standing::Waiting));
    let (identity, waited_for) = session.wait_no_more().unwrap();
    let identity = identity.unwrap();
    assert_eq!((&*identity.name, identity.epoch), ("hall/door-3", 7));
    assert_eq!(waited_for.agreed, agreed());
    assert!(session.phase().is_pending() && session.wait_no_more().is_none());
    session.go_online();
    assert!(session.phase().is_online() && !session.phase().is_pending());
}

/// While an application is told of something it may send so much that a client has to go for it
/// which is just about to come in.
#[test]
fn a_session_that_has_ended_comes_in_no_more() {
    let mut session = session();
    assert_eq!((session.end(), session.end()), (Some(Standing::Unknown), None));
    session.wait_for(Some(identity()), applicant());
    session.go_online();
    session.let_leave();
    assert_eq!(session.phase(), Phase::Ended(Standing::Unknown));
    assert!(session.wait_no_more().is_none());
    // The name is there, to be given back.
    assert!(session.take_identity().is_some());
    session.begin_parting(session.since, Reason::MostBuffered);
    session.go_online();
    assert_eq!(session.phase(), Phase::Parting(Standing::Unknown));
}

#[test]
fn a_link_that_moves_tries_to_write_though_its_socket_took_no_more_bytes() {
    let mut session = session();
    session.link.blocked = true;
    assert!(!session.into_link().blocked);
}

#[test]
fn resumes_are_counted_as_long_as_they_matter() {
    let mut session = session();
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let rate = resume_rate(Duration::from_secs(120));
    for _ in 0..10 {
        assert_eq!(session.admit_resume(rate, at(0)), Ok(()));
    }
    assert_eq!(session.admit_resume(rate, at(1)), Err(Duration::from_millis(4_999)));
    assert_eq!(session.admit_resume(rate, at(5_000)), Ok(()));
    for (now, is_remembered) in [(54_999, true), (55_000, false)] {
        session.forget_resumes(at(now));
        session.drop_empty();
        assert_eq!(session.extra.is_some(), is_remembered, "{now}");
    }
}
