//! Compares what users of the libraries depend on with its record: the public API, the crates
//! whose types it shows, the Rust that the dependencies need, and their licences.
//!
//! `api/run` checks, `api/run update` writes the listings anew.

mod dependencies;
mod foreign;
mod listing;

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

use cargo_metadata::MetadataCommand;
use cargo_metadata::camino::Utf8Path;

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// The libraries, each after what it builds on.
const LIBRARIES: [&str; 4] =
    ["heartwire-core", "heartwire-plan", "heartwire", "heartwire-presence"];

fn main() -> ExitCode {
    let update = match env::args().nth(1).as_deref() {
        None => false,
        Some("update") => true,
        Some(other) => {
            eprintln!("{other:?} is not known: api/run checks, api/run update writes the listings");
            return ExitCode::from(2);
        }
    };
    match run(update) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all of it holds.
fn run(update: bool) -> Result<bool> {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above api/")?;
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--all-features".to_owned(), "--locked".to_owned()])
        .exec()?;

    let mut faults = dependencies::rust_versions(&metadata)?;
    let deny = fs::read_to_string(root.join("deny.toml"))?;
    faults.extend(dependencies::licences(&metadata, &deny)?);
    faults.extend(foreign::unstable_versions(&metadata));

    let mut seen = Vec::new();
    for library in LIBRARIES {
        let path = root.join("api").join(library).with_extension("txt");
        let Some(listing) = listing::of(root, &metadata.target_directory, library)? else {
            return Ok(report(&faults));
        };
        if update {
            fs::write(&path, listing.to_string())?;
        }
        faults.extend(listing.differences(&fs::read_to_string(&path)?, &path));
        seen.push(listing);
    }
    faults.extend(foreign::types(&seen));
    Ok(report(&faults))
}

fn report(faults: &[String]) -> bool {
    for fault in faults {
        eprintln!("error: {fault}");
    }
    faults.is_empty()
}
