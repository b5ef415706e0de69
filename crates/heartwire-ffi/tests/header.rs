//! The checked-in header is what the source says. `HEADER=overwrite` writes it.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/heartwire.h");
    let mut made = Vec::new();
    cbindgen::generate(root).unwrap().write(&mut made);
    if env::var_os("HEADER").is_some_and(|value| value == "overwrite") {
        fs::write(&path, made).unwrap();
        return;
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    let made = String::from_utf8(made).unwrap();
    assert!(
        made == checked_in,
        "the header is old: HEADER=overwrite cargo test -p heartwire-ffi --test header"
    );
}
