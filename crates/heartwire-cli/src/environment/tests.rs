use super::*;

/// The options of a command as clap knows them, after it has added its own.
fn options(name: &str) -> Vec<Arg> {
    let mut command = Cli::command();
    command.build();
    let command = command.find_subcommand(name).unwrap();
    let is_own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    command.get_opts().chain(command.get_arguments()).filter(is_own).cloned().collect()
}

/// The variables that set options of this command when each variable is set.
fn variables_of(name: &str, line: &[&str]) -> Environment {
    let line: Vec<OsString> = line.iter().map(OsString::from).collect();
    let typed = Typed::read(&Cli::command(), &line);
    assert_eq!(typed.subcommand.as_deref(), Some(name));
    let mut environment = Environment::default();
    let set = |_: &str| Some("true".into());
    typed.mut_options(Cli::command(), |arg| typed.add_variable(arg, set, &mut environment));
    environment
}

#[test]
fn every_option_of_every_command_has_its_variable() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let used = variables_of(name, &["heartwire", name]).used;
        let options = options(name);
        for option in options.iter().filter_map(Arg::get_long) {
            let expected = format!("HEARTWIRE_{}", option.to_uppercase().replace('-', "_"));
            assert!(used.contains(&expected), "{name} --{option}: {used:?}");
        }
        assert!(used.contains(&"HEARTWIRE_LOG_LEVEL".to_owned()), "{name}");
    }
}

#[test]
fn every_list_has_a_separator_so_that_one_variable_holds_it() {
    for command in Cli::command().get_subcommands() {
        for option in options(command.get_name()) {
            let is_list = matches!(option.get_action(), ArgAction::Append);
            assert!(!is_list || option.get_value_delimiter() == Some(','), "{option}");
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
