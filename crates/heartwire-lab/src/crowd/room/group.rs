//! What the control groups of this process still permit: a container may have less memory than its
//! machine.

use std::fs;
use std::path::Path;

/// Where the groups are, and the files with a group's limit and with what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    root: &'static str,
    limit: &'static str,
    used: &'static str,
}

const V1: Kind = Kind {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
};

const V2: Kind = Kind { root: "/sys/fs/cgroup", limit: "memory.max", used: "memory.current" };

/// Bytes that they permit; `u64::MAX` without a limit.
pub(super) fn permitted() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let permitted = groups.lines().filter_map(parse).flat_map(|(kind, path)| {
        let root = Path::new(kind.root);
        // Each group above has a limit too. A container may see its own group as the root.
        let folder = root.join(path.trim_start_matches('/'));
        let groups = folder.ancestors().take_while(|folder| folder.starts_with(root));
        groups.filter_map(|folder| left(folder, kind)).collect::<Vec<u64>>()
    });
    permitted.min().unwrap_or(u64::MAX)
}

/// The group that limits memory, of a line of /proc/self/cgroup.
fn parse(line: &str) -> Option<(Kind, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let is_v1 = controllers.split(',').any(|controller| controller == "memory");
    if is_v1 { Some((V1, path)) } else { controllers.is_empty().then_some((V2, path)) }
}

/// What a group has left. The files that it has cached can be dropped.
fn left(folder: &Path, kind: Kind) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    // `max` where there is none.
    let limit: u64 = read(kind.limit)?.trim().parse().ok()?;
    let used: u64 = read(kind.used)?.trim().parse().ok()?;
    let cached = ["active_file", "inactive_file"];
    let cached: u64 = read("memory.stat")?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| cached.contains(name))
        .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
        .sum();
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_of_either_version_is_found() {
        assert_eq!(parse("0::/user.slice/a"), Some((V2, "/user.slice/a")));
        assert_eq!(parse("4:memory:/b"), Some((V1, "/b")));
        assert_eq!(parse("4:hugetlb,memory:/b:c"), Some((V1, "/b:c")));
        assert_eq!(parse("8:pids:/"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn group_has_its_limit_less_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(left(folder.path(), V2), None);
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        write("memory.stat", "anon 400\ninactive_file 200\nactive_file 50\nfile 250\n");
        assert_eq!(left(folder.path(), V2), None);
        write("memory.max", "1000\n");
        assert_eq!(left(folder.path(), V2), Some(550));
    }

    #[test]
    fn groups_of_this_process_permit_something() {
        assert!(permitted() > 0);
    }
}
