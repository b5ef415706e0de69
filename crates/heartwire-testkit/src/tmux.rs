//! A real terminal, with keys that a test presses and a screen that it reads.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{ms, pass, wait_until};

/// A terminal of `tmux`, which ends with its test.
#[derive(Debug)]
pub struct Tmux {
    folder: TempDir,
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

impl Tmux {
    /// Whether it is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    /// Runs a line of shell in a terminal of this size. What comes after its end stays on the
    /// screen.
    #[track_caller]
    pub fn start(width: u16, height: u16, line: &str) -> Self {
        let terminal = Self { folder: TempDir::new().unwrap() };
        let [width, height] = [width, height].map(|size| size.to_string());
        let line = format!("{line}; echo; exec sleep 1000");
        let output = terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, &line]);
        assert!(!output.contains("error"), "{output}");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let mut tmux = Command::new("tmux");
        // None of a user's settings, and none of a tmux that this test runs in.
        tmux.env_remove("TMUX").env("TERM", "screen").arg("-f").arg("/dev/null");
        let output = tmux.arg("-u").arg("-S").arg(socket).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by the names that tmux has for them.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types text.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Changes its size.
    pub fn resize(&self, width: u16, height: u16) {
        let [width, height] = [width, height].map(|size| size.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the sequences for its colours.
    #[must_use]
    pub fn colored_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits for text on the screen, which it returns.
    #[track_caller]
    pub fn wait_for(&self, part: &str) -> String {
        let mut screen = String::new();
        let is_there = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            wait_until(part, || {
                screen = self.screen();
                let is_there = screen.contains(part);
                if !is_there {
                    // Each look starts a program, and slows down what it waits for.
                    pass(ms(20));
                }
                is_there
            });
        }));
        assert!(is_there.is_ok(), "waited for {part:?}, and there is:\n{screen}");
        screen
    }

    /// Whether a program still has a screen of its own, or has left the cursor hidden.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim() != "0 1"
    }
}
