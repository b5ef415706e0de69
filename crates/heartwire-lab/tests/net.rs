//! The network lab as a program: what it leaves behind, and whether it notices a program that lies.
//!
//! Most of these need what the lab needs. Where that is missing they say that they were skipped.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use heartwire_testkit::{Process, skip, wait_until};
use rustix::process::Signal;
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

/// The least that makes a cell.
const ONE_CELL: [&str; 4] = ["--only", "client-closes", "--detector", "none"];

#[test]
fn every_fault_and_every_detector_is_listed() {
    let listed = run(&["--list"]);
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).unwrap();
    for name in ["server-frozen", "gone-unacked", "nat-expiry", "keepalive-tuned", "everything"] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
}

#[test]
fn a_fault_that_does_not_exist_is_refused() {
    let refused = run(&["--only", "earthquake"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("invalid value 'earthquake'"), "{said}");
}

#[test]
fn without_the_right_to_make_namespaces_the_simulator_runs_alone() {
    // The lab asks for the right only when it has the programs.
    if let Some(program) = needs(Command::new(LAB)).iter().find(|need| need.starts_with(PROGRAM)) {
        return skip(&format!("the lab needs {program}"));
    }
    let mut command = Command::new(LAB);
    if rustix::process::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", LAB]);
    }
    let [need] = &needs(command)[..] else { panic!("only the right is missing") };
    assert!(need.starts_with("the right to make network namespaces and rules in them"), "{need}");
}

/// How the lab names a program that it needs and does not find.
const PROGRAM: &str = "the program";

/// What the lab says that it needs and does not have, before it runs the simulator alone. Empty: it
/// has everything.
fn needs(mut command: Command) -> Vec<String> {
    command.arg("net").args(ONE_CELL).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut lab = Process::spawn(&mut command);
    let lines = BufReader::new(lab.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.contains("the network lab cannot run here"));
    let Some(_) = lines.next() else { return Vec::new() };
    let mut needs = Vec::new();
    for line in lines {
        match line.strip_prefix("  ") {
            Some(need) => needs.push(need.to_owned()),
            None => {
                assert!(line.contains("running the simulator alone"), "{line}");
                return needs;
            }
        }
    }
    panic!("it does not run the simulator: {needs:?}")
}

#[test]
fn the_leftovers_of_a_killed_run_are_removed_and_nothing_else() {
    if heartwire().is_none() {
        return;
    }
    // No process ever started so late.
    let leftover = format!("hwlab-{}-{}-0-client", std::process::id(), u64::MAX);
    let stranger = format!("web-{}-0", std::process::id());
    for name in [&leftover, &stranger] {
        assert!(ip(&["netns", "add", name]).status.success());
    }
    let sleep = ["netns", "exec", &leftover, "sleep", "600"];
    let mut sleeper = Process::spawn(Command::new("ip").args(sleep));
    // Another test's run may remove it before this one does.
    wait_until("it sleeps", || {
        let is_removed = !namespaces().contains(&leftover);
        is_removed || !ip(&["netns", "pids", &leftover]).stdout.is_empty()
    });

    let ran = run(&ONE_CELL);
    let namespaces = namespaces();
    ip(&["netns", "delete", &stranger]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!namespaces.contains(&leftover) && namespaces.contains(&stranger), "{namespaces:?}");
    assert!(!sleeper.0.wait().unwrap().success());
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_behind() {
    if heartwire().is_none() {
        return;
    }
    let mut lab = start_long_run();
    lab.signal(Signal::INT);
    // Without the signal it would go on for a minute, and end well.
    assert_eq!(lab.0.wait().unwrap().code(), Some(1));
    assert_eq!(namespaces_of(&lab.0), Vec::<String>::new());
}

#[test]
fn a_run_that_is_killed_takes_its_programs_with_it() {
    if heartwire().is_none() {
        return;
    }
    let mut lab = start_long_run();
    lab.signal(Signal::KILL);
    lab.0.wait().unwrap();
    // Another test may remove them before this one sees them.
    wait_until("its programs are gone", || {
        let names = namespaces_of(&lab.0);
        names.iter().all(|name| ip(&["netns", "pids", name]).stdout.is_empty())
    });
    assert!(run(&ONE_CELL).status.success());
    assert_eq!(namespaces_of(&lab.0), Vec::<String>::new());
}

#[test]
fn a_fault_is_found_as_planned() {
    if heartwire().is_none() {
        return;
    }
    let report = json(&["--only", "server-frozen", "--detector", "both-ways"]);
    assert_eq!(report["right"], true, "{report}");
    let client = &report["cells"][0]["client"];
    assert_eq!((&client["how"], &client["judgement"]), (&"silence".into(), &"inside".into()));
}

#[test]
fn a_program_that_judges_too_soon_is_noticed() {
    let Some(heartwire) = heartwire() else { return };
    let hasty = liar("hasty", heartwire, "--timeout=3000ms", "--timeout=2000ms");
    // At first once a beat, so that a fault right after a beat finds it out as well.
    let args = ["--only", "gone-idle", "--detector", "one-way", "--runs", "5", "--observe", "4s"];
    let report = json(&[args.as_slice(), &["--bin", text(&hasty)]].concat());
    assert_eq!(report["right"], false, "{report}");
    let cells = report["cells"].as_array().unwrap();
    assert!(cells.iter().any(|cell| cell["server"]["judgement"] == "EARLY"), "{report}");
}

#[test]
fn a_program_that_never_judges_is_noticed() {
    let Some(heartwire) = heartwire() else { return };
    let blind = liar("blind", heartwire, "--timeout=3000ms", "--timeout=off");
    let args = ["--only", "server-frozen", "--detector", "both-ways", "--observe", "4s"];
    let report = json(&[args.as_slice(), &["--bin", text(&blind)]].concat());
    assert_eq!(report["right"], false, "{report}");
    assert_eq!(report["cells"][0]["client"]["judgement"], "MISSED", "{report}");
}

#[test]
fn a_c_client_is_held_to_the_same_bounds_as_connect() {
    let Some(heartwire) = heartwire() else { return };
    let client = c_client("right", heartwire, 0);
    let args = ["--only", "server-frozen", "--detector", "asking,protocol-v1"];
    let report = json(&[args.as_slice(), &["--c-client", text(&client)]].concat());
    assert_eq!(report["right"], true, "{report}");
    let judged = |cells: &str| {
        let cells = report[cells].as_array().unwrap().iter();
        let judged = cells.map(|cell| (&cell["client"]["how"], &cell["client"]["bound_ms"]));
        judged.collect::<Vec<_>>()
    };
    assert_eq!(judged("c_cells").len(), 2, "{report}");
    assert_eq!(judged("c_cells"), judged("connect_cells"), "{report}");
}

#[test]
fn a_c_client_that_never_judges_is_noticed() {
    let Some(heartwire) = heartwire() else { return };
    let client = c_client("blind", heartwire, 60_000);
    let args = ["--only", "server-frozen", "--detector", "both-ways", "--observe", "4s"];
    let report = json(&[args.as_slice(), &["--c-client", text(&client)]].concat());
    assert_eq!(report["right"], false, "{report}");
    assert_eq!(report["connect_cells"][0]["client"]["judgement"], "inside", "{report}");
    assert_eq!(report["c_cells"][0]["client"]["judgement"], "MISSED", "{report}");
}

#[test]
fn the_section_of_the_c_client_needs_one() {
    if heartwire().is_none() {
        return;
    }
    for args in [&["--sections", "c"][..], &["--c-client", "/no/such/program"]] {
        let refused = run(args);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("--c-client") || said.contains("/no/such/program"), "{said}");
    }
}

#[test]
fn a_program_that_does_not_start_is_not_measured() {
    let Some(heartwire) = heartwire() else { return };
    let broken = liar("broken", heartwire, "--interval=off", "--no-such-flag");
    let args = ["--only", "gone-idle", "--detector", "none", "--bin", text(&broken)];
    let report = json(&args);
    assert_eq!(report["right"], false);
    let error = report["errors"][0].as_str().unwrap();
    assert!(error.contains("gone-idle with none") && error.contains("--no-such-flag"), "{error}");
}

#[test]
fn a_session_survives_every_kind_of_cut_and_loses_nothing() {
    let Some(report) = cuts(&["--bytes=7MiB", "--cuts=7"]) else { return };
    assert_eq!((&report["faults"], &report["survived"]), (&Value::Array(Vec::new()), &7.into()));
    assert!(report["client"]["away"].as_u64() >= Some(7), "{report}");
    assert_eq!(report["client"]["sent_sha256"], report["server"]["got_sha256"]);
}

#[test]
fn a_session_that_ends_with_its_connection_is_noticed_to_lose_something() {
    let Some(report) = cuts(&["--bytes=6MiB", "--cuts=3", "--only=nat-drop", "--no-resume"]) else {
        return;
    };
    let missing = |end: &str| report[end]["missing"].as_u64().unwrap();
    assert!(missing("client") + missing("server") > 0, "{report}");
    assert_ne!(report["faults"], Value::Array(Vec::new()));
}

/// What `cuts` reports. `None`: the lab cannot run here, and the test is skipped.
fn cuts(args: &[&str]) -> Option<Value> {
    let needs = needs(Command::new(LAB));
    if !needs.is_empty() {
        skip(&format!("the network lab needs {}", needs.join(", ")));
        return None;
    }
    let mut cuts = Command::new(LAB);
    let ran = cuts.args(["cuts", "--seed=1", "--format=json"]).args(args).output().unwrap();
    let report = serde_json::from_slice(&ran.stdout);
    let report: Value = report.unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr));
    });
    let is_right = report.get("faults") == Some(&Value::Array(Vec::new()));
    assert_eq!(ran.status.success(), is_right, "{report}");
    Some(report)
}

#[test]
fn connections_of_other_programs_survive_over_the_tunnel_and_not_without_it() {
    let Some(report) = tunnel(&["--faults=socket-killed"]) else { return };
    assert_eq!(report["right"], true, "{report}");
    let hows = report["records"].as_array().unwrap().iter().map(|record| {
        let [app, carrier, how] = ["app", "carrier", "how"].map(|field| record[field].as_str());
        (app.unwrap(), carrier.unwrap(), how.unwrap())
    });
    let expected = ["redis-monitor", "redis-pubsub"]
        .map(|app| [(app, "plain", "ended"), (app, "tunnel", "survived")]);
    assert_eq!(hows.collect::<Vec<_>>(), expected.concat(), "{report}");
}

#[test]
fn a_tunnel_that_gives_up_too_early_is_noticed() {
    let args = ["--faults=link-down", "--down=10s", "--grace=1s", "--carriers=tunnel"];
    let Some(report) = tunnel(&args) else { return };
    assert_eq!(report["right"], false, "{report}");
    for record in report["records"].as_array().unwrap() {
        assert_eq!(record["how"], "ended", "{report}");
    }
}

#[test]
fn programs_that_the_tunnel_experiment_does_not_find_are_named_with_their_packages() {
    let ran = Command::new(LAB).args(["tunnel", "--apps=mqtt"]).env("PATH", "").output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for need in
        ["mosquitto_sub (apt-get install mosquitto-clients)", "socat (apt-get install socat)"]
    {
        assert!(said.contains(need), "{said}");
    }
    assert!(!said.contains("postgresql"), "{said}");
}

/// What `tunnel` reports of Redis. `None`: it cannot run here, and the test is skipped.
fn tunnel(args: &[&str]) -> Option<Value> {
    heartwire()?;
    let mut tunnel = Command::new(LAB);
    tunnel.args(["tunnel", "--apps=redis-monitor,redis-pubsub", "--format=json"]);
    if !args.iter().any(|arg| arg.starts_with("--carriers")) {
        tunnel.arg("--carriers=plain,tunnel");
    }
    let ran = tunnel.args(args).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    if let Some((_, needs)) = said.split_once("this cannot run here; it needs:") {
        skip(&format!("the lab's tunnel needs {}", needs.trim()));
        return None;
    }
    let report: Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let is_right = report.get("right") == Some(&Value::Bool(true));
    assert_eq!(ran.status.success(), is_right, "{report}");
    Some(report)
}

/// The program under test. `None`: the lab cannot run here, and the test is skipped.
fn heartwire() -> Option<&'static Path> {
    static HEARTWIRE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = HEARTWIRE.get_or_init(find);
    found.as_deref().inspect_err(|why| skip(why)).ok()
}

fn find() -> Result<PathBuf, String> {
    let heartwire = Path::new(LAB).with_file_name("heartwire");
    if !heartwire.is_file() {
        return Err(format!("{} is not built", heartwire.display()));
    }
    let needs = needs(Command::new(LAB));
    if !needs.is_empty() {
        return Err(format!("the network lab needs {}", needs.join(", ")));
    }
    Ok(heartwire)
}

fn run(args: &[&str]) -> Output {
    Command::new(LAB).arg("net").args(args).output().unwrap()
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let ran = run(&[args, &["--format", "json"]].concat());
    serde_json::from_slice(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)))
}

/// A run whose programs are there, and that would go on for a minute.
#[track_caller]
fn start_long_run() -> Process {
    let args = ["net", "--only", "nothing", "--detector", "none", "--observe", "60s"];
    let mut command = Command::new(LAB);
    let lab = Process::spawn(command.args(args).stderr(Stdio::null()));
    wait_until("it runs", || {
        let has_programs = |name: &String| !ip(&["netns", "pids", name]).stdout.is_empty();
        namespaces_of(&lab.0).iter().filter(|name| has_programs(name)).count() == 2
    });
    lab
}

/// A program like `heartwire` that hears another word for one of those it is told.
fn liar(name: &str, heartwire: &Path, word: &str, other: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("heartwire-{name}"));
    let lines = [
        "#!/bin/sh".to_owned(),
        "for word do".to_owned(),
        "  shift".to_owned(),
        format!("  [ \"$word\" != {word} ] || word={other}"),
        "  set -- \"$@\" \"$word\"".to_owned(),
        "done".to_owned(),
        format!("exec {} \"$@\"", heartwire.display()),
    ];
    fs::write(&script, lines.join("\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// `connect` behind the options of the C client, with a timeout that is so much longer than typed.
fn c_client(name: &str, heartwire: &Path, longer_ms: u32) -> PathBuf {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-client-{name}"));
    let lines = [
        "#!/bin/sh",
        "version=v1 echo= interval= timeout=",
        "while getopts 10i:t:e option; do",
        "  case $option in",
        "  0) version=v0 ;;",
        "  e) echo=--echo ;;",
        "  i) [ $OPTARG = 0 ] && interval=off || interval=${OPTARG}ms ;;",
        &format!("  t) [ $OPTARG = 0 ] && timeout=off || timeout=$((OPTARG + {longer_ms}))ms ;;"),
        "  esac",
        "done",
        "shift $((OPTIND - 1))",
        &format!("exec {} connect --format json --retry never \\", heartwire.display()),
        "  --protocol $version $echo --interval $interval --timeout $timeout $1:$2",
    ];
    fs::write(&script, lines.join("\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().unwrap()
}

fn namespaces() -> Vec<String> {
    let listed = String::from_utf8(ip(&["netns", "list"]).stdout).unwrap();
    listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn namespaces_of(lab: &Child) -> Vec<String> {
    let prefix = format!("hwlab-{}-", lab.id());
    namespaces().into_iter().filter(|name| name.starts_with(&prefix)).collect()
}
