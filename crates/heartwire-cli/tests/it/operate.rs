//! What is in `operate/`: the alerts and the dashboard, with a real Prometheus that reads a real
//! server.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use heartwire_testkit::{Lines, PATIENCE, Process, skip, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Client, Server};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../operate")
}

fn is_installed(program: &str) -> bool {
    let version =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_here = version.is_ok_and(|status| status.success());
    if !is_here {
        skip(&format!("{program} is not installed (Debian: prometheus)"));
    }
    is_here
}

/// Runs it in the folder, with some standard input.
fn promtool(args: &[&str], input: &str) -> Output {
    let mut promtool = Command::new("promtool");
    promtool.args(args).current_dir(folder()).stdin(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn expect_good(output: &Output) {
    let says = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{}{}", says[0], says[1]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    if is_installed("promtool") {
        expect_good(&promtool(&["check", "config", "prometheus.yml"], ""));
        expect_good(&promtool(&["test", "rules", "heartwire.rules.test.yml"], ""));
    }
}

#[test]
fn prometheus_reads_a_server_and_every_rule_and_panel_finds_its_metrics() {
    if !is_installed("prometheus") || !is_installed("promtool") {
        return;
    }
    let server = Server::start_plain(&["--http", "127.0.0.1:0"]);
    let http = server.event("listening").text("http").to_owned();
    let http = http.trim_start_matches("http://").to_owned();
    let client = Client::start_plain(server.addr, &["--interval", "200ms", "--timeout", "60s"]);
    client.event("online");

    let http_at = http.parse().unwrap();
    let mut metrics = String::new();
    wait_until("it has looked at its resources", || {
        metrics = get(http_at, "/metrics");
        metrics.contains("\nheartwire_server_resource_used{")
    });
    expect_good(&promtool(&["check", "metrics"], &in_the_older_format(&metrics)));
    expect_known(&metrics);

    let prometheus = Prometheus::start(&http);
    let up = "up{job=\"heartwire\"} == 1";
    wait_until("the server is up", || !prometheus.query(up).is_empty());
    // Rates need two samples. What no session has done yet is a number, too.
    for expr in expressions() {
        wait_until(&expr, || !prometheus.query(&expr).is_empty());
    }
    wait_until("every rule has been evaluated", || {
        let rules = prometheus.rules();
        rules.len() == alerts() && rules.iter().all(|rule| rule["health"] != "unknown")
    });
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["state"], "inactive", "nothing is wrong: {rule}");
    }
}

/// A Prometheus with our rules, which reads a server every 200 ms.
struct Prometheus {
    at: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    #[track_caller]
    fn start(target: &str) -> Self {
        let home = TempDir::new().unwrap();
        let config = fs::read_to_string(folder().join("prometheus.yml")).unwrap();
        let config = config.replace("127.0.0.1:39080", target).replace(": 15s", ": 200ms");
        fs::write(home.path().join("prometheus.yml"), config).unwrap();
        let rules = "heartwire.rules.yml";
        fs::copy(folder().join(rules), home.path().join(rules)).unwrap();
        let mut prometheus = Command::new("prometheus");
        prometheus
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process::spawn(&mut prometheus);
        let log = Lines::of(process.0.stderr.take().unwrap());
        let line = log.line("msg=\"Listening on\"").text;
        let at = line.split_once("address=").unwrap().1.trim().parse().unwrap();
        log.line("Server is ready");
        Self { at, _process: process, _folder: home }
    }

    /// What an expression finds now. An error fails the test.
    #[track_caller]
    fn query(&self, expr: &str) -> Vec<Value> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expr)));
        let Value::Array(found) = &answer["data"]["result"] else { panic!("{expr}: {answer}") };
        found.clone()
    }

    #[track_caller]
    fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
    }

    #[track_caller]
    fn ask(&self, path: &str) -> Value {
        serde_json::from_str(&get(self.at, path)).unwrap()
    }
}

/// The body of an answer.
#[track_caller]
fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The text format of Prometheus, which is the only one that `promtool check metrics` reads: there
/// a name has its suffix from the start, and there is no `info`.
fn in_the_older_format(metrics: &str) -> String {
    let kinds = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let suffixes: Vec<_> = kinds
        .filter_map(|(name, kind)| match kind {
            "counter" => Some((name, "_total")),
            "info" => Some((name, "_info")),
            _ => None,
        })
        .collect();
    let mut text = String::new();
    for line in metrics.lines().filter(|line| *line != "# EOF") {
        let suffix = suffixes.iter().find(|(name, _)| {
            [format!("# TYPE {name} "), format!("# HELP {name} ")]
                .iter()
                .any(|start| line.starts_with(start))
        });
        let line = match suffix {
            Some((name, suffix)) => line.replacen(name, &format!("{name}{suffix}"), 1),
            None => line.to_owned(),
        };
        text.push_str(&line.replace(" info", " gauge"));
        text.push('\n');
    }
    text
}

/// The expressions of the dashboard, for all servers.
fn expressions() -> Vec<String> {
    let text = fs::read_to_string(folder().join("grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let exprs: Vec<_> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .map(|expr| expr.replace("$instance", ".*").replace("$__rate_interval", "1m"))
        .collect();
    assert!(exprs.len() > 20 && exprs.iter().all(|expr| !expr.contains('$')), "{exprs:?}");
    exprs
}

fn rules_file() -> String {
    fs::read_to_string(folder().join("heartwire.rules.yml")).unwrap()
}

fn alerts() -> usize {
    rules_file().matches("- alert: ").count()
}

/// Every metric of the rules and of the dashboard is one that the server has.
#[track_caller]
fn expect_known(metrics: &str) {
    let samples: BTreeSet<_> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let text = format!("{}\n{}", rules_file(), expressions().join("\n"));
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let is_metric = |word: &&str| word.starts_with("heartwire_") || word.starts_with("process_");
    let mut count = 0;
    for word in words.filter(is_metric) {
        assert!(samples.contains(word), "there is no metric {word}");
        count += 1;
    }
    assert!(count > 30, "{text}");
    // Each alert says what to do.
    for part in ["summary: ", "description: ", "severity: "] {
        assert_eq!(text.matches(part).count(), alerts(), "{part}");
    }
}
