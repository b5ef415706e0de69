use axum::http::Request;

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn guard(bound: &str, token: Option<&str>, anywhere: bool) -> Guard {
    Guard {
        names: Some(Names::new(bound.parse().unwrap(), &["mon.example".to_owned()]).unwrap()),
        token: token.map(|token| Mutex::new(Token(token.to_owned()))),
        reads_need_token: anywhere,
    }
}

/// The code with which a request is refused; empty if it is not.
fn refusal(guard: &Guard, method: &str, path: &str, headers: &[(&str, &str)]) -> &'static str {
    let request = Request::builder().method(method).uri(path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    guard.check(&parts).err().map_or("", |refusal| refusal.code())
}

#[test]
fn only_requests_for_a_name_of_this_server_are_answered() {
    let local = guard("127.0.0.1:39080", None, false);
    for (host, code) in [
        ("localhost", ""),
        ("LOCALHOST:1", ""),
        ("localhost.:39080", ""),
        ("127.0.0.1:39080", ""),
        ("127.9.9.9", ""),
        ("[::1]:39080", ""),
        ("[::ffff:127.0.0.1]", ""),
        ("mon.example:39080", ""),
        ("evil.example:39080", "foreign_host"),
        ("localhost.evil.example", "foreign_host"),
        ("192.0.2.1:39080", "foreign_host"),
        ("0.0.0.0:39080", "foreign_host"),
        ("2130706433", "foreign_host"),
        ("evil@localhost", "bad_host"),
        ("", "bad_host"),
        ("a b", "bad_host"),
    ] {
        assert_eq!(refusal(&local, "GET", "/v1/stats", &[("host", host)]), code, "{host}");
    }
    assert_eq!(refusal(&local, "GET", "/", &[]), "bad_host");
    let twice = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(refusal(&local, "GET", "/", &twice), "bad_host");
    // The first line counts, as it does for those who route by it.
    let host = [("host", "localhost")];
    assert_eq!(refusal(&local, "GET", "http://evil.example/livez", &host), "foreign_host");
    assert_eq!(refusal(&local, "GET", "http://a@localhost/livez", &host), "bad_host");
    let all = guard("0.0.0.0:39080", Some(TOKEN), true);
    assert_eq!(refusal(&all, "GET", "/livez", &[("host", "192.0.2.1")]), "");
    assert_eq!(refusal(&all, "GET", "/livez", &[("host", "evil.example")]), "foreign_host");
    let one = guard("192.0.2.1:39080", Some(TOKEN), true);
    assert_eq!(refusal(&one, "GET", "/livez", &[("host", "192.0.2.1")]), "");
    assert_eq!(refusal(&one, "GET", "/livez", &[("host", "192.0.2.2")]), "foreign_host");
}

#[test]
fn only_the_servers_own_page_may_ask() {
    let local = guard("127.0.0.1:39080", None, false);
    for (origin, code) in [
        ("http://localhost:39080", ""),
        ("https://localhost:39080", ""),
        ("http://localhost:3000", "foreign_origin"),
        ("http://localhost", "foreign_origin"),
        ("http://evil.example", "foreign_origin"),
        ("null", "foreign_origin"),
        ("", "foreign_origin"),
    ] {
        let headers = [("host", "localhost:39080"), ("origin", origin)];
        assert_eq!(refusal(&local, "GET", "/v1/stats", &headers), code, "{origin}");
    }
    for (site, path, code) in [
        ("same-origin", "/v1/events", ""),
        ("none", "/v1/stats", ""),
        ("cross-site", "/v1/events", "foreign_origin"),
        ("same-site", "/v1/events", "foreign_origin"),
        ("cross-site", "/", ""),
    ] {
        let headers = [("host", "localhost"), ("sec-fetch-site", site)];
        assert_eq!(refusal(&local, "GET", path, &headers), code, "{site} {path}");
    }
}

#[test]
fn writes_need_the_token_and_reads_only_where_others_reach_them() {
    let bearer = format!("Bearer {TOKEN}");
    let headers = |value| [("host", "localhost"), ("authorization", value)];
    let local = guard("127.0.0.1:1", Some(TOKEN), false);
    for (value, code) in [
        (bearer.as_str(), ""),
        ("bearer 0123456789abcdef", ""),
        ("Bearer 0123456789abcdeX", "unauthorized"),
        ("Bearer 0123456789abcde", "unauthorized"),
        ("Bearer 0123456789abcdef0", "unauthorized"),
        ("Bearer ", "unauthorized"),
        ("Basic 0123456789abcdef", "unauthorized"),
        (TOKEN, "unauthorized"),
    ] {
        assert_eq!(refusal(&local, "POST", "/v1/drain", &headers(value)), code, "{value}");
        assert_eq!(refusal(&local, "DELETE", "/v1/sessions/0-0-1", &headers(value)), code);
        assert_eq!(refusal(&local, "GET", "/v1/stats", &headers(value)), "");
    }
    let without = guard("127.0.0.1:1", None, false);
    assert_eq!(refusal(&without, "POST", "/v1/drain", &headers(&bearer)), "writes_off");
    let anywhere = guard("0.0.0.0:1", Some(TOKEN), true);
    for (path, code) in [
        ("/v1/stats", "unauthorized"),
        ("/v1/events", "unauthorized"),
        ("/metrics", "unauthorized"),
        ("/livez", ""),
        ("/readyz", ""),
        ("/", ""),
        ("/openapi.json", ""),
    ] {
        assert_eq!(refusal(&anywhere, "GET", path, &[("host", "localhost")]), code, "{path}");
        assert_eq!(refusal(&anywhere, "GET", path, &headers(&bearer)), "", "{path}");
    }
}

#[test]
fn a_token_can_be_replaced_but_not_added() {
    let headers = |value| [("host", "localhost"), ("authorization", value)];
    let local = guard("127.0.0.1:1", Some(TOKEN), false);
    assert!(!local.replace_token(None));
    assert!(local.replace_token(Some(Token("fedcba9876543210".to_owned()))));
    let new = headers("Bearer fedcba9876543210");
    assert_eq!(refusal(&local, "POST", "/v1/drain", &new), "");
    let old = headers("Bearer 0123456789abcdef");
    assert_eq!(refusal(&local, "POST", "/v1/drain", &old), "unauthorized");
    let without = guard("127.0.0.1:1", None, false);
    assert!(!without.replace_token(Some(Token(TOKEN.to_owned()))));
    assert_eq!(refusal(&without, "POST", "/v1/drain", &old), "writes_off");
}

#[test]
fn a_body_has_to_be_json() {
    let local = guard("127.0.0.1:1", Some(TOKEN), false);
    let bearer = format!("Bearer {TOKEN}");
    let with = |more: &[(&'static str, &'static str)]| {
        let mut headers = vec![("host", "localhost"), ("authorization", bearer.as_str())];
        headers.extend(more);
        refusal(&local, "POST", "/v1/drain", &headers)
    };
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[("content-length", "0")]), "");
    assert_eq!(with(&[("content-length", "2")]), "not_json");
    assert_eq!(with(&[("transfer-encoding", "chunked")]), "not_json");
    assert_eq!(with(&[("content-length", "2"), ("content-type", "text/plain")]), "not_json");
    let json = ("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(with(&[("content-length", "2"), json]), "");
}
