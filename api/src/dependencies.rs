//! What the dependencies ask of users: a Rust of some age, and licences.

use std::collections::HashSet;

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};
use spdx::{Expression, LicenseReq, ParseMode};

use crate::Result;

/// Each member of the workspace promises a version of Rust. Its dependencies must not need a newer
/// one.
pub fn rust_versions(metadata: &Metadata) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for member in metadata.workspace_packages() {
        let Some(promised) = &member.rust_version else {
            faults.push(format!("{} does not say which Rust it needs", member.name));
            continue;
        };
        let built = built_with(metadata, &member.id, false)?;
        let silent = built.iter().filter(|it| it.rust_version.is_none()).count();
        for package in &built {
            if let Some(needed) = package.rust_version.as_ref().filter(|needed| *needed > promised)
            {
                let Package { name, version, .. } = package;
                faults.push(format!(
                    "{} promises Rust {promised}, and {name} {version} needs {needed}",
                    member.name
                ));
            }
        }
        println!(
            "{} {promised}: {} dependencies, of which {silent} do not say which Rust they need",
            member.name,
            built.len()
        );
    }
    Ok(faults)
}

/// All dependencies, those of the tests too, have licences that `deny.toml` allows.
pub fn licences(metadata: &Metadata, deny: &str) -> Result<Vec<String>> {
    let allowed = allowed(deny)?;
    let mut faults = Vec::new();
    let mut packages: Vec<&Package> = Vec::new();
    for member in metadata.workspace_packages() {
        packages.extend(built_with(metadata, &member.id, true)?);
    }
    packages.sort_by_key(|it| &it.id);
    packages.dedup_by_key(|it| &it.id);
    for package in &packages {
        let Package { name, version, .. } = package;
        let Some(licence) = &package.license else {
            faults.push(format!("{name} {version} names no licence"));
            continue;
        };
        let expression = Expression::parse_mode(licence, ParseMode::LAX)?;
        if !expression.evaluate(|req| allowed.contains(req)) {
            faults.push(format!(
                "{name} {version} is under {licence}, which deny.toml does not allow"
            ));
        }
    }
    println!("{} licences looked at", packages.len());
    Ok(faults)
}

fn allowed(deny: &str) -> Result<Vec<LicenseReq>> {
    let deny: toml::Table = deny.parse()?;
    let list = deny.get("licenses").and_then(|section| section.get("allow")?.as_array());
    let mut allowed = Vec::new();
    for entry in list.ok_or("deny.toml has no list of licences")? {
        let entry = Expression::parse(entry.as_str().unwrap_or_default())?;
        allowed.extend(entry.requirements().map(|one| one.req.clone()));
    }
    Ok(allowed)
}

/// What `member` is built with, on any system; with what its tests need, or without.
fn built_with<'a>(
    metadata: &'a Metadata,
    member: &PackageId,
    with_tests: bool,
) -> Result<Vec<&'a Package>> {
    let nodes = &metadata.resolve.as_ref().ok_or("cargo metadata resolved nothing")?.nodes;
    let mut found = HashSet::new();
    let mut open = vec![member];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node.id == *id).ok_or("a package is not resolved")?;
        for dependency in &node.deps {
            let is_built = dependency.dep_kinds.iter().any(|it| match it.kind {
                DependencyKind::Normal | DependencyKind::Build => true,
                // The tests of dependencies are not built.
                _ => with_tests && id == member,
            });
            if is_built && dependency.pkg != *member && found.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    Ok(metadata.packages.iter().filter(|it| found.contains(&it.id)).collect())
}

#[cfg(test)]
mod tests;
