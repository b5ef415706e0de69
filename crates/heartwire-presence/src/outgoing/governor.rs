//! Decides when lost clients are an incident, and when the ends of their sessions are told.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::internal::Typed;

use super::gate::Held;
use super::incident::{Incident, IncidentCause, IncidentOver, Shape};
use super::losses::Losses;
use super::settings::Settings;

/// How long the end of a lost client's session waits at least, so that the first ones of an
/// incident are part of it: 5 % of all are lost within a second if one in ten is lost per second,
/// which is so with an interval of 10 s.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// Evidence that this node is at fault counts for so long: clients that were cut off are declared
/// dead within it, if their timeouts are no longer.
const ALERT: Duration = Duration::from_secs(120);

/// A shorter pause makes no client leave.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// So many clients lost while nothing came from any are evidence that this node is cut off.
const MIN_SILENT: u32 = 100;

/// An incident is told when no client was lost for [`QUIET`], or when it has lasted for
/// [`TELL_WITHIN`]: so it says how large it is.
const QUIET: Duration = Duration::from_secs(1);
const TELL_WITHIN: Duration = Duration::from_secs(10);

/// For so long after the end of an incident the next one holds nothing back: what comes again and
/// again is true, whatever its cause.
const HOLD_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// If this process wakes late, it tells what it has missed at once, up to this much: so an
/// incident ends when it said, and a pause does not end in a flood.
const MAX_CATCH_UP: Duration = Duration::from_secs(1);

/// Decides on evidence about this node itself. Verdicts are not its affair, only what is told of
/// them.
#[derive(Debug)]
pub(super) struct Governor {
    node: Box<str>,
    hold: Duration,
    /// How long the end of a lost client's session is held in any case.
    wait: Duration,
    /// Time from one to the next of those that an incident lets go.
    interval: Duration,
    losses: Losses,
    alert: Option<Alert>,
    silence: Silence,
    incident: Option<Running>,
    /// Until then an incident holds nothing back.
    holds_from: Instant,
}

/// Evidence that this node is at fault.
#[derive(Debug)]
struct Alert {
    cause: IncidentCause,
    until: Instant,
    /// Clients lost since.
    lost: u32,
}

/// Clients lost while nothing came from any.
#[derive(Debug, Default)]
struct Silence {
    arrivals: u64,
    lost: u32,
}

/// The incident that lasts.
#[derive(Debug)]
struct Running {
    cause: IncidentCause,
    began: Instant,
    held_until: Instant,
    /// Its id, from when it was told.
    told: Option<Box<str>>,
    of: u32,
    shape: Shape,
    lost: u32,
    last_lost: Instant,
    returned: u32,
    gone: u32,
    next_release: Instant,
}

impl Governor {
    pub(super) fn new(node: &str, hold: Duration, settings: &Settings, now: Instant) -> Self {
        Self {
            node: node.into(),
            hold,
            wait: settings.wait(),
            interval: Duration::from_secs(1) / settings.pace.get(),
            losses: Losses::new(now),
            alert: None,
            silence: Silence::default(),
            incident: None,
            holds_from: now,
        }
    }

    /// Whether a client that is lost now is part of an incident. While that lets go of what it
    /// held, none is: where clients are lost all the time, it would never be over.
    pub(super) fn takes(&self, now: Instant) -> bool {
        let until = |it: &Running| it.held_until.max(it.began.saturating_add(TELL_WITHIN));
        self.incident.as_ref().is_some_and(|incident| now < until(incident))
    }

    /// A shard of this node was paused.
    pub(super) fn handle_pause(&mut self, now: Instant, gap: Duration) {
        if gap >= MIN_PAUSE {
            self.raise(now, IncidentCause::Paused(gap));
        }
    }

    /// An interface of this node went down.
    pub(super) fn handle_interface_down(&mut self, now: Instant, name: &str) {
        self.raise(now, IncidentCause::InterfaceDown(name.into()));
    }

    fn raise(&mut self, now: Instant, cause: IncidentCause) {
        // All shards may tell of the same pause, one after the other.
        let last = self.alert.take().filter(|alert| now < alert.until);
        let lost = last.map_or(0, |alert| alert.lost);
        self.alert = Some(Alert { cause, until: now.saturating_add(ALERT), lost });
    }

    /// How many times something has arrived from a client, since the start; to be told each
    /// second. Returns whether an incident begins: then [`join`](Self::join) it with all that was
    /// lost and not told yet.
    #[must_use]
    pub(super) fn handle_arrivals(&mut self, now: Instant, arrivals: u64, names: u32) -> bool {
        if arrivals != self.silence.arrivals {
            self.silence = Silence { arrivals, lost: 0 };
        }
        let is_silent = self.silence.lost >= MIN_SILENT && self.incident.is_none();
        if is_silent {
            self.begin(now, IncidentCause::Silence, names);
        }
        is_silent
    }

    /// A client was lost. Returns whether an incident begins, as above.
    #[must_use]
    pub(super) fn handle_loss(&mut self, now: Instant, names: u32) -> bool {
        self.losses.count(now);
        if self.alert.as_ref().is_some_and(|alert| now >= alert.until) {
            self.alert = None;
        }
        self.alert.iter_mut().for_each(|alert| alert.lost += 1);
        if self.incident.is_some() {
            return false;
        }
        self.silence.lost += 1;
        let is_alert_enough = |alert: &Alert| self.losses.is_enough(now, alert.lost, names);
        let cause = match &self.alert {
            Some(alert) if is_alert_enough(alert) => alert.cause.clone(),
            _ if self.losses.is_burst(now, names) => IncidentCause::Burst,
            _ => return false,
        };
        self.begin(now, cause, names);
        true
    }

    fn begin(&mut self, now: Instant, cause: IncidentCause, of: u32) {
        let holds = now >= self.holds_from;
        let held_until = if holds { now.saturating_add(self.hold) } else { now };
        // Those that were lost so far are part of it, and of no other.
        self.silence.lost = 0;
        self.incident = Some(Running {
            cause,
            began: now,
            held_until,
            told: None,
            of,
            shape: Shape::default(),
            lost: 0,
            last_lost: now,
            returned: 0,
            gone: 0,
            next_release: held_until,
        });
    }

    /// A lost client is part of the incident that lasts.
    pub(super) fn join(&mut self, now: Instant, held: &Held) {
        if let Some(incident) = &mut self.incident {
            incident.lost += 1;
            incident.last_lost = now;
            if incident.told.is_none() {
                incident.shape.count(held.session.peer.ip(), held.shard);
            }
        }
    }

    /// A name that the incident has lost is online again.
    pub(super) fn handle_return(&mut self) {
        self.incident.iter_mut().for_each(|incident| incident.returned += 1);
    }

    /// The incident, when it is to be told. `wall` is the same time as `now`, in microseconds
    /// since 1970.
    #[must_use]
    pub(super) fn tell(&mut self, now: Instant, wall: u64) -> Option<Incident> {
        let wait =
            self.wait.saturating_add(self.interval.saturating_mul(self.incident.as_ref()?.of));
        let incident = self.incident.as_mut()?;
        if incident.told.is_some() || now < incident.tell_at() {
            return None;
        }
        let began = wall.saturating_sub(micros(now.saturating_since(incident.began)));
        let hold = incident.held_until.saturating_since(incident.began);
        let held_until = began.saturating_add(micros(hold));
        let id: Box<str> = format!("{}-{began}", self.node).into();
        incident.told = Some(id.clone());
        let shape = core::mem::take(&mut incident.shape);
        let Running { lost, of, ref cause, .. } = *incident;
        let held = if self.hold.is_zero() {
            String::from("not held, because `hold` is 0")
        } else if hold.is_zero() {
            String::from("not held, because the last incident was less than an hour ago")
        } else {
            format!("held for {}", Typed(hold))
        };
        let all = (hold + wait).as_secs_f64();
        let text = format!(
            "{id}: {lost} of {of} clients were lost: {cause}; their offline events are \
             {held}, and all told within {all:.1} s"
        );
        Some(Incident {
            incident: id,
            began,
            cause: cause.clone(),
            lost,
            of,
            networks: shape.networks(),
            shards: shape.shards(),
            held_until,
            released_by: held_until.saturating_add(micros(wait)),
            text: text.into(),
        })
    }

    /// Whether the incident lets the end of a session go now.
    pub(super) fn lets_go(&self, now: Instant) -> bool {
        self.incident.as_ref().is_some_and(|incident| now >= incident.next_release)
    }

    /// The incident lets the end of a session go. Returns its id.
    #[must_use]
    pub(super) fn let_go(&mut self, now: Instant) -> Option<Box<str>> {
        let incident = self.incident.as_mut()?;
        incident.gone += 1;
        let latest = incident.next_release.max(now.saturating_sub(MAX_CATCH_UP));
        incident.next_release = latest.saturating_add(self.interval);
        incident.told.clone()
    }

    /// The end of the incident, if it holds nothing back any more and begins to hold nothing.
    #[must_use]
    pub(super) fn end(&mut self, now: Instant) -> Option<IncidentOver> {
        let incident = self.incident.take_if(|incident| now >= incident.held_until)?;
        self.holds_from = now.saturating_add(HOLD_AGAIN_AFTER);
        self.alert = None;
        let Running { returned, gone, began, told, .. } = incident;
        Some(IncidentOver {
            incident: told.unwrap_or_default(),
            lasted_ms: micros(now.saturating_since(began)) / 1_000,
            lost: returned + gone,
            returned,
            gone,
        })
    }

    /// The node ends: nothing is held any more, nor paced.
    pub(super) fn close(&mut self, now: Instant) {
        self.interval = Duration::ZERO;
        if let Some(incident) = &mut self.incident {
            incident.held_until = incident.held_until.min(now);
            incident.next_release = now;
        }
    }

    /// When something of the incident is to be told next. `first` is when the first end is due
    /// that it holds back.
    pub(super) fn deadline(&self, first: Option<Instant>) -> Option<Instant> {
        let incident = self.incident.as_ref()?;
        Some(match first {
            _ if incident.told.is_none() => incident.tell_at(),
            Some(due) => due.max(incident.next_release),
            None => incident.held_until,
        })
    }
}

impl Running {
    /// When it is to be told, if it was not.
    fn tell_at(&self) -> Instant {
        let quiet_at = self.last_lost.saturating_add(QUIET);
        quiet_at.min(self.began.saturating_add(TELL_WITHIN)).min(self.held_until)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
