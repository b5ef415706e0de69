//! The server whose sessions are cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use heartwire::Reason;
use heartwire::server::limits::{Admission, Limits};
use heartwire::server::{
    CommandError, Control, Event, Handler, Protocols, Resume, Server, ServerConfig, SessionId,
};
use heartwire::tls::ServerTls;
use heartwire::v1::ByeCode;
use heartwire_core::Side;
use serde_json::json;

use super::DRAIN;
use super::end::{Args, Streams, lines, number, print};
use crate::net::topology::SERVER;

/// How much more a session may have sent than it got: more than its window, so that it has to wait
/// for room.
const AHEAD: u64 = 512 * 1024;

/// More than that, for a session that cannot be resumed, whose queue must not be full.
const MAX_QUEUE: usize = 64 * 1024 * 1024;

/// Runs it until the input ends.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let streams = Arc::new(Streams::new(args, Side::Server));
    // All clients come from the router's address.
    let admission = Admission::default().accept_rate_per_address(None);
    let mut config = ServerConfig::new(SERVER.parse()?)
        // A client's next connection may come to another shard than that of its session.
        .threads(2)
        .policy(args.policy()?)
        .protocols(Protocols::V1)
        .admission(admission)
        .limits(Limits::default().max_queue(MAX_QUEUE))
        .drain(DRAIN);
    if let Some(window) = args.window {
        let resume = Resume::new().window(window).grace(args.grace);
        // Without TLS it is the lab that wants it so.
        config = config.resume(resume.in_the_clear(true));
    }
    if let Some(folder) = &args.tls {
        config =
            config.tls(ServerTls::new(folder.join("cert.pem"), folder.join("key.pem")).load()?);
    }
    let bytes = args.bytes;
    let server = Server::start(config, |_shard| Player {
        streams: Arc::clone(&streams),
        bytes,
        sessions: HashMap::new(),
    })?;
    let counting = Arc::clone(&streams);
    thread::spawn(move || counting.print_counts());
    print("listening", json!({}))?;
    lines().for_each(drop);
    server.handle().shutdown();
    server.join()?;
    streams.print_done()
}

/// The application of one shard. It sends when it gets something.
#[derive(Debug)]
struct Player {
    streams: Arc<Streams>,
    /// How much each session sends.
    bytes: u64,
    sessions: HashMap<SessionId, usize>,
}

impl Handler for Player {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other events do not matter here")]
        match event {
            Event::Online { id, agreed, .. } => {
                let name = agreed.and_then(|agreed| agreed.name);
                let Some(session) = name.and_then(|name| number(&name).ok()) else { return };
                self.sessions.insert(id, session);
                self.streams.tally().online += 1;
                self.push(id, control);
            }
            Event::Data { id, data } => {
                if let Some(&session) = self.sessions.get(&id) {
                    self.streams.handle_frame(session, data);
                    self.push(id, control);
                }
            }
            Event::Room { id } => self.push(id, control),
            Event::Away { .. } => self.streams.tally().away += 1,
            Event::Back { id, .. } => {
                self.streams.tally().handle_back();
                self.push(id, control);
            }
            Event::Offline { id, reason, undelivered, .. } => {
                self.sessions.remove(&id);
                self.streams.tally().undelivered += undelivered.frames;
                if reason != Reason::Bye(ByeCode::Done) && reason != Reason::Shutdown {
                    self.streams.tally().handle_end(reason);
                }
            }
            _ => {}
        }
    }
}

impl Player {
    /// Sends as much as the session may.
    fn push(&self, id: SessionId, control: &mut Control<'_>) {
        let Some(&session) = self.sessions.get(&id) else { return };
        let quota = (self.streams.got(session) + AHEAD).min(self.bytes);
        while let Some(frame) = self.streams.next(session, quota) {
            match control.send(id, &frame) {
                Ok(()) => self.streams.handle_sent(session),
                // `Room` follows, or `Offline`.
                Err(CommandError::Full | CommandError::Gone) => return,
                Err(error) => {
                    // It would be a fault of this program.
                    let _ = print("refused", json!({ "why": error.to_string() }));
                    return;
                }
            }
        }
    }
}
