//! Draws the pictures of the book: `cargo run -p heartwire-lab --example pictures`.
//!
//! What they show is played by the deciding core on a clock that is made up, so that a picture cannot say
//! anything else than the programs do. The test holds what lies in the repository against it.

mod frame;
mod scenes;
mod svg;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/pictures")
}

fn main() -> anyhow::Result<()> {
    for (name, picture) in scenes::all()? {
        fs::write(directory().join(name).with_extension("svg"), picture)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_pictures_in_the_book_show_what_the_core_does() {
        for (name, picture) in super::scenes::all().unwrap() {
            let drawn = super::directory().join(name).with_extension("svg");
            let drawn = std::fs::read_to_string(drawn).unwrap_or_default();
            // They are long: what differs is for `git diff` to say.
            assert!(
                drawn == picture,
                "{name}.svg is not what the core does now: run \
                 `cargo run -p heartwire-lab --example pictures`, and look at it"
            );
        }
    }
}
