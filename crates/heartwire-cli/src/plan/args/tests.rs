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
        assert_eq!(end, End::new(Preset::Default.policy(side)));
    }
}

#[test]
fn an_option_by_itself_sets_both_ends() {
    let [client, server] = ends(&["--preset", "fast", "--keepalive", "3s,3s,3", "--timeout=9s"]);
    for end in [client, server] {
        assert_eq!(end.policy.timeout(), Some(secs(9)));
        assert_eq!(end.policy.interval(), Preset::Fast.policy(Side::Client).interval());
        assert_eq!(end.kernel.keepalive().unwrap().bound(), secs(12));
    }
}

#[test]
fn the_options_of_one_end_replace_those_for_both() {
    let [client, server] =
        ends(&["--interval", "3s", "--client", "--timeout 40s --user-timeout 50s"]);
    assert_eq!(
        (client.policy.interval(), server.policy.interval()),
        (Some(secs(10)), Some(secs(3)))
    );
    assert_eq!(
        (client.policy.timeout(), server.policy.timeout()),
        (Some(secs(40)), Some(secs(30)))
    );
    assert_eq!(client.kernel.user_timeout(), Some(secs(50)));
    assert_eq!(server.kernel.user_timeout(), None);

    let args = ["--client", "--preset tutorial", "--server=--interval=off --echo"];
    let [client, server] = ends(&args);
    assert_eq!((client.policy.timeout(), server.policy.timeout()), (None, Some(secs(30))));
    assert!(server.policy.echo() && !client.policy.echo());
    assert!(!parse(&args).unwrap().is_v1().unwrap());
}

#[test]
fn errors_of_one_end_name_the_end() {
    let error = parse(&["--client", "--interval 3s --interval off"]).unwrap_err().to_string();
    assert!(error.contains("for '--client <OPTIONS>'"), "{error}");
    assert!(error.contains("'--interval <TIME>' cannot be used multiple times"), "{error}");
    assert!(!error.contains("Usage: "), "{error}");
    let error = parse(&["--server", "--listen 1"]).unwrap_err().to_string();
    assert!(error.contains("for '--server <OPTIONS>'") && error.contains("--listen"), "{error}");
    let Usage(error) =
        parse(&["--server", "--interval 5s --timeout 6s"]).unwrap().ends().unwrap_err();
    assert!(error.starts_with("--server: a timeout of 6s"), "{error}");
    let Usage(error) = parse(&["--interval=5s", "--timeout=6s"]).unwrap().ends().unwrap_err();
    assert!(error.starts_with("a timeout of 6s"), "{error}");
}

#[test]
fn both_ends_speak_one_protocol() {
    let is_v1 = |args: &[&str]| parse(args).unwrap().is_v1().ok();
    assert_eq!(is_v1(&[]), Some(true));
    assert_eq!(is_v1(&["--client", "--protocol v0"]), Some(false));
    assert_eq!(
        is_v1(&["--protocol", "v0", "--client", "--interval 3s", "--server", "--interval=off"]),
        Some(false)
    );
    assert_eq!(is_v1(&["--protocol", "v1", "--client", "--protocol v0"]), None);
}

#[test]
fn a_proposal_takes_no_settings() {
    for option in OneEnd::command().get_arguments() {
        let id = option.get_id().as_str();
        assert!(id == "protocol" || SETTINGS.contains(&id), "{id}");
    }
    for setting in
        ["--interval=3s", "--preset=default", "--server=--timeout 9s", "--keepalive=3s,3s,3"]
    {
        let error = parse(&["--within", "9s", setting]).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{setting}: {error}");
    }
    assert!(
        parse(&["--within", "9s", "--rtt", "20ms", "--nat-timeout", "60s", "--protocol", "v1"])
            .is_ok()
    );
}

#[test]
fn options_of_serve_and_connect_can_be_pasted() {
    let [client, server] = ends(&["--nagle", "--echo", "--interval=off", "--peer-interval", "4s"]);
    assert_eq!(client.policy.peer_interval(), Some(secs(4)));
    assert!(server.policy.echo());
}

#[test]
fn plan_counts_with_the_defaults_of_a_server() {
    let by_default = parse(&[]).unwrap().resume().unwrap().unwrap();
    let server = Cli::try_parse_from(["heartwire", "serve"]).unwrap().command;
    let crate::args::Command::Serve(server) = server else { panic!("{server:?}") };
    let sessions = u64::try_from(server.limits.max_sessions).unwrap();
    let grace = server.resume.grace().unwrap();
    let of_server = Resume::new(grace).sessions(sessions).drain(server.drain);
    assert_eq!(by_default, of_server);
    assert_eq!(by_default, Resume::new(grace), "the library's own");
}
