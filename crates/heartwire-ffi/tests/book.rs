//! What the book shows of the C library compiles.

#![expect(clippy::unwrap_used, reason = "a listing that is not there fails the test")]

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use heartwire_testkit::skip;

const CHAPTER: &str = include_str!("../../../docs/book/src/firmware.md");
const HEADER: &str = include_str!("../include/heartwire.h");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

/// The listings in this language, in order.
fn listings(language: &str) -> Vec<&'static str> {
    let listings = CHAPTER.split("\n```").skip(1).step_by(2);
    listings.filter_map(|listing| listing.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// False where this compiler is not installed.
#[track_caller]
fn compiles(compiler: &str, standard: &str, file: &str, text: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file);
    fs::write(&path, text).unwrap();
    let strict = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", INCLUDE];
    match Command::new(compiler).arg(standard).args(strict).arg(&path).output() {
        Ok(compiled) => {
            let said = String::from_utf8_lossy(&compiled.stderr);
            assert!(compiled.status.success(), "{text}\n{said}");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(&format!("{compiler} is not installed"));
            false
        }
        Err(error) => panic!("cannot run {compiler}: {error}"),
    }
}

/// The first listing is a program. The others are functions behind it, which use its names.
#[test]
fn listings_in_c_compile() {
    let listings = listings("c");
    let (program, functions) = listings.split_first().unwrap();
    assert!(program.contains("int main(") && functions.len() > 3, "{listings:#?}");
    if !compiles("cc", "-std=c99", "door.c", program) {
        return;
    }
    for function in functions {
        compiles("cc", "-std=c99", "door.c", &format!("{program}\n{function}"));
    }
}

#[test]
fn listings_in_cpp_compile() {
    let listings = listings("cpp");
    assert!(!listings.is_empty(), "no C++ in the chapter");
    for listing in listings {
        if !compiles("c++", "-std=c++11", "door.cpp", listing) {
            return;
        }
    }
}

/// No compiler looks at prose.
#[test]
fn names_in_the_chapter_are_in_the_header() {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let known: Vec<_> = HEADER.split(|char| !is_name(char)).collect();
    let words = CHAPTER.split(|char| !is_name(char));
    let names: Vec<_> =
        words.filter(|word| word.starts_with("hw_") || word.starts_with("HW_")).collect();
    assert!(names.len() > 50, "{names:?}");
    let wrong: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
    assert!(wrong.is_empty(), "not in heartwire.h: {wrong:?}");
}
