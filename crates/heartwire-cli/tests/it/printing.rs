//! What is printed, and what goes on when nothing reads it, or it cannot be written.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use heartwire_testkit::{
    BEAT, Line, Lines, Listener, Peer, Process, data, lasting_address, ms, wait_until,
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::program::{PROGRAM, Server, heartwire};

/// A pipe that takes nothing more, as long as its other end lives.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for chunk in [&[b'\n'; 4096][..], b"\n"] {
        while writer.write_all(chunk).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Connects as soon as a server is there that says nothing.
#[track_caller]
fn connect_when_there(addr: core::net::SocketAddr) -> Peer {
    wait_until("it listens", || std::net::TcpStream::connect(addr).is_ok());
    Peer::connect(addr)
}

/// `serve` on protocol v0, which sends back what it gets.
fn serve(addr: &str, more: &[&str]) -> std::process::Command {
    let mut command =
        heartwire(&["serve", "--protocol", "v0", "--on-data", "echo", "--interval=off"]);
    command.args(["--format", "json", "--listen", addr]).args(more);
    command
}

#[test]
fn a_client_whose_standard_error_takes_nothing_goes_on_and_stops_when_told() {
    let server = Server::start_plain(&[]);
    let (_reader, stderr) = full_pipe();
    let mut command = heartwire(&["connect", "--rtt", "1ms", "--log-level", "trace"]);
    let command = command.arg(server.addr.to_string()).stdin(Stdio::piped()).stderr(stderr);
    let mut client = Process::spawn(command.stdout(Stdio::null()));
    server.event("online");
    let mut input = client.0.stdin.take().unwrap();
    for line in 0..30 {
        writeln!(input, "{line}").unwrap();
        let preview = format!("\"{line}\"");
        server.events.event_where("data", |event| event["preview"] == *preview);
        thread::sleep(ms(1));
    }
    client.signal(Signal::TERM);
    assert_eq!(client.exit_code(), Some(0));
    assert_eq!(server.event("offline")["reason"], "bye");
}

#[test]
fn a_server_whose_standard_error_takes_nothing_heeds_each_signal() {
    let (_reader, stderr) = full_pipe();
    let mut server = Process::spawn(
        serve("127.0.0.1:0", &["--drain", "1s"]).stdout(Stdio::piped()).stderr(stderr),
    );
    let events = Lines::of(server.0.stdout.take().unwrap());
    let addr = crate::program::address(&events.event("listening"));
    // There are no files to read again, which it says, and goes on.
    server.signal(Signal::HUP);
    Peer::connect(addr).expect_echo(b"let in");
    server.signal(Signal::HUP);
    Peer::connect(addr).expect_echo(b"let in");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(events.all_events().last().unwrap().name(), "stopped");
}

#[test]
fn a_signal_that_has_nothing_to_do_does_not_end_a_server() {
    let mut server = Server::start(&["--on-data", "echo"]);
    server.process.signal(Signal::HUP);
    server.log.line("SIGHUP reads --config, and the files of other options; none is given");
    server.process.signal(Signal::USR1);
    server.log.line("SIGUSR1 tells connect that the network has changed, and does nothing here");
    Peer::connect(server.addr).expect_echo(b"still there");
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.exit_code(), Some(0));
}

#[test]
fn a_server_whose_standard_output_takes_nothing_from_the_start_stops_when_told() {
    let addr = lasting_address();
    let (_reader, stdout) = full_pipe();
    let mut server = Process::spawn(serve(&addr.to_string(), &[]).stdout(stdout));
    connect_when_there(addr).expect_echo(b"let in");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// Reads the first line of a server, and nothing more.
fn listening_on(reader: &mut impl std::io::BufRead) -> core::net::SocketAddr {
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let listening: Value = serde_json::from_str(&first).unwrap();
    listening["addresses"][0].as_str().unwrap().parse().unwrap()
}

/// More than what waits to be printed may be, and a pipe and a half.
const MANY: usize = 100_000;

#[test]
fn events_that_nothing_reads_shut_out_no_newcomers_and_what_is_missing_is_counted() {
    let (reader, stdout) = std::io::pipe().unwrap();
    let mut server =
        Process::spawn(serve("127.0.0.1:0", &["--max-queue", "16777216"]).stdout(stdout));
    let mut reader = std::io::BufReader::new(reader);
    let addr = listening_on(&mut reader);

    let mut stranger = Peer::connect(addr);
    let sent = data(b"").repeat(MANY);
    let mut echo = vec![0; sent.len()];
    let mut input = stranger.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| input.write_all(&sent).unwrap());
        stranger.stream.read_exact(&mut echo).unwrap();
    });
    assert!(echo == sent);
    let mut newcomer = Peer::connect(addr);
    newcomer.expect_echo(b"let in");
    stranger.stream.shutdown(std::net::Shutdown::Both).unwrap();
    // Once the events are read again, all is told but data, and of that how much.
    let events = Lines::of(reader);
    let of_newcomer = newcomer.addr().to_string();
    events.event_where("online", |event| event["peer"] == *of_newcomer);
    events.event("offline");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let events = events.all_events();
    let count = |name| events.iter().filter(|event| event.name() == name).count();
    assert_eq!((count("online"), count("offline")), (2, 2));
    let missing: u64 = events
        .iter()
        .filter(|event| event.name() == "unprinted")
        .map(|event| event.count("data"))
        .sum();
    assert!(missing > 0);
    assert_eq!(count("data") + usize::try_from(missing).unwrap(), MANY + 1);
}

#[test]
fn a_server_that_holds_data_leaves_none_out() {
    let (reader, stdout) = std::io::pipe().unwrap();
    let options =
        ["serve", "--protocol", "v0", "--interval=off", "--hold-data", "--format", "json"];
    let mut command = heartwire(&options);
    let mut server = Process::spawn(command.args(["--listen", "127.0.0.1:0"]).stdout(stdout));
    // It has the pipe's other end.
    drop(command);
    let mut reader = std::io::BufReader::new(reader);
    let addr = listening_on(&mut reader);

    let mut stranger = Peer::connect(addr);
    stranger.stream.set_write_timeout(Some(ms(500))).unwrap();
    // More than two kernels keep for a connection.
    let frame = data(&[b'.'; 1016]);
    let frames = frame.repeat(40_000);
    let mut sent = 0;
    while let Ok(len @ 1..) = stranger.stream.write(&frames[sent..]) {
        sent += len;
    }
    assert!(sent < frames.len(), "all of it was read");
    let events = Lines::of(reader);
    let whole = sent / frame.len();
    assert_eq!(events.first_events("data", whole).len(), whole);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(events.all_events().iter().all(|event| event.name() != "unprinted"));
}

#[test]
fn an_output_that_does_not_wait_is_waited_for() {
    let (reader, stdout) = std::io::pipe().unwrap();
    // This is of the pipe, so it is the server's too.
    fcntl_setfl(&stdout, fcntl_getfl(&stdout).unwrap() | OFlags::NONBLOCK).unwrap();
    let addr = lasting_address();
    let mut server = Process::spawn(serve(&addr.to_string(), &[]).stdout(stdout));
    const FRAMES: usize = 3000;
    let mut peer = connect_when_there(addr);
    for _ in 0..FRAMES {
        peer.expect_echo(b"an event each, more than a pipe holds");
    }
    let events = Lines::of(reader);
    events.first_events("data", FRAMES);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(events.all_events().last().unwrap().name(), "stopped");
}

#[test]
fn data_waits_for_an_output_that_does_not_and_all_of_it_is_printed() {
    let (reader, stdout) = std::io::pipe().unwrap();
    fcntl_setfl(&stdout, fcntl_getfl(&stdout).unwrap() | OFlags::NONBLOCK).unwrap();
    let listener = Listener::new();
    let mut command = heartwire(&["connect", "--protocol", "v0", "--retry", "never"]);
    command.arg(listener.addr().to_string()).stdin(Stdio::piped());
    let mut client = Process::spawn(command.stdout(stdout).stderr(Stdio::null()));
    // It has the pipe, too, whose end is to be seen.
    drop(command);
    let mut server = listener.accept();
    // More than a pipe and what waits in front of it hold, and less than sockets hold besides.
    const LINES: usize = 600;
    for number in 0..LINES {
        server.send(&data(format!("{number:>999}").as_bytes()));
    }
    // All of it has come as far as it can: what is sent now is answered.
    writeln!(client.0.stdin.as_ref().unwrap(), "a line").unwrap();
    assert_eq!(server.receive_data(), b"a line");
    server.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = Lines::of(reader).all();
    assert_eq!(client.exit_code(), Some(4));
    assert_eq!(lines.len(), LINES);
    assert!(lines.iter().enumerate().all(|(at, line)| line.text == format!("{at:>999}")));
}

#[test]
fn a_client_whose_reader_goes_takes_its_leave() {
    let server = Server::start_plain(&["--on-data", "echo"]);
    let mut command = heartwire(&["connect", &server.addr.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Process::spawn(&mut command);
    drop(client.0.stdout.take());
    server.event("online");
    // Not noticed with the first echo, while a process that another test starts has the pipe too.
    wait_until("it leaves", || {
        let _ = writeln!(client.0.stdin.as_ref().unwrap(), "to be echoed");
        client.0.try_wait().unwrap().is_some()
    });
    assert_eq!(client.exit_code(), Some(0));
    assert_eq!(server.event("offline")["reason"], "bye");
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_whose_data_could_not_be_written_says_so_with_its_exit_code() {
    let server = Server::start(&["--on-data", "echo"]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = heartwire(&["connect", "--protocol", "v0"]);
    let command = command.arg(server.addr.to_string()).stdin(Stdio::piped()).stdout(full);
    let mut client = Process::spawn(command.stderr(Stdio::piped()));
    let log = Lines::of(client.0.stderr.take().unwrap());
    let mut input = client.0.stdin.take().unwrap();
    input.write_all(b"to be echoed\n").unwrap();
    log.line("standard output cannot be written");
    drop(input);
    assert_eq!(client.exit_code(), Some(1));
    log.line("not all data could be written to standard output");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_tried_again_and_does_not_end_the_server() {
    let addr = lasting_address();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut server =
        Process::spawn(serve(&addr.to_string(), &[]).stdout(full()).stderr(Stdio::piped()));
    let said = Lines::of(server.0.stderr.take().unwrap());
    connect_when_there(addr).expect_echo(b"let in");
    said.line("standard output cannot be written, and is tried again each second");
    connect_when_there(addr).expect_echo(b"let in");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn json_is_one_object_a_line_on_both_streams() {
    let server = Server::start_plain(&["--log-level", "heartwire=trace"]);
    Peer::connect(server.addr).send(b"GET / HTTP/1.1\r\n\r\n");
    let mut command = heartwire(&["connect", "--json", "--log-level", "heartwire=trace"]);
    command.args(["--name", "door 3"]).arg(server.addr.to_string()).stdin(Stdio::piped());
    let mut client = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let said = Lines::of(client.0.stderr.take().unwrap());
    said.event("online");
    for process in [&server.process, &client] {
        process.signal(Signal::HUP);
    }
    said.line("SIGHUP reads --token-file");
    server.log.line("SIGHUP reads --config");
    drop(client.0.stdin.take());
    assert_eq!(client.exit_code(), Some(0));
    let (events, log) = (server.events.clone(), server.log.clone());
    server.stop();
    let wrong = heartwire(&["plan", "--json", "--within", "1ms"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(6));

    let mut lines: Vec<String> = Vec::new();
    for stream in [&events, &log, &said, &Lines::of(std::io::Cursor::new(wrong.stderr))] {
        lines.extend(stream.all().into_iter().map(|line| line.text));
    }
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let objects: Vec<_> = objects.collect();
    for (line, object) in lines.iter().zip(&objects) {
        assert!(line.starts_with("{\"time\":\"2") && object["event"].is_string(), "{line}");
    }
    let of = |level: &'static str| objects.iter().filter(move |object| object["level"] == level);
    assert_eq!(of("error").count(), 1, "that of the plan");
    assert!(of("warn").any(|object| object["fields"]["violation"].is_string()));
    let of_session = of("debug").chain(of("trace")).find(|object| {
        object["fields"]["name"] == "door 3" && object["fields"]["peer"].is_string()
    });
    assert!(of_session.is_some(), "no line has the fields of its spans: {lines:#?}");
}

/// How many lines a log says were left out.
pub(crate) fn left_out(lines: &[Line]) -> usize {
    let counts = lines.iter().filter_map(|line| {
        let event: Value = serde_json::from_str(&line.text).unwrap();
        let (count, _) = event["message"].as_str()?.split_once(" more lines")?;
        Some(count.replace(',', "").parse::<usize>().unwrap())
    });
    counts.sum()
}

#[test]
fn warnings_that_strangers_cause_are_logged_once_a_second_and_counted() {
    const STRANGERS: usize = 300;
    let start = Instant::now();
    let mut server = Server::start(&[]);
    for _ in 0..STRANGERS {
        let mut peer = Peer::connect(server.addr);
        peer.send(b"GET / HTTP/1.1\r\n\r\n");
        peer.read_to_end();
    }
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.exit_code(), Some(0));
    let lines = server.log.all();
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    let logged = lines.iter().filter(|line| line.text.contains("\"violation\":")).count();
    assert!(logged <= 1 + seconds, "{logged} in {seconds} s");
    let left_out = left_out(&lines);
    assert_eq!(logged + left_out, STRANGERS);
}

/// A terminal: the end at which a person sits, and the one that a program has.
fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let path = ptsname(&person, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let program = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    (person.into(), program.into())
}

#[test]
fn data_is_escaped_where_a_terminal_would_obey_it() {
    let evil = "\u{1b}[31m\r\n\u{7f}\u{9b}31m\u{202e}é";
    let escaped = r"\u{1b}[31m\u{d}\u{a}\u{7f}\u{9b}31m\u{202e}é";
    let listener = Listener::new();
    let connect = |output: Stdio| {
        let mut command =
            heartwire(&["connect", "--protocol", "v0", "--retry", "never", "--no-input"]);
        command.arg(listener.addr().to_string());
        let process = Process::spawn(command.stdout(output).stderr(Stdio::null()));
        let mut peer = listener.accept();
        peer.send(&[&BEAT[..], &data(evil.as_bytes())].concat());
        (process, peer)
    };
    let (person, program) = terminal();
    let (_process, _peer) = connect(program.into());
    assert_eq!(Lines::of(person).first(1)[0].text, format!("{escaped}\r"));

    // A program gets it as it came.
    let (reader, writer) = std::io::pipe().unwrap();
    let (_process, _peer) = connect(writer.into());
    let lines = Lines::of(reader).first(2);
    assert_eq!(format!("{}\n{}", lines[0].text, lines[1].text), evil);
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_in_the_background_is_not_stopped_for_reading_the_terminal() {
    let server = Server::start_plain(&[]);
    let (_person, program) = terminal();
    // A shell with job control, on a terminal of its own; it prints the number of the job.
    let mut shell = std::process::Command::new("setsid");
    shell.args(["--ctty", "sh", "-mc", "\"$0\" \"$@\" & echo $!; wait", PROGRAM]);
    shell.args(["connect", &server.addr.to_string(), "--format", "json"]);
    let mut shell =
        Process::spawn(shell.stdin(program).stdout(Stdio::piped()).stderr(Stdio::piped()));
    Lines::of(shell.0.stderr.take().unwrap()).event("online");
    let said = Lines::of(shell.0.stdout.take().unwrap());
    let client = rustix::process::Pid::from_raw(said.first(1)[0].text.parse().unwrap()).unwrap();
    // Not stopped: it takes its leave.
    rustix::process::kill_process(client, Signal::TERM).unwrap();
    assert_eq!(server.event("offline")["reason"], "bye");
    shell.exit_code();
}
