//! Commands from standard input, with `--commands`.

use std::io::{self, BufRead, BufReader};
use std::thread;

use heartwire::server::{Handle, SessionInfo};
use heartwire::v1::{MAX_DETAIL_LEN, RetryHint};

use super::feed::Feed;
use super::lines::{Line, Session};
use crate::output::{Sink, warn};
use crate::stdin::{Stdin, next_line};

const HELP: &str = "\
each line of input is a command:
  /who                  lists the sessions
  /send NAME TEXT       sends TEXT to one session
  /all TEXT             sends TEXT to every session
  /kick NAME [REASON]   disconnects a session, and tells its client not to reconnect
  /help                 prints this
  NAME is a client's name or a session's id; a name with spaces goes in quotation marks";

/// Obeys the lines of standard input, and prints an answer to each among the events.
pub(super) struct Commands {
    server: Handle,
    output: Sink<Feed>,
}

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command<'a> {
    Who,
    Send { to: &'a str, text: &'a str },
    All(&'a str),
    Kick { whom: &'a str, reason: &'a str },
    Help,
}

impl Commands {
    pub(super) const fn new(server: Handle, output: Sink<Feed>) -> Self {
        Self { server, output }
    }

    /// On a thread of its own, which waits for input and keeps nothing from ending the process.
    pub(super) fn start(self) -> io::Result<()> {
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            if let Err(error) = self.obey_all(&mut BufReader::new(Stdin)) {
                warn(format_args!("no more commands: {error}"));
            }
        })?;
        Ok(())
    }

    fn obey_all(&self, input: &mut impl BufRead) -> io::Result<()> {
        while let Some((line, mut ended)) = next_line(input)? {
            let mut is_too_long = false;
            while !ended && let Some((_, ends)) = next_line(input)? {
                (is_too_long, ended) = (true, ends);
            }
            let answer = if is_too_long {
                vec![answer(Err("a line of input has at most 65536 bytes".to_owned()))]
            } else {
                self.obey(&line)
            };
            // Once nothing is printed any more, commands are obeyed without an answer.
            let _ = self.output.put_when(Feed::has_room_for_answer, |feed| {
                answer.into_iter().for_each(|line| feed.push_line(line));
            });
        }
        Ok(())
    }

    /// Does what a line asks for; returns the lines of the answer.
    fn obey(&self, line: &[u8]) -> Vec<Line> {
        let command = str::from_utf8(line)
            .map_err(|_| "a line of input has to be UTF-8".to_owned())
            .and_then(command);
        let said = match command {
            Ok(Command::Who) => return who(self.server.blocking_list()),
            Ok(Command::Send { to, text }) => self.send(to, text),
            Ok(Command::All(text)) => self.send_to_all(text),
            Ok(Command::Kick { whom, reason }) => self.kick(whom, reason),
            Ok(Command::Help) => Ok(HELP.to_owned()),
            Err(error) => Err(error),
        };
        vec![answer(said)]
    }

    fn send(&self, to: &str, text: &str) -> Result<String, String> {
        let session = self.find(to)?;
        self.server.send(session.id, text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{} B queued for {}", text.len(), Session::listed(&session)))
    }

    fn send_to_all(&self, text: &str) -> Result<String, String> {
        self.server.broadcast(text.as_bytes()).map_err(|error| error.to_string())?;
        let sessions = self.server.count() + self.server.away();
        Ok(format!("{} B queued for every session, {sessions} now", text.len()))
    }

    fn kick(&self, whom: &str, reason: &str) -> Result<String, String> {
        if reason.len() > MAX_DETAIL_LEN {
            return Err(format!("a reason has at most {MAX_DETAIL_LEN} bytes"));
        }
        let session = self.find(whom)?;
        self.server
            .kick_with(session.id, RetryHint::Never, reason)
            .map_err(|error| error.to_string())?;
        let told = if session.link_state.is_some() {
            "its client is told not to reconnect"
        } else {
            "its client cannot be told not to reconnect, because it speaks v0"
        };
        Ok(format!("disconnecting {}; {told}", Session::listed(&session)))
    }

    /// The session with this id, or of the client with this name. An id goes first: a client
    /// chooses its name, and is not to get what is meant for another session.
    fn find(&self, called: &str) -> Result<SessionInfo, String> {
        // Each shard lists its sessions at a time of its own. So while a name is taken over, both
        // sessions of that name can be listed, or neither. The older one has ended when the newer
        // one begins, so that a second list has one of them.
        for _ in 0..2 {
            let (mut by_id, mut by_name) = (None, Vec::new());
            for session in self.server.blocking_list() {
                if session.id.to_string() == called {
                    by_id = Some(session);
                } else if session.name.as_deref() == Some(called) {
                    by_name.push(session);
                }
            }
            if by_name.len() <= 1
                && let Some(session) = by_id.or_else(|| by_name.pop())
            {
                return Ok(session);
            }
        }
        Err(format!("there is no session {called:?}"))
    }
}

/// What a line asks for.
fn command(line: &str) -> Result<Command<'_>, String> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (word, rest) = first_word(line);
    match word {
        "/who" if rest.is_empty() => Ok(Command::Who),
        "/help" if rest.is_empty() => Ok(Command::Help),
        "/all" if rest.is_empty() => Err("/all needs a TEXT".to_owned()),
        "/all" => Ok(Command::All(rest)),
        "/send" => match name(rest)? {
            (to, text) if !to.is_empty() && !text.is_empty() => Ok(Command::Send { to, text }),
            _ => Err("/send needs a NAME and a TEXT".to_owned()),
        },
        "/kick" => match name(rest)? {
            ("", _) => Err("/kick needs a NAME".to_owned()),
            (whom, reason) => Ok(Command::Kick { whom, reason: reason.trim_end() }),
        },
        _ => Err(format!(
            "{line:?} is no command; use /who, /send NAME TEXT, /all TEXT, /kick NAME [REASON] or \
             /help"
        )),
    }
}

/// The first word, and what comes after it and the white space.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// A name, and what comes after it. In quotation marks it is everything up to a quotation mark at
/// the end of a word, as it is.
fn name(text: &str) -> Result<(&str, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else { return Ok(first_word(text)) };
    let mut ends = quoted.match_indices('"').filter_map(|(at, mark)| {
        let (name, rest) = (quoted.get(..at)?, quoted.get(at + mark.len()..)?);
        let is_end = rest.is_empty() || rest.starts_with(char::is_whitespace);
        is_end.then(|| (name, rest.trim_start()))
    });
    ends.next().ok_or_else(|| "the quotation mark after the NAME is missing".to_owned())
}

/// The answer to a command, or why it is not obeyed.
fn answer(said: Result<String, String>) -> Line {
    Line::Answer { ok: said.is_ok(), text: said.unwrap_or_else(|error| error) }
}

/// A line for each session, and their number.
fn who(mut sessions: Vec<SessionInfo>) -> Vec<Line> {
    sessions.sort_unstable_by_key(|session| session.id);
    let number = Line::Who { sessions: sessions.len() };
    sessions.iter().map(Line::listed).chain([number]).collect()
}

#[cfg(test)]
mod tests;
