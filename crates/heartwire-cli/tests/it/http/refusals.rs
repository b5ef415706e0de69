//! Requests that are not answered.

use super::{Answer, TOKEN, Web, get};

#[test]
fn requests_from_other_sites_and_without_a_token_are_refused() {
    let web = Web::start(&[]);
    let foreign = get("/v1/stats").replace("localhost", "evil.example");
    web.ask(&foreign).expect_refusal(403, "foreign_host");
    let with =
        |header: &str| get("/v1/stats").replace("Connection", &format!("{header}\r\nConnection"));
    web.ask(&with("Origin: http://evil.example")).expect_refusal(403, "foreign_origin");
    web.ask(&with("Sec-Fetch-Site: cross-site")).expect_refusal(403, "foreign_origin");
    web.ask(&with("Origin: http://localhost")).expect(200);
    web.ask(&get("/v1/stats").replace("Host: localhost\r\n", "")).expect_refusal(400, "bad_host");

    let drain = "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    web.ask(drain).expect_refusal(401, "unauthorized");
    let wrong =
        drain.replace("Connection", "Authorization: Bearer of-bad-news-everywhere\r\nConnection");
    web.ask(&wrong).expect_refusal(401, "unauthorized");
    let form = format!(
        "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    web.ask(&form).expect_refusal(415, "not_json");
    web.get("/readyz").expect(200);
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let web = Web::start(&[]);
    for (path, says) in [
        ("/v1/sessions?limit=0", "1 to 1000"),
        ("/v1/sessions?limit=1001", "1 to 1000"),
        ("/v1/sessions?sort=colour", "silence"),
        ("/v1/sessions?colour=red", "colour"),
        ("/v1/sessions?after=7", "0-17-3"),
        ("/v1/sessions?after=0-0-1&sort=age", "sort=id"),
        ("/v1/events?kinds=online,colour", "colour"),
    ] {
        let answer = web.get(path);
        assert!(answer.body.contains(says), "{path}: {answer:?}");
        answer.expect_refusal(400, "bad_query");
    }
    web.get("/colour").expect_refusal(404, "no_path");
    web.get("/v1/drain").expect_refusal(405, "no_method");
    web.get("/v1/sessions/7").expect_refusal(404, "no_session");
    web.get("/v1/sessions/%ff").expect_refusal(404, "no_session");
    for body in ["{", "[]", r#"{"window":1}"#, r#"{"window_ms":-1}"#, r#"{"window_ms":86400001}"#] {
        web.write("POST", "/v1/drain", body).expect_refusal(400, "bad_body");
    }
    let long = format!("\"{}\"", "x".repeat(16 * 1024));
    web.write("POST", "/v1/drain", &long).expect_refusal(413, "too_long");
    let chunked = format!(
        "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\nno chunk\r\n"
    );
    Answer::of(&web.raw(&chunked)).expect_refusal(400, "bad_body");
    web.get("/readyz").expect(200);
}

#[test]
fn browsers_are_told_to_do_nothing_with_answers() {
    let web = Web::start(&[]);
    for path in ["/v1/stats", "/nowhere", "/"] {
        let head = web.get(path).head;
        for header in [
            "content-security-policy: default-src 'none'; ",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(header), "{header} of {path}: {head}");
        }
        assert!(!head.contains("access-control"), "{head}");
    }
    let [one, other] = [web.get("/"), web.get("/")];
    assert!(one.head.contains("script-src 'nonce-"), "{one:?}");
    assert_ne!(one.head, other.head, "a nonce is used once");
}
