//! The client as a stream of events and a sink of messages. What the sink does while there is no
//! room or no connection is tested by stepping (`src/client/sink/tests.rs`).

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Reason;
use heartwire::client::{Duplex, Event, Resume, SendError};
use heartwire::server::{self, Control, ServerConfig};
use heartwire_testkit::{End, Listener, PATIENCE, ServerRig, client_config, data, patient};
use tokio::runtime::Builder;

/// The next event, pauses of a busy machine apart.
async fn next(duplex: &mut Duplex) -> Option<Event> {
    loop {
        match tokio::time::timeout(PATIENCE, duplex.next()).await.expect("an event comes") {
            Some(Event::Paused(_)) => {}
            event => return event,
        }
    }
}

#[test]
fn items_go_out_in_order_and_events_come_in() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Listener::new();
        let mut duplex = Duplex::start(server.config());
        let mut peer = server.accept();
        assert!(matches!(next(&mut duplex).await, Some(Event::Connecting { .. })));
        assert!(matches!(next(&mut duplex).await, Some(Event::Online { .. })));
        for n in 0..100 {
            duplex.feed(vec![n; 10_000]).await.unwrap();
        }
        duplex.flush().await.unwrap();
        peer.expect_heart();
        (0..100).for_each(|n| peer.expect_data(&[n; 10_000]));
        peer.send(&data(b"back"));
        assert!(matches!(next(&mut duplex).await, Some(Event::Data(data)) if data == b"back"));
        duplex.feed(b"last".to_vec()).await.unwrap();
        duplex.close().await.unwrap();
        peer.expect_data(b"last");
        assert_eq!(peer.expect_end(), End::Closed);
        drop(peer);
        let end = next(&mut duplex).await;
        assert!(matches!(end, Some(Event::Offline { reason: Reason::Shutdown, .. })), "{end:?}");
        assert!(matches!(next(&mut duplex).await, Some(Event::Closed)));
        assert!(next(&mut duplex).await.is_none());
    });
}

/// As for the other forms of a client.
#[test]
fn session_that_both_ends_have_ended_ends_the_stream() {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1).policy(patient());
    let server = ServerRig::acting(
        config.resume(server::Resume::new()),
        |event: &server::Event<&[u8]>, control: &mut Control<'_>| match event {
            server::Event::Data { id, data } => control.send(*id, data).unwrap(),
            server::Event::Ended { id } => control.end(*id).unwrap(),
            _ => {}
        },
    );
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = client_config(server.addr()).resume(Resume::default());
        let mut duplex = Duplex::start(config);
        assert!(matches!(next(&mut duplex).await, Some(Event::Connecting { .. })));
        assert!(matches!(next(&mut duplex).await, Some(Event::Online { .. })));
        duplex.feed(b"last".to_vec()).await.unwrap();
        assert!(duplex.client().end());
        let refused = duplex.send(b"more".to_vec()).await;
        assert!(matches!(refused, Err(SendError::Ended(data)) if data == b"more"));
        assert!(matches!(next(&mut duplex).await, Some(Event::Data(data)) if data == b"last"));
        assert!(matches!(next(&mut duplex).await, Some(Event::Ended)));
        let end = next(&mut duplex).await;
        assert!(matches!(end, Some(Event::Offline { reason: Reason::Done, .. })), "{end:?}");
        assert!(matches!(next(&mut duplex).await, Some(Event::Closed)));
        assert!(next(&mut duplex).await.is_none());
        let refused = duplex.send(b"more".to_vec()).await;
        assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
        duplex.close().await.unwrap();
    });
}
