//! Questions about many sessions. A shard answers them in slices, so that none of its turns is long
//! however many sessions it has.

use core::cmp::Ordering;
use core::ops::Range;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::oneshot::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

use super::event::SessionInfo;
use super::handle::Handle;
use super::heat::Heat;
use super::id::{MAX_SLOTS, SessionId};
use super::mailbox::Command;
use super::query::{Page, Query, Sort};
use super::stats::ShardCounters;

/// How long shards have to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long each shard has at least, if others before it have taken all of that.
const ANSWER_WITHIN_AT_LEAST: Duration = Duration::from_millis(100);

/// Maximum number of surveys that wait at a shard. It makes one after the other, so that only one
/// of them holds memory; what it cannot keep counts as not answered.
pub(super) const MAX_SURVEYS: usize = 64;

/// A question to one shard, and what it has found so far.
#[derive(Debug)]
pub(super) struct Survey {
    /// The slots that it has not seen yet.
    slots: Range<u32>,
    what: What,
}

#[derive(Debug)]
enum What {
    Sessions { best: Best, reply: Sender<Vec<SessionInfo>> },
    Heat { heat: Box<Heat>, reply: Sender<Heat> },
}

impl Survey {
    fn sessions(query: Arc<Query>, slots: Range<u32>) -> (Self, Receiver<Vec<SessionInfo>>) {
        let (reply, answer) = channel();
        let best = Best { query, sessions: BinaryHeap::new() };
        (Self { slots, what: What::Sessions { best, reply } }, answer)
    }

    fn heat() -> (Self, Receiver<Heat>) {
        let (reply, answer) = channel();
        (Self { slots: 0..MAX_SLOTS, what: What::Heat { heat: Box::default(), reply } }, answer)
    }

    /// Whether it is still waited for.
    pub(super) fn is_wanted(&self) -> bool {
        match &self.what {
            What::Sessions { reply, .. } => !reply.is_closed(),
            What::Heat { reply, .. } => !reply.is_closed(),
        }
    }

    /// The next slot to look at, if it needs one more and that is among the first `count`.
    pub(super) fn next_slot(&mut self, count: usize) -> Option<u32> {
        let is_done = match &self.what {
            What::Sessions { best, .. } => best.query.sort == Sort::Id && best.is_full(),
            What::Heat { .. } => false,
        };
        let is_used = |&slot: &u32| usize::try_from(slot).is_ok_and(|slot| slot < count);
        if is_done || !self.is_wanted() { None } else { self.slots.next().filter(is_used) }
    }

    /// Takes in a session with this name. `info` lacks that, and its silence is as far as the shard
    /// knows; `hear` asks the kernel, which makes it shorter.
    pub(super) fn see(
        &mut self,
        mut info: SessionInfo,
        name: Option<&str>,
        hear: impl FnOnce(&mut SessionInfo),
    ) {
        match &mut self.what {
            What::Sessions { best, .. } => {
                // A shorter silence ranks no higher.
                if best.wants(&info, name) {
                    hear(&mut info);
                    best.insert(info, name);
                }
            }
            What::Heat { heat, .. } => {
                hear(&mut info);
                heat.count(&info);
            }
        }
    }

    pub(super) fn answer(self) {
        // It may not be waited for any more.
        match self.what {
            What::Sessions { best, reply } => {
                let sessions = best.sessions.into_iter().map(|ranked| ranked.info);
                let _ = reply.send(sessions.collect());
            }
            What::Heat { heat, reply } => {
                let _ = reply.send(*heat);
            }
        }
    }
}

/// The sessions of the highest rank, the lowest of them on top.
#[derive(Debug)]
struct Best {
    query: Arc<Query>,
    sessions: BinaryHeap<Ranked>,
}

#[derive(Debug)]
struct Ranked {
    rank: u64,
    info: SessionInfo,
}

impl Best {
    fn is_full(&self) -> bool {
        self.sessions.len() >= self.query.limit
    }

    /// Whether a session belongs to them, unless it turns out to rank lower.
    fn wants(&self, info: &SessionInfo, name: Option<&str>) -> bool {
        let lowest = self.sessions.peek().filter(|_| self.is_full());
        self.query.admits(name, info.away_within.is_some())
            && lowest.is_none_or(|lowest| self.query.sort.rank(info) > lowest.rank)
    }

    fn insert(&mut self, mut info: SessionInfo, name: Option<&str>) {
        if self.wants(&info, name) {
            if self.is_full() {
                self.sessions.pop();
            }
            info.name = name.map(Into::into);
            self.sessions.push(Ranked { rank: self.query.sort.rank(&info), info });
        }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl Handle {
    /// A page of sessions.
    ///
    /// Each shard looks at a few hundred sessions in a turn, so a query makes no verdict late, and
    /// takes several turns. A session that is there all the time is in it once, in whichever order,
    /// and on one of the pages that follow each other by [`Sort::Id`]; sessions that come or go
    /// meanwhile may be in it. Each shard answers one query after the other.
    ///
    /// It costs about 0.1 µs for each session that is looked at, and with [`Sort::Id`] and no
    /// filter these are only those of the page; and a system call, about 1 µs, for each whose beats
    /// may wait in the kernel, see [`SessionInfo::silence`].
    ///
    /// It returns after a second at the latest, or, if several shards hang, a tenth of a second
    /// later for each. A shard that has not answered, or has too much to do to take the question,
    /// is in [`Page::missing`].
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio with its timer.
    pub async fn query(&self, query: Query) -> Page {
        let until = Instant::now() + ANSWER_WITHIN;
        let query = Arc::new(query);
        let shards = query.first_shard()..self.shards().len();
        let ask = |shard| self.ask_for_sessions(shard, &query);
        // By id, one shard after the other: most pages are those of one.
        let one_by_one = query.sort == Sort::Id;
        let mut asked: Vec<_> =
            if one_by_one { Vec::new() } else { shards.clone().map(ask).collect() };
        let mut page = Page::default();
        for shard in shards.clone() {
            if one_by_one {
                if page.sessions.len() >= query.limit {
                    break;
                }
                asked.push(ask(shard));
            }
            let answer = asked.get_mut(shard.saturating_sub(shards.start)).and_then(Option::take);
            match self.answer(shard, answer, until).await {
                Some(sessions) => page.sessions.extend(sessions),
                None => page.missing.push(shard),
            }
        }
        let of = |info: &SessionInfo| (u64::MAX - query.sort.rank(info), info.id.place());
        page.sessions.sort_unstable_by_key(of);
        page.sessions.truncate(query.limit);
        let is_full = page.sessions.len() == query.limit;
        page.next = page.sessions.last().filter(|_| one_by_one && is_full).map(|last| last.id);
        page
    }

    /// One session; `None` if it is not online, or if its shard has not answered within a second.
    /// Costs next to nothing.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio with its timer.
    pub async fn session(&self, id: SessionId) -> Option<SessionInfo> {
        let slots = id.slot()..id.slot().saturating_add(1);
        let answer = self.ask(id.shard(), Survey::sessions(Arc::new(Query::all()), slots));
        let found = self.answer(id.shard(), answer, Instant::now() + ANSWER_WITHIN).await;
        found?.into_iter().find(|info| info.id == id)
    }

    /// How many sessions are how silent, at which round trip. It looks at all sessions, and costs
    /// as much as a [`query`](Self::query) that does; like that, it returns after a second or
    /// little later, and makes no verdict late.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio with its timer.
    pub async fn heat(&self) -> Heat {
        let until = Instant::now() + ANSWER_WITHIN;
        let shards = 0..self.shards().len();
        let asked: Vec<_> = shards.map(|shard| self.ask(shard, Survey::heat())).collect();
        let mut all = Heat::default();
        for (shard, answer) in asked.into_iter().enumerate() {
            match self.answer(shard, answer, until).await {
                Some(heat) => all.add(&heat),
                None => all.missing.push(shard),
            }
        }
        all
    }

    /// All sessions, in no particular order, once every shard has looked at its own: some hundred
    /// in a turn, see [`query`](Self::query). Shards that are too busy to take the command are left
    /// out.
    pub async fn list(&self) -> Vec<SessionInfo> {
        let mut all = Vec::new();
        for answer in self.ask_for_all() {
            all.extend(answer.await.into_iter().flatten());
        }
        all
    }

    /// [`list`](Self::list) for threads without an async runtime: it blocks the thread. Do not call
    /// it from a [`Handler`](super::Handler), whose own shard would wait for itself.
    ///
    /// # Panics
    ///
    /// In an async task of tokio, as tokio's own blocking functions do.
    #[must_use]
    pub fn blocking_list(&self) -> Vec<SessionInfo> {
        let answers = self.ask_for_all().into_iter();
        answers.flat_map(|answer| answer.blocking_recv().into_iter().flatten()).collect()
    }

    fn ask_for_all(&self) -> Vec<Receiver<Vec<SessionInfo>>> {
        let query = Arc::new(Query::all());
        (0..self.shards().len()).filter_map(|shard| self.ask_for_sessions(shard, &query)).collect()
    }

    fn ask_for_sessions(
        &self,
        shard: usize,
        query: &Arc<Query>,
    ) -> Option<Receiver<Vec<SessionInfo>>> {
        let slots = query.first_slot(shard)..MAX_SLOTS;
        self.ask(shard, Survey::sessions(Arc::clone(query), slots))
    }

    /// `None` if the shard takes no command.
    fn ask<T>(&self, shard: usize, survey: (Survey, Receiver<T>)) -> Option<Receiver<T>> {
        let (survey, answer) = survey;
        self.mailbox(shard)?.post(Command::Survey(survey)).ok()?;
        Some(answer)
    }

    /// The answer of a shard, by about `until`; `None` if it gives none. One that has shut down has
    /// nothing.
    async fn answer<T: Default>(
        &self,
        shard: usize,
        answer: Option<Receiver<T>>,
        until: Instant,
    ) -> Option<T> {
        if let Some(answer) = answer {
            let until = until.max(Instant::now() + ANSWER_WITHIN_AT_LEAST);
            if let Ok(Ok(answer)) = timeout_at(until, answer).await {
                return Some(answer);
            }
        }
        self.shards().get(shard).is_some_and(ShardCounters::is_over).then(T::default)
    }
}
