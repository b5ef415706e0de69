//! Every answer, against the OpenAPI file.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::validator_for;
use serde_json::Value;

use super::{Answer, Web};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../src/serve/http/openapi.json")).unwrap()
});

/// What is served, as the program's text has it.
const ROUTES: &str = include_str!("../../../src/serve/http/routes.rs");

/// An answer is as the file says: its status, its type and its fields.
#[track_caller]
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap();
    let id = path.strip_prefix("/v1/sessions/").map(|_| "/v1/sessions/{id}");
    let operation = &DOCUMENT["paths"][id.unwrap_or(path)][method.to_ascii_lowercase()];
    let responses = &operation["responses"];
    let response = match responses.get(answer.status.to_string()) {
        Some(response) if !answer.body.starts_with("{\"error\"") => response,
        _ => {
            assert!(answer.status >= 400, "{path}: {answer:?} is not in the file");
            &DOCUMENT["paths"]["/livez"]["get"]["responses"]["default"]
        }
    };
    let (kind, content) = response["content"].as_object().unwrap().iter().next().unwrap();
    assert!(answer.head.contains(&format!("content-type: {kind}")), "{path}: {answer:?}");
    if kind == "application/json" {
        let mut schema = content["schema"].clone();
        schema["components"] = DOCUMENT["components"].clone();
        let errors: Vec<_> = validator_for(&schema)
            .unwrap()
            .iter_errors(&answer.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{method} {path}: {errors:?} in {}", answer.body);
    }
}

#[test]
fn every_path_is_in_the_file_which_is_served() {
    let web = Web::start(&[]);
    assert_eq!(web.get("/openapi.json").expect(200), *DOCUMENT);
    let served: BTreeSet<&str> =
        ROUTES.split(".route(").skip(1).map(|route| route.split('"').nth(1).unwrap()).collect();
    let described: BTreeSet<&str> =
        DOCUMENT["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(served, described);
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        for method in methods {
            // A body that is refused, so that nothing drains.
            let path = path.replace("{id}", "0-0-0");
            if path == "/v1/events" {
                continue;
            }
            let answer = web.write(&method.to_ascii_uppercase(), &path, "[]");
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(!answer.body.contains("no_path"), "{method} {path}");
        }
    }
}

#[test]
fn a_field_that_the_file_does_not_know_is_noticed() {
    let of = |body: &str| Answer {
        status: 200,
        head: "content-type: application/json".to_owned(),
        body: body.to_owned(),
    };
    check("GET", "/livez", &of(r#"{"live":true,"hanging_shards":[]}"#));
    for wrong in [r#"{"live":true}"#, r#"{"live":true,"hanging_shards":[],"x":1}"#] {
        let checked = std::panic::catch_unwind(|| check("GET", "/livez", &of(wrong)));
        assert!(checked.is_err(), "{wrong}");
    }
}
