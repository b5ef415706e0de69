//! Files with faults.

use super::*;

const SERVE: [&str; 2] = ["heartwire", "serve"];

#[track_caller]
fn errors(text: &str) -> String {
    File::new(text).errors(&SERVE, &[])
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_one() {
    let said = errors("max-queue = 5000\nmax-sesions = 5000");
    assert_eq!(
        said,
        "error: file:2: max-sesions: there is no such option\n\n  \
         tip: the nearest one is max-sessions\n"
    );
    assert!(errors("max_sessions = 5000").contains("the nearest one is max-sessions"));
    let said = errors("xyzzy = 5000");
    assert!(said.contains("file:1: xyzzy: there is no such option"), "{said}");
    assert!(said.contains("--help lists all options"), "{said}");
    // As on a command line.
    let said = errors("port = 5000");
    assert!(said.contains("tip: --listen takes a port"), "{said}");
    assert!(errors("\"-v\" = true").contains("file:1: -v: there is no such option"));
    assert!(errors("\"a b\" = true").contains("file:1: a b: there is no such option"));
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_key() {
    let said = errors("\n\ndrain = \"soon\"");
    assert!(said.contains("invalid value 'soon' for 'file:3: drain': write seconds"), "{said}");
    let said = errors("max-sessions = 0");
    assert!(
        said.contains("'0' for 'file:1: max-sessions': write a number of at least 1"),
        "{said}"
    );
    let said = errors("preset = \"quick\"");
    assert!(said.contains("'quick' for 'file:1: preset'"), "{said}");
    assert!(said.contains("[possible values: default, tutorial, fast]"), "{said}");
    for (text, what) in [
        ("hold-data = \"yes\"", "hold-data: write true or false"),
        ("verbose = true", "verbose: write a number from 0 to 255"),
        ("drain = [1, 2]", "drain: it takes one value, not a list"),
        ("drain = true", "drain: it is no flag: write its value, not true or false"),
        ("drain = 0x10", "drain: write a decimal number"),
        ("drain = 2026-11-27", "drain: put the value in quotation marks"),
        ("listen = [[1]]", "listen: write a list of values, not of lists"),
        ("[limits]\nmax-queue = 1", "limits: there are no sections"),
        ("config = \"other.toml\"", "config: this option cannot be in a file"),
        ("help = true", "help: this option cannot be in a file"),
        ("drain = 5s", "file:1: "),
        ("drain = 5\ndrain = 6", "file:2: duplicate key"),
    ] {
        let said = errors(text);
        assert!(said.starts_with("error: file:") && said.contains(what), "{text}: {said}");
    }
}

/// The nearest name is looked for in a time that grows with the length of a key, and a list that is
/// open opens every list in it.
#[test]
fn a_file_that_is_no_configuration_is_refused_in_few_words() {
    let said = errors(&format!("{} = 1", "x".repeat(100_000)));
    assert!(said.contains("x: there is no such option") && said.len() < 200, "{said}");
    assert!(errors("\"a\\nb\" = 1").contains("file:1: a\\nb: there is no such option"));
    let said = errors(&format!("drain = {}", "[".repeat(1_000)));
    assert!(said.matches("error: ").count() <= 5, "{said}");
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let said = errors("drain = \"soon\"\nnagl = true\nmax-queue = 1\njson = 5\nformat = \"text\"");
    for what in ["file:1: drain", "file:2: nagl", "file:3: max-queue", "file:4: json"] {
        assert_eq!(said.matches(what).count(), 1, "{what}: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 4, "{said}");
}

#[test]
fn options_that_exclude_or_require_each_other_do_so_in_a_file() {
    let said = errors("json = true\nformat = \"text\"");
    assert!(said.contains("cannot be used with"), "{said}");
    assert!(said.contains("file:1: json") && said.contains("file:2: format"), "{said}");
    let said = errors("threads = 1\ntls-cert = \"cert.pem\"");
    assert!(said.contains("required arguments were not provided:\n  --tls-key <FILE>"), "{said}");
    assert!(said.contains("sets threads (line 1), tls-cert (line 2)"), "{said}");
    let file = File::new("tls-key = \"key.pem\"");
    file.parse(&SERVE, &[("HEARTWIRE_TLS_CERT", "cert.pem")]).map(drop).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let file = File::new("");
    fs::remove_file(&file.path).unwrap();
    let said = file.errors(&SERVE, &[]);
    assert!(said.contains("cannot read the configuration file file: No such file"), "{said}");
    fs::write(&file.path, [0xff, 0xfe]).unwrap();
    assert!(file.errors(&SERVE, &[]).contains("UTF-8"));
    let endless = words(&["heartwire", "serve", "--config", "/dev/zero"]);
    let refused = parse_with(&endless, |_| None).map(drop).unwrap_err();
    assert!(refused.in_line().contains("it has more than 1048576 bytes"), "{refused:?}");
}

#[test]
fn errors_of_a_check_are_json_where_the_output_is() {
    let file = File::new("json = true\nxyzzy = 1");
    let as_json = |line: &[&str]| file.parse(line, &[]).map(drop).unwrap_err().is_json();
    assert!(as_json(&["heartwire", "serve", "--check-config"]));
    assert!(!as_json(&["heartwire", "serve"]));
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| toml::Value::from(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| toml::Value::from(number).to_string()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|list| format!("{list:?}")),
        prop::sample::select(vec![
            "2026-11-27",
            "{a = 1}",
            "[[1]]",
            "0x10",
            "1_000",
            "5s",
            "\"7s\""
        ])
        .prop_map(str::to_owned),
    ]
}

fn keys() -> impl Strategy<Value = String> {
    let known = ["help", "version", "h", "config", "listen", "http", "tokens", "-", "--", ""];
    let names = options_of("serve").into_iter().filter_map(|arg| Some(arg.get_long()?.to_owned()));
    let names: Vec<String> = names.collect();
    let known = prop::sample::select(known.to_vec()).prop_map(str::to_owned);
    prop_oneof![prop::sample::select(names), known, any::<String>(), "[a-z=-]{0,9}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_file_has_errors_about_itself_alone(
        keys in prop::collection::btree_map(keys(), values(), 0..4)
    ) {
        let line = |(key, value)| format!("{} = {value}\n", serde_json::json!(key));
        let lines = keys.iter().map(line);
        let file = File::new(&lines.collect::<String>());
        if let Err(refused) = file.parse(&SERVE, &[]) {
            for error in refused.errors {
                // Of what is missing clap knows only what needs it.
                let is_missing = error.kind() == ErrorKind::MissingRequiredArgument;
                let said = error.to_string();
                prop_assert!(is_missing || said.contains("heartwire.toml:"), "{}", said);
            }
        }
    }
}
