//! Draws the pictures of the book and of the README:
//! `cargo run -p heartwire-lab --example pictures`.
//!
//! What those of the book show is played by the deciding core on a made-up clock, so that a picture
//! cannot say anything else than the programs do. The README's is a run of the demo, recorded with
//! `heartwire demo > docs/demo.txt`. The test compares the pictures in the repository with them.

mod demo;
mod frame;
mod scenes;
mod svg;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Each picture with its place.
fn pictures() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pictures = Vec::new();
    for (name, picture) in scenes::all()? {
        pictures.push((docs.join("book/src/pictures").join(name).with_extension("svg"), picture));
    }
    let recorded = fs::read_to_string(docs.join("demo.txt")).context("no docs/demo.txt")?;
    pictures.push((docs.join("demo.svg"), demo::demo(&recorded)?));
    Ok(pictures)
}

fn main() -> anyhow::Result<()> {
    for (path, picture) in pictures()? {
        fs::write(path, picture)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_pictures_show_what_the_core_and_the_demo_do() {
        for (path, picture) in super::pictures().unwrap() {
            let drawn = std::fs::read_to_string(&path).unwrap_or_default();
            // They are long: what differs is for `git diff` to say.
            assert!(
                drawn == picture,
                "{} is not what would be drawn now: run \
                 `cargo run -p heartwire-lab --example pictures`, and look at it",
                path.display()
            );
        }
    }
}
