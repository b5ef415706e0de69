//! Peers that mean harm, or know no better.

use heartwire_testkit::{BEAT, Lines, Peer, Process, data};
use std::io::Write;
use std::net::Shutdown;
use std::process::Stdio;

use crate::program::{Server, heartwire};

/// Numbers that look random, and are the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }

    /// Nonsense in one of the ways that a decoder might take badly.
    fn garbage(&mut self) -> Vec<u8> {
        let noise_len = self.below(2000);
        let noise = self.bytes(noise_len);
        let length: [u8; 4] = self.bytes(4).try_into().unwrap();
        match self.below(6) {
            0 => noise,
            1 => [BEAT.as_slice(), &noise].concat(),
            2 => [&data(&noise), noise.as_slice()].concat(),
            // A length of anything at all, and a body of something else.
            3 => [&[1, 0, 0, 0], length.as_slice(), &noise].concat(),
            4 => [&[0, 0, 0, 0], length.as_slice(), &noise].concat(),
            // Cut off anywhere.
            _ => {
                let whole = data(&noise);
                let len = self.below(u64::try_from(whole.len()).unwrap());
                whole[..len].to_vec()
            }
        }
    }
}

#[test]
fn garbage_ends_its_own_session() {
    const SEED: u64 = 39_002;
    const PEERS: usize = 300;
    let server = Server::start(&["--on-data", "echo"]);
    let mut healthy = Peer::connect(server.addr);
    let mut random = Random(SEED);
    for number in 0..PEERS {
        let mut peer = Peer::connect(server.addr);
        // The server may close while this is being written.
        let _ = peer.stream.write_all(&random.garbage());
        let _ = peer.stream.shutdown(Shutdown::Write);
        peer.read_to_end();
        if number % 20 == 0 {
            healthy.expect_echo(b"still there");
        }
    }
    server.events.first_events("offline", PEERS);
    healthy.expect_echo(b"still there");

    let events = server.stop();
    let of = |name: &str, reason: Option<&str>| {
        let events = events.iter().filter(|event| event.name() == name);
        let events = events.filter(|event| reason.is_none_or(|reason| event["reason"] == reason));
        let mut sessions: Vec<_> = events.map(|event| event.text("session").to_owned()).collect();
        sessions.sort_unstable();
        sessions
    };
    assert_eq!(of("online", None).len(), PEERS + 1, "seed {SEED}");
    assert_eq!(of("offline", None), of("online", None), "seed {SEED}");
    assert_eq!(of("offline", Some("shutdown")).len(), 1, "seed {SEED}");
    assert_eq!(of("verdict", None).len(), 0, "seed {SEED}");

    let errors = of("offline", Some("protocol_error"));
    assert!(errors.len() > PEERS / 3, "{} errors; seed {SEED}", errors.len());
}

#[test]
fn control_characters_of_a_peer_do_not_reach_a_terminal() {
    let evil = "\x1b[2J\x1b]0;title\x07\u{9b}31m\r\n\u{202e}\x7f\0\"}\u{2028}";
    let mut raw = evil.as_bytes().to_vec();
    raw.extend([0x9b, 0xff, 0xc2]);
    for format in ["text", "json"] {
        let mut command = heartwire(&[
            "serve",
            "--protocol",
            "v0",
            "--listen",
            "127.0.0.1:0",
            "--format",
            format,
        ]);
        let mut server = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = Lines::of(server.0.stdout.take().unwrap());
        let log = Lines::of(server.0.stderr.take().unwrap());
        let first = output.line("listening").text;
        let addr = first.split(['"', ' ']).find(|word| word.starts_with("127.0.0.1:")).unwrap();
        let mut peer = Peer::connect(addr.parse().unwrap());
        peer.send(&data(&raw));
        peer.send(&raw);
        // It is shown, in a way that is safe.
        output.line("u{1b}[2J");
        output.line("offline");
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.exit_code(), Some(0));
        for line in output.all().into_iter().chain(log.all()) {
            let harmful = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
            assert!(!line.text.contains(harmful), "{format}: {:?}", line.text);
        }
    }
}
