//! The greatest age of a session, with many clients.

use core::time::Duration;
use std::collections::HashSet;

use heartwire::Reason;
use heartwire::server::Event;
use heartwire::supervisor::Supervisor;
use heartwire_testkit::{ServerRig, client_config, ms};

use super::config;

const CLIENTS: usize = 200;

#[test]
fn many_sessions_that_began_together_end_apart_and_all_their_clients_come_back() {
    let max_age = ms(4_000);
    let mut rig = ServerRig::start(config().max_age(max_age));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (supervisor, mut events) = Supervisor::new();
    runtime.spawn(async move { while events.recv().await.is_some() {} });
    let inside = runtime.enter();
    for n in 0..CLIENTS {
        supervisor.add(format!("client {n}"), client_config(rig.addr())).unwrap();
    }
    drop(inside);
    let (mut first, mut ended, mut online) = (HashSet::new(), Vec::new(), 0);
    while online < 2 * CLIENTS || ended.len() < CLIENTS {
        match rig.next() {
            Event::Online { id, .. } => {
                online += 1;
                if online <= CLIENTS {
                    first.insert(id);
                }
            }
            Event::Offline { id, reason, lasted, .. } => {
                assert_eq!(reason, Reason::MaxAge);
                if first.remove(&id) {
                    ended.push(lasted);
                }
            }
            other => panic!("{other}"),
        }
    }
    let soonest = ended.iter().min().unwrap();
    let spread = ended.iter().max().unwrap().saturating_sub(*soonest);
    assert!(*soonest >= max_age * 3 / 4, "{soonest:?}");
    // Less only if this process does not run for most of a second.
    assert!(spread >= Duration::from_millis(250), "{spread:?}");
    drop(supervisor);
    runtime.shutdown_background();
}
