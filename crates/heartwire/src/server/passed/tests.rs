use super::*;

#[test]
fn passed_sockets_have_a_name_each_or_none_at_all() {
    let of = |count: &str, given: Option<&str>| names(count, given).map_err(|e| e.to_string());
    assert_eq!(of("2", Some("heartwire:http")).unwrap(), ["heartwire", "http"]);
    assert_eq!(of("3", Some("x::z")).unwrap(), ["x", "", "z"]);
    assert_eq!(of("2", None).unwrap(), ["", ""]);
    assert_eq!(of("1", Some("")).unwrap(), [""]);
    assert!(of("0", None).unwrap().is_empty());
    assert!(of("0", Some("")).unwrap().is_empty());
    assert_eq!(of("2", Some("a")), Err("LISTEN_FDNAMES has 1 names, and LISTEN_FDS is 2".into()));
    for count in ["", "-1", "many", "99999999999"] {
        assert_eq!(of(count, None), Err(format!("LISTEN_FDS is `{count}`")));
    }
}

#[test]
fn a_process_that_was_passed_nothing_takes_nothing_over() {
    assert!(passed_sockets().unwrap().is_empty());
}
