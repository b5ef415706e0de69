//! Counters of what happened in runs.

use heartwire_core::{Cause, Verdict, Violation};

use super::ended::End;
use super::link::SocketError;

/// Declares counters that can be added up and listed by name.
macro_rules! counters {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])+ $field:ident,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$what])+ pub $field: u64,)+
        }

        impl $name {
            /// Each counter's name and count.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),+].into_iter()
            }

            pub(super) const fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counters! {
    /// What went wrong, or did not go smoothly.
    Mishaps {
        /// Packets that took a millisecond or longer.
        delayed,
        /// Packets that took longer than the path's delay.
        jittered,
        /// Packets that overtook one that was sent before.
        reordered,
        /// Events of the same moment, which happen in random order.
        simultaneous,
        /// Packets that were lost.
        lost,
        /// Retransmission timers that fired.
        sent_again,
        /// Window probes of a sender, because the other end did not read.
        window_probes,
        /// Packets dropped where the path was cut from the client to the server only.
        cut_to_server,
        /// Packets dropped where the path was cut from the server to the client only.
        cut_to_client,
        /// Packets dropped where the path was cut both ways.
        cut_both_ways,
        /// Segments that something on the path acknowledged and dropped.
        swallowed,
        /// Segments of a few bytes on a slow line.
        dribbled,
        /// Connections that both ends were told do not exist.
        reset,
        /// Connections that only the client was told do not exist.
        severed,
        /// Connections that were cut after some bytes.
        cut_within,
        /// Messages that were written again on another link of their session.
        written_again,
        /// Sessions that lost their link at the server and went on without.
        away,
        /// Sessions that went on with another link.
        back,
        /// Applications that were told in a session that the other one sends no more.
        ended,
        /// Messages to an application that had said that it sends no more.
        after_end,
        /// Silent links that a spare connection took the place of.
        spare_used,
        /// Spare connections that were not needed any more when they were made.
        spare_unused,
        /// Messages that were refused because the peer accepts none so long.
        too_long,
        /// Connections that a middlebox forgot because nothing had passed for too long.
        nat_expired,
        /// Processes that were stopped while their systems went on.
        frozen,
        /// Turns that were held up in the middle for long enough to be a pause.
        held_up,
        /// System calls of a process in a turn that took time.
        interrupted,
        /// Machines that were suspended with a clock that counts it.
        suspended,
        /// Machines that were suspended with a clock that does not count it.
        suspended_uncounted,
        /// Pauses of a client that only a comparison of its clocks could show: it was suspended,
        /// and something woke it before its timer, which stops in a suspend.
        suspended_in_time,
        /// Processes that were killed while their systems went on.
        crashed,
        /// Machines that were gone silently.
        power_lost,
        /// Processes that were started again.
        restarted,
        /// Applications that took no events for a while.
        slow_application,
        /// Deadlines put off because of bytes that a slow application had no room for.
        postponed,
    }
}

counters! {
    /// How connections ended.
    Ends {
        /// A verdict: nothing came from the peer for the timeout.
        silence,
        /// A verdict: the peer did not hear this end.
        unheard,
        /// The system gave up: nothing was acknowledged for too long.
        timed_out,
        /// The peer, or something on the path, reset the connection.
        reset,
        /// The peer closed the connection.
        closed,
        /// The peer closed it in the middle of a frame.
        closed_in_a_frame,
        /// The peer sent no whole frame in its time.
        no_first_frame,
        /// A frame was not whole in its time.
        slow_frame,
        /// The peer sent BYE.
        bye,
        /// This end could not agree with the peer.
        rejected,
        /// This end's application closed it.
        left,
        /// Both applications had said that they send no more, and had taken everything over.
        done,
        /// A newer session of the same client took its place.
        taken_over,
        /// The session had reached its greatest age.
        too_old,
        /// The token of the session's client was not valid any more.
        revoked,
        /// The peer was a slow reader.
        slow_reader,
    }
}

impl Ends {
    pub(super) const fn note(&mut self, end: &End) {
        let count = match end {
            End::Dead(Verdict { cause: Cause::Unheard, .. }) => &mut self.unheard,
            // No kernel's verdict is among them: a system that gave up is a failed socket here.
            End::Dead(_) => &mut self.silence,
            End::Violation(Violation::NoFirstFrame { .. }) => &mut self.no_first_frame,
            // Any other would be a false one, and no end of a run that kept its promises.
            End::Violation(_) => &mut self.slow_frame,
            End::Closed { truncated: false } => &mut self.closed,
            End::Closed { truncated: true } => &mut self.closed_in_a_frame,
            End::Failed(SocketError::Reset) => &mut self.reset,
            End::Failed(SocketError::TimedOut) => &mut self.timed_out,
            End::Bye(_) => &mut self.bye,
            End::Rejected => &mut self.rejected,
            End::Left => &mut self.left,
            End::Done => &mut self.done,
            End::TakenOver => &mut self.taken_over,
            End::TooOld => &mut self.too_old,
            End::Revoked => &mut self.revoked,
            End::SlowReader => &mut self.slow_reader,
            End::NetworkChanged | End::Suspected | End::Other(_) => return,
        };
        *count += 1;
    }
}

counters! {
    /// Ends that were compared with a plan.
    Plans {
        /// The plan says that they detect the fault.
        found,
        /// The plan says that they never do, or that the connection is not lost.
        never,
    }
}

counters! {
    /// Results of runs that broke no promise.
    Sums {
        /// Events.
        steps,
        /// Connections of clients.
        connections,
        /// Verdicts of both ends.
        verdicts,
        /// Beats and their answers.
        beats,
        /// Round trips that beats of protocol v1 measured.
        round_trips,
    }
}
