//! Standard input: data for the server, and commands.

use core::mem;
use core::time::Duration;
use std::io::{self, BufRead, BufReader};

use heartwire::client::Client;
use tokio::runtime::Handle;

use super::args::ConnectArgs;
use super::lines::Line;
use crate::output::{inform, print_event, warn};
use crate::stdin::{Stdin, next_line};
use crate::values::duration;

/// Sends standard input to the server.
pub(super) struct Input {
    client: Client,
    runtime: Handle,
    raw: bool,
    commands: bool,
    /// Each line feeds the watchdog.
    feeds: bool,
    /// Messages dropped since one was accepted.
    refused: u64,
}

/// A command: a line that begins with a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// A new interval; `None` returns to the agreed one.
    Promise(Option<Duration>),
    Feed,
}

impl Input {
    pub(super) const fn new(args: &ConnectArgs, client: Client, runtime: Handle) -> Self {
        Self {
            client,
            runtime,
            raw: args.raw,
            commands: args.commands,
            feeds: args.watchdog.is_some(),
            refused: 0,
        }
    }

    /// Returns when the input has ended and everything is written to the connection.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut input = BufReader::new(Stdin);
        if self.raw {
            while let Some(data) = next_bytes(&mut input)? {
                self.send(data);
            }
        } else {
            let mut begins = true;
            while let Some((line, ended)) = next_line(&mut input)? {
                if self.feeds {
                    self.client.feed_watchdog();
                }
                if begins && self.commands && line.first() == Some(&b'/') {
                    self.obey(line);
                } else {
                    self.send(line);
                }
                begins = ended;
            }
        }
        self.runtime.block_on(self.client.flush());
        Ok(())
    }

    fn send(&mut self, data: Vec<u8>) {
        match self.runtime.block_on(self.client.send(data)) {
            Ok(()) => {
                if mem::take(&mut self.refused) > 0 {
                    inform("sending again");
                }
            }
            Err(error) => {
                self.refused += 1;
                if self.refused == 1 {
                    warn(format_args!("input is dropped: {error}"));
                }
            }
        }
    }

    /// A line that begins with a slash: a command, or data that begins with one slash less.
    fn obey(&mut self, mut line: Vec<u8>) {
        line.remove(0);
        if line.first() == Some(&b'/') {
            return self.send(line);
        }
        match command(&String::from_utf8_lossy(&line)) {
            Ok(Command::Feed) => self.client.feed_watchdog(),
            Ok(Command::Promise(interval)) => {
                self.client.promise(interval);
                print_event(&Line::promising(interval));
            }
            Err(error) => warn(error),
        }
    }
}

/// Parses a command, without its slash.
fn command(text: &str) -> Result<Command, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["feed"] => Ok(Command::Feed),
        ["promise", "agreed"] => Ok(Command::Promise(None)),
        ["promise", time] => duration(time)
            .map(|interval| Command::Promise(Some(interval)))
            .map_err(|error| format!("/promise {}: {error}", time.escape_debug())),
        _ => Err(format!(
            "/{} is no command; use /promise TIME, /promise agreed or /feed, or begin a line of \
             data with //",
            text.escape_debug()
        )),
    }
}

/// The bytes that have arrived.
fn next_bytes(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let bytes = input.fill_buf()?.to_vec();
    input.consume(bytes.len());
    Ok((!bytes.is_empty()).then_some(bytes))
}

#[cfg(test)]
mod tests;
