use clap::{CommandFactory, Parser};
use heartwire::Preset;

use super::*;
use crate::args::Cli;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn parse(args: &[&str]) -> Result<PlanArgs, clap::Error> {
    let words = ["heartwire", "plan"].iter().chain(args);
    let crate::args::Command::Plan(args) = Cli::try_parse_from(words)?.command else {
        panic!("{args:?}")
    };
    Ok(args)
}

#[track_caller]
fn ends(args: &[&str]) -> [End; 2] {
    parse(args).unwrap().ends().unwrap_or_else(|usage| panic!("{usage}"))
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn both_ends_have_the_default_preset() {
    for (end, side) in ends(&[]).into_iter().zip([Side::Client, Side::Server]) {
        assert_eq!(end, End::new(Preset::Usual.policy(side)));
    }
}

#[test]
fn an_option_by_itself_sets_both_ends() {
    let [client, server] = ends(&["--preset", "strict", "--keepalive", "3s,3s,3", "--limit=9s"]);
    for end in [client, server] {
        assert_eq!(end.policy.limit(), Some(secs(9)));
        assert_eq!(end.policy.beat(), Preset::Strict.policy(Side::Client).beat());
        assert_eq!(end.kernel.keepalive().unwrap().bound(), secs(12));
    }
}

#[test]
fn the_options_of_one_end_replace_those_for_both() {
    let [client, server] = ends(&["--beat", "3s", "--client", "--limit 40s --user-timeout 50s"]);
    assert_eq!((client.policy.beat(), server.policy.beat()), (Some(secs(10)), Some(secs(3))));
    assert_eq!((client.policy.limit(), server.policy.limit()), (Some(secs(40)), Some(secs(30))));
    assert_eq!(client.kernel.user_timeout(), Some(secs(50)));
    assert_eq!(server.kernel.user_timeout(), None);

    let args = ["--client", "--preset reference", "--server=--no-beat --echo"];
    let [client, server] = ends(&args);
    assert_eq!((client.policy.limit(), server.policy.limit()), (None, Some(secs(30))));
    assert!(server.policy.echo() && !client.policy.echo());
    assert!(!parse(&args).unwrap().is_v1().unwrap());
}

#[test]
fn what_is_wrong_with_one_end_is_said_with_its_name() {
    let error = parse(&["--client", "--beat 3s --no-beat"]).unwrap_err().to_string();
    assert!(error.contains("for '--client <OPTIONS>'"), "{error}");
    assert!(error.contains("'--beat <TIME>' cannot be used with '--no-beat'"), "{error}");
    assert!(!error.contains("Usage: "), "{error}");
    let error = parse(&["--server", "--listen 1"]).unwrap_err().to_string();
    assert!(error.contains("for '--server <OPTIONS>'") && error.contains("--listen"), "{error}");
    let Usage(error) = parse(&["--server", "--beat 5s --limit 6s"]).unwrap().ends().unwrap_err();
    assert!(error.starts_with("--server: a limit of 6s"), "{error}");
    let Usage(error) = parse(&["--beat=5s", "--limit=6s"]).unwrap().ends().unwrap_err();
    assert!(error.starts_with("a limit of 6s"), "{error}");
}

#[test]
fn both_ends_speak_one_wire() {
    let is_v1 = |args: &[&str]| parse(args).unwrap().is_v1().ok();
    assert_eq!(is_v1(&[]), Some(true));
    assert_eq!(is_v1(&["--client", "--wire v0"]), Some(false));
    assert_eq!(
        is_v1(&["--wire", "v0", "--client", "--beat 3s", "--server", "--no-beat"]),
        Some(false)
    );
    assert_eq!(is_v1(&["--wire", "v1", "--client", "--wire v0"]), None);
}

#[test]
fn a_proposal_takes_no_settings() {
    for option in OneEnd::command().get_arguments() {
        let id = option.get_id().as_str();
        assert!(id == "wire" || SETTINGS.contains(&id), "{id}");
    }
    for setting in ["--beat=3s", "--preset=usual", "--server=--limit 9s", "--keepalive=3s,3s,3"] {
        let error = parse(&["--within", "9s", setting]).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{setting}: {error}");
    }
    assert!(parse(&["--within", "9s", "--rtt", "20ms", "--nat", "60s", "--wire", "v1"]).is_ok());
}

#[test]
fn what_serve_and_connect_take_can_be_pasted() {
    let [client, server] = ends(&["--no-nodelay", "--echo", "--no-beat", "--peer-beat", "4s"]);
    assert_eq!(client.policy.peer_beat(), Some(secs(4)));
    assert!(server.policy.echo());
}
