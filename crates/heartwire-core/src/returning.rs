//! How a client comes back to its session: the numbers that it keeps to, and that a plan computes
//! with.

use core::time::Duration;

/// The maximum of the first wait after a connection is lost, which doubles with each attempt: so
/// that the clients of a path that was lost do not come back in step.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait between two attempts: a session is held for minutes, so that it matters.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// How soon a client notices a change of its network, or a suspend.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the server's kernel then has to acknowledge something, once or twice: time for four
/// retransmissions on a path of 200 ms.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);
