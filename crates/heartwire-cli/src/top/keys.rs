//! The keys, as in `top` and `htop`.

#![expect(clippy::wildcard_enum_match_arm, reason = "most keys do nothing")]

use core::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{App, Mode, Retry};
use super::args::{Sort, View, delay};

/// What a key asks of the program, beside a changed screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    /// Ask the server now.
    Ask,
    /// Look at the delay again.
    Delay,
    Kick {
        session: String,
        retry: Retry,
    },
    /// Draw everything anew: something else has written to the terminal.
    Redraw,
    /// Have the terminal send something: a key may have come together with its new size.
    Resized,
    /// Stop, as Ctrl-Z stops other programs.
    Suspend,
}

/// Longest part of a name to search for, and longest delay to type.
const MAX_TYPED: usize = 255;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        self.notice = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('l') => Action::Redraw,
                KeyCode::Char('z') => Action::Suspend,
                _ => Action::None,
            };
        }
        match self.mode.clone() {
            Mode::Watch => self.key_while_watching(key.code),
            Mode::Help => self.key_in_help(key.code),
            Mode::Search { old } => self.key_in_search(key.code, old),
            Mode::Delay { typed } => self.key_in_delay(key.code, typed),
            Mode::Sort { at } => self.key_in_sort(key.code, at),
            Mode::Kick { session, .. } => self.key_in_kick(key.code, session),
        }
    }

    fn key_while_watching(&mut self, key: KeyCode) -> Action {
        match key {
            KeyCode::Char('q' | 'Q') | KeyCode::F(10) => return Action::Quit,
            KeyCode::Char('h' | '?') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Char('/') | KeyCode::F(3 | 4) => {
                self.mode = Mode::Search { old: self.search.clone() };
            }
            KeyCode::Esc if !self.search.is_empty() => {
                self.search.clear();
                self.restart_listing();
                return Action::Ask;
            }
            KeyCode::Char('d' | 's') => self.mode = Mode::Delay { typed: String::new() },
            KeyCode::Char('+' | '=') => return self.change_delay(1),
            KeyCode::Char('-') => return self.change_delay(-1),
            KeyCode::Char(' ') => {
                self.is_paused = !self.is_paused;
                return if self.is_paused { Action::None } else { Action::Ask };
            }
            KeyCode::Enter | KeyCode::F(5) => return Action::Ask,
            KeyCode::Char('1') => return self.ask_for(View::Overview),
            KeyCode::Char('2') => return self.ask_for(View::Sessions),
            KeyCode::Char('3') => return self.ask_for(View::Away),
            KeyCode::Tab => return self.ask_for(self.view.next()),
            KeyCode::F(6) => self.mode = Mode::Sort { at: self.sort },
            KeyCode::Char('<' | ',') => return self.ask_in_order(self.sort.step(-1)),
            KeyCode::Char('>' | '.') => return self.ask_in_order(self.sort.step(1)),
            KeyCode::Char('k') | KeyCode::F(9) => self.begin_kick(),
            KeyCode::Char(letter) => {
                if let Some(sort) = sort_of(letter) {
                    return self.ask_in_order(sort);
                }
            }
            key => return self.move_bar(key),
        }
        Action::None
    }

    fn move_bar(&mut self, key: KeyCode) -> Action {
        let page = isize::try_from(self.page_len).unwrap_or(isize::MAX);
        let asks = match key {
            KeyCode::Up => self.step(-1),
            KeyCode::Down => self.step(1),
            KeyCode::PageUp => self.step(page.saturating_neg()),
            KeyCode::PageDown => self.step(page),
            KeyCode::Home => {
                self.select(0);
                false
            }
            KeyCode::End => {
                self.select(usize::MAX);
                false
            }
            _ => false,
        };
        if asks { Action::Ask } else { Action::None }
    }

    fn ask_for(&mut self, view: View) -> Action {
        self.set_view(view);
        Action::Ask
    }

    fn ask_in_order(&mut self, sort: Sort) -> Action {
        self.set_sort(sort);
        Action::Ask
    }

    /// By half a second, or more where it is long.
    fn change_delay(&mut self, by: i32) -> Action {
        let step = Duration::from_millis(500).max(self.delay / 4);
        let delay = if by > 0 { self.delay + step } else { self.delay.saturating_sub(step) };
        self.set_delay(delay);
        self.notice = Some(format!("asks every {:?}", self.delay));
        Action::Delay
    }

    fn begin_kick(&mut self) {
        let Some(session) = self.session() else {
            self.notice = Some("there is no session here to end".to_owned());
            return;
        };
        if !self.has_token {
            let why = "ending a session needs the server's token: start top with --http-token FILE";
            self.notice = Some(why.to_owned());
            return;
        }
        self.mode = Mode::Kick { session: session.session.clone(), name: session.name.clone() };
    }

    fn key_in_help(&mut self, key: KeyCode) -> Action {
        if matches!(key, KeyCode::Char('q' | 'Q') | KeyCode::F(10)) {
            return Action::Quit;
        }
        self.mode = Mode::Watch;
        Action::None
    }

    fn key_in_search(&mut self, key: KeyCode, old: String) -> Action {
        match key {
            KeyCode::Enter => {
                self.mode = Mode::Watch;
                return Action::None;
            }
            KeyCode::Esc => {
                self.mode = Mode::Watch;
                self.search = old;
            }
            KeyCode::Backspace => drop(self.search.pop()),
            KeyCode::Char(char) if self.search.len() < MAX_TYPED => self.search.push(char),
            _ => return Action::None,
        }
        self.restart_listing();
        Action::Ask
    }

    fn key_in_delay(&mut self, key: KeyCode, mut typed: String) -> Action {
        match key {
            KeyCode::Esc => self.mode = Mode::Watch,
            KeyCode::Enter => {
                self.mode = Mode::Watch;
                match delay(&typed) {
                    _ if typed.is_empty() => {}
                    Ok(delay) => {
                        self.set_delay(delay);
                        return Action::Delay;
                    }
                    Err(why) => self.notice = Some(format!("the delay stays as it is: {why}")),
                }
            }
            KeyCode::Backspace => {
                typed.pop();
                self.mode = Mode::Delay { typed };
            }
            KeyCode::Char(char) if typed.len() < MAX_TYPED => {
                typed.push(char);
                self.mode = Mode::Delay { typed };
            }
            _ => {}
        }
        Action::None
    }

    fn key_in_sort(&mut self, key: KeyCode, at: Sort) -> Action {
        let at = match key {
            KeyCode::Up | KeyCode::Left => at.step(-1),
            KeyCode::Down | KeyCode::Right => at.step(1),
            KeyCode::Enter => {
                self.mode = Mode::Watch;
                return self.ask_in_order(at);
            }
            KeyCode::Esc | KeyCode::Char('q') | KeyCode::F(6) => {
                self.mode = Mode::Watch;
                return Action::None;
            }
            KeyCode::Char(letter) if sort_of(letter).is_some() => {
                self.mode = Mode::Watch;
                return self.ask_in_order(sort_of(letter).unwrap_or(at));
            }
            _ => at,
        };
        self.mode = Mode::Sort { at };
        Action::None
    }

    /// Only the two letters that the question names do it.
    fn key_in_kick(&mut self, key: KeyCode, session: String) -> Action {
        self.mode = Mode::Watch;
        match key {
            KeyCode::Char('y') => Action::Kick { session, retry: Retry::Never },
            KeyCode::Char('r') => Action::Kick { session, retry: Retry::AtWill },
            _ => {
                self.notice = Some("the session goes on".to_owned());
                Action::None
            }
        }
    }
}

/// The order that a letter stands for.
fn sort_of(letter: char) -> Option<Sort> {
    Some(match letter {
        'D' => Sort::Due,
        'S' => Sort::Silence,
        'R' => Sort::Rtt,
        'A' => Sort::Age,
        'U' => Sort::Queued,
        'I' => Sort::Id,
        _ => return None,
    })
}
