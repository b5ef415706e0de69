//! Every option, from every source: the same server.

use super::*;
use crate::settings::value::Kind;

/// The commands that can read a file, with the arguments that are not options.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("serve", &[]),
    ("connect", &["localhost"]),
    ("tunnel serve", &[]),
    ("tunnel connect", &["localhost", "db"]),
];

/// The options of a command that can come from a file.
fn options_in_files(path: &str) -> Vec<Arg> {
    let is_own = |arg: &Arg| arg.get_long().is_some_and(|name| OWN.contains(&name));
    let mut options = options_of(path);
    options.retain(|arg| arg.get_long().is_some() && !is_own(arg));
    options
}

/// Values of an option, none of which is its default.
fn examples(arg: &Arg) -> Vec<Vec<String>> {
    let name = arg.get_long().unwrap();
    let one = |values: &[&str]| values.iter().map(|&value| vec![value.to_owned()]).collect();
    let default = arg.get_default_values().first();
    let possible: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .filter(|value| default.is_none_or(|default| default.to_str() != Some(value)))
        .collect();
    let value_name = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
    let values: Vec<Vec<String>> = match (Kind::of(arg), name, value_name) {
        (Kind::Flag, ..) => vec![Vec::new()],
        (Kind::Count, ..) => one(&["1", "2"]),
        _ if !possible.is_empty() => possible.into_iter().map(|value| vec![value]).collect(),
        (_, "log-level", _) => one(&["info", "heartwire=debug,warn"]),
        (_, "http", _) => one(&["127.0.0.1:39080", "39081", "unix:/run/a.sock"]),
        (_, "service", _) => one(&["ssh=127.0.0.1:22", "db=10.0.0.5:5432,grace=30s"]),
        (_, "socket-buffers", _) => one(&["8192"]),
        (_, "keepalive", _) => one(&["3s,3s,3"]),
        (_, "retry", _) => one(&["never", "5s"]),
        (_, _, "TIME") => one(&["7s", "7", "1h30m"]),
        (_, _, "BYTES") => one(&["100KiB", "102400"]),
        (_, _, "N" | "BEATS") => one(&["7", "17"]),
        (_, _, "FILE") => one(&["some file", "/etc/heartwire/a.pem", "-"]),
        (_, _, "ADDR") => one(&["127.0.0.1:4000", "4001"]),
        (_, _, "NAME" | "HOST") => one(&["alice", "a \"name\" = #1", "door\\3"]),
        _ => panic!("--{name} {value_name} has no example here: give it one"),
    };
    values
}

/// An option with its values.
#[derive(Clone, Debug)]
struct Set {
    option: String,
    value: Value,
}

impl Set {
    fn new(arg: &Arg, values: &[String]) -> Self {
        let one = || OsString::from(&values[0]);
        let value = match Kind::of(arg) {
            Kind::Flag => Value::Flag(true),
            Kind::Count => Value::Count(values[0].parse().unwrap()),
            Kind::One => Value::One(one()),
            Kind::Many => Value::Many(values.iter().map(OsString::from).collect()),
        };
        Self { option: arg.get_long().unwrap().to_owned(), value }
    }

    fn variable(&self) -> (String, OsString) {
        let name = format!("HEARTWIRE_{}", self.option.to_uppercase().replace('-', "_"));
        let value = match &self.value {
            Value::Flag(is_on) => is_on.to_string().into(),
            Value::Count(count) => count.to_string().into(),
            Value::One(value) => value.clone(),
            Value::Many(values) => {
                let separator = if self.option == "service" { ";" } else { "," };
                values.join(separator.as_ref())
            }
        };
        (name, value)
    }

    fn in_file(&self) -> String {
        format!("{} = {}\n", self.option, self.value.in_file().unwrap())
    }
}

/// A command with its options.
#[derive(Clone, Debug)]
struct Run {
    path: &'static str,
    positional: &'static [&'static str],
    set: Vec<Set>,
}

impl Run {
    fn line(&self) -> Vec<OsString> {
        let path = ["heartwire"].into_iter().chain(self.path.split(' '));
        path.chain(self.positional.iter().copied()).map(OsString::from).collect()
    }

    fn typed(&self) -> Vec<OsString> {
        let options = self.set.iter().flat_map(|set| set.value.words(&set.option));
        self.line().into_iter().chain(options).collect()
    }

    /// Adds the options that others require, and removes those that others exclude, as clap says.
    fn completed(mut self, options: &[Arg]) -> Self {
        for _ in 0..100 {
            let Err(error) = command().try_get_matches_from(self.typed()) else { return self };
            let named: Vec<String> = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(arg)) => vec![arg.clone()],
                Some(ContextValue::Strings(args)) => args.clone(),
                _ => panic!("{self:?}: {error}"),
            };
            for arg in options.iter().filter(|arg| named.contains(&arg.to_string())) {
                if error.kind() == ErrorKind::MissingRequiredArgument {
                    self.set.push(Set::new(arg, &examples(arg)[0]));
                } else if error.kind() == ErrorKind::ArgumentConflict {
                    self.set.retain(|set| Some(set.option.as_str()) != arg.get_long());
                } else {
                    panic!("{self:?}: {error}");
                }
            }
        }
        panic!("{self:?} cannot be completed")
    }

    /// What it does by a command line, by variables, by a file, and by the file that is printed for
    /// each of them; the options, and what is said about them.
    #[track_caller]
    fn check(&self) {
        let none = |_: &str| None;
        let typed = parse_with(&self.typed(), none).unwrap();
        let variables: Vec<_> = self.set.iter().map(Set::variable).collect();
        let variable = |name: &str| {
            variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        };
        let by_variables = parse_with(&self.line(), variable).unwrap();
        let by_file = |text: &str| {
            let file = File::new(text);
            let mut line = self.line();
            line.extend(["--config".into(), file.path.clone().into()]);
            parse_with(&line, none).unwrap()
        };
        let file: String = self.set.iter().map(Set::in_file).collect();
        let by_file_itself = by_file(&file);
        let expected = seen(&typed);
        assert_eq!(seen(&by_variables), expected);
        assert_eq!(seen(&by_file_itself), expected);
        for (_, settings) in [&typed, &by_variables, &by_file_itself] {
            for which in [Printed::Given, Printed::All] {
                let printed = settings.print(which).unwrap();
                assert_eq!(seen(&by_file(&printed)), expected, "{printed}");
            }
        }
    }
}

/// The arguments that a command runs with.
fn seen((cli, _): &(Cli, Settings)) -> String {
    let text = format!("{cli:?}");
    // Only the file itself differs.
    let (before, rest) = text.split_once("ConfigArgs {").unwrap();
    format!("{before}{}", rest.split_once('}').unwrap().1)
}

fn commands() -> impl Iterator<Item = (&'static str, &'static [&'static str], Vec<Arg>)> {
    COMMANDS.into_iter().map(|(path, positional)| (path, positional, options_in_files(path)))
}

#[test]
fn every_option_means_the_same_in_each_source() {
    for (path, positional, options) in commands() {
        let default = Run { path, positional, set: Vec::new() }.completed(&options);
        let required: Vec<_> = default.set.iter().map(|set| set.option.clone()).collect();
        let default = parse_with(&default.typed(), |_| None).unwrap();
        for arg in &options {
            for values in examples(arg) {
                let set = vec![Set::new(arg, &values)];
                let run = Run { path, positional, set }.completed(&options);
                run.check();
                let typed = parse_with(&run.typed(), |_| None).unwrap();
                let is_default = seen(&typed) == seen(&default);
                let is_required = required.contains(&run.set[0].option);
                assert!(is_required || !is_default, "{run:?} is the default");
            }
        }
    }
}

#[test]
fn a_file_with_all_options_as_comments_changes_nothing() {
    for (path, positional, options) in commands() {
        let run = Run { path, positional, set: Vec::new() }.completed(&options);
        let (_, settings) = parse_with(&run.typed(), |_| None).unwrap();
        let printed = settings.print(Printed::All).unwrap();
        for arg in &options {
            let key = format!("{} = ", arg.get_long().unwrap());
            let found =
                printed.lines().filter(|line| line.trim_start_matches('#').starts_with(&key));
            assert_eq!(found.count(), 1, "{path}: {key}");
        }
        assert!(printed.lines().all(|line| line.chars().count() <= 100), "{printed}");
        run.check();
    }
}

fn runs() -> impl Strategy<Value = Run> {
    let commands: Vec<_> = commands().collect();
    prop::sample::select(commands).prop_flat_map(|(path, positional, options)| {
        let all: Vec<Set> = options
            .iter()
            .flat_map(|arg| examples(arg).into_iter().map(move |values| Set::new(arg, &values)))
            .collect();
        let most = all.len();
        prop::sample::subsequence(all, 0..most.min(20)).prop_shuffle().prop_map(move |mut set| {
            let mut seen = HashSet::new();
            set.retain(|set| seen.insert(set.option.clone()));
            Run { path, positional, set }.completed(&options)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_command_line_means_the_same_as_variables_and_as_a_file(run in runs()) {
        run.check();
    }
}
