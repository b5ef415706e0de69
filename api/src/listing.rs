//! Every public item of a library, a line each.

use core::fmt;
use std::collections::HashSet;
use std::fs;
use std::process::Command;

use cargo_metadata::camino::Utf8Path;
use serde_json::Value;

use crate::Result;

/// What rustdoc calls the format that `public-api` reads, in the version of `Cargo.toml`.
const FORMAT: u64 = 57;

/// Traits that have no name in stable Rust, and that come and go with the compiler.
const COMPILERS_OWN: [&str; 3] =
    ["core::marker::Freeze", "core::marker::StructuralPartialEq", "core::marker::UnsafeUnpin"];

/// The public API of a library with all of its features.
pub struct Listing {
    pub lines: Vec<String>,
    /// The items of other crates that it offers as its own: the path, and the crate.
    pub reexports: Vec<(String, String)>,
}

/// `None`: this toolchain's format is not known, which was said.
pub fn of(root: &Utf8Path, target: &Utf8Path, library: &str) -> Result<Option<Listing>> {
    let status = Command::new("cargo")
        .current_dir(root)
        .env("RUSTDOC", root.join("api/rustdoc"))
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "--package", library])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .status()?;
    if !status.success() {
        return Err(format!("cargo rustdoc of {library} failed: {status}").into());
    }
    let path = target.join("doc").join(library.replace('-', "_")).with_extension("json");
    let json: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let format = json["format_version"].as_u64();
    if format != Some(FORMAT) {
        let format = format.map_or("unknown".to_owned(), |format| format.to_string());
        println!(
            "skipped: the public API. This rustdoc writes format {format}, and format {FORMAT} can \
             be read (Rust 1.95; for another one see public-api in api/Cargo.toml)"
        );
        return Ok(None);
    }
    let api = public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).build()?;
    let mut listed = HashSet::new();
    let mut lines = Vec::new();
    for item in api.items() {
        let line = item.to_string();
        let is_own = COMPILERS_OWN.iter().any(|name| line.contains(&format!("{name} for ")));
        // An `impl` is an item of the type and of the trait, where both are ours.
        if !is_own && listed.insert(line.clone()) {
            lines.push(line);
        }
    }
    Ok(Some(Listing { lines, reexports: reexports(&json) }))
}

fn reexports(json: &Value) -> Vec<(String, String)> {
    let items = json["index"].as_object().into_iter().flat_map(|index| index.values());
    let uses = items.filter_map(|item| item["inner"].get("use"));
    let foreign = uses.filter_map(|reexport| {
        let source = reexport["source"].as_str()?;
        // Without an id it is a primitive type. Its own items have the number 0.
        let origin = json["paths"][reexport["id"].as_u64()?.to_string()]["crate_id"].as_u64();
        let name = match origin {
            Some(0) => return None,
            Some(origin) => json["external_crates"][origin.to_string()]["name"].as_str()?,
            None => {
                source.split("::").next().filter(|first| *first != "crate" && *first != "self")?
            }
        };
        Some((source.to_owned(), name.to_owned()))
    });
    foreign.collect()
}

impl Listing {
    /// One fault, with all the lines, when it is not what was written down.
    pub fn differences(&self, written: &str, path: &Utf8Path) -> Option<String> {
        let old: HashSet<&str> = written.lines().collect();
        let new: HashSet<&str> = self.lines.iter().map(String::as_str).collect();
        let gone =
            written.lines().filter(|line| !new.contains(line)).map(|line| format!("\n-{line}"));
        let come = self.lines.iter().filter(|line| !old.contains(line.as_str()));
        let come = come.map(|line| format!("\n+{line}"));
        let lines: String = gone.chain(come).collect();
        let file = path.file_name().unwrap_or_default();
        (!lines.is_empty()).then(|| {
            format!(
                "the public API is not what api/{file} says:{lines}\nIf it is meant to change: \
                 api/run update, and commit the listing with the change"
            )
        })
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
