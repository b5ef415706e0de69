use clap::CommandFactory;

use super::*;

fn serve(args: &[&str]) -> ServeArgs {
    let words = ["heartwire", "serve"].iter().chain(args);
    let Command::Serve(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    args
}

fn connect(args: &[&str]) -> ConnectArgs {
    let words = ["heartwire", "connect"].iter().chain(args);
    let Command::Connect(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    args
}

#[test]
fn a_server_listens_on_our_port_and_with_the_tutorials_preset_on_the_tutorials() {
    let listens = |args: &[&str]| serve(args).listen();
    assert_eq!(listens(&[]), ["127.0.0.1:29002".parse().unwrap()]);
    assert_eq!(listens(&["--preset=fast"]), ["127.0.0.1:29002".parse().unwrap()]);
    assert_eq!(listens(&["--preset=tutorial"]), ["127.0.0.1:39002".parse().unwrap()]);
    let named = ["--preset=tutorial", "--listen=[::1]:7", "--listen=0.0.0.0:0"];
    assert_eq!(listens(&named), ["[::1]:7".parse().unwrap(), "0.0.0.0:0".parse().unwrap()]);
}

#[test]
fn a_client_goes_to_our_port_and_with_the_tutorials_preset_to_the_tutorials() {
    let target = |args: &[&str]| connect(args).target();
    assert_eq!(target(&["gateway.example"]), "gateway.example:29002");
    assert_eq!(target(&["[::1]"]), "[::1]:29002");
    assert_eq!(target(&["192.0.2.7", "--preset=tutorial"]), "192.0.2.7:39002");
    assert_eq!(target(&["[::1]:7", "--preset=tutorial"]), "[::1]:7");
    assert_eq!(target(&["localhost:7"]), "localhost:7");
}

#[test]
fn short_options_are_those_that_people_know() {
    let short = serve(&["-l", "7", "-t", "30", "-i", "off", "--json"]);
    let long = serve(&["--listen=127.0.0.1:7", "--timeout=30s", "--interval=off", "--format=json"]);
    assert_eq!(short.listen(), long.listen());
    assert_eq!(
        (short.policy.timeout, short.policy.interval),
        (long.policy.timeout, long.policy.interval)
    );
    assert_eq!(short.format.format(), long.format.format());
    assert_eq!(connect(&["-n", "bob", "localhost"]).name.as_deref(), Some("bob"));
    let level = |args: &[&str]| {
        let words = ["heartwire", "serve"].iter().chain(args);
        Cli::parse_from(words).log_level().to_owned()
    };
    assert_eq!([level(&["-v"]), level(&["-vv"]), level(&["-q"])], ["info", "debug", "error"]);
    assert_eq!(level(&["--log-level", "trace"]), "trace");
}

#[test]
fn the_help_of_every_command_has_an_example_and_its_exit_codes() {
    for command in Cli::command().get_subcommands_mut() {
        let (short, long) =
            (command.render_help().to_string(), command.render_long_help().to_string());
        assert!(short.contains("\nExample"), "{short}");
        assert!(long.contains("\nExample") && long.contains("\nExit codes: 0 "), "{long}");
    }
}
