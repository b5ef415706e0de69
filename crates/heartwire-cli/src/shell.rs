//! The man pages and shell completions, from the same source as `--help`.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::environment::described;
use crate::exit::Exit;
use crate::output::print_bytes;

pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut described(), "heartwire", &mut script);
    print_bytes(&script)?;
    Ok(Exit::Success)
}

pub(crate) fn man(directory: Option<&Path>) -> anyhow::Result<Exit> {
    let command = described();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print_bytes(&page)?;
        return Ok(Exit::Success);
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("cannot write into {}", directory.display()))?;
    Ok(Exit::Success)
}
