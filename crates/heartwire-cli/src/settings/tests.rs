use std::fs;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::args;

mod every;
mod wrong;

/// The paths of all commands that do something, such as `tunnel serve`.
fn paths() -> Vec<String> {
    fn of(command: &Command, path: &str, paths: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name());
            if subcommand.has_subcommands() {
                of(subcommand, &path, paths);
            } else {
                paths.push(path.trim().to_owned());
            }
        }
    }
    let mut paths = Vec::new();
    of(&command(), "", &mut paths);
    paths
}

/// The options of a command as clap knows them, after it has added its own.
fn options_of(path: &str) -> Vec<Arg> {
    let mut command = command();
    command.build();
    let find = |command, name| Command::find_subcommand(command, name).unwrap();
    let command = path.split(' ').fold(&command, find);
    let is_own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(is_own).cloned().collect()
}

fn words(line: &[&str]) -> Vec<OsString> {
    line.iter().map(OsString::from).collect()
}

/// What variables set, each of which is there.
fn with_all_variables(path: &str, line: &[&str]) -> Settings {
    let mut settings = Settings::default();
    settings
        .gather(&command(), &words(line), |name| (name != "HEARTWIRE_CONFIG").then(|| "1".into()));
    assert_eq!(settings.path.join(" "), path);
    settings
}

fn names(settings: &[Setting]) -> Vec<String> {
    settings.iter().map(ToString::to_string).collect()
}

#[test]
fn every_option_of_every_command_has_its_variable() {
    assert!(paths().contains(&"serve".to_owned()), "{:?}", paths());
    for path in paths() {
        let line: Vec<&str> = ["heartwire"].into_iter().chain(path.split(' ')).collect();
        let used = names(&with_all_variables(&path, &line).used);
        let options = options_of(&path);
        for option in options.iter().filter_map(Arg::get_long).filter(|&name| name != "config") {
            let expected = format!("HEARTWIRE_{}", option.to_uppercase().replace('-', "_"));
            assert!(used.contains(&expected), "{path} --{option}: {used:?}");
        }
        assert!(used.contains(&"HEARTWIRE_LOG_LEVEL".to_owned()), "{path}");
    }
}

#[test]
fn every_list_has_a_separator_so_that_one_variable_holds_it() {
    for path in paths() {
        for option in options_of(&path) {
            let is_list = matches!(option.get_action(), clap::ArgAction::Append);
            assert!(!is_list || option.get_value_delimiter().is_some(), "{option}");
        }
    }
}

#[test]
fn options_that_can_change_are_options() {
    for path in paths() {
        let settings =
            Settings { path: path.split(' ').map(str::to_owned).collect(), ..Settings::default() };
        let options = options_of(&path);
        let names: Vec<_> = options.iter().filter_map(Arg::get_long).collect();
        for option in settings.reloadable() {
            assert!(names.contains(option), "{path} has no --{option}");
        }
        assert_eq!(!settings.reloadable().is_empty(), path.ends_with("serve"), "{path}");
    }
}

#[test]
fn an_option_on_the_command_line_overrides_the_variables_of_those_that_it_excludes() {
    let settings = with_all_variables("plan", &["heartwire", "plan", "--within", "9s", "-v"]);
    let (used, overridden) = (names(&settings.used), names(&settings.overridden));
    for name in ["PRESET", "TIMEOUT", "CLIENT", "NAGLE", "QUIET", "LOG_LEVEL"] {
        assert!(overridden.contains(&format!("HEARTWIRE_{name}")), "{name}: {settings:?}");
    }
    for name in ["RTT", "CHECK", "JSON"] {
        assert!(used.contains(&format!("HEARTWIRE_{name}")), "{settings:?}");
    }
    for name in used.iter().chain(&overridden) {
        assert!(!["HEARTWIRE_WITHIN", "HEARTWIRE_VERBOSE"].contains(&name.as_str()), "{name}");
    }
}

/// A configuration file.
struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heartwire.toml");
        fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    /// The options of a command with this file.
    fn parse(&self, line: &[&str], variables: &[(&str, &str)]) -> Result<(Cli, Settings), Refused> {
        let mut line = words(line);
        line.extend(["--config".into(), self.path.clone().into()]);
        parse_with(&line, |name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into())
        })
    }

    /// The errors, with the file's name instead of its path.
    #[track_caller]
    fn errors(&self, line: &[&str], variables: &[(&str, &str)]) -> String {
        let refused = self.parse(line, variables).map(|_| ()).unwrap_err();
        let errors: Vec<_> = refused.errors.iter().map(ToString::to_string).collect();
        errors.join("").replace(&self.path.display().to_string(), "file")
    }
}

fn serve(args: &Cli) -> &crate::serve::ServeArgs {
    let args::Command::Serve(args) = &args.command else { panic!("not serve") };
    args
}

#[test]
fn the_command_line_overrides_the_environment_and_that_the_file() {
    let file = File::new("max-sessions = 5\ndrain = \"6s\"\nmax-queue = \"7KiB\"\n");
    let variables = [("HEARTWIRE_DRAIN", "60s"), ("HEARTWIRE_MAX_QUEUE", "70KiB")];
    let (cli, _) = file.parse(&["heartwire", "serve", "--max-queue=700KiB"], &variables).unwrap();
    let args = serve(&cli);
    assert_eq!(args.limits.max_sessions, 5);
    assert_eq!(args.drain.as_secs(), 60);
    assert_eq!(args.limits.max_queue, 700 * 1024);
}

#[test]
fn a_stronger_source_overrides_what_its_options_exclude_in_a_weaker_one() {
    let file = File::new("format = \"text\"\nlog-level = \"debug\"\n");
    let (cli, settings) = file.parse(&["heartwire", "serve", "--json"], &[]).unwrap();
    assert_eq!(serve(&cli).format.format(), crate::values::Format::Json);
    assert_eq!(cli.log_level(), "debug");
    assert!(settings.overridden().unwrap().ends_with("heartwire.toml:1: format"));
    let (cli, _) = file.parse(&["heartwire", "serve"], &[("HEARTWIRE_QUIET", "true")]).unwrap();
    assert_eq!(cli.log_level(), "error");
}

#[test]
fn each_line_of_the_packaged_file_is_right_once_it_is_no_comment() {
    let packaged = include_str!("../../../../packaging/serve.toml");
    let options = packaged.lines().filter_map(|line| line.strip_prefix('#'));
    let options: Vec<_> = options.filter(|line| !line.starts_with(' ')).collect();
    assert!(options.len() > 5, "{options:?}");
    let file = File::new(&options.join("\n"));
    let (_, settings) = file.parse(&["heartwire", "serve"], &[]).unwrap();
    assert_eq!(settings.given.len(), options.len());
}

#[test]
fn a_variable_switches_off_a_flag_of_the_file() {
    let file = File::new("hold-data = true\njson = true");
    let (cli, _) =
        file.parse(&["heartwire", "serve"], &[("HEARTWIRE_HOLD_DATA", "false")]).unwrap();
    assert!(!serve(&cli).hold_data);
    assert_eq!(serve(&cli).format.format(), crate::values::Format::Json);
}

#[test]
fn a_file_that_a_variable_names_is_read() {
    let file = File::new("max-sessions = 5");
    let path = file.path.clone();
    let line = words(&["heartwire", "serve"]);
    let variable = |name: &str| (name == "HEARTWIRE_CONFIG").then(|| path.clone().into());
    let (cli, settings) = parse_with(&line, variable).unwrap();
    assert_eq!((serve(&cli).limits.max_sessions, settings.file), (5, Some(file.path.clone())));
}

#[test]
fn options_from_elsewhere_come_before_those_that_are_no_options() {
    let file = File::new("stay = true");
    let mut line = words(&["heartwire", "connect", "--config"]);
    line.extend([file.path.clone().into(), "--".into(), "localhost".into()]);
    let (cli, _) = parse_with(&line, |_| None).unwrap();
    let args::Command::Connect(args) = cli.command else { panic!("not connect") };
    assert!(args.stay);
}
