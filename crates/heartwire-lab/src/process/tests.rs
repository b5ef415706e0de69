use super::*;

#[test]
fn schedstat_gives_the_time_on_a_processor_and_the_wait_for_one() {
    assert_eq!(parse_schedstat("48105751 2751644 1203\n"), Some((48_105_751, 2_751_644)));
    assert_eq!(parse_schedstat(""), None);
}

#[test]
fn stat_is_read_behind_a_name_with_spaces_and_parentheses() {
    let text = "713 (a) b (c d) S 1 713 713 0 -1 4194560 5 0 0 0 170 430 1 2 20 0 4 0 99 1 2\n";
    assert_eq!(parse_stat(text), Some((170, 430)));
    assert_eq!(parse_stat("713 (cut short) S 1 2"), None);
}

#[test]
fn fields_are_found_by_their_whole_name() {
    let status = "Name:\tx\nRssAnon:\t     112 kB\nnonvoluntary_ctxt_switches:\t7\n\
                  voluntary_ctxt_switches:\t31\n";
    assert_eq!(parse_field(status, "RssAnon:"), Some(112));
    assert_eq!(parse_field(status, "voluntary_ctxt_switches:"), Some(31));
    assert_eq!(parse_field(status, "RssFile:"), None);
}

#[test]
fn a_listening_socket_tells_how_many_wait() {
    let line = "   1: 0100007F:9013 00000000:0000 0A 00000000:000003E8 00:00000000 00000000     0 \
                        0 165264 1 000000003ea3521d 100 0 0 10 0";
    assert_eq!(parse_listener(line), Some(Listener { port: 0x9013, waiting: 1000 }));
}

#[test]
fn a_connection_is_no_listening_socket() {
    let line = "   2: 0100007F:9013 0100007F:8000 01 00000000:00000008 00:00000000 00000000     0 \
                        0 165265 1 000000003ea3521d 20 4 30 10 -1";
    assert_eq!(parse_listener(line), None);
}

#[test]
fn the_user_share_follows_the_ticks() {
    let before =
        Usage { cpu_ns: 1_000, waited_ns: 100, user_ticks: 10, system_ticks: 10, wakeups: 5 };
    let after =
        Usage { cpu_ns: 9_000, waited_ns: 300, user_ticks: 11, system_ticks: 13, wakeups: 9 };
    let used = after - before;
    assert_eq!(
        used,
        Usage { cpu_ns: 8_000, waited_ns: 200, user_ticks: 1, system_ticks: 3, wakeups: 4 }
    );
    assert_eq!(used.user_ns(), 2_000);
}

#[test]
fn without_a_tick_nothing_is_said_about_user_time() {
    assert_eq!(Usage { cpu_ns: 8_000, ..Usage::default() }.user_ns(), 0);
}

#[test]
fn this_process_can_be_measured() {
    let pid = std::process::id();
    assert!(Usage::of(pid).unwrap().cpu_ns > 0);
    assert!(Memory::of(pid).unwrap().user > 0);
    assert!(own_thread_cpu_ns().unwrap() > 0);
}

#[test]
fn the_accept_queue_of_a_real_listener_is_counted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    assert_eq!(accept_queue(addr).unwrap(), 0);
    let _client = std::net::TcpStream::connect(addr).unwrap();
    assert_eq!(accept_queue(addr).unwrap(), 1);
    drop(listener.accept().unwrap());
    assert_eq!(accept_queue(addr).unwrap(), 0);
}
