//! The terminal, which is given back as it was on every way out.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, IsTerminal as _, Stdout, Write as _, stdin, stdout};
use std::{env, panic, thread};

use crossterm::cursor::Show;
use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;

use super::app::App;
use super::screen;

/// Columns of what is printed into a pipe: as many as the table has use for.
const PIPE_WIDTH: u16 = 120;

pub(super) fn is_there() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Columns of standard output.
pub(super) fn width() -> u16 {
    let of_terminal = stdout().is_terminal().then(size).and_then(Result::ok).map(|size| size.0);
    let said = || env::var("COLUMNS").ok()?.parse().ok();
    of_terminal.or_else(said).filter(|&width| width > 0).unwrap_or(PIPE_WIDTH)
}

/// The events of the terminal; none after its end.
pub(super) fn read_keys() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(64);
    // It ends with the process: a read cannot be interrupted.
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}

/// Whether the terminal is in our hands, for a panic on any thread.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// The screen of the program, beside that of the shell.
pub(super) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // Otherwise its message would be on the screen that is left.
            give_back();
            before(panic);
        }));
        take()?;
        // From here on a failure gives it back, too.
        let screen = Terminal::new(CrosstermBackend::new(stdout())).map(Self);
        if screen.is_err() {
            give_back();
        }
        screen
    }

    pub(super) fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.0.draw(|frame| screen::draw(app, frame.area(), frame.buffer_mut()))?;
        Ok(())
    }

    /// Has everything be drawn anew.
    ///
    /// `Terminal::clear` would ask the terminal where its cursor is, and the thread that reads keys
    /// takes the answer.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let size = self.0.size()?;
        self.0.resize(size.into())
    }

    /// Asks the terminal where its cursor is; nothing looks at the answer.
    ///
    /// crossterm, when woken by a new size and a key together, takes the size and leaves the key
    /// until more input comes. The answer is more input.
    pub(super) fn ask_for_input(&mut self) -> io::Result<()> {
        stdout().write_all(b"\x1b[6n")?;
        stdout().flush()
    }

    /// Stops until the shell continues it.
    #[cfg(unix)]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        use rustix::process::{Signal, getpid, kill_process};

        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        take()?;
        self.clear()
    }

    #[cfg(not(unix))]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    IS_OURS.store(true, Ordering::Relaxed);
    let taken = enable_raw_mode()
        .and_then(|()| execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste));
    if taken.is_err() {
        give_back();
    }
    taken
}

fn give_back() {
    if IS_OURS.swap(false, Ordering::Relaxed) {
        // A terminal that is gone needs nothing.
        let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use heartwire_testkit::{Tmux, skip};

    use super::*;

    #[test]
    fn panic_gives_the_terminal_back_and_is_read() {
        if !Tmux::is_installed() {
            skip("tmux is not installed, which is the terminal");
            return;
        }
        let program = env::current_exe().unwrap();
        let test = "--ignored --exact top::terminal::tests::panic_while_the_screen_is_ours";
        // A backtrace would push the message out of the screen.
        let line = format!(
            "RUST_BACKTRACE=0 {} {test} --nocapture; stty -a | grep -ow -- '-*icanon'",
            program.display()
        );
        let terminal = Tmux::start(100, 30, &line);
        let screen = terminal.wait_for("icanon");
        assert!(screen.contains("\nthe panic is to be read\n"), "{screen}");
        assert!(!screen.contains("-icanon") && !terminal.is_taken(), "{screen}");
    }

    /// The test above runs this in a terminal.
    #[test]
    #[ignore = "it panics, and needs a terminal"]
    fn panic_while_the_screen_is_ours() {
        let _screen = Screen::enter().unwrap();
        panic!("the panic is to be read");
    }
}
