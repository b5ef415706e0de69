//! Nodes that break a rule on purpose, to test that each is checked. They are the shipping ones
//! with something between them and the store.

use crate::store::{Answer, Call, Command, Op, Outcome};

/// What a broken node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It takes changes for told whose call had no answer.
    ForgetsUnanswered,
    /// It does not end sessions that others have taken over.
    IgnoresTakeovers,
    /// It ends any session of a name that was taken over, also a newer one.
    EndsNewer,
    /// It never finds out that the store has something else.
    NeverCompares,
    /// It goes on under an id that was fenced.
    IgnoresFence,
    /// It does not renew its lease.
    NeverRenews,
    /// It reaps other nodes as soon as their lease is over.
    ReapsAtOnce,
    /// It never reaps another node.
    NeverReaps,
    /// It never tells that a name is offline.
    NeverTellsOffline,
    /// It does not tell that a client is back with a newer session.
    ForgetsReplaced,
    /// It proposes epochs of the far future.
    ClaimsTheFuture,
    /// It numbers its calls wrongly, so that one that was given up counts when it arrives.
    NumbersBackwards,
    /// It renews its lease as often as it can.
    RenewsAllTheTime,
    /// It says that each newer session is of another client.
    ForgetsInstances,
}

impl Broken {
    pub(super) const ALL: [Self; 14] = [
        Self::ForgetsUnanswered,
        Self::IgnoresTakeovers,
        Self::EndsNewer,
        Self::NeverCompares,
        Self::IgnoresFence,
        Self::NeverRenews,
        Self::ReapsAtOnce,
        Self::NeverReaps,
        Self::NeverTellsOffline,
        Self::ForgetsReplaced,
        Self::ClaimsTheFuture,
        Self::NumbersBackwards,
        Self::RenewsAllTheTime,
        Self::ForgetsInstances,
    ];

    /// What reaches the store of a call.
    pub(super) fn call(self, call: &mut Call) {
        match (self, call) {
            (Self::NeverTellsOffline, Call::Apply { ops, .. }) => {
                ops.retain(|op| matches!(op, Op::Online { .. }));
            }
            (Self::ClaimsTheFuture, Call::Apply { ops, .. }) => {
                for op in ops {
                    if let Op::Online { epoch, .. } = op {
                        *epoch += 3_600_000_000;
                    }
                }
            }
            (Self::NumbersBackwards, Call::Apply { number, .. }) => *number = 1,
            _ => {}
        }
    }

    /// The answer that comes without the store, if there is one.
    pub(super) fn invents(self, call: &Call, digest: (u64, u64), now: u64) -> Option<Answer> {
        match (self, call) {
            (Self::NeverCompares, Call::Compare { .. }) => {
                Some(Answer::Digest { names: digest.0, hash: digest.1 })
            }
            (Self::NeverReaps, Call::Expired) => Some(Answer::Expired(Vec::new())),
            (Self::NeverRenews, Call::Renew { .. }) => {
                Some(Answer::Leased { now, generation: "1".into(), namesake: None })
            }
            _ => None,
        }
    }

    /// What the node makes of the store's answer, or of none.
    pub(super) fn answer(
        self,
        call: &Call,
        answer: Result<Answer, ()>,
        now: u64,
    ) -> Result<Answer, ()> {
        match (self, call, answer) {
            (Self::ForgetsUnanswered, Call::Apply { ops, .. }, Err(())) => {
                let outcomes = ops.iter().map(|op| match op {
                    Op::Online { epoch, .. } => Outcome::Online { epoch: *epoch },
                    Op::Offline { .. } => Outcome::Offline,
                });
                Ok(Answer::Applied(outcomes.collect()))
            }
            (Self::NeverTellsOffline, Call::Apply { ops, .. }, Ok(Answer::Applied(outcomes))) => {
                let mut outcomes = outcomes.into_iter();
                let all = ops.iter().map(|op| match op {
                    Op::Online { .. } => outcomes.next().unwrap(),
                    Op::Offline { .. } => Outcome::Offline,
                });
                Ok(Answer::Applied(all.collect()))
            }
            (
                Self::IgnoresTakeovers,
                Call::Apply { ops, .. },
                Ok(Answer::Applied(mut outcomes)),
            ) => {
                for (op, outcome) in ops.iter().zip(&mut outcomes) {
                    if let (Op::Online { epoch, .. }, Outcome::Older { .. }) = (op, &outcome) {
                        *outcome = Outcome::Online { epoch: *epoch };
                    }
                }
                Ok(Answer::Applied(outcomes))
            }
            (Self::ForgetsInstances, _, Ok(Answer::Applied(mut outcomes))) => {
                for outcome in &mut outcomes {
                    if let Outcome::Older { same_client, .. } = outcome {
                        *same_client = false;
                    }
                }
                Ok(Answer::Applied(outcomes))
            }
            (Self::IgnoresFence, Call::Renew { .. }, Ok(Answer::Fenced)) => {
                Ok(Answer::Leased { now, generation: "1".into(), namesake: None })
            }
            (Self::IgnoresFence, Call::Apply { .. } | Call::Compare { .. }, Ok(Answer::Fenced)) => {
                Err(())
            }
            (_, _, answer) => answer,
        }
    }

    /// What the node makes of a command.
    pub(super) fn command(self, command: Command) -> Option<Command> {
        match (self, command) {
            (Self::IgnoresTakeovers, Command::TakenOver { .. }) => None,
            (Self::EndsNewer, Command::TakenOver { name, same_client, .. }) => {
                Some(Command::TakenOver { name, epoch: u64::MAX, same_client })
            }
            (Self::ForgetsInstances, Command::TakenOver { name, epoch, .. }) => {
                Some(Command::TakenOver { name, epoch, same_client: false })
            }
            (_, command) => Some(command),
        }
    }
}
