//! Replays the fuzzer's corpus and its findings, without a fuzzer.

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for kind in ["corpus", "regressions"] {
        let Ok(files) = fs::read_dir(here.join(kind).join(target)) else { continue };
        for file in files {
            let path = file.unwrap().path();
            // A failing test names its input.
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "there is no corpus for {target}");
}

#[test]
fn decode() {
    replay("decode", heartwire_fuzz::decode::run);
}

#[test]
fn handshake() {
    replay("handshake", heartwire_fuzz::handshake::run);
}

#[test]
fn connection() {
    replay("connection", heartwire_fuzz::connection::run);
}

#[test]
fn pair() {
    replay("pair", heartwire_fuzz::pair::run);
}

#[test]
fn session() {
    replay("session", heartwire_fuzz::session::run);
}

#[test]
fn c_client() {
    replay("c_client", heartwire_fuzz::c_client::run);
}
