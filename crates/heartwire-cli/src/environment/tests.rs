use super::*;

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
    of(&Cli::command(), "", &mut paths);
    paths
}

/// The options of a command as clap knows them, after it has added its own.
fn options(path: &str) -> Vec<Arg> {
    let mut command = Cli::command();
    command.build();
    let find = |command, name| Command::find_subcommand(command, name).unwrap();
    let command = path.split(' ').fold(&command, find);
    let is_own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    command.get_opts().chain(command.get_arguments()).filter(is_own).cloned().collect()
}

/// The variables that set options of this command when each variable is set.
fn variables_of(path: &str, line: &[&str]) -> Environment {
    let line: Vec<OsString> = line.iter().map(OsString::from).collect();
    let typed = Typed::read(&Cli::command(), &line);
    assert_eq!(typed.path.join(" "), path);
    let mut environment = Environment::default();
    let set = |_: &str| Some("true".into());
    typed.mut_options(Cli::command(), |arg| typed.add_variable(arg, set, &mut environment));
    environment
}

#[test]
fn every_option_of_every_command_has_its_variable() {
    assert!(paths().contains(&"serve".to_owned()), "{:?}", paths());
    for path in paths() {
        let line: Vec<&str> = ["heartwire"].into_iter().chain(path.split(' ')).collect();
        let used = variables_of(&path, &line).used;
        let options = options(&path);
        for option in options.iter().filter_map(Arg::get_long) {
            let expected = format!("HEARTWIRE_{}", option.to_uppercase().replace('-', "_"));
            assert!(used.contains(&expected), "{path} --{option}: {used:?}");
        }
        assert!(used.contains(&"HEARTWIRE_LOG_LEVEL".to_owned()), "{path}");
    }
}

#[test]
fn every_list_has_a_separator_so_that_one_variable_holds_it() {
    for path in paths() {
        for option in options(&path) {
            let is_list = matches!(option.get_action(), ArgAction::Append);
            assert!(!is_list || option.get_value_delimiter().is_some(), "{option}");
        }
    }
}

#[test]
fn an_option_on_the_command_line_overrides_the_variables_of_those_that_it_excludes() {
    let environment = variables_of("plan", &["heartwire", "plan", "--within", "9s", "-v"]);
    let overridden = |name: &str| environment.overridden.contains(&format!("HEARTWIRE_{name}"));
    for name in ["PRESET", "TIMEOUT", "CLIENT", "NAGLE", "QUIET", "LOG_LEVEL"] {
        assert!(overridden(name), "{name}: {environment:?}");
    }
    for name in ["RTT", "CHECK", "JSON"] {
        assert!(environment.used.contains(&format!("HEARTWIRE_{name}")), "{environment:?}");
    }
    let typed = ["HEARTWIRE_WITHIN", "HEARTWIRE_VERBOSE"].map(str::to_owned);
    for name in environment.used.iter().chain(&environment.overridden) {
        assert!(!typed.contains(name), "{environment:?}");
    }
}
