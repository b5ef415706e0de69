use std::net::{TcpListener, TcpStream};

use heartwire_core::{Connection, Instant, Policy, Settings};

use super::*;

/// Sessions whose sockets are all connected to one listener.
struct Rig {
    listener: TcpListener,
    sessions: Sessions<mio::net::TcpStream>,
}

impl Rig {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { listener, sessions: Sessions::new(7) }
    }

    #[track_caller]
    fn insert(&mut self) -> SessionId {
        let peer = self.listener.local_addr().unwrap();
        let stream = TcpStream::connect(peer).unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = mio::net::TcpStream::from_std(stream);
        let now = Instant::from_nanos(0);
        let connection = Connection::new(Settings::new(Policy::default()), now);
        let session = self.sessions.insert(|id| Session::new(id, stream, peer, connection, now));
        session.unwrap().id
    }

    #[track_caller]
    fn remove(&mut self, id: SessionId) {
        assert!(self.sessions.find(id).is_some());
        assert_eq!(self.sessions.remove(id.slot()).unwrap().id, id);
    }

    fn ids(&self) -> Vec<SessionId> {
        self.sessions.iter().map(|session| session.id).collect()
    }
}

/// A server holds very many sessions. A key of the wheel is 16 of the bytes. (The poller's socket
/// is as long as the standard library's, but when it checks itself.)
#[test]
fn a_session_and_its_timer_take_152_bytes_at_most() {
    const TIMER: usize = 16;
    let slot = size_of::<Slot<TcpStream>>();
    assert!(slot + TIMER <= 152, "a slot takes {slot} bytes, and a timer {TIMER}");
}

#[test]
fn slots_are_taken_one_after_the_other() {
    let mut rig = Rig::new();
    let ids: Vec<_> = (0..3).map(|_| rig.insert()).collect();
    assert_eq!(ids, [0, 1, 2].map(|slot| SessionId::new(7, slot, 0)));
    assert_eq!((rig.sessions.len(), rig.ids()), (3, ids));
}

#[test]
fn a_free_slot_is_used_again_under_another_id() {
    let mut rig = Rig::new();
    let [first, second, third] = [rig.insert(), rig.insert(), rig.insert()];
    rig.remove(second);
    rig.remove(first);
    assert_eq!((rig.sessions.len(), rig.ids()), (1, vec![third]));
    let again = [rig.insert(), rig.insert(), rig.insert()];
    let slots = [(first.slot(), 1), (second.slot(), 1), (3, 0)];
    assert_eq!(again, slots.map(|(slot, generation)| SessionId::new(7, slot, generation)));
    assert_eq!(rig.sessions.len(), 4);
}

#[test]
fn an_id_that_has_ended_names_no_session_while_its_slot_is_free_or_used_again() {
    let mut rig = Rig::new();
    let old = rig.insert();
    rig.remove(old);
    assert_eq!(
        (rig.sessions.find(old).is_none(), rig.sessions.get_mut(old.slot()).is_none()),
        (true, true)
    );
    assert!(rig.sessions.remove(old.slot()).is_none());
    let new = rig.insert();
    assert_eq!(new.slot(), old.slot());
    assert!(rig.sessions.find(old).is_none());
    assert_eq!(rig.sessions.find(new).unwrap().id, new);
    assert_eq!(rig.sessions.len(), 1);
}

#[test]
fn an_id_of_another_shard_names_no_session() {
    let mut rig = Rig::new();
    let id = rig.insert();
    assert!(rig.sessions.find(SessionId::new(6, id.slot(), 0)).is_none());
    assert!(rig.sessions.find(SessionId::new(7, id.slot() + 1, 0)).is_none());
}

#[test]
fn a_slot_whose_numbers_are_used_up_is_retired() {
    let mut rig = Rig::new();
    let id = rig.insert();
    rig.remove(id);
    rig.sessions.slots[0] = Slot::Vacant { generation: u32::MAX, next: None };
    let last = rig.insert();
    assert_eq!(last, SessionId::new(7, 0, u32::MAX));
    rig.remove(last);
    assert_eq!(rig.sessions.len(), 0);
    // Were it used again, its next id would be the first one's.
    assert_eq!(rig.insert(), SessionId::new(7, 1, 0));
    assert!(rig.sessions.find(id).is_none());
}
