use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A folder with a script in it.
struct Script {
    folder: TempDir,
}

impl Script {
    /// It runs in `$0`'s folder.
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let script = Self { folder };
        let path = script.path("hook");
        fs::write(&path, format!("cd \"${{0%/*}}\"\n{text}\n")).unwrap();
        script
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Run by `sh`, because a script that was just written may be busy while another test forks.
    fn hook(&self) -> Hook {
        Hook::command("/bin/sh", [self.path("hook")])
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

fn bodies(text: &str) -> Vec<Value> {
    let bodies = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    bodies.flat_map(|body| body["changes"].as_array().unwrap().clone()).collect()
}

fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Children of this process that have ended and were not waited for.
fn zombies() -> usize {
    let parent = std::process::id().to_string();
    let is_zombie = |path: &Path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let mut after = stat.rsplit_once(") ").map_or("", |(_, after)| after).split(' ');
        after.next() == Some("Z") && after.next() == Some(&parent)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter(|entry| is_zombie(&entry.as_ref().unwrap().path()))
        .count()
}

#[tokio::test]
async fn command_gets_batches_on_standard_input_in_order() {
    let script = Script::new("cat >> all; echo >> all");
    let mut rig = Rig::new(&script.hook());
    for _ in 0..1_000 {
        rig.tell("a");
    }
    let status = rig.wait_until_empty().await;
    assert_eq!((status.delivered, status.retries), (1_000, 0));
    let all = taken(&bodies(&script.read("all")));
    assert_eq!(all["a"], (1..=1_000).collect::<Vec<u64>>());
}

#[tokio::test]
async fn command_that_fails_is_run_again_and_its_last_line_is_told() {
    let script = Script::new(
        "cat >> all; echo >> all; echo x >> runs; [ $(wc -l < runs) -gt 2 ] && exit 0\n\
         echo first >&2; echo 'no room left' >&2; echo >&2; exit 3",
    );
    let mut rig = Rig::new(&script.hook());
    rig.tell("a");
    let failing = rig.wait_for_event(|event| matches!(event, HookEvent::Failing { .. })).await;
    assert_eq!(failing, HookEvent::Failing { error: "exit status: 3: no room left".into() });
    let status = rig.wait_until_empty().await;
    assert_eq!((status.delivered, status.retries), (1, 2));
    assert_eq!(bodies(&script.read("all")).len(), 3);
}

#[tokio::test]
async fn command_that_hangs_is_killed_with_its_children() {
    let script = Script::new("sleep 1000 & echo $! > child; echo $$ > own; wait");
    let mut rig = Rig::new(&script.hook().timeout(Duration::from_secs(2)));
    rig.tell("a");
    let failing = rig.wait_for_event(|event| matches!(event, HookEvent::Failing { .. })).await;
    assert_eq!(failing, HookEvent::Failing { error: "no answer within 2s".into() });
    // On a busy machine only a later run may have come this far.
    wait_until("it ran", || (!script.read("own").is_empty()).then_some(())).await;
    let (child, own) = (script.read("child"), script.read("own"));
    wait_until("all have ended", || (!is_running(&child) && !is_running(&own)).then_some(())).await;
    wait_until("none is a zombie", || (zombies() == 0).then_some(())).await;
}

#[tokio::test]
async fn process_that_a_command_leaves_behind_is_killed() {
    let script = Script::new("cat > all; sleep 1000 & echo $! > child");
    let mut rig = Rig::new(&script.hook());
    rig.tell("a");
    assert_eq!(rig.wait_until_empty().await.delivered, 1);
    let child = script.read("child");
    assert!(!child.is_empty());
    wait_until("it has ended", || (!is_running(&child)).then_some(())).await;
}

#[tokio::test]
async fn command_may_write_much_and_read_nothing() {
    let script = Script::new(
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo 'a line of some bytes, \
         again and again and again' >&2; echo out; done",
    );
    let mut rig = Rig::new(&script.hook().timeout(PATIENCE));
    for _ in 0..700 {
        // Longer than what a pipe holds.
        rig.tell(&"n".repeat(2_000));
    }
    let status = rig.wait_until_empty().await;
    assert_eq!((status.delivered, status.retries), (700, 0));
}

#[tokio::test]
async fn command_that_cannot_be_run_fails_with_the_reason() {
    let script = Script::new("exit 0");
    fs::set_permissions(script.path("hook"), fs::Permissions::from_mode(0o644)).unwrap();
    for (path, reason) in [
        (script.path("hook"), "Permission denied"),
        (script.path("missing"), "No such file or directory"),
    ] {
        let hook = Hook::command(path, [""; 0]).give_up(Duration::ZERO);
        let mut rig = Rig::new(&hook);
        rig.tell("a");
        let dead = rig.wait_for_event(|event| matches!(event, HookEvent::DeadLetters { .. })).await;
        assert!(format!("{dead:?}").contains(reason), "{dead:?}");
    }
}

#[tokio::test]
async fn close_kills_the_command_under_way() {
    let script = Script::new("echo $$ > own; exec sleep 1000");
    let mut rig = Rig::new(&script.hook());
    rig.tell("a");
    let own = wait_until("it runs", || Some(script.read("own")).filter(|own| own.ends_with('\n')));
    let own = own.await;
    rig.hooks.close(Duration::ZERO).await;
    wait_until("it has ended", || (!is_running(&own)).then_some(())).await;
}
