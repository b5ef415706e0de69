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

/// Values for options that take no fixed words. An option gets the first two that it takes.
const EXAMPLES: [&str; 8] = [
    "7s",
    "127.0.0.1:4000",
    "7",
    "a \"b\" = #1\\",
    "100KiB",
    "10.0.0.0/8",
    "3s,3s,3",
    "ssh=127.0.0.1:22",
];

/// Values of an option, none of which is its default.
fn examples(path: &str, arg: &Arg) -> Vec<String> {
    if matches!(Kind::of(arg), Kind::Flag | Kind::Count) {
        return vec!["1".to_owned()];
    }
    let words = arg.get_possible_values();
    let words: Vec<_> = words.iter().map(|value| value.get_name().to_owned()).collect();
    let is_default = |value: &String| arg.get_default_values().iter().any(|other| other == value);
    if !words.is_empty() {
        return words.into_iter().filter(|value| !is_default(value)).collect();
    }
    let name = arg.get_long().unwrap();
    let is_taken = |value: &String| {
        let line = format!("heartwire {path}");
        let line = line.split(' ').map(str::to_owned).chain([format!("--{name}={value}")]);
        let error = command().try_get_matches_from(line).map(drop).err();
        error.is_none_or(|error| error.kind() != ErrorKind::ValueValidation)
    };
    let taken: Vec<_> =
        EXAMPLES.iter().map(|&value| value.to_owned()).filter(is_taken).take(2).collect();
    assert!(!taken.is_empty(), "--{name} takes none of the examples: add one");
    taken
}

/// An option with its values.
#[derive(Clone, Debug)]
struct Set {
    option: String,
    value: Value,
}

impl Set {
    fn new(arg: &Arg, value: &str) -> Self {
        let value = match Kind::of(arg) {
            Kind::Flag => Value::Flag(true),
            Kind::Count => Value::Count(value.parse().unwrap()),
            Kind::One => Value::One(value.into()),
            Kind::Many => Value::Many(vec![value.into()]),
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
                    self.set.push(Set::new(arg, &examples(self.path, arg)[0]));
                } else if error.kind() == ErrorKind::ArgumentConflict {
                    self.set.retain(|set| Some(set.option.as_str()) != arg.get_long());
                } else {
                    panic!("{self:?}: {error}");
                }
            }
        }
        panic!("{self:?} cannot be completed")
    }

    /// It has the same options from a command line, from variables, from a file, and from the file
    /// that is printed for each of them.
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
        // Which is what is printed.
        assert_eq!(by_variables.1.given, typed.1.given);
        assert_eq!(by_file_itself.1.given, typed.1.given);
        for which in [Printed::Given, Printed::All] {
            let printed = typed.1.print(which).unwrap();
            assert_eq!(seen(&by_file(&printed)), expected, "{printed}");
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
            for value in examples(path, arg) {
                let set = vec![Set::new(arg, &value)];
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

/// One of these options with each name; a list has all values that are among them.
fn united(sets: Vec<Set>) -> Vec<Set> {
    let mut united: Vec<Set> = Vec::new();
    for set in sets {
        let Some(earlier) = united.iter_mut().find(|other| other.option == set.option) else {
            united.push(set);
            continue;
        };
        if let (Value::Many(values), Value::Many(more)) = (&mut earlier.value, set.value) {
            values.extend(more);
        }
    }
    united
}

fn runs() -> impl Strategy<Value = Run> {
    let commands: Vec<_> = commands()
        .map(|(path, positional, options)| {
            let sets = |arg: &Arg| {
                let values = examples(path, arg);
                values.iter().map(|value| Set::new(arg, value)).collect::<Vec<_>>()
            };
            let sets: Vec<Set> = options.iter().flat_map(sets).collect();
            (path, positional, options, sets)
        })
        .collect();
    prop::sample::select(commands).prop_flat_map(|(path, positional, options, sets)| {
        let some = prop::sample::subsequence(sets, 0..20).prop_shuffle();
        some.prop_map(move |sets| Run { path, positional, set: united(sets) }.completed(&options))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_command_line_means_the_same_as_variables_and_as_a_file(run in runs()) {
        run.check();
    }
}
