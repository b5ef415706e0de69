//! What a client does next.

/// What to do next.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for bytes from the server, or until `hw_client_deadline`.
    Sleep = 0,
    /// Write what `hw_client_output` gives, and report it with `hw_client_written`. If the socket
    /// takes nothing now, wait as for `HW_STEP_SLEEP`, and for the socket.
    Write = 1,
    /// Read the socket now, feed what is there, take the events, and call `hw_client_read_done`: a
    /// deadline has passed, and bytes that have arrived count more.
    Read = 2,
    /// Close the connection and call `hw_client_disconnected`. The event of its end can be taken
    /// before or after that.
    Close = 3,
    /// There is no connection: wait for `hw_client_retry_ms`, connect, and call
    /// `hw_client_connected`.
    Idle = 4,
}
