//! Requirements of the network lab, and which are missing.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use super::args::Section;
use super::command::is_installed;
use super::namespace::{Maker, Namespace, this_program};

/// The programs that the lab runs, and where Debian has them.
const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("sysctl", "procps"),
    ("setpriv", "util-linux"),
];

/// What is missing; empty if the lab can run.
pub(super) fn find(maker: Maker) -> Vec<String> {
    find_and(maker, &[])
}

/// The same for an experiment that needs these programs as well, each with its package.
fn find_and(maker: Maker, more: &[(&str, &str)]) -> Vec<String> {
    let all = TOOLS.iter().chain(more);
    let mut missing: Vec<String> = all
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(tool, package)| format!("the program {tool} (apt-get install {package})"))
        .collect();
    if missing.is_empty()
        && let Err(error) = try_namespace(maker)
    {
        missing.push(format!(
            "the right to make network namespaces and rules in them, as root has it: {error:#}"
        ));
    }
    missing
}

/// An error that says what is missing, if anything is.
pub(crate) fn nothing(maker: Maker) -> anyhow::Result<()> {
    nothing_and(maker, &[])
}

/// The same for an experiment that needs these programs as well, each with its package.
pub(super) fn nothing_and(maker: Maker, more: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing = find_and(maker, more);
    ensure!(missing.is_empty(), "this cannot run here; it needs:\n  {}", missing.join("\n  "));
    Ok(())
}

fn try_namespace(maker: Maker) -> anyhow::Result<()> {
    let namespace = Namespace::make(maker.name(0, "probe"))?;
    namespace.nft("add table ip lab\n")
}

/// Whether there can be [links](super::impair) that damage packets.
pub(super) fn has_tun() -> bool {
    Path::new("/dev/net/tun").exists()
}

/// The program under test: the one that was named, or the one that was built beside this one.
pub(super) fn heartwire(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => this_program()?.with_file_name("heartwire"),
    };
    if !program.is_file() {
        bail!(
            "there is no program {}; build it with `cargo build --release -p heartwire-cli`, or \
             name one with --bin",
            program.display()
        );
    }
    Ok(program)
}

/// The C client that was named, which the section with it needs.
pub(super) fn c_client(
    named: Option<&Path>,
    sections: &[Section],
) -> anyhow::Result<Option<PathBuf>> {
    let Some(program) = named else {
        ensure!(
            !sections.contains(&Section::C),
            "section c needs a C client: name one with --c-client (docs/faults-c.md says how to \
             compile it)"
        );
        return Ok(None);
    };
    ensure!(program.is_file(), "there is no program {}", program.display());
    // A name alone would be looked up elsewhere.
    Ok(Some(program.canonicalize()?))
}
