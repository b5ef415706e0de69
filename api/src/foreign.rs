//! Whose types the public API shows. A new major version of such a crate is one of ours.

use std::collections::HashSet;

use cargo_metadata::Metadata;

use crate::listing::Listing;

/// Part of the language, or of this project.
const OURS: [&str; 7] =
    ["alloc", "core", "heartwire", "heartwire_core", "heartwire_plan", "heartwire_presence", "std"];

/// The traits of async Rust, which everybody shares.
const TRAITS: [&str; 2] = ["futures_core", "futures_sink"];

/// Crates that promise to stay as they are: their version is checked to be 1.0 or more.
const STABLE: [&str; 3] = ["bytes", "serde_core", "tokio"];

/// The others, where they may occur, each with its reason.
const EXCEPTIONS: [Exception; 2] = [
    // The feature `websocket`: docs/adr/0012.
    Exception { crate_name: "tungstenite", within: "heartwire::wrap::websocket" },
    // How its macro writes the bounds of `Unpin`. No caller can name it, or need to.
    Exception { crate_name: "pin_project_lite", within: "core::marker::Unpin for heartwire::wrap" },
];

struct Exception {
    crate_name: &'static str,
    /// What else a line says that shows its types.
    within: &'static str,
}

/// What the listings show that they may not, and exceptions for nothing.
pub fn types(listings: &[Listing]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = HashSet::new();
    let lines = listings.iter().flat_map(|listing| &listing.lines);
    for (line, name) in lines.flat_map(|line| crates_in(line).map(move |name| (line, name))) {
        if is_fine(name) {
            continue;
        }
        let mut exceptions = EXCEPTIONS.iter().enumerate();
        match exceptions.find(|(_, one)| one.crate_name == name && line.contains(one.within)) {
            Some((index, _)) => _ = used.insert(index),
            None => faults.push(format!(
                "the public API shows a type of {name}, which is neither 1.x nor an exception in \
                 api/src/foreign.rs:\n{line}"
            )),
        }
    }
    for (source, name) in listings.iter().flat_map(|listing| &listing.reexports) {
        if !is_fine(name) {
            faults.push(format!(
                "the public API offers {source} as its own, which belongs to {name}"
            ));
        }
    }
    for (index, one) in EXCEPTIONS.iter().enumerate() {
        if !used.contains(&index) {
            let Exception { crate_name, within } = one;
            faults.push(format!(
                "nothing in {within} shows {crate_name} any more: remove the exception"
            ));
        }
    }
    faults
}

/// Those of [`STABLE`] that are not.
pub fn unstable_versions(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.packages.iter();
    let unstable = packages.filter(|it| STABLE.contains(&it.name.as_str()) && it.version.major < 1);
    unstable
        .map(|it| format!("{} {} is not 1.x, and in the public API", it.name, it.version))
        .collect()
}

fn is_fine(name: &str) -> bool {
    OURS.contains(&name) || TRAITS.contains(&name) || STABLE.contains(&name)
}

/// The first parts of all paths in a line that begin with a small letter; others are type
/// parameters.
fn crates_in(line: &str) -> impl Iterator<Item = &str> {
    let paths = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let firsts = paths.filter_map(|path| path.split_once("::")).map(|(first, _)| first);
    firsts.filter(|first| first.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'))
}

#[cfg(test)]
mod tests;
