//! Random lives of a node's names, against what was promised of what is told.

use proptest::prelude::*;

use super::*;

/// What happens to one of a few names.
#[derive(Clone, Debug)]
enum Step {
    /// A client comes, or takes its name over from the session that has it.
    Come(usize),
    /// The session of a name ends.
    End(usize, Reason),
    /// The sessions of many names are lost at once.
    Lose(usize),
    /// The name is online on another node.
    Move(usize),
    Pause,
    /// Seconds pass without a byte, or with one.
    Wait {
        millis: u64,
        hears: bool,
    },
}

const NAMES: usize = 40;

fn step() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![
        Just(Reason::Reset),
        Just(Reason::ClosedByPeer),
        Just(Reason::Kicked),
        Just(Reason::TakenOver),
        Just(dead()),
    ];
    prop_oneof![
        8 => (0..NAMES).prop_map(Step::Come),
        4 => (0..NAMES, reason).prop_map(|(name, reason)| Step::End(name, reason)),
        2 => (1..NAMES).prop_map(Step::Lose),
        1 => (0..NAMES).prop_map(Step::Move),
        1 => Just(Step::Pause),
        6 => (prop_oneof![1..3_000_u64, 10_000..90_000_u64, Just(3_600_000)], any::<bool>())
            .prop_map(|(millis, hears)| Step::Wait { millis, hears }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let hold = prop_oneof![Just(None), (0..80_u64).prop_map(Some)];
    (prop_oneof![Just(0), 1..90_u64], hold, 1..50_u32).prop_map(|(after, hold, pace)| Settings {
        offline_after: Duration::from_secs(after),
        hold: hold.map(Duration::from_secs),
        pace: pace.try_into().unwrap(),
    })
}

/// A name, as those see it who are told, and as it is.
#[derive(Default)]
struct Name {
    /// The epoch that was told, while it is online.
    told: Option<u64>,
    session: Option<(SessionId, u64)>,
    /// When its last session ended, and whether it was moved since.
    ended: Option<(Instant, Ending, bool)>,
}

struct Model {
    outgoing: Outgoing,
    settings: Settings,
    /// Whether the deadlines are kept.
    is_punctual: bool,
    is_closing: bool,
    now: Instant,
    names: Vec<Name>,
    last_epoch: u64,
    arrivals: u64,
    /// The incident that lasts, and how many ends were told of it.
    incident: Option<(Incident, u32)>,
    offline: u64,
}

impl Model {
    fn new(settings: Settings, is_punctual: bool) -> Self {
        let now = Instant::from_nanos(30_000_000_000);
        Self {
            outgoing: Outgoing::new(settings, &"eu-1".parse().unwrap(), now),
            settings,
            is_punctual,
            is_closing: false,
            now,
            names: (0..NAMES).map(|_| Name::default()).collect(),
            last_epoch: 0,
            arrivals: 0,
            incident: None,
            offline: 0,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Come(name) => {
                self.end(name, Reason::TakenOver);
                self.come(name);
            }
            Step::End(name, reason) => self.end(name, reason),
            Step::Lose(names) => (0..names).for_each(|name| self.end(name, dead())),
            Step::Move(name) => {
                if let Some((_, _, has_moved)) = &mut self.names[name].ended {
                    *has_moved = true;
                }
                self.last_epoch += 1;
                self.outgoing.moved(self.now, &name.to_string(), self.last_epoch);
            }
            Step::Pause => {
                let news = News::Paused(Duration::from_secs(5));
                assert_eq!(self.outgoing.handle(self.now, 0, news), None);
            }
            Step::Wait { millis, hears } => self.wait(Duration::from_millis(millis), hears),
        }
        self.take();
    }

    fn come(&mut self, name: usize) {
        self.last_epoch += 1;
        let (epoch, id) = (self.last_epoch, format!("0-{name}-{}", self.last_epoch));
        let id: SessionId = id.parse().unwrap();
        let (text, peer) = (name.to_string().into(), "[::1]:1".parse().unwrap());
        let session = Session { name: text, epoch, id, peer, instance: None };
        let passed = self.outgoing.online(session.clone());
        let told = &mut self.names[name].told;
        match told {
            None => assert_eq!(passed, Passed::Online(session)),
            Some(_) => assert_eq!(passed, Passed::Replaced(session)),
        }
        *told = Some(epoch);
        self.names[name].session = Some((id, epoch));
        self.names[name].ended = None;
    }

    fn end(&mut self, name: usize, reason: Reason) {
        let Some((id, _)) = self.names[name].session.take() else { return };
        self.outgoing.offline(self.now, name % 3, id, &reason);
        self.names[name].ended = Some((self.now, Ending::of(&reason), false));
    }

    fn wait(&mut self, time: Duration, hears: bool) {
        let end = self.now.saturating_add(time);
        while let Some(at) = self.outgoing.deadline().filter(|&at| at <= end && self.is_punctual) {
            assert!(at > self.now, "something was left");
            if at.saturating_since(self.now) > Duration::from_nanos(1) {
                let early = at.saturating_sub(Duration::from_nanos(1));
                assert_eq!(self.outgoing.poll(early, wall(early)), None, "before its deadline");
            }
            self.now = at;
            assert_ne!(self.take(), 0, "nothing at the deadline");
        }
        self.now = end;
        self.arrivals += u64::from(hears);
        self.outgoing.arrivals(self.now, self.arrivals);
    }

    /// Takes and checks all that is told. Returns how much that was.
    fn take(&mut self) -> usize {
        for count in 0.. {
            match self.outgoing.poll(self.now, wall(self.now)) {
                Some(Out::Passed(passed)) => self.check(&passed),
                Some(Out::Incident(incident)) => {
                    assert_eq!(
                        incident.lost,
                        incident.networks.iter().map(|n| n.lost).sum::<u32>()
                    );
                    assert_eq!(incident.lost, incident.shards.iter().sum::<u32>());
                    assert!(self.incident.replace((incident, 0)).is_none(), "two incidents");
                }
                Some(Out::IncidentOver(over)) => self.check_over(&over),
                None => return count,
            }
        }
        unreachable!()
    }

    fn check(&mut self, passed: &Passed) {
        let Passed::Offline { session, incident, .. } = passed else { panic!("{passed:?}") };
        let name = &mut self.names[session.name.parse::<usize>().unwrap()];
        assert_eq!(name.session, None, "a name that is online was told offline");
        assert_eq!(name.told.take(), Some(session.epoch), "an end of another session");
        let (ended, ending, has_moved) = name.ended.take().unwrap();
        let held = self.now.saturating_since(ended);
        let bound = self.settings.bound(u32::try_from(NAMES).unwrap());
        if !has_moved && !self.is_closing {
            assert!(held >= self.settings.offline_after, "early: after {held:?}");
        }
        let at_most = match (ending, incident) {
            (Ending::Renewed, _) => bound.offline_after.max(RENEWED_WAIT),
            (Ending::Meant, _) => bound.offline_after,
            (_, None) => bound.lost,
            (_, Some(_)) => bound.incident.unwrap(),
        };
        if self.is_punctual && !has_moved {
            assert!(held <= at_most, "late: after {held:?} of {at_most:?}");
        }
        if let Some(id) = incident {
            let (incident, gone) = self.incident.as_mut().unwrap();
            assert_eq!(*id, incident.incident);
            assert!(wall(self.now) >= incident.held_until, "told while it was held");
            assert!(matches!(ending, Ending::Lost), "{ending:?}");
            *gone += 1;
        }
        self.offline += 1;
    }

    fn check_over(&mut self, over: &IncidentOver) {
        let (incident, gone) = self.incident.take().unwrap();
        assert_eq!((over.gone, &over.incident), (gone, &incident.incident));
        assert_eq!(over.lost, over.gone + over.returned);
        assert!(over.lost >= incident.lost);
    }

    /// Nothing more happens. Everything is told within the bound.
    fn finish(mut self, closes: bool) {
        if closes {
            self.outgoing.close(self.now);
            self.is_closing = true;
            self.incident.iter_mut().for_each(|(incident, _)| incident.held_until = 0);
        } else {
            let bound = self.settings.bound(u32::try_from(NAMES).unwrap());
            let end = self.now.saturating_add(bound.incident.unwrap_or(bound.lost));
            let end = end.saturating_add(RENEWED_WAIT);
            while let Some(at) = self.outgoing.deadline() {
                assert!(at <= end, "something is held for too long");
                self.now = self.now.max(at);
                self.take();
            }
        }
        self.take();
        let told = self.names.iter().filter(|name| name.told.is_some()).count();
        let online = self.names.iter().filter(|name| name.session.is_some()).count();
        assert_eq!(told, online, "as many are told as there are");
        assert!(self.incident.is_none(), "an incident does not end");
        let counts = self.outgoing.counts();
        assert_eq!((counts.held, counts.held_by_incident), (0, 0));
        assert_eq!(counts.offline, self.offline);
        assert_eq!(self.outgoing.deadline(), None);
    }
}

fn wall(now: Instant) -> u64 {
    now.as_nanos() / 1_000
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn told_is_what_was_promised(
        settings in settings(),
        is_punctual in any::<bool>(),
        closes in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new(settings, is_punctual);
        (0..NAMES).for_each(|name| model.come(name));
        steps.into_iter().for_each(|step| model.apply(step));
        model.finish(closes);
    }
}
