//! Which network interfaces of this machine are up (Linux only).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel lists them.
const LIST: &str = "/sys/class/net";

/// Watches interfaces. It reads a few short files each time, because that needs no privilege, and
/// misses nothing that matters: an interface that is down for less than a look cuts off no client.
#[derive(Debug)]
pub(crate) struct Interfaces {
    list: PathBuf,
    up: BTreeSet<Box<str>>,
}

impl Interfaces {
    pub(crate) fn new() -> Self {
        Self::of(LIST.into())
    }

    fn of(list: PathBuf) -> Self {
        let up = up(&list);
        Self { list, up }
    }

    /// Those that were up at the last look, and are not now.
    pub(crate) fn went_down(&mut self) -> Vec<Box<str>> {
        let before = core::mem::replace(&mut self.up, up(&self.list));
        before.difference(&self.up).cloned().collect()
    }
}

/// Nothing where the system does not tell.
fn up(list: &Path) -> BTreeSet<Box<str>> {
    let Ok(entries) = fs::read_dir(list) else { return BTreeSet::new() };
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let state = fs::read_to_string(entry.path().join("operstate")).ok()?;
        // That of loopback and of tunnels is unknown.
        let is_up = matches!(state.trim_end(), "up" | "unknown");
        is_up.then(|| entry.file_name().to_string_lossy().into())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_that_was_up_and_is_down_or_gone_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, state: &str| {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("operstate"), state).unwrap();
        };
        for (name, state) in [("eth0", "up\n"), ("eth1", "down\n"), ("tun0", "unknown\n")] {
            set(name, state);
        }
        let mut interfaces = Interfaces::of(folder.path().into());
        let mut down = || interfaces.went_down().join(" ");
        assert_eq!(down(), "");
        set("eth0", "down\n");
        set("eth1", "up\n");
        assert_eq!(down(), "eth0");
        assert_eq!(down(), "");
        set("eth0", "up\n");
        fs::remove_dir_all(folder.path().join("tun0")).unwrap();
        assert_eq!(down(), "tun0");
    }
}
