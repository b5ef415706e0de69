//! What other threads do with a running server.

use core::task::Waker;
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use heartwire_core::internal::codec;
use heartwire_core::v1::RetryHint;

use super::admission::addresses::AddressCounts;
use super::admission::denials::Denials;
use super::admission::names::Names;
use super::admission::pending::MaxPending;
use super::agenda::Held as HeldPerShard;
use super::auth::Tokens;
use super::error::CommandError;
use super::histograms::{Histograms, Measured};
use super::id::SessionId;
use super::limits::Admission;
use super::listener::Places;
use super::mailbox::{Command, Mailbox};
use super::resume::{AwayCount, Run};
use super::sender::Sender;
use super::stats::{Counters, ShardCounters, Stats};
use super::tombstones::Tombstones;
use crate::kernel::KernelOptions;
use crate::tls::SharedServerTls;

/// A handle that sends commands to a server from any thread. It does not keep the server running.
#[derive(Clone, Debug)]
pub struct Handle(pub(super) Arc<Shared>);

/// What shards write when clients come and go is on cache lines of its own (`repr(align)`): they
/// read the rest with each beat.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) places: Places,
    pub(super) away: AwayCount,
    pub(super) run: Run,
    pub(super) tombstones: Tombstones,
    /// Of what no shard counts.
    pub(super) counters: Counters,
    pub(super) shards: Vec<ShardCounters>,
    /// How long a shutdown may take: as configured, and as it was then asked for.
    pub(super) drain: (Duration, OnceLock<Duration>),
    pub(super) kernel: KernelOptions,
    pub(super) max_queue: usize,
    /// The longest frame in a session that can be resumed.
    pub(super) longest_resumable: usize,
    pub(super) tokens: Option<Tokens>,
    /// The shards' wakers, for what tells of changes as long as the server runs.
    #[expect(dead_code, reason = "it keeps the weak references to it alive")]
    pub(super) wakers: Arc<[Waker]>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) addresses: AddressCounts,
    pub(super) names: Names,
    pub(super) max_pending: MaxPending,
    /// The most bytes that each shard may hold.
    pub(super) held_per_shard: HeldPerShard,
    pub(super) denials: Denials,
}

impl Handle {
    /// Sends `data` to a session as one frame. The data is copied and passed to the session's
    /// shard, which drops it if the session has ended by then. A session that outlives its
    /// connections ends with [`Reason::Overflow`](crate::Reason::Overflow) if its window has no
    /// room.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`], [`CommandError::Busy`] or [`CommandError::Gone`]; nothing was
    /// sent then. The shard drops a frame that is longer than the client says it accepts; from
    /// within a [`Handler`](super::Handler) that is an error at once.
    pub fn send(&self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        self.frame_len(data)?;
        self.post(id, Command::Send { id, data: data.to_vec(), room: None })
    }

    /// A sender for one session, which waits while that has no room. It does not keep the session.
    /// Use one for a session, and nothing else to send to it: what this handle sends does not wait
    /// behind it.
    #[must_use]
    pub fn sender(&self, id: SessionId) -> Sender {
        Sender::new(self.clone(), id)
    }

    /// Says that this end sends no more to a session, after the data that was sent. The client can
    /// go on sending. When both ends have said so, and have taken over everything, the session ends
    /// with [`Reason::Done`](crate::Reason::Done). Does nothing if the session ends with its
    /// connection, see [`ServerConfig::resume`](super::ServerConfig::resume).
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn end(&self, id: SessionId) -> Result<(), CommandError> {
        self.post(id, Command::End { id })
    }

    /// Sends `data` as one frame to every session that is online when its shard takes the command.
    /// Slow readers are disconnected.
    ///
    /// An application that reads [`Events`](super::Events) may not have read the `Online` of such a
    /// session yet: a client can get a broadcast before the application knows of it.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`] before anything was sent; [`CommandError::Busy`] if a shard had no
    /// room for the command: its sessions get nothing. After a shutdown there is no session to send
    /// to, which is not an error.
    pub fn broadcast(&self, data: &[u8]) -> Result<(), CommandError> {
        self.frame_len(data)?;
        let data: Arc<[u8]> = data.into();
        let mut result = Ok(());
        for mailbox in &self.0.mailboxes {
            let posted = mailbox.post(Command::Broadcast { data: Arc::clone(&data) });
            // A shard that has ended has no sessions.
            result = result.and(posted.or_else(|error| match error {
                CommandError::Gone => Ok(()),
                CommandError::Busy
                | CommandError::TooLong
                | CommandError::SlowReader
                | CommandError::Full
                | CommandError::Ended
                | CommandError::NotResumable => Err(error),
            }));
        }
        result
    }

    /// Disconnects a client ([`Reason::Kicked`](crate::Reason::Kicked)) and tells it not to
    /// reconnect. Does nothing if the session has ended by the time its shard sees the command.
    ///
    /// A Heartwire client obeys and ends, unless
    /// [`even_if_rejected`](crate::client::Reconnect::even_if_rejected) is set. A client on
    /// protocol v0 cannot be told and reconnects, and so may a hostile one: remove its
    /// [token](super::auth::Tokens) first, then it is rejected.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn kick(&self, id: SessionId) -> Result<(), CommandError> {
        self.kick_with(id, RetryHint::Never, "")
    }

    /// Disconnects a client as [`kick`](Self::kick) does, and tells it when to reconnect and why it
    /// was disconnected. `detail` is cut to [`MAX_DETAIL_LEN`](crate::v1::MAX_DETAIL_LEN) bytes.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn kick_with(
        &self,
        id: SessionId,
        retry: RetryHint,
        detail: &str,
    ) -> Result<(), CommandError> {
        self.post(id, Command::Kick { id, retry, detail: detail.into() })
    }

    /// Ends a session because a newer one of the same name is on another server
    /// ([`Reason::TakenOver`](crate::Reason::TakenOver)), and tells the client not to reconnect. A
    /// session that is away ends too. Does nothing if the session has ended by the time its shard
    /// sees the command.
    ///
    /// `same_client`: the newer session is one of the same client, with the same
    /// [instance](super::Agreed::instance). Then the client may come back within a second, and
    /// begins a new session. A client that still has this connection would otherwise stay away for
    /// good where two servers mistook the order of its sessions, which lie milliseconds apart.
    ///
    /// # Errors
    ///
    /// [`CommandError::Busy`] or [`CommandError::Gone`]; the session is as it was.
    pub fn take_over(&self, id: SessionId, same_client: bool) -> Result<(), CommandError> {
        self.post(id, Command::TakeOver { id, same_client })
    }

    /// The number of sessions with a connection now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.places.sessions()
    }

    /// The number of sessions that are away now: their clients have lost their connection, and may
    /// come back.
    #[must_use]
    pub fn away(&self) -> usize {
        self.0.away.get()
    }

    /// The server's counters since it started.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.read(&self.0.shards)
    }

    /// How late verdicts were, how long round trips took, and how far apart clients' bytes came,
    /// since the server started. Asks no shard, and costs some hundred reads of memory per shard.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        Measured::read(self.0.shards.iter().map(|shard| &shard.measured))
    }

    /// Wakes every shard, and waits until each has ended a turn since. Returns the shards that have
    /// not within this time: they hang, or are that slow. None if all is well, and at once then. A
    /// shard that has shut down is well; one whose handler panicked is not.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio with its timer.
    pub async fn turned(&self, within: Duration) -> Vec<usize> {
        let turns = self.0.shards.iter().map(ShardCounters::turns);
        let mut waits: Vec<_> = turns.enumerate().collect();
        self.0.mailboxes.iter().for_each(Mailbox::wake);
        // A shard does not tell when its turn ends: that would cost each turn of every server.
        let all_have = async {
            let mut again_in = Duration::from_millis(1);
            loop {
                waits.retain(|&(shard, before)| {
                    let counters = self.0.shards.get(shard);
                    counters.is_some_and(|own| own.turns() == before && !own.is_over())
                });
                if waits.is_empty() {
                    return;
                }
                tokio::time::sleep(again_in).await;
                again_in = (again_in * 2).min(Duration::from_millis(50));
            }
        };
        // Else it has left those that have not.
        let _ = tokio::time::timeout(within, all_have).await;
        waits.into_iter().map(|(shard, _)| shard).collect()
    }

    /// Shuts the server down: it stops accepting at once, sends queued data for at most
    /// [`ServerConfig::drain`](super::ServerConfig::drain), and ends every session with
    /// [`Reason::Shutdown`](crate::Reason::Shutdown). Repeated calls do nothing.
    pub fn shutdown(&self) {
        self.shutdown_within(self.0.drain.0);
    }

    /// Shuts the server down as [`shutdown`](Self::shutdown) does, but within `drain` instead of
    /// the configured time. Of several calls of the two only the first one counts.
    pub fn shutdown_within(&self, drain: Duration) {
        // Before the shards are told, which look at it then.
        self.0.drain.1.get_or_init(|| drain);
        self.0.mailboxes.iter().for_each(Mailbox::shutdown);
    }

    /// Replaces the limits on which clients are accepted, and how fast. They hold for clients that
    /// come from now on; sessions beyond a lower limit stay. A rate that is changed begins with a
    /// whole burst. Can be called at any time, from any thread.
    ///
    /// [`stale_after`](Admission::stale_after) and [`many_per_name`](Admission::many_per_name) stay
    /// as they were at the start. Sessions that began while there was neither a limit per address
    /// nor a rate per address do not count towards one that is set now.
    pub fn set_admission(&self, admission: Admission) {
        self.0.places.set_max(admission.max_sessions);
        self.0.max_pending.set(&admission);
        self.0.away.set(admission.clone());
        self.0.addresses.set(admission);
        // A shard may rest because it had no room.
        self.0.mailboxes.iter().for_each(Mailbox::wake);
    }

    /// The length of `data` as one frame, if that fits into a session's queue or window.
    pub(super) fn frame_len(&self, data: &[u8]) -> Result<usize, CommandError> {
        let header = codec::data_header(data.len()).ok_or(CommandError::TooLong)?;
        Some(header.len() + data.len())
            .filter(|&len| len <= self.0.max_queue.max(self.0.longest_resumable))
            .ok_or(CommandError::TooLong)
    }

    pub(super) fn max_queue(&self) -> usize {
        self.0.max_queue
    }

    fn post(&self, id: SessionId, command: Command) -> Result<(), CommandError> {
        self.mailbox(id.shard()).ok_or(CommandError::Gone)?.post(command)
    }

    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.0.mailboxes.get(shard)
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    /// How often the tokens, and the settings of TLS, have changed.
    pub(super) fn changes(&self) -> [u64; 2] {
        let tokens = self.tokens().map_or(0, Tokens::changes);
        [tokens, self.tls().map_or(0, SharedServerTls::changes)]
    }

    pub(super) fn tls(&self) -> Option<&SharedServerTls> {
        self.0.tls.as_ref()
    }

    pub(super) fn addresses(&self) -> &AddressCounts {
        &self.0.addresses
    }

    pub(super) fn denials(&self) -> &Denials {
        &self.0.denials
    }

    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(super) fn held_per_shard(&self) -> HeldPerShard {
        self.0.held_per_shard
    }

    pub(super) fn max_pending(&self) -> &MaxPending {
        &self.0.max_pending
    }

    pub(super) fn away_count(&self) -> &AwayCount {
        &self.0.away
    }

    pub(super) fn run(&self) -> &Run {
        &self.0.run
    }

    pub(super) fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    pub(super) fn places(&self) -> &Places {
        &self.0.places
    }

    /// What each shard alone counts.
    pub(super) fn shards(&self) -> &[ShardCounters] {
        &self.0.shards
    }

    /// What a shard alone counts.
    pub(super) fn shard_counters(&self, shard: usize) -> Option<&ShardCounters> {
        self.0.shards.get(shard)
    }

    /// How long a shutdown may take, from when it began.
    pub(super) fn drain(&self) -> Duration {
        self.0.drain.1.get().copied().unwrap_or(self.0.drain.0)
    }

    /// Counters for what no shard counts.
    pub(super) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Kernel options for the sockets of sessions.
    pub(super) fn kernel(&self) -> &KernelOptions {
        &self.0.kernel
    }
}
