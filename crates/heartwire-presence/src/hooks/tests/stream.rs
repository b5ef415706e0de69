use std::thread;

use heartwire_testkit::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::receiver::{BUSY, OK, Receiver, Reply};
use super::*;
use crate::hooks::stream::MAX_READ;

/// Long enough for a busy machine not to lose it, as a rule: then changes come again.
const LEASE: Duration = Duration::from_secs(3);

/// A real Redis, and what was put into its stream.
struct World {
    redis: RedisServer,
    connection: MultiplexedConnection,
    told: HashMap<String, Vec<u64>>,
    number: u64,
}

impl World {
    async fn start() -> Option<Self> {
        let redis = RedisServer::start(&[])?;
        let connection = connect(&redis).await;
        Some(Self { redis, connection, told: HashMap::new(), number: 1_000 })
    }

    /// Puts this many changes of twenty names into the stream.
    async fn tell(&mut self, count: usize) {
        let mut pipe = redis::pipe();
        for index in 0..count {
            self.number += 1;
            let (name, epoch) = (format!("client {}", index % 20), self.number);
            let detail = format!(r#"{{"name":"{name}","epoch":{epoch},"node":"eu-1.00000001"}}"#);
            let entry = ["k", "online", "n", &self.number.to_string(), "d", &detail];
            pipe.cmd("XADD").arg("{hw}:ev").arg("*").arg(&entry).ignore();
            self.told.entry(name).or_default().push(epoch);
        }
        pipe.exec_async(&mut self.connection).await.unwrap();
    }

    /// What was told until now is not expected any more.
    fn forget(&mut self) {
        self.told.clear();
    }

    async fn expect_all(&self, receiver: &Receiver) {
        let expected: usize = self.told.values().map(Vec::len).sum();
        let mut seen = 0;
        // Looking at all of them takes long: only when there are more, and enough.
        let mut is_all = || {
            let count = receiver.count();
            let is_new = count >= expected && core::mem::replace(&mut seen, count) != count;
            is_new && taken(&receiver.changes()) == self.told
        };
        wait_until("all changes, in order for each name", || is_all().then_some(())).await;
    }

    fn rig(&self, hook: &Hook) -> StreamRig {
        StreamRig::start(&self.redis.url(), hook)
    }

    /// Starts one that has the lease.
    async fn active(&self, hook: &Hook) -> StreamRig {
        let rig = self.rig(hook);
        rig.wait_until_active().await;
        rig
    }
}

async fn connect(redis: &RedisServer) -> MultiplexedConnection {
    crate::store::connect(&redis.url().parse().unwrap(), PATIENCE).await.unwrap()
}

/// A dispatcher, and what it told.
struct StreamRig {
    hooks: StreamHooks,
    events: Arc<Mutex<Vec<HookEvent>>>,
}

impl StreamRig {
    fn start(url: &str, hook: &Hook) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&events);
        let tell = move |event| keep.lock().unwrap().push(event);
        let node = "eu-1".parse().unwrap();
        let address = url.parse().unwrap();
        Self { hooks: StreamHooks::start(hook, address, &node, LEASE, tell).unwrap(), events }
    }

    async fn wait_until_active(&self) {
        wait_until("it is active", || self.hooks.status().is_active.then_some(())).await;
    }

    async fn wait_for_event(&self, is_it: impl Fn(&HookEvent) -> bool) -> HookEvent {
        let find = || self.events.lock().unwrap().iter().find(|event| is_it(event)).cloned();
        wait_until("an event", find).await
    }
}

fn hook(receiver: &Receiver) -> Hook {
    Hook::http(&receiver.url(), None).unwrap()
}

#[tokio::test]
async fn cursor_follows_what_was_taken_and_the_next_dispatcher_goes_on_from_there() {
    let Some(mut world) = World::start().await else { return };
    // What was before the first dispatcher is not told.
    world.tell(10).await;
    world.forget();
    let receiver = Receiver::start([]).await;
    let rig = world.active(&hook(&receiver)).await;
    world.tell(2_000).await;
    world.expect_all(&receiver).await;
    rig.hooks.close(PATIENCE).await;
    let last = world.redis.ask(&["XREVRANGE", "{hw}:ev", "+", "-", "COUNT", "1"]);
    let at = world.redis.ask(&["HGET", "{hw}:hooks", "at"]);
    assert!(last.starts_with(&at), "{at}: {last}");

    let before = receiver.count();
    // It need not wait for the lease of one that was closed.
    let rig = world.active(&hook(&receiver)).await;
    world.tell(1).await;
    world.expect_all(&receiver).await;
    // More than once if Redis was slow.
    assert!((1..100).contains(&(receiver.count() - before)), "{}", receiver.count() - before);
    let delivered = || rig.hooks.status().delivered;
    wait_until("the answer is read", || (delivered() > 0).then_some(())).await;
}

#[tokio::test]
async fn incident_is_told_as_it_was_written() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    let _rig = world.active(&hook(&receiver)).await;
    let mut tell = redis::cmd("XADD");
    tell.arg("{hw}:ev").arg("*").arg(&["k", "incident_over", "n", "7", "d", r#"{"gone":3}"#]);
    tell.exec_async(&mut world.connection).await.unwrap();
    let changes = wait_until("it comes", || Some(receiver.changes()).filter(|c| !c.is_empty()));
    let expected = r#"[{"number":7,"kind":"incident_over","gone":3}]"#;
    assert_eq!(changes.await.len(), 1);
    assert_eq!(receiver.got()[0].body, format!(r#"{{"changes":{expected}}}"#));
}

#[tokio::test]
async fn dispatchers_that_die_one_after_the_other_leave_nothing_out() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    receiver.usually(Reply::Slow);
    let mut rig = world.active(&hook(&receiver)).await;
    for round in 1..=3 {
        world.tell(3_000).await;
        let some = round * 3_000 - 2_000;
        wait_until("some", || (receiver.count() > some).then_some(())).await;
        // As if it was killed: it says nothing more to Redis.
        drop(rig);
        rig = world.active(&hook(&receiver)).await;
    }
    world.expect_all(&receiver).await;
}

#[tokio::test]
async fn second_dispatcher_waits_until_the_first_is_gone() {
    let Some(mut world) = World::start().await else { return };
    let (one, two) = (Receiver::start([]).await, Receiver::start([]).await);
    let first = world.active(&hook(&one)).await;
    let second = world.rig(&hook(&two));
    world.tell(1_000).await;
    world.expect_all(&one).await;
    tokio::time::sleep(LEASE).await;
    world.tell(1_000).await;
    world.expect_all(&one).await;
    assert_eq!(two.got().len(), 0);
    assert!(!second.hooks.status().is_active);

    first.hooks.close(PATIENCE).await;
    world.forget();
    world.tell(1_000).await;
    world.expect_all(&two).await;
}

#[tokio::test]
async fn dispatcher_that_was_paused_for_longer_than_its_lease_begins_no_delivery() {
    let Some(mut world) = World::start().await else { return };
    let (one, two) = (Receiver::start([]).await, Receiver::start([]).await);
    one.usually(BUSY);
    let (url, paused_hook) = (world.redis.url(), hook(&one));
    let (pause, mut pauses) = mpsc::channel(1);
    let (started, start) = tokio::sync::oneshot::channel();
    // Its runtime has this one thread, so whatever blocks that pauses it.
    let thread = thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let rig = StreamRig::start(&url, &paused_hook);
            rig.wait_until_active().await;
            started.send(()).unwrap();
            let until: std::sync::mpsc::Receiver<()> = pauses.recv().await.unwrap();
            let _ = until.recv();
            wait_until("it notices", || (!rig.hooks.status().is_active).then_some(())).await;
            rig.hooks.status()
        })
    });
    start.await.unwrap();
    world.tell(1_000).await;
    wait_until("it tries", || (one.got().len() > 20).then_some(())).await;
    let (go_on, until) = std::sync::mpsc::channel();
    pause.send(until).await.unwrap();
    let second = world.active(&hook(&two)).await;
    world.expect_all(&two).await;
    let before = one.got().len();
    go_on.send(()).unwrap();
    wait_until("the first notices", || thread.is_finished().then_some(())).await;
    assert!(!thread.join().unwrap().is_failing);
    assert_eq!(one.got().len(), before);
    assert!(second.hooks.status().is_active);
}

#[tokio::test]
async fn redis_that_was_emptied_or_started_again_leaves_nothing_out() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    let _rig = world.active(&hook(&receiver)).await;
    world.tell(100).await;
    world.expect_all(&receiver).await;

    world.redis.ask(&["FLUSHALL"]);
    world.tell(100).await;
    world.expect_all(&receiver).await;

    world.redis.ask(&["SAVE"]);
    world.redis.kill();
    world.redis.start_again();
    world.connection = connect(&world.redis).await;
    world.tell(100).await;
    world.expect_all(&receiver).await;
}

#[tokio::test]
async fn stream_that_begins_before_the_cursor_is_a_new_one() {
    let Some(mut world) = World::start().await else { return };
    world.redis.ask(&["HSET", "{hw}:hooks", "at", "99999999999999-7"]);
    world.tell(100).await;
    let receiver = Receiver::start([]).await;
    let _rig = world.active(&hook(&receiver)).await;
    world.expect_all(&receiver).await;
}

#[tokio::test]
async fn changes_that_were_removed_before_they_were_read_are_missed_and_that_is_said() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    let rig = world.active(&hook(&receiver)).await;
    world.tell(5).await;
    world.expect_all(&receiver).await;
    assert_eq!(rig.hooks.status().trimmed, 0);
    rig.hooks.close(PATIENCE).await;

    world.tell(100).await;
    world.redis.ask(&["XTRIM", "{hw}:ev", "MAXLEN", "10"]);
    let rig = world.active(&hook(&receiver)).await;
    let event = rig.wait_for_event(|event| matches!(event, HookEvent::Trimmed { .. })).await;
    let HookEvent::Trimmed { after, until } = event else { panic!("{event:?}") };
    assert!(0 < after && after <= until, "{after} {until}");
    wait_until("the rest", || (receiver.count() >= 15).then_some(())).await;
    assert!(rig.hooks.status().trimmed > 0);
}

#[tokio::test]
async fn change_that_is_given_up_is_kept_in_redis() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    receiver.usually(Reply::Status("400 Bad Request\r\n"));
    let rig = world.active(&hook(&receiver).give_up(Duration::ZERO)).await;
    world.tell(1_200).await;
    world.redis.ask(&["XADD", "{hw}:ev", "*", "what", "is this"]);
    let length = || world.redis.ask(&["XLEN", "{hw}:dead"]).parse::<u32>().unwrap();
    wait_until("all are there", || (length() >= 1_201).then_some(())).await;
    assert!(rig.hooks.status().dead >= 1_201);
    let mut range = redis::cmd("XRANGE");
    range.arg("{hw}:dead").arg("-").arg("+");
    let dead: StreamRangeReply = range.query_async(&mut world.connection).await.unwrap();
    let error = |entry: &redis::streams::StreamId| entry.get::<String>("error").unwrap();
    let (bad, dead): (Vec<_>, _) = dead.ids.iter().partition(|id| error(id) == "not a change");
    assert!(!bad.is_empty());
    let changes = dead.iter().map(|entry| {
        assert_eq!(error(entry), "answered 400 Bad Request");
        serde_json::from_str(&entry.get::<String>("d").unwrap()).unwrap()
    });
    assert_eq!(taken(&changes.collect::<Vec<Value>>()), world.told);
    let at = || world.redis.ask(&["HGET", "{hw}:hooks", "at"]);
    let last = world.redis.ask(&["XREVRANGE", "{hw}:ev", "+", "-", "COUNT", "1"]);
    wait_until("the cursor has passed them", || last.starts_with(&at()).then_some(())).await;
}

#[tokio::test]
async fn memory_is_bounded_while_the_receiver_hangs() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    receiver.usually(Reply::Hang);
    let rig = world.active(&hook(&receiver).timeout(Duration::from_millis(500))).await;
    world.tell(15_000).await;
    let queued = || rig.hooks.status().queued;
    wait_until("it is full", || (queued() >= 10_000).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(queued() < 10_500, "{}", queued());
    receiver.usually(OK);
    world.expect_all(&receiver).await;
}

#[tokio::test]
async fn reading_past_a_delivery_that_fails_is_bounded() {
    let Some(mut world) = World::start().await else { return };
    let receiver = Receiver::start([]).await;
    receiver.refuse("incident");
    let rig = world.active(&hook(&receiver)).await;
    // It has a lane of its own: all others go on.
    world.redis.ask(&["XADD", "{hw}:ev", "*", "k", "incident", "n", "7", "d", r#"{"lost":3}"#]);
    world.tell(25_000).await;
    let (count, queued) = (|| receiver.count(), || rig.hooks.status().queued);
    let is_full = || (count() >= MAX_READ - 1 && queued() == 1).then_some(());
    wait_until("it has read as much as it does", is_full).await;
    // Long enough for Redis to be told what was delivered, which makes no room.
    tokio::time::sleep(LEASE / 3).await;
    let delivered: usize = taken(&receiver.changes()).values().map(Vec::len).sum();
    assert!(delivered < MAX_READ + 500, "{delivered}");
    receiver.refuse("nothing");
    wait_until("the rest", || (count() > 25_000).then_some(())).await;
}
