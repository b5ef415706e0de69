//! The handler of a shard: what it does when something comes from a near end.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use heartwire::Reason;
use heartwire::server::{Agreed, Control, Event, Handle, Handler, SessionId};
use heartwire::v1::{ByeCode, RetryHint};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::serving::{Serving, Task, Waiting, end_session};
use crate::output::{Millis, print_event, warn};
use crate::tunnel::carry::{Carried, OPEN_WITHIN};
use crate::tunnel::line::{Connection, Line};
use crate::tunnel::open;
use crate::tunnel::service::{Grants, Service};

/// Rejected clients that a shard prints per second. Clients that guess tokens may come faster.
const MAX_REJECTED: u32 = 10;

/// What all shards share.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) services: Vec<Service>,
    pub(super) grace: Duration,
    pub(super) grants: Option<Grants>,
    pub(super) runtime: runtime::Handle,
    pub(super) is_stopping: AtomicBool,
    /// Standard input and output have been given to a connection.
    pub(super) is_stdio_used: AtomicBool,
}

/// The handler of a shard.
pub(super) struct OnEvents {
    pub(super) far: Arc<Far>,
    pub(super) carriers: HashMap<SessionId, Carrier>,
    /// How many clients were rejected within a second, and when that began.
    pub(super) rejected: (Instant, u32),
    /// Closed when the last shard and the last connection have ended.
    pub(super) runs: mpsc::Sender<()>,
}

/// One connection, as its shard sees it.
pub(super) struct Carrier {
    of: Connection,
    peer: SocketAddr,
    carried: Arc<Carried>,
    /// The task that serves it, once its first message has named the service.
    task: Option<Task>,
    /// Until then.
    opening: Option<oneshot::Sender<()>>,
    /// How long it survives an outage.
    grace: Duration,
    /// Which outage it is in, if any; counted from 1.
    outage: Arc<AtomicU32>,
    outages: u32,
}

impl Handler for OnEvents {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
        match event {
            Event::Online { id, peer, agreed } => self.begin(id, peer, agreed, control),
            Event::Data { id, data } => {
                let receipt = control.receipt();
                let Some(carrier) = self.carriers.get_mut(&id) else { return };
                match &carrier.task {
                    Some(task) => task.pass_on(data, receipt, &carrier.carried),
                    None if receipt.is_none() => {
                        refuse(carrier, id, control, "this tunnel needs sessions that are kept");
                    }
                    None => self.open(id, data, control),
                }
            }
            Event::Ended { id } => {
                let receipt = control.receipt();
                let task = self.carriers.get(&id).and_then(|carrier| carrier.task.as_ref());
                if let Some(task) = task {
                    task.put(None, receipt);
                }
            }
            Event::Away { id, reason, within, .. } => self.handle_away(id, reason, within, control),
            Event::Back { id, peer, away, replayed } => {
                let Some(carrier) = self.carriers.get_mut(&id) else { return };
                carrier.outage.store(0, Relaxed);
                carrier.of.peer = Some(peer);
                carrier.carried.handle_back(away);
                let (of, away_ms) = (carrier.of.clone(), Millis(away));
                print_event(&Line::Back { of, away_ms, replayed });
            }
            Event::Offline { id, reason, .. } => {
                let task = self.carriers.remove(&id).and_then(|carrier| carrier.task);
                if let Some(task) = task {
                    // The task may have ended the session.
                    let _ = task.end.send(reason);
                }
            }
            Event::Rejected { peer, name, code } => self.tell_rejected(peer, name, code),
            _ => {}
        }
    }
}

impl OnEvents {
    fn begin(
        &mut self,
        id: SessionId,
        peer: SocketAddr,
        agreed: Option<Box<Agreed>>,
        control: &Control<'_>,
    ) {
        let grace = agreed.as_ref().and_then(|agreed| agreed.grace).unwrap_or(self.far.grace);
        let name = agreed.and_then(|agreed| agreed.name).map(Into::into);
        let of = Connection { session: Some(id.as_u64()), service: None, name, peer: Some(peer) };
        let carrier = Carrier {
            peer,
            carried: Carried::new(),
            task: None,
            opening: Some(self.wait_for_request(id, of.clone(), control.handle())),
            of,
            grace,
            outage: Arc::default(),
            outages: 0,
        };
        self.carriers.insert(id, carrier);
    }

    /// Ends the session unless what is returned is dropped in time: a near end names the service at
    /// once.
    fn wait_for_request(
        &self,
        id: SessionId,
        of: Connection,
        handle: Handle,
    ) -> oneshot::Sender<()> {
        let (opening, opened) = oneshot::channel::<()>();
        self.far.runtime.spawn(async move {
            if timeout(OPEN_WITHIN, opened).await.is_err() {
                let detail = format!("no service was named within {OPEN_WITHIN:?}");
                end_session(&handle, id, &detail).await;
                print_event(&Line::Refused { of, detail });
            }
        });
        opening
    }

    fn tell_rejected(&mut self, peer: SocketAddr, name: Option<Box<str>>, code: ByeCode) {
        if self.rejected.0.elapsed() >= Duration::from_secs(1) {
            self.rejected = (Instant::now(), 0);
        }
        self.rejected.1 = self.rejected.1.saturating_add(1);
        match self.rejected.1 {
            ..=MAX_REJECTED => {
                let (name, peer) = (name.map(Into::into), Some(peer));
                let of = Connection { session: None, service: None, name, peer };
                print_event(&Line::Refused { of, detail: code.name().to_owned() });
            }
            count if count == MAX_REJECTED + 1 => {
                warn("more clients are rejected in this second than are shown");
            }
            _ => {}
        }
    }

    /// The near end has named the service.
    fn open(&mut self, id: SessionId, request: &[u8], control: &mut Control<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        carrier.opening = None;
        let name = match open::parse_request(request) {
            Ok(name) => name,
            Err(detail) => return refuse(carrier, id, control, detail),
        };
        carrier.of.service = Some(name.to_owned());
        if self.far.is_stopping.load(Relaxed) {
            return refuse(carrier, id, control, "the far end is being stopped");
        }
        // The same answer, so that a client cannot find out what there is.
        let service = self.far.services.iter().find(|service| service.name == name);
        let may_use = |_: &&Service| {
            let client = carrier.of.name.as_deref().unwrap_or_default();
            self.far.grants.as_ref().is_none_or(|grants| grants.allow(client, name))
        };
        let Some(service) = service.filter(may_use) else {
            return refuse(carrier, id, control, "there is no such service for this client");
        };
        if service.is_stdio() && self.far.is_stdio_used.swap(true, Relaxed) {
            return refuse(carrier, id, control, "the service is in use");
        }
        carrier.grace = carrier.grace.min(service.grace.unwrap_or(self.far.grace));
        let (input, inputs) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let waiting = Arc::<Waiting>::default();
        carrier.task = Some(Task { input, waiting: Arc::clone(&waiting), end });
        let task = Serving {
            id,
            of: carrier.of.clone(),
            peer: carrier.peer,
            service: service.clone(),
            grace: carrier.grace,
            carried: Arc::clone(&carrier.carried),
            handle: control.handle(),
            sender: control.handle().sender(id),
            waiting,
            _runs: self.runs.clone(),
        };
        self.far.runtime.spawn(task.run(inputs, ended));
    }

    fn handle_away(
        &mut self,
        id: SessionId,
        reason: Reason,
        within: Duration,
        control: &Control<'_>,
    ) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let kept = carrier.grace.min(within);
        let (of, within_ms) = (carrier.of.clone(), Millis(kept));
        print_event(&Line::Away { of, reason, within_ms });
        carrier.outages = carrier.outages.wrapping_add(1).max(1);
        carrier.outage.store(carrier.outages, Relaxed);
        if kept < within {
            let (outage, this, handle) =
                (Arc::clone(&carrier.outage), carrier.outages, control.handle());
            self.far.runtime.spawn(async move {
                sleep(kept).await;
                if outage.load(Relaxed) == this {
                    let detail = "the outage has lasted longer than the service allows";
                    end_session(&handle, id, detail).await;
                }
            });
        }
    }
}

/// Ends a session that is not served.
fn refuse(carrier: &Carrier, id: SessionId, control: &mut Control<'_>, detail: &str) {
    print_event(&Line::Refused { of: carrier.of.clone(), detail: detail.to_owned() });
    // It may have ended.
    let _ = control.kick_with(id, RetryHint::Never, detail);
}
