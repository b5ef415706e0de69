//! Carries one connection, between a local program and its session.

use core::time::Duration;
use std::io;

use heartwire::Reason;
use heartwire::client::{Client, Event, Events};
use tokio::time::{Instant, timeout, timeout_at};

use crate::output::{Millis, print_event};
use crate::tunnel::carry::{Carried, OPEN_WITHIN, count};
use crate::tunnel::line::{Connection, How, Line};
use crate::tunnel::local::Local;
use crate::tunnel::open;

/// Messages that are written to the local program with one system call.
const WRITTEN_AT_ONCE: usize = 8;

/// Prints lines. With standard input and output as the connection the terminal belongs to another
/// program, such as ssh: there only what is not [routine](Line::is_routine), unless it is JSON.
#[derive(Clone, Copy)]
pub(super) struct Tell {
    pub(super) is_quiet: bool,
}

impl Tell {
    pub(super) fn line(self, line: &Line) {
        if !self.is_quiet || !line.is_routine() {
            print_event(line);
        }
    }
}

/// Carries one connection.
pub(super) struct Carrier {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) of: Connection,
    /// How long the connection survives an outage.
    pub(super) grace: Option<Duration>,
    pub(super) tell: Tell,
}

impl Carrier {
    pub(super) async fn carry(
        mut self,
        service: &str,
        local: Local,
        carried: &Carried,
    ) -> Option<How> {
        let opened = tokio::select! {
            opened = timeout(OPEN_WITHIN, self.open(service)) => {
                opened.unwrap_or_else(|_| Err(format!("not reached within {OPEN_WITHIN:?}")))
            }
            () = local.failed() => Err("the local program gave up".to_owned()),
        };
        if let Err(detail) = opened {
            drop(local);
            self.client.abort();
            self.tell.line(&Line::Refused { of: self.of, detail });
            return None;
        }
        self.tell.line(&Line::Opened {
            of: self.of.clone(),
            after_ms: Millis(carried.lasted()),
            grace_ms: Millis(self.grace.unwrap_or_default()),
        });
        let client = self.client.clone();
        let to_far = async {
            loop {
                let bytes = local.read().await?;
                if bytes.is_empty() {
                    client.end();
                    return core::future::pending::<io::Result<()>>().await;
                }
                count(&carried.to_service, &bytes);
                if client.send(bytes).await.is_err() {
                    // The session has ended, and the events say how.
                    return core::future::pending().await;
                }
            }
        };
        let end = tokio::select! {
            end = self.carry_back(&local, carried) => end,
            failed = to_far => (How::ResetHere, failed.err().map(|error| error.to_string())),
            () = local.failed() => (How::ResetHere, None),
        };
        let (how, detail) = end;
        if how == How::Done {
            local.finish();
        } else {
            client.abort();
        }
        // Before the far end is told, which may take as long as an outage.
        drop(local);
        self.tell.line(&carried.closed(self.of, how, detail));
        Some(how)
    }

    /// Asks for the service. An error is in words.
    async fn open(&mut self, service: &str) -> Result<(), String> {
        let mut failed = None;
        while let Some(event) = self.events.recv().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing yet")]
            match event {
                Event::Online { welcome, .. } => {
                    let welcome = welcome.as_deref();
                    self.of.session = welcome.map(|welcome| welcome.session);
                    if welcome.is_none_or(|welcome| welcome.resume.is_none()) {
                        return Err("the far end keeps no sessions: it is no `tunnel serve`, or \
                                    without TLS"
                            .to_owned());
                    }
                    if self.client.send(open::request(service)).await.is_err() {
                        return Err("the session has ended at once".to_owned());
                    }
                }
                Event::Data(answer) => {
                    self.grace = open::parse_answer(&answer);
                    return match self.grace {
                        Some(_) => Ok(()),
                        None => Err("it answers as no far end of a tunnel does".to_owned()),
                    };
                }
                Event::Failed { error } => failed = Some(error.to_string()),
                Event::Offline { reason, bye, .. } => {
                    let detail = bye.map(|bye| bye.detail).filter(|detail| !detail.is_empty());
                    failed = Some(detail.unwrap_or_else(|| reason.to_string()));
                }
                _ => {}
            }
        }
        Err(failed.unwrap_or_else(|| "not reached".to_owned()))
    }

    /// Passes on what comes from the service, until the session has ended.
    async fn carry_back(&mut self, local: &Local, carried: &Carried) -> (How, Option<String>) {
        let mut until = None;
        let mut next = None;
        loop {
            let event = match (next.take(), until) {
                (Some(event), _) => Some(event),
                (None, None) => self.events.recv().await,
                (None, Some(until)) => match timeout_at(until, self.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => return (How::Lost, Some(Reason::NotBack.to_string())),
                },
            };
            match event {
                Some(Event::Data(bytes)) => {
                    let data;
                    (data, next) = self.with_more(bytes);
                    if let Err(end) = self.pass_on(local, &data).await {
                        return end;
                    }
                    data.iter().for_each(|bytes| count(&carried.from_service, bytes));
                }
                Some(Event::Ended) => {
                    if let Err(error) = local.end_writing().await {
                        return (How::ResetHere, Some(error.to_string()));
                    }
                }
                Some(Event::Away { reason, within, .. }) => {
                    let kept = self.grace.map_or(within, |grace| grace.min(within));
                    // The session itself ends after its grace, which is longer after a pause.
                    until = (kept < within).then(|| Instant::now() + kept);
                    let (of, within_ms) = (self.of.clone(), Millis(kept));
                    self.tell.line(&Line::Away { of, reason, within_ms });
                }
                Some(Event::Back { after, replayed, .. }) => {
                    until = None;
                    carried.handle_back(after);
                    let (of, away_ms) = (self.of.clone(), Millis(after));
                    self.tell.line(&Line::Back { of, away_ms, replayed });
                }
                Some(Event::Offline { reason, bye, .. }) => {
                    return how(reason, bye.map(|bye| bye.detail));
                }
                Some(_) => {}
                None => return (How::Lost, None),
            }
        }
    }

    /// Data, and the data that has come behind it, to be written with one system call; and the
    /// event behind that.
    fn with_more(&mut self, bytes: Vec<u8>) -> (Vec<Vec<u8>>, Option<Event>) {
        let mut data = vec![bytes];
        while data.len() < WRITTEN_AT_ONCE {
            match self.events.try_recv() {
                Ok(Event::Data(more)) => data.push(more),
                other => return (data, other.ok()),
            }
        }
        (data, None)
    }

    /// Writes bytes to the local program, which may read slowly. A session that ends meanwhile does
    /// not end well: the program has not got all of it.
    async fn pass_on(
        &mut self,
        local: &Local,
        data: &[Vec<u8>],
    ) -> Result<(), (How, Option<String>)> {
        let write = local.write_all(data);
        tokio::pin!(write);
        let written = tokio::select! {
            biased;
            written = &mut write => written,
            () = self.client.closed() => {
                while let Ok(event) = self.events.try_recv() {
                    if let Event::Offline { reason, bye, .. } = event {
                        return Err(how(reason, bye.map(|bye| bye.detail)));
                    }
                }
                return Err((How::Lost, None));
            }
        };
        written.map_err(|error| (How::ResetHere, Some(error.to_string())))
    }
}

fn how(reason: Reason, detail: Option<String>) -> (How, Option<String>) {
    let said = detail.filter(|detail| !detail.is_empty());
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no clean end")]
    match reason {
        Reason::Done => (How::Done, None),
        // Also one that says "done": this end does not know that it is.
        Reason::Bye(_) => (How::ResetThere, said.or_else(|| Some(reason.to_string()))),
        Reason::Shutdown => (How::Stopped, None),
        reason => (How::Lost, said.or_else(|| Some(reason.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use heartwire::v1::ByeCode;

    use super::*;

    #[test]
    fn only_what_both_ends_have_ended_is_done() {
        let how = |reason| how(reason, Some("why".to_owned()));
        assert_eq!(how(Reason::Done), (How::Done, None));
        let why = Some("why".to_owned());
        assert_eq!(how(Reason::Bye(ByeCode::Done)), (How::ResetThere, why.clone()));
        assert_eq!(how(Reason::NotBack), (How::Lost, why));
        assert_eq!(how(Reason::Shutdown), (How::Stopped, None));
    }
}
