use std::io;

use futures_util::{FutureExt as _, SinkExt as _};
use heartwire_core::backoff::BackoffPolicy;

use super::*;
use crate::client::Reconnect;
use crate::client::internal::open;
use crate::client::life::{Life, Step};
use crate::toy::Toy;

/// Bytes of each message, and the room that it takes with its header.
const LEN: u8 = 20;
const COST: usize = 28;

/// A sink of a client in a world of its own.
struct Rig {
    toy: Toy,
    sink: MessageSink,
    life: Life<Toy>,
    _events: Events,
}

impl Rig {
    /// One that is online, has room for three messages, and whose server takes nothing yet.
    fn online(mode: bool) -> Self {
        let toy = Toy::new();
        let retry = Reconnect::new(BackoffPolicy::fixed(core::time::Duration::from_secs(1)));
        let config = ClientConfig::new("a:1").v0().reconnect(retry);
        let config = config.offline_queue(mode).max_queue(3 * COST);
        let (client, events, life) = open(config, toy.clone(), 1024);
        let mut rig = Self { toy, sink: MessageSink::new(client), life, _events: events };
        rig.connects();
        rig.toy.take_written();
        rig.toy.state().room = 0;
        rig
    }

    fn connects(&mut self) {
        assert_eq!(self.life.step(), Step::Dial);
        self.life.connected(self.toy.clone(), "127.0.0.1:1".parse().unwrap());
        self.step();
    }

    fn step(&mut self) {
        assert!(matches!(self.life.step(), Step::Wait(_)));
    }

    /// The server is gone, and then it is time for the next attempt.
    fn is_left(&mut self) {
        self.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
        self.step();
        self.toy.state().end = None;
        self.toy.pass(core::time::Duration::from_secs(1));
    }

    fn feed(&mut self, n: u8) -> Option<Result<(), SendError>> {
        self.sink.feed(body(n)).now_or_never()
    }

    fn flush(&mut self) -> Option<Result<(), SendError>> {
        self.sink.flush().now_or_never()
    }

    /// Flushes, while the server takes all.
    fn flush_all(&mut self) {
        self.toy.state().room = 10_000;
        let is_flushed = (0..10).any(|_| {
            self.step();
            matches!(self.flush(), Some(Ok(())))
        });
        assert!(is_flushed);
    }
}

fn body(n: u8) -> Vec<u8> {
    vec![n; usize::from(LEN)]
}

fn frames(numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
    numbers.into_iter().flat_map(|n| [vec![1, 0, 0, 0, LEN, 0, 0, 0], body(n)].concat()).collect()
}

#[test]
fn a_server_that_does_not_read_holds_the_sink_up_and_nothing_is_lost() {
    let mut rig = Rig::online(false);
    for n in 0..4 {
        assert!(matches!(rig.feed(n), Some(Ok(()))), "the fourth waits in the sink");
    }
    assert!(rig.feed(4).is_none() && rig.flush().is_none());
    rig.step();
    assert!(rig.flush().is_none());
    rig.flush_all();
    assert!(matches!(rig.feed(4), Some(Ok(()))));
    rig.flush_all();
    assert_eq!(rig.toy.take_written(), frames(0..5));
}

/// The flush that is polled no more would stand before every later message.
#[test]
fn a_flush_that_was_given_up_holds_up_nothing() {
    let mut rig = Rig::online(false);
    assert!(matches!(rig.feed(0), Some(Ok(()))));
    assert!(rig.flush().is_none());
    assert!(matches!(rig.sink.client.try_send(vec![9]), Err(SendError::Full(_))));
    assert!(matches!(rig.feed(1), Some(Ok(()))));
    assert!(matches!(rig.feed(2), Some(Ok(()))));
    rig.flush_all();
    assert_eq!(rig.toy.take_written(), frames(0..3));
}

#[test]
fn refused_items_come_back_and_the_sink_goes_on() {
    let mut rig = Rig::online(false);
    rig.is_left();
    assert!(matches!(rig.feed(7), Some(Err(SendError::NotConnected(data))) if data == body(7)));
    rig.connects();
    let long = rig.sink.feed(vec![0; 3 * COST]).now_or_never();
    assert!(matches!(long, Some(Err(SendError::TooLong { data, .. })) if data.len() == 3 * COST));
    rig.toy.take_written();
    assert!(matches!(rig.feed(8), Some(Ok(()))));
    rig.flush_all();
    assert!(rig.toy.take_written().ends_with(&frames([8])));
    assert!(matches!(rig.sink.close().now_or_never(), Some(Ok(()))));
    assert!(matches!(rig.feed(9), Some(Err(SendError::Closed(_)))));
}

#[test]
fn an_item_that_waits_when_the_connection_is_lost_comes_back() {
    let mut rig = Rig::online(false);
    for n in 0..4 {
        assert!(matches!(rig.feed(n), Some(Ok(()))));
    }
    assert!(rig.flush().is_none());
    rig.is_left();
    assert!(matches!(rig.flush(), Some(Err(SendError::NotConnected(data))) if data == body(3)));
    assert!(matches!(rig.flush(), Some(Ok(()))));
}

#[test]
fn queued_items_wait_for_the_next_connection() {
    let mut rig = Rig::online(true);
    rig.is_left();
    assert!(matches!(rig.feed(7), Some(Ok(()))));
    assert!(rig.flush().is_none());
    rig.connects();
    rig.flush_all();
    assert!(rig.toy.take_written().ends_with(&frames([7])));
}

#[test]
fn it_can_be_spawned() {
    const fn is_send<T: Send + 'static>() {}
    is_send::<Duplex>();
    is_send::<MessageSink>();
}
