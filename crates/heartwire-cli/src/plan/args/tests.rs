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
    parse(args).unwrap().ends.both().unwrap_or_else(|usage| panic!("{usage}"))
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
fn an_option_without_a_prefix_sets_both_ends() {
    let [client, server] = ends(&["--preset", "strict", "--keepalive", "3s,3s,3", "--limit=9s"]);
    for end in [client, server] {
        assert_eq!(end.policy.limit(), Some(secs(9)));
        assert_eq!(end.policy.beat(), Preset::Strict.policy(Side::Client).beat());
        assert_eq!(end.kernel.keepalive().unwrap().bound(), secs(12));
    }
}

#[test]
fn an_option_with_a_prefix_sets_one_end_and_wins() {
    let args = ["--beat", "3s", "--client-beat", "5s", "--server-limit", "40s"];
    let [client, server] = ends(&args);
    assert_eq!((client.policy.beat(), server.policy.beat()), (Some(secs(5)), Some(secs(3))));
    assert_eq!((client.policy.limit(), server.policy.limit()), (Some(secs(30)), Some(secs(40))));

    let [client, server] = ends(&["--client-preset", "reference", "--server-user-timeout", "7s"]);
    assert_eq!((client.policy.limit(), server.policy.limit()), (None, Some(secs(30))));
    assert_eq!(server.kernel.user_timeout(), Some(secs(7)));
    assert_eq!(client.kernel.user_timeout(), None);
}

#[test]
fn an_option_with_a_prefix_wins_over_its_contrary() {
    let [client, server] = ends(&["--beat", "3s", "--server-no-beat", "--server-echo"]);
    assert_eq!((client.policy.beat(), server.policy.beat()), (Some(secs(3)), None));
    assert!(server.policy.echo() && !client.policy.echo());
    let [client, server] = ends(&["--no-limit", "--client-limit", "40s"]);
    assert_eq!((client.policy.limit(), server.policy.limit()), (Some(secs(40)), None));
}

#[test]
fn contraries_for_one_end_are_refused_by_their_names() {
    let error = parse(&["--client-beat", "3s", "--client-no-beat"]).unwrap_err().to_string();
    assert!(error.contains("'--client-beat <TIME>' cannot be used with '--client-no-beat'"));
    assert!(parse(&["--client-beat", "3s", "--server-no-beat"]).is_ok());
    let error = parse(&["--server-beat", "3"]).unwrap_err().to_string();
    assert!(error.contains("'--server-beat <TIME>'"), "{error}");
}

#[test]
fn a_proposal_takes_no_settings() {
    for setting in ["--beat=3s", "--preset=usual", "--server-limit=9s", "--client-echo"] {
        let error = parse(&["--within", "9s", setting]).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{setting}: {error}");
    }
    assert!(parse(&["--within", "9s", "--rtt", "20ms", "--nat", "60s"]).is_ok());
}

#[test]
fn what_serve_and_connect_take_can_be_pasted() {
    let [client, server] = ends(&["--no-nodelay", "--echo", "--no-beat", "--peer-beat", "4s"]);
    assert_eq!(client.policy.peer_beat(), Some(secs(4)));
    assert!(server.policy.echo());
}
