//! Logs and metrics of a client.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and says so of whatever it did not expect"
)]

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use heartwire::client::{Client, ClientConfig, Event, Resume, V1};
use heartwire::metrics::{self, Kind};
use heartwire::server::{self, Server, ServerConfig};
use heartwire::supervisor::Supervisor;
use heartwire_testkit::{PATIENCE, Proxy, fixed, ms, policy, timeout};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tracing_subscriber::fmt::MakeWriter;

/// The tests run one at a time: what a thread without a subscriber does first can be taken for what
/// nothing listens to, at the moment at which another thread begins to listen.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does all that a client does in a test on this thread, where its recorder and its subscriber are.
fn on_this_thread<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let within = async { tokio::time::timeout(PATIENCE, life).await };
    runtime.block_on(within).expect("took too long")
}

/// A server of protocol v0 that beats twice and then hangs, and again for each of `times`. It
/// refuses those who come once the last has.
fn hanging(times: usize) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut listener = Some(listener);
        for left in (0..times).rev() {
            let mut stream = listener.as_ref().unwrap().accept().unwrap().0;
            if left == 0 {
                listener = None;
            }
            stream.write_all(&[0; 16]).unwrap();
            // Until the client gives up on it.
            while stream.read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
        }
    });
    (address, thread)
}

fn config(address: SocketAddr) -> ClientConfig {
    ClientConfig::new(address.to_string()).v0().policy(timeout(100)).reconnect(fixed(ms(1)))
}

/// What was reported: a counter's or gauge's value, and of a histogram how often.
struct Reported(BTreeMap<String, f64>);

impl Reported {
    #[expect(clippy::as_conversions, reason = "the counts of a test fit")]
    fn of(snapshotter: &Snapshotter) -> Self {
        let mut all = BTreeMap::new();
        for (key, _unit, _help, value) in snapshotter.snapshot().into_vec() {
            let (kind, key) = key.into_parts();
            // Nothing is reported that has no description, or another one.
            let described = metrics::ALL.iter().find(|metric| metric.name == key.name());
            let described = described.expect("it is described");
            let same = match described.kind {
                Kind::Counter => MetricKind::Counter,
                Kind::Gauge => MetricKind::Gauge,
                _ => MetricKind::Histogram,
            };
            assert_eq!(kind, same, "{key}");
            let mut labels: Vec<_> = key.labels().map(|l| (l.key(), l.value())).collect();
            labels.sort_unstable();
            let mut keys = described.labels.to_vec();
            keys.sort_unstable();
            assert_eq!(labels.iter().map(|label| label.0).collect::<Vec<_>>(), keys, "{key}");
            let values: Vec<_> = labels.iter().map(|label| label.1).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.0,
                DebugValue::Histogram(values) => values.len() as f64,
            };
            all.insert(format!("{} {}", key.name(), values.join(" ")), value);
        }
        Self(all)
    }

    #[track_caller]
    fn expect(&self, name: &str, labels: &str, value: f64) {
        let found = self.0.get(&format!("{name} {labels}"));
        let off = (found.unwrap_or_else(|| panic!("{name} {labels}: {:?}", self.0)) - value).abs();
        assert!(off < 0.001, "{name} {labels}: {found:?}");
    }
}

#[test]
fn a_clients_life_is_counted() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let (address, server) = hanging(3);
    ::metrics::with_local_recorder(&recorder, || {
        metrics::describe();
        on_this_thread(async {
            let (supervisor, mut events) = Supervisor::new();
            supervisor.add("hall", config(address)).unwrap();
            let mut dead = 0;
            while dead < 3 {
                if let Some((_, Event::Offline { reason, .. })) = events.recv().await {
                    assert_eq!(reason.name(), "dead");
                    dead += 1;
                }
            }
            // Nobody listens any more.
            while !matches!(events.recv().await, Some((_, Event::Failed { .. }))) {}
            supervisor.remove("hall");
            while !matches!(events.recv().await, Some((_, Event::Closed))) {}
        });
    });
    server.join().unwrap();
    let reported = Reported::of(&snapshotter);
    reported.expect(metrics::CLIENT_CONNECTIONS, "hall", 3.0);
    reported.expect(metrics::CLIENT_ENDS, "hall dead", 3.0);
    reported.expect(metrics::CLIENT_VERDICT_LATE, "hall", 3.0);
    reported.expect(metrics::CLIENT_BEATS, "hall", 6.0);
    reported.expect(metrics::CLIENT_ONLINE, "hall", 0.0);
    reported.expect(metrics::CLIENT_UNSENT, "hall", 0.0);
    assert!(reported.0.contains_key("heartwire_client_failures_total hall"));
    assert!(reported.0.contains_key("heartwire_client_attempts_total hall"));
}

#[test]
fn session_that_is_resumed_is_counted() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let server = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1);
    let (server, mut on_server) =
        Server::start_with_events(server.resume(server::Resume::new())).unwrap();
    let proxy = Proxy::plain(server.local_addrs()[0]);
    let config = ClientConfig::new(proxy.addr.to_string()).resume(Resume::default());
    ::metrics::with_local_recorder(&recorder, || {
        on_this_thread(async {
            let (supervisor, mut events) = Supervisor::new();
            let client = supervisor.add("hall", config).unwrap();
            let mut names = Vec::new();
            while let Some((_, event)) = events.recv().await {
                names.push(event.name());
                match event {
                    // The server keeps the session once it has had a beat, which comes before.
                    Event::Online { .. } => {
                        client.send(vec![1]).await.unwrap();
                        while !matches!(on_server.recv().await, Some(server::Event::Data { .. })) {}
                        proxy.hang_up();
                    }
                    Event::Back { .. } => client.close(),
                    Event::Closed => break,
                    _ => {}
                }
            }
            assert!(names.ends_with(&["back", "offline", "closed"]), "{names:?}");
        });
    });
    let reported = Reported::of(&snapshotter);
    reported.expect(metrics::CLIENT_CONNECTIONS, "hall", 1.0);
    reported.expect(metrics::CLIENT_AWAY, "hall", 1.0);
    reported.expect(metrics::CLIENT_BACK, "hall", 1.0);
    reported.expect(metrics::CLIENT_UNDELIVERED, "hall", 0.0);
    reported.expect(metrics::CLIENT_ENDS, "hall shutdown", 1.0);
}

#[test]
fn a_client_that_is_online_is_one_and_measures_its_round_trip() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let policy = policy(20, 10_000);
    let server = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1).policy(policy);
    let (server, events) = Server::start_with_events(server).unwrap();
    let target = server.local_addrs().first().unwrap().to_string();
    let online = ::metrics::with_local_recorder(&recorder, || {
        on_this_thread(async {
            let (client, mut events) = Client::start(ClientConfig::new(&target).policy(policy));
            while !matches!(events.recv().await, Some(Event::Online { .. })) {}
            while client.link_state().is_none_or(|path| path.rtt.is_none()) {
                tokio::time::sleep(ms(5)).await;
            }
            let online = Reported::of(&snapshotter);
            client.close();
            while events.recv().await.is_some() {}
            online
        })
    });
    online.expect(metrics::CLIENT_ONLINE, &target, 1.0);
    let trips = online.0.get(&format!("heartwire_client_round_trip_seconds {target}"));
    assert!(trips.is_some_and(|&trips| trips >= 1.0), "{:?}", online.0);
    Reported::of(&snapshotter).expect(metrics::CLIENT_ONLINE, &target, 0.0);
    drop((server, events));
}

/// A log in memory.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn log_lines_name_their_client_and_session() {
    let _alone = alone();
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(log.clone());
    let (server, events) =
        Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = *server.local_addrs().first().unwrap();
    tracing::subscriber::with_default(subscriber.finish(), || {
        on_this_thread(async {
            let (supervisor, mut events) = Supervisor::new();
            let config = ClientConfig::new(address.to_string())
                .v1(V1::default().name("bob").token("secret"));
            let client = supervisor.add("hall", config).unwrap();
            while let Some((_, event)) = events.recv().await {
                match event {
                    Event::Online { .. } => client.close(),
                    Event::Closed => break,
                    _ => {}
                }
            }
        });
    });
    drop((server, events));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let client = format!(r#"client{{target="{address}" connection="hall" name="bob"}}"#);
    #[track_caller]
    fn line<'a>(log: &'a str, event: &str) -> &'a str {
        let mut lines = log.lines().filter(|line| line.contains(&format!("event=\"{event}\"")));
        lines.next().unwrap_or_else(|| panic!("no {event} in:\n{log}"))
    }
    for event in ["connecting", "online", "offline", "closed"] {
        let line = line(&log, event);
        assert!(line.trim_start().starts_with("INFO") && line.contains(&client), "{line}");
    }
    let session = format!("session{{peer={address} session=");
    for event in ["online", "offline"] {
        let line = line(&log, event);
        assert!(line.contains(&session), "{line}");
    }
    assert!(!line(&log, "closed").contains("session{"), "it is over");
    assert!(!log.contains("secret"), "{log}");
}

#[cfg(all(unix, feature = "tls"))]
#[test]
fn a_warning_is_logged_when_every_user_can_read_the_tokens_or_the_key_that_are_reloaded() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use heartwire::server::auth::Tokens;
    use heartwire::tls::ServerTls;
    use heartwire_testkit::Authority;

    let _alone = alone();
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let tokens = authority.write("tokens", "GRZmXBAWuWwFk3TtVYoX");
    let set = |mode| {
        for path in [&tokens, &files.key] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(log.clone());
    tracing::subscriber::with_default(subscriber.finish(), || {
        set(0o640);
        let shared = Tokens::from_file(&tokens).unwrap();
        let tls = ServerTls::new(&files.certificate, &files.key).load().unwrap();
        assert!(log.0.lock().unwrap().is_empty());
        set(0o644);
        shared.reload(&tokens).unwrap();
        tls.reload().unwrap();
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    let files = [("the tokens", &tokens), ("the private key of the certificate", &files.key)];
    for (line, (what, path)) in lines.iter().zip(files) {
        assert!(line.trim_start().starts_with("WARN"), "{line}");
        let end = format!("every user of this machine can read {what} path={}", path.display());
        assert!(line.ends_with(&end), "{line}");
    }
}
