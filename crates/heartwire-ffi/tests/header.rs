//! The checked-in header is what the source says. `HEADER=overwrite` writes it.

use heartwire_ffi::abi::HW_CLIENT_SIZE;
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

/// These lines are not made of the source.
#[test]
fn the_header_has_this_librarys_size() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/heartwire.h");
    let header = fs::read_to_string(header).unwrap();
    let sizes: Vec<usize> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define HW_CLIENT_SIZE ")?.parse().ok())
        .collect();
    let [wide, wide_resuming, narrow, narrow_resuming] = sizes[..] else { panic!("{sizes:?}") };
    let here = match (size_of::<usize>() > 4, cfg!(feature = "resume")) {
        (true, false) => wide,
        (true, true) => wide_resuming,
        (false, false) => narrow,
        (false, true) => narrow_resuming,
    };
    assert_eq!(here, HW_CLIENT_SIZE);
}
