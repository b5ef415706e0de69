//! Which network interfaces of this machine are up (Linux only).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where the kernel lists them.
const LIST: &str = "/sys/class/net";

/// The kernel's name of the loopback.
const LOOPBACK: &str = "lo";

/// Watches interfaces. It reads a few short files each time, because that needs no privilege, and
/// misses nothing that matters: an interface that is down for less than a look cuts off no client.
///
/// The loopback does not count, nor do ports of a bridge or a bond: those of containers come and
/// go, and if they matter to clients, so does what they are a port of.
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
        let up = up(&list).unwrap_or_default();
        Self { list, up }
    }

    /// Those that were up at the last look, and are not now.
    pub(crate) fn went_down(&mut self) -> Vec<Box<str>> {
        // If it cannot look, for example because it has no file descriptor, none went down.
        let Ok(now) = up(&self.list) else { return Vec::new() };
        let before = core::mem::replace(&mut self.up, now);
        let is_port = |name: &str| self.list.join(name).join("master").exists();
        before.difference(&self.up).filter(|name| !is_port(name)).cloned().collect()
    }
}

fn up(list: &Path) -> io::Result<BTreeSet<Box<str>>> {
    let mut up = BTreeSet::new();
    for entry in fs::read_dir(list)? {
        let entry = entry?;
        let folder = entry.path();
        let Some(state) = read(&folder.join("operstate"))? else { continue };
        // That of tunnels is unknown.
        let is_up = matches!(state.trim_end(), "up" | "unknown");
        let name = entry.file_name();
        if is_up && name != LOOPBACK && !folder.join("master").exists() {
            up.insert(name.to_string_lossy().into());
        }
    }
    Ok(up)
}

/// `None` if the interface was removed meanwhile, or the folder is a file of another purpose.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn set(&self, name: &str, state: &str) -> &Self {
            self.write(name, "operstate", state)
        }

        fn write(&self, name: &str, file: &str, text: &str) -> &Self {
            let folder = self.0.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), text).unwrap();
            self
        }
    }

    #[test]
    fn interface_that_was_up_and_is_down_or_gone_is_told_once() {
        let folder = Folder::new();
        folder.set("eth0", "up\n").set("eth1", "down\n").set("tun0", "unknown\n");
        fs::write(folder.0.path().join("bonding_masters"), "").unwrap();
        let mut interfaces = Interfaces::of(folder.0.path().into());
        let mut down = || interfaces.went_down().join(" ");
        assert_eq!(down(), "");
        folder.set("eth0", "down\n").set("eth1", "up\n");
        assert_eq!(down(), "eth0");
        assert_eq!(down(), "");
        folder.set("eth0", "up\n");
        fs::remove_dir_all(folder.0.path().join("tun0")).unwrap();
        assert_eq!(down(), "tun0");
    }

    #[test]
    fn loopback_and_ports_are_never_told() {
        let folder = Folder::new();
        folder
            .set("lo", "unknown\n")
            .set("veth0", "up\n")
            .write("veth0", "master", "")
            .set("veth1", "up\n");
        let mut interfaces = Interfaces::of(folder.0.path().into());
        let mut down = || interfaces.went_down().join(" ");
        folder.set("lo", "down\n").set("veth0", "down\n");
        // This one becomes a port.
        folder.write("veth1", "master", "");
        assert_eq!(down(), "");
        folder.set("veth0", "up\n").set("veth1", "down\n");
        assert_eq!(down(), "");
        fs::remove_dir_all(folder.0.path().join("veth0")).unwrap();
        assert_eq!(down(), "");
    }

    #[test]
    fn folder_that_cannot_be_read_says_nothing() {
        let folder = Folder::new();
        folder.set("eth0", "up\n");
        let mut interfaces = Interfaces::of(folder.0.path().into());
        interfaces.list = folder.0.path().join("gone");
        assert_eq!(interfaces.went_down().join(" "), "");
        interfaces.list = folder.0.path().into();
        folder.set("eth0", "down\n");
        assert_eq!(interfaces.went_down().join(" "), "eth0");
    }
}
