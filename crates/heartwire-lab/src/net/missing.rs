//! What the lab needs, and whether it is here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use super::command::{is_installed, run};
use super::namespace::{Owner, this_program};

/// The programs that the lab runs, and where Debian has them.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("sysctl", "procps"),
    ("setpriv", "util-linux"),
];

/// What is missing, in words; empty if the lab can run.
pub(super) fn find(owner: Owner) -> Vec<String> {
    let absent = TOOLS.into_iter().filter(|(tool, _)| !is_installed(tool));
    let mut missing: Vec<String> = absent
        .map(|(tool, package)| format!("the program {tool} (apt-get install {package})"))
        .collect();
    if !Path::new("/dev/net/tun").exists() {
        missing.push("/dev/net/tun, for links that damage packets (modprobe tun)".to_owned());
    }
    if is_installed("ip")
        && let Err(error) = make_namespace(&owner.name(0, "probe"))
    {
        missing.push(format!("the right to make network namespaces, as root has it: {error:#}"));
    }
    missing
}

fn make_namespace(name: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(["netns", "add", name]))?;
    run(Command::new("ip").args(["netns", "delete", name])).map(drop)
}

/// The program under test: the one that was named, or the one that was built beside this one.
pub(super) fn heartwire(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => this_program()?.with_file_name("heartwire"),
    };
    if !program.is_file() {
        bail!(
            "there is no program {}; build it with `cargo build --release -p heartwire-cli`, or name \
             one with --bin",
            program.display()
        );
    }
    Ok(program)
}
