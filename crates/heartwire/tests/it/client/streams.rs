//! The client as a stream of events and a sink of messages.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use heartwire::Reason;
use heartwire::client::{ClientConfig, Duplex, Event, SendError, WhileDisconnected};
use heartwire_testkit::{End, Got, Listener, PATIENCE, Peer, data, fixed, ms};
use tokio::runtime::{Builder, Runtime};

/// A client on a runtime with a thread of its own.
struct Stream {
    duplex: Duplex,
    runtime: Runtime,
}

impl Stream {
    fn start(config: ClientConfig) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let duplex = {
            let _inside = runtime.enter();
            Duplex::start(config)
        };
        Self { duplex, runtime }
    }

    fn online(config: impl FnOnce(ClientConfig) -> ClientConfig) -> (Self, Listener, Peer) {
        let server = Listener::new();
        let mut rig = Self::start(config(server.config()));
        let peer = server.accept();
        rig.expect(|event| matches!(event, Event::Connecting { .. }));
        rig.expect(|event| matches!(event, Event::Online { .. }));
        (rig, server, peer)
    }

    fn block_on<T>(&mut self, future: impl AsyncFnOnce(&mut Duplex) -> T) -> T {
        let Self { duplex, runtime } = self;
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, future(duplex)).await })
            .expect("took too long")
    }

    #[track_caller]
    fn expect(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.block_on(async |duplex| duplex.next().await).expect("it goes on") {
                Event::Stalled(_) => {}
                event if is_it(&event) => return event,
                event => panic!("{event}"),
            }
        }
    }
}

/// Feeds messages of this length until one is not taken in 300 ms, and returns how many were.
async fn fill(duplex: &mut Duplex, len: usize) -> u32 {
    let mut count = 0;
    while tokio::time::timeout(ms(300), poll_fn(|cx| Pin::new(&mut *duplex).poll_ready(cx)))
        .await
        .is_ok_and(|ready| ready.is_ok())
    {
        Pin::new(&mut *duplex).start_send(vec![5; len]).unwrap();
        count += 1;
    }
    count
}

#[test]
fn items_go_out_in_order_and_events_come_in() {
    let (mut rig, _server, mut peer) = Stream::online(|config| config);
    rig.block_on(async |duplex| {
        for n in 0..100 {
            duplex.feed(vec![n]).await.unwrap();
        }
        duplex.flush().await.unwrap();
    });
    peer.expect_heart();
    for n in 0..100 {
        peer.expect_data(&[n]);
    }
    peer.send(&data(b"back"));
    rig.expect(|event| matches!(event, Event::Data(data) if data == b"back"));
    rig.block_on(async |duplex| {
        duplex.feed(b"last".to_vec()).await.unwrap();
        duplex.close().await.unwrap();
        // It is closed for good.
        assert!(matches!(duplex.send(b"late".to_vec()).await, Err(SendError::Closed(_))));
    });
    peer.expect_data(b"last");
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    rig.expect(|event| matches!(event, Event::Offline { reason: Reason::Shutdown, .. }));
    rig.expect(|event| matches!(event, Event::Closed));
    assert!(rig.block_on(async |duplex| duplex.next().await).is_none());
}

#[test]
fn a_server_that_does_not_read_holds_the_sink_up_and_nothing_is_lost() {
    let (mut rig, _server, mut peer) = Stream::online(|config| config);
    let count = rig.block_on(async |duplex| fill(duplex, 60_000).await);
    assert!(count > 4, "{count}");
    // Neither flushed nor ready, until it reads.
    let flushed =
        rig.block_on(async |duplex| tokio::time::timeout(ms(100), duplex.flush()).await.is_ok());
    assert!(!flushed);
    let reader = std::thread::spawn(move || {
        peer.expect_heart();
        for _ in 0..count {
            peer.expect_data(&[5; 60_000]);
        }
        peer
    });
    rig.block_on(async |duplex| duplex.flush().await.unwrap());
    let mut peer = reader.join().unwrap();
    rig.block_on(async |duplex| duplex.send(b"next".to_vec()).await.unwrap());
    peer.expect_data(b"next");
}

/// The flush that nobody polls any more would stand before every later message.
#[test]
fn a_flush_that_was_given_up_holds_up_nothing() {
    let (mut rig, _server, mut peer) = Stream::online(|config| config);
    rig.block_on(async |duplex| {
        // Until the kernel takes no more.
        while let Ok(sent) =
            tokio::time::timeout(ms(300), duplex.client().send(vec![5; 60_000])).await
        {
            sent.unwrap();
        }
        poll_fn(|cx| {
            assert!(Pin::new(&mut *duplex).poll_flush(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    });
    let reader = std::thread::spawn(move || {
        peer.expect_heart();
        loop {
            match peer.next() {
                Got::Data(body) if body == b"after" => return,
                Got::Data(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    rig.block_on(async |duplex| duplex.feed(b"after".to_vec()).await.unwrap());
    rig.block_on(async |duplex| duplex.flush().await.unwrap());
    reader.join().unwrap();
}

#[test]
fn refused_items_come_back_and_the_sink_goes_on() {
    let (mut rig, server, peer) = Stream::online(|config| config.retry(fixed(ms(100))));
    drop(peer);
    rig.expect(|event| matches!(event, Event::Offline { .. }));
    match rig.block_on(async |duplex| duplex.send(b"news".to_vec()).await) {
        Err(SendError::NotConnected(data)) => assert_eq!(data, b"news"),
        other => panic!("{other:?}"),
    }
    let mut peer = server.accept();
    rig.expect(|event| matches!(event, Event::Waiting { .. }));
    rig.expect(|event| matches!(event, Event::Connecting { .. }));
    rig.expect(|event| matches!(event, Event::Online { .. }));
    match rig.block_on(async |duplex| duplex.send(vec![0; 1 << 20]).await) {
        Err(SendError::TooLong { data, .. }) => assert_eq!(data.len(), 1 << 20),
        other => panic!("{other:?}"),
    }
    rig.block_on(async |duplex| duplex.send(b"fresh".to_vec()).await.unwrap());
    peer.expect_heart();
    peer.expect_data(b"fresh");
}

#[test]
fn an_item_that_waits_when_the_connection_is_lost_comes_back() {
    let (mut rig, _server, peer) = Stream::online(|config| config.retry(fixed(ms(1_000_000))));
    rig.block_on(async |duplex| fill(duplex, 60_000).await);
    peer.reset();
    rig.expect(|event| matches!(event, Event::Offline { .. }));
    match rig.block_on(async |duplex| duplex.flush().await) {
        Err(SendError::NotConnected(data)) => assert_eq!(data, [5; 60_000]),
        other => panic!("{other:?}"),
    }
    rig.block_on(async |duplex| duplex.flush().await.unwrap());
}

#[test]
fn queued_items_wait_for_the_next_connection() {
    let queue = WhileDisconnected::Queue;
    let (mut rig, server, peer) = Stream::online(|config| config.while_disconnected(queue));
    drop(peer);
    rig.expect(|event| matches!(event, Event::Offline { .. }));
    rig.block_on(async |duplex| duplex.feed(b"kept".to_vec()).await.unwrap());
    let reader = std::thread::spawn(move || {
        let mut peer = server.accept();
        peer.expect_heart();
        peer.expect_data(b"kept");
    });
    rig.block_on(async |duplex| duplex.flush().await.unwrap());
    reader.join().unwrap();
}

#[test]
fn it_can_be_spawned() {
    fn is_send<T: Future + Send>(_: T) {}
    let (client, events) = Stream::start(Listener::new().config()).duplex.into_parts();
    is_send(async move {
        let (mut client, mut events) = (client, events);
        let _ = client.feed(Vec::new()).await;
        events.next().await
    });
}
