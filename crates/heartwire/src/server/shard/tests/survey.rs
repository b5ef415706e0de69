//! Listings and counts of many sessions, in slices.

use core::pin::pin;
use core::time::Duration;
use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use heartwire_testkit::{Got, hello, hello_as, idle, ms, policy, timeout};
use tokio::time::{Instant, sleep};

use super::{v0, v1};
use crate::server::rig::Rig;
use crate::server::{Event, Heat, Page, Query, ServerConfig, SessionId, Sort};
use crate::toy::Toy;

/// Slots that a shard looks at in a turn, as the documentation of a query says: a few hundred.
const SLICE: usize = 256;

/// Awaits what a server's shards answer, and calls `meanwhile` after each of their turns. If no
/// shard has anything left to do, time passes.
async fn answered<T>(
    rig: &mut Rig,
    question: impl Future<Output = T>,
    mut meanwhile: impl FnMut(&mut Rig),
) -> T {
    let mut question = pin!(question);
    loop {
        if let Some(answer) = question.as_mut().now_or_never() {
            return answer;
        }
        if !rig.turn() {
            sleep(ms(10)).await;
        }
        meanwhile(rig);
    }
}

async fn query(rig: &mut Rig, query: Query) -> Page {
    let handle = rig.handle.clone();
    answered(rig, handle.query(query), |_| {}).await
}

fn ids(page: &Page) -> Vec<SessionId> {
    page.sessions.iter().map(|info| info.id).collect()
}

/// The nonce of the server's last beat.
fn last_nonce(client: &Toy) -> u64 {
    let got = client.got();
    let Some(Got::Beat(last)) = got.last() else { panic!("{got:?}") };
    last.nonce
}

/// So many clients, and their sessions.
fn crowd(rig: &mut Rig, count: usize) -> Vec<(Toy, SessionId)> {
    let clients: Vec<Toy> = (0..count).map(|_| rig.door.connect()).collect();
    rig.run();
    // Each shard reports its own; their ports are in the order in which they came.
    let online = clients.iter().map(|_| {
        let event = rig.next();
        let Event::Online { id, peer, .. } = event else { panic!("{event:?}") };
        (peer.port(), id)
    });
    let mut online: Vec<_> = online.collect();
    online.sort_unstable_by_key(|&(port, _)| port);
    clients.into_iter().zip(online.into_iter().map(|(_, id)| id)).collect()
}

/// Room for sessions that all come from one address, at once.
fn crowded(config: ServerConfig) -> ServerConfig {
    let admission = crate::server::limits::Admission::default();
    config.admission(admission.accept_rate(None).accept_rate_per_address(None))
}

/// In each of its turns others go and come: a session that is there all the time is on one page.
#[tokio::test(start_paused = true)]
async fn thousands_of_sessions_are_listed_over_many_turns_while_others_come_and_go() {
    const ALL: usize = 3_000;
    let mut rig = Rig::start(crowded(v0().threads(2)));
    let mut stable = BTreeSet::new();
    let mut others = Vec::new();
    for (number, (client, id)) in crowd(&mut rig, ALL).into_iter().enumerate() {
        if number % 3 == 0 {
            others.push(client);
        } else {
            assert!(stable.insert(id));
        }
    }
    let turns = rig.turns(0) + rig.turns(1);
    let handle = rig.handle.clone();
    let (mut listed, mut pages, mut next) = (Vec::new(), 0, None);
    loop {
        let query = Query::new().limit(700);
        let query = next.map_or(query.clone(), |next| query.after(next));
        let page = answered(&mut rig, handle.query(query), |rig| {
            let other = others.swap_remove(others.len() / 2);
            other.close();
            others.push(rig.door.connect());
        });
        let page = page.await;
        assert!(page.missing.is_empty() && page.sessions.len() <= 700, "{}", page.sessions.len());
        listed.extend(ids(&page));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let turns = rig.turns(0) + rig.turns(1) - turns;
    assert!(pages >= 5 && turns >= ALL / SLICE, "{pages} pages, {turns} turns");
    let found: BTreeSet<SessionId> = listed.iter().copied().collect();
    assert_eq!(found.len(), listed.len(), "one is listed twice");
    assert_eq!(stable.difference(&found).count(), 0);
    let places: Vec<u32> = listed.iter().map(|id| id.place()).collect();
    assert!(places.is_sorted(), "by shard and slot");
}

#[tokio::test(start_paused = true)]
async fn a_turn_looks_at_a_few_hundred_sessions_at_most() {
    let mut rig = Rig::start(crowded(v0()));
    let clients = crowd(&mut rig, 4 * SLICE + 1);
    let handle = rig.handle.clone();
    for turns in 0..2 {
        // The same for a list, and for what looks at all and keeps one.
        let before = rig.turns(0);
        if turns == 0 {
            let list = answered(&mut rig, handle.list(), |_| {}).await;
            assert_eq!(list.len(), clients.len());
        } else {
            let oldest = Query::new().sort(Sort::Age).limit(1);
            assert_eq!(ids(&query(&mut rig, oldest).await), [clients[0].1]);
        }
        assert_eq!(rig.turns(0) - before, 5);
    }
    // What is not waited for any more costs no turns of its own.
    let (before, mut heat) = (rig.turns(0), Box::pin(handle.heat()));
    assert_eq!(heat.as_mut().now_or_never(), None);
    drop(heat);
    rig.run();
    assert_eq!(rig.turns(0) - before, 1);
    // A page costs what is on it.
    let before = rig.turns(0);
    let after = clients[3 * SLICE].1;
    let page = query(&mut rig, Query::new().after(after).limit(2)).await;
    assert_eq!(ids(&page), [1, 2].map(|more| clients[3 * SLICE + more].1));
    assert_eq!((page.next, rig.turns(0) - before), (Some(page.sessions[1].id), 1));
}

#[tokio::test(start_paused = true)]
async fn each_order_has_its_first_sessions() {
    let mut rig = Rig::start(v0().threads(2).policy(timeout(60_000)));
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.extend(crowd(&mut rig, 1));
        rig.pass(ms(10));
    }
    for beats in [4, 1, 3] {
        clients[beats].0.beat();
        rig.pass(ms(10));
    }
    for (number, len) in [(2, 9), (5, 5), (0, 7)] {
        clients[number].0.state().room = 0;
        rig.handle.send(clients[number].1, &vec![0; len]).unwrap();
    }
    rig.run();
    let first = |order: [usize; 3]| order.map(|number| clients[number].1).to_vec();
    for (sort, order) in [
        (Sort::Silence, first([0, 2, 5])),
        (Sort::Due, first([0, 2, 5])),
        (Sort::Age, first([0, 1, 2])),
        (Sort::Queued, first([2, 0, 5])),
    ] {
        let page = query(&mut rig, Query::new().sort(sort).limit(3)).await;
        assert_eq!(ids(&page), order, "{sort:?}");
        assert_eq!((page.next, page.missing), (None, vec![]));
    }
    // One with fewer, in the order of shards and slots.
    let mut all: Vec<SessionId> = clients.iter().map(|&(_, id)| id).collect();
    all.sort_unstable_by_key(|id| id.place());
    assert_eq!(ids(&query(&mut rig, Query::new()).await), all);
}

#[tokio::test(start_paused = true)]
async fn the_slowest_path_comes_first_and_one_that_is_not_known_last() {
    let mut rig = Rig::start(v1().policy(policy(100, 60_000)));
    let mut sessions = Vec::new();
    for rtt in [None, Some(20), Some(50), Some(30)] {
        let (client, id) = rig.welcomed(&hello());
        client.got();
        rig.pass(ms(100));
        let nonce = last_nonce(&client);
        if let Some(rtt) = rtt {
            rig.pass(ms(rtt));
            client.beat_with(|beat| (beat.echo, beat.nonce) = (nonce, 1));
            rig.run();
        }
        sessions.push(id);
    }
    let page = query(&mut rig, Query::new().sort(Sort::RoundTrip)).await;
    assert_eq!(ids(&page), [2, 3, 1, 0].map(|number| sessions[number]));
}

#[tokio::test(start_paused = true)]
async fn a_query_can_ask_for_a_name_and_for_one_session() {
    let mut rig = Rig::start(v1().threads(2));
    let names = ["alice", "bob", "malice", "carol"];
    let clients: Vec<_> = names.map(|name| rig.welcomed(&hello_as(name, None))).into();
    let page = query(&mut rig, Query::new().name("lic").sort(Sort::Age)).await;
    assert_eq!(ids(&page), [clients[0].1, clients[2].1]);
    assert_eq!(page.sessions[1].name.as_deref(), Some("malice"));
    assert!(query(&mut rig, Query::new().away(true)).await.sessions.is_empty());
    assert_eq!(query(&mut rig, Query::new().away(false)).await.sessions.len(), 4);

    let handle = rig.handle.clone();
    let (gone, id) = &clients[1];
    let bob = answered(&mut rig, handle.session(*id), |_| {}).await;
    assert_eq!(bob.and_then(|info| info.name).as_deref(), Some("bob"));
    gone.close();
    rig.run();
    rig.offline(*id);
    assert_eq!(answered(&mut rig, handle.session(*id), |_| {}).await, None);
    let [_, (_, next)] = [(); 2].map(|()| rig.welcomed(&hello()));
    assert_eq!((next.place(), next == *id), (id.place(), false));
    assert_eq!(answered(&mut rig, handle.session(*id), |_| {}).await, None);
}

/// Beats that wait in the kernel are not known to the shard. It asks where one is due.
#[tokio::test(start_paused = true)]
async fn a_silence_is_true_where_beats_wait_in_the_kernel() {
    let mut rig = Rig::start(v1().policy(timeout(60_000)).coalesce(1_000));
    let (client, _) = rig.welcomed(&hello());
    let (silent, _) = rig.welcomed(&hello());
    client.beat_with(|beat| beat.promise_ms = 1_000);
    silent.beat_with(|beat| beat.promise_ms = 1_000);
    rig.run();
    // As far as the shard has read it before a beat of its own, to two jiffies and a millisecond.
    let is = |silence: Duration, truth| (ms(truth - 9)..=ms(truth)).contains(&silence);
    // Before a beat is due the kernel is not asked, which would take a second here.
    rig.pass(ms(950));
    client.state().held_up_asking = ms(1_000);
    let page = query(&mut rig, Query::new()).await;
    assert!(is(page.sessions[0].silence, 950), "{page:?}");
    client.state().held_up_asking = ms(0);
    rig.pass(ms(450));
    client.beat_with(|beat| beat.promise_ms = 1_000);
    for (passes, truth) in [(100, 100), (150, 250), (1_000, 1_250)] {
        rig.pass(ms(passes));
        let page = query(&mut rig, Query::new()).await;
        let [info, silent] = &page.sessions[..] else { panic!("{page:?}") };
        assert!(is(info.silence, truth), "{page:?}");
        assert!(is(silent.silence, 1_400 + truth), "{page:?}");
        assert_eq!(info.due, ms(60_000).checked_sub(info.silence));
    }
    // By what the shard knows both are equally silent.
    for sort in [Sort::Silence, Sort::Due] {
        let page = query(&mut rig, Query::new().sort(sort).limit(1)).await;
        assert!(is(page.sessions[0].silence, 2_650), "{page:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_hangs_is_named_after_a_second_and_its_sessions_are_missing() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut rig = Rig::start(v0().threads(3));
    let clients = crowd(&mut rig, 6);
    rig.stand_still(1, true);
    for sort in [Sort::Id, Sort::Age] {
        let asked_at = Instant::now();
        let page = query(&mut rig, Query::new().sort(sort)).await;
        // By id the last one is asked when the one before is given up.
        assert_eq!((page.missing, page.sessions.len()), (vec![1], 4), "{sort:?}");
        assert_eq!(asked_at.elapsed(), SECOND);
    }
    let handle = rig.handle.clone();
    let asked_at = Instant::now();
    let heat = answered(&mut rig, handle.heat(), |_| {}).await;
    assert_eq!((heat.missing, asked_at.elapsed()), (vec![1], SECOND));
    let hung = clients.iter().find(|(_, id)| id.shard() == 1).unwrap().1;
    assert_eq!(answered(&mut rig, handle.session(hung), |_| {}).await, None);

    rig.stand_still(1, false);
    rig.run();
    assert!(query(&mut rig, Query::new()).await.missing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn surveys_that_are_too_many_are_not_made_and_others_are() {
    const MOST: usize = 64;
    let mut rig = Rig::start(crowded(v0()));
    let clients = crowd(&mut rig, 2 * SLICE);
    let handle = rig.handle.clone();
    let mut all: Vec<_> = (0..=MOST).map(|_| Box::pin(handle.heat())).collect();
    all.iter_mut().for_each(|heat| assert_eq!(heat.now_or_never(), None));
    // The first two have been given up before they begin, and take no place.
    let left = all.split_off(2);
    drop(all);
    rig.run();
    for heat in left {
        let heat = heat.await;
        assert_eq!((heat.missing, heat.without_timeout), (vec![], 0));
        assert_eq!(heat.counts[0], [0; 11].into_iter().chain([512]).collect::<Vec<_>>()[..]);
    }
    let mut all: Vec<_> = (0..=MOST).map(|_| Box::pin(handle.heat())).collect();
    all.iter_mut().for_each(|heat| assert_eq!(heat.now_or_never(), None));
    rig.run();
    let last = all.pop().unwrap().await;
    assert_eq!(last.missing, [0]);
    for heat in all {
        assert!(heat.await.missing.is_empty());
    }
    drop(clients);
}

#[tokio::test(start_paused = true)]
async fn a_heat_counts_sessions_by_their_silence_and_their_round_trip() {
    let mut rig = Rig::start(v1().policy(policy(100, 1_000)));
    let (client, _) = rig.welcomed(&hello());
    let (_silent, _) = rig.welcomed(&hello());
    client.got();
    rig.pass(ms(100));
    let nonce = last_nonce(&client);
    rig.pass(ms(40));
    client.beat_with(|beat| (beat.echo, beat.nonce) = (nonce, 1));
    rig.pass(ms(300));
    let handle = rig.handle.clone();
    let page = query(&mut rig, Query::new()).await;
    let rtt = page.sessions[0].link_state.unwrap().rtt.unwrap();
    let timeout = page.sessions[0].timeout.unwrap();
    let heat = answered(&mut rig, handle.heat(), |_| {}).await;
    let mut expected = Heat::default();
    // Its edge belongs to the lower one.
    let row = |silence: u32| usize::try_from((silence * 10).div_ceil(millis(timeout)) - 1).unwrap();
    let column = Heat::ROUND_TRIPS.iter().position(|&edge| rtt <= edge).unwrap();
    expected.counts[row(300)][column] = 1;
    expected.counts[row(440)][Heat::COLUMNS - 1] = 1;
    assert_eq!(heat, expected);
}

fn millis(time: Duration) -> u32 {
    time.as_millis().try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_heat_has_sessions_without_a_timeout_apart() {
    let mut rig = Rig::start(v0().policy(idle()));
    crowd(&mut rig, 3);
    let handle = rig.handle.clone();
    let heat = answered(&mut rig, handle.heat(), |_| {}).await;
    assert_eq!(heat, Heat { without_timeout: 3, ..Heat::default() });
}

/// Shards that have shut down have no sessions, which is no lack.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_shut_down_answers_at_once() {
    let mut rig = Rig::start(v0().threads(2).drain(ms(0)));
    crowd(&mut rig, 2);
    let handle = rig.handle.clone();
    let mut waits = pin!(handle.heat());
    assert_eq!(waits.as_mut().now_or_never(), None);
    handle.shutdown();
    rig.run();
    rig.end_last_shard();
    rig.end_last_shard();
    assert!(waits.await.missing.is_empty());
    assert_eq!(handle.heat().now_or_never(), Some(Heat::default()));
    let page = handle.query(Query::new()).now_or_never().unwrap();
    assert_eq!((page.sessions.len(), page.missing), (0, vec![]));
}
