use std::process::{Command, Stdio};
use std::time::Instant;

use heartwire_testkit::{Authority, Process, lasting_address, skip};

use super::receiver::{BUSY, Got, OK, Receiver, Reply};
use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn hook(receiver: &Receiver) -> Hook {
    Hook::http(&receiver.url(), None).unwrap()
}

fn hasty(receiver: &Receiver) -> Hook {
    hook(receiver).timeout(Duration::from_millis(300))
}

#[tokio::test]
async fn change_is_posted_as_json() {
    let receiver = Receiver::start([]).await;
    let mut rig = Rig::new(&hook(&receiver));
    rig.tell("door 3");
    rig.hooks.tell(&Passed::Replaced(session("door 3", 2)));
    let (session, reason) = (session("door 3", 2), "dead");
    let incident = Some("eu-1.7".into());
    rig.hooks.tell(&Passed::Offline { session, reason, incident });
    rig.hooks.tell_incident("incident", r#"{"incident":"eu-1.7","lost":3}"#);
    rig.wait_until_empty().await;
    let got = receiver.got();
    assert_eq!(got[0].head["request"], "POST /hook HTTP/1.1");
    assert_eq!(got[0].head["content-type"], "application/json");
    assert!(!got[0].head.contains_key("webhook-signature"));
    let mut changes = receiver.changes();
    changes.sort_by_key(|change| change["number"].as_u64().unwrap());
    let [online, offline, incident] = &changes[..] else { panic!("{changes:?}") };
    let number = online["number"].as_u64().unwrap();
    assert!(number > 1_764_000_000_000_000, "{number}");
    let text = format!(
        r#"{{"number":{number},"kind":"online","name":"door 3","epoch":1,"node":"eu-1.00000001",
            "session":"0-17-3","since":1,"peer":"192.0.2.7:4000"}}"#
    );
    assert_eq!(online, &serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!((&offline["kind"], &offline["reason"]), (&"offline".into(), &"dead".into()));
    assert_eq!((&offline["epoch"], &offline["incident"]), (&2.into(), &"eu-1.7".into()));
    assert_eq!((&incident["kind"], &incident["lost"]), (&"incident".into(), &3.into()));
}

#[tokio::test]
async fn receiver_that_fails_in_every_way_misses_nothing_and_gets_each_name_in_order() {
    let receiver = Receiver::start([]).await;
    let mut rig = Rig::new(&hasty(&receiver));
    let mut rng = fastrand::Rng::with_seed(17);
    let ways = [
        BUSY,
        Reply::Hang,
        Reply::Close,
        Reply::Break,
        Reply::Garbage,
        Reply::Slow,
        Reply::Endless,
        Reply::Status("301 Moved Permanently\r\nlocation: /elsewhere\r\n"),
        Reply::Status("429 Too Many Requests\r\nretry-after: 0\r\n"),
    ];
    let mut told: HashMap<String, Vec<u64>> = HashMap::new();
    for round in 0..40 {
        if round < 35 {
            receiver.usually(ways[rng.usize(..ways.len())].clone());
        }
        for _ in 0..100 {
            let name = format!("client {}", rng.u32(..50));
            rig.tell(&name);
            told.entry(name).or_default().push(rig.told);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    receiver.usually(OK);
    let status = rig.wait_until_empty().await;
    assert_eq!((status.delivered, status.dead), (4_000, 0));
    assert!(status.retries > 10, "{status:?}");
    assert_eq!(taken(&receiver.changes()), told);
    assert!(receiver.got().iter().all(|got| got.head["request"].contains("/hook")));
    assert!(matches!(rig.events()[0], HookEvent::Failing { .. }), "{:?}", rig.events());
    rig.wait_for_event(|event| matches!(event, HookEvent::Works { .. })).await;
}

#[tokio::test]
async fn answer_counts_only_if_it_is_whole_and_from_200_to_299() {
    for (reply, retries) in [
        (OK, 0),
        (Reply::Status("299 Fine\r\n"), 0),
        (Reply::Slow, 0),
        (Reply::Endless, 0),
        (Reply::Status("300 Multiple Choices\r\nlocation: /elsewhere\r\n"), 1),
        (Reply::Status("302 Found\r\nlocation: /elsewhere\r\n"), 1),
        (Reply::Status("404 Not Found\r\n"), 1),
        (BUSY, 1),
        (Reply::Close, 1),
        (Reply::Break, 1),
        (Reply::Garbage, 1),
    ] {
        let receiver = Receiver::start([reply.clone()]).await;
        let mut rig = Rig::new(&hook(&receiver));
        rig.tell("a");
        let status = rig.wait_until_empty().await;
        assert_eq!((status.delivered, status.retries), (1, retries), "{reply:?}");
    }
}

#[tokio::test]
async fn receiver_that_is_away_gets_everything_when_it_is_back() {
    let address = lasting_address();
    let mut rig = Rig::new(&Hook::http(&format!("http://{address}/hook"), None).unwrap());
    for _ in 0..300 {
        rig.tell("a");
        rig.tell("b");
    }
    let refused = rig.wait_for_event(|event| matches!(event, HookEvent::Failing { .. })).await;
    assert!(format!("{refused:?}").contains("Connection refused"), "{refused:?}");
    assert!(rig.hooks.status().is_failing);
    let receiver = Receiver::bind(address, []).await;
    let status = rig.wait_until_empty().await;
    assert!(!status.is_failing, "{status:?}");
    let all: usize = taken(&receiver.changes()).values().map(Vec::len).sum();
    assert_eq!(all, 600);
    // No failed try is a change that came twice here.
    assert_eq!(receiver.changes().len(), 600);
}

#[tokio::test]
async fn connections_are_used_again() {
    let receiver = Receiver::start([]).await;
    let mut rig = Rig::new(&hook(&receiver));
    for _ in 0..50 {
        for name in 0..20 {
            rig.tell(&name.to_string());
        }
        rig.wait_until_empty().await;
    }
    assert!(rig.hooks.status().tries >= 50);
    // A connection is also made while one becomes free.
    assert!(receiver.connections() <= 2 * item::LANES, "{}", receiver.connections());
}

#[tokio::test]
async fn signature_is_verified_by_another_implementation() {
    let receiver = Receiver::start([BUSY]).await;
    let secret = Secret::new(SECRET).unwrap();
    let mut rig = Rig::new(&Hook::http(&receiver.url(), Some(secret)).unwrap());
    rig.tell("Zoë \"of\" \\ the\u{1f6aa}");
    rig.wait_until_empty().await;
    let got = receiver.got();
    let [first, second] = &got[..] else { panic!("{got:?}") };
    assert_eq!(first.head["webhook-id"], second.head["webhook-id"]);
    assert_eq!(first.body, second.body);
    let Some(expected) = signature_by_python(second) else { return };
    assert_eq!(second.head["webhook-signature"], expected);
}

/// What Python's `hmac` makes of a request.
fn signature_by_python(got: &Got) -> Option<String> {
    let script = "import base64, hashlib, hmac, sys\n\
        key = base64.b64decode(sys.argv[1].removeprefix('whsec_'))\n\
        mac = hmac.new(key, sys.stdin.buffer.read(), hashlib.sha256)\n\
        print('v1,' + base64.b64encode(mac.digest()).decode())";
    let mut python = Command::new("python3");
    python.args(["-c", script, SECRET]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut python) = python.spawn() else {
        skip("python3 is not installed");
        return None;
    };
    let (id, timestamp) = (&got.head["webhook-id"], &got.head["webhook-timestamp"]);
    let mut stdin = python.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, format!("{id}.{timestamp}.{}", got.body).as_bytes())
        .unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

#[tokio::test]
async fn example_in_the_documentation_takes_signed_changes_and_drops_old_ones() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hooks.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let example = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let address = lasting_address();
    let mut python = Command::new("python3");
    python.args(["-c", example]).env("HOOK_SECRET", SECRET);
    python.env("HOOK_PORT", address.port().to_string());
    let python = python.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut python) = python.map(Process) else { return skip("python3 is not installed") };

    let url = format!("http://{address}/hook");
    let hook = |secret| Hook::http(&url, Some(Secret::new(secret).unwrap())).unwrap();
    let unauthorized = |event: &HookEvent| format!("{event:?}").contains("401 Unauthorized");
    loop {
        let mut rig = Rig::new(&hook("not the receiver's secret"));
        rig.tell("door 3");
        let event = rig.wait_for_event(|event| matches!(event, HookEvent::Failing { .. })).await;
        // It fails otherwise until the receiver is there.
        if unauthorized(&event) {
            break;
        }
    }

    let mut rig = Rig::new(&hook(SECRET));
    rig.tell("door 3");
    rig.hooks.tell_incident("incident", r#"{"incident":"eu-1.7"}"#);
    rig.wait_until_empty().await;
    let session = session("door 3", 1);
    rig.hooks.tell(&Passed::Offline { session, reason: "dead", incident: None });
    assert_eq!(rig.wait_until_empty().await.delivered, 3);
    let _ = python.0.kill();
    let mut output = String::new();
    let mut stdout = python.0.stdout.take().unwrap();
    std::io::Read::read_to_string(&mut stdout, &mut output).unwrap();
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["incident None", "offline door 3", "online door 3"]);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let busy = Reply::Status("503 Service Unavailable\r\nretry-after: 1\r\n");
    let receiver = Receiver::start([busy]).await;
    let mut rig = Rig::new(&hook(&receiver));
    let asked_at = Instant::now();
    rig.tell("a");
    rig.wait_until_empty().await;
    assert!(asked_at.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn change_that_is_not_taken_is_given_up_and_the_next_is_tried() {
    let receiver = Receiver::start([]).await;
    receiver.usually(Reply::Status("400 Bad Request\r\n"));
    let mut rig = Rig::new(&hook(&receiver).give_up(Duration::from_millis(1)));
    for _ in 0..150 {
        rig.tell("a");
    }
    let dead = rig.wait_for_event(|event| matches!(event, HookEvent::DeadLetters { .. })).await;
    assert!(format!("{dead:?}").contains("answered 400 Bad Request"), "{dead:?}");
    receiver.usually(OK);
    rig.wait_until_empty().await;
    rig.tell("a");
    let status = rig.wait_until_empty().await;
    assert!(status.dead >= 1 && status.delivered >= 1, "{status:?}");
    assert_eq!(status.dead + status.delivered, 151);
}

#[tokio::test]
async fn queue_in_memory_is_bounded() {
    let receiver = Receiver::start([]).await;
    receiver.usually(Reply::Hang);
    let mut rig = Rig::new(&hook(&receiver));
    for number in 0..70_000 {
        rig.tell(&(number % 1_000).to_string());
    }
    let status = rig.hooks.status();
    assert!(status.queued <= 65_536 + item::LANES * 100, "{status:?}");
    assert_eq!(status.dead + u64::try_from(status.queued).unwrap(), 70_000);
    assert!(status.dead > 3_000, "{status:?}");
}

#[tokio::test]
async fn close_waits_for_what_is_under_way_and_gives_up_the_rest() {
    let receiver = Receiver::start([]).await;
    let mut rig = Rig::new(&hook(&receiver));
    for _ in 0..1_000 {
        rig.tell("a");
    }
    rig.hooks.close(PATIENCE).await;
    assert_eq!(receiver.changes().len(), 1_000);
    assert_eq!(*rig.events.lock().unwrap(), []);

    receiver.usually(Reply::Hang);
    let mut rig = Rig::new(&hook(&receiver));
    for _ in 0..1_000 {
        rig.tell("a");
    }
    rig.hooks.close(Duration::from_millis(1)).await;
    let error = "the server ended".into();
    assert_eq!(*rig.events.lock().unwrap(), [HookEvent::DeadLetters { count: 1_000, error }]);
}

#[tokio::test]
async fn certificate_must_be_of_a_trusted_ca() {
    let authority = Authority::new();
    let receiver = tls_receiver(&authority).await;
    let url = format!("https://localhost:{}/hook", receiver.port());
    let hook = Hook::http(&url, None).unwrap();

    let mut stranger = Rig::new(&hook.clone().ca_file(Authority::new().roots()));
    stranger.tell("a");
    let failing = stranger.wait_for_event(|event| matches!(event, HookEvent::Failing { .. })).await;
    assert!(format!("{failing:?}").contains("invalid peer certificate"), "{failing:?}");

    let mut rig = Rig::new(&hook.ca_file(authority.roots()));
    rig.tell("a");
    assert_eq!(rig.wait_until_empty().await.delivered, 1);
}

/// Answers requests over TLS with 200.
async fn tls_receiver(authority: &Authority) -> core::net::SocketAddr {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let files = authority.issue(&["localhost"]);
    let chain = CertificateDer::pem_file_iter(files.certificate).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
    let provider = rustls::crypto::ring::default_provider().into();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("localhost:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).is_ok_and(|len| len > 0) {
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).unwrap();
                stream.flush().unwrap();
            }
        }
    });
    address
}

#[test]
fn url_is_of_http_and_holds_no_password() {
    for good in ["http://localhost:8080/hook", "https://[::1]/", "https://example.org"] {
        assert!(Hook::http(good, None).is_ok(), "{good}");
    }
    for bad in ["", "example.org/hook", "ftp://example.org", "https://", "/hook", "http://a b/"] {
        assert!(matches!(Hook::http(bad, None), Err(HookError::BadUrl { .. })), "{bad}");
    }
    let error = Hook::http("https://me:word@example.org", None).unwrap_err();
    assert!(error.to_string().contains("use a secret"), "{error}");
}

#[test]
fn debug_shows_neither_the_secret_nor_the_path() {
    let hook = Hook::http("https://example.org/T0K3N", Some(Secret::new(SECRET).unwrap()));
    let shown = format!("{hook:?}");
    assert!(shown.contains("example.org") && shown.contains("is_signed: true"), "{shown}");
    assert!(!shown.contains("T0K3N") && !shown.contains("MfKQ9"), "{shown}");
}

#[tokio::test]
async fn file_of_cas_is_read_at_the_start() {
    let hook = Hook::http("https://localhost/", None).unwrap().ca_file("/nowhere/roots.pem");
    let node = NodeId::new(&"eu-1".parse().unwrap(), 1);
    let error = MemoryHooks::start(&hook, node, |_| ()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/roots.pem"), "{error}");
}
