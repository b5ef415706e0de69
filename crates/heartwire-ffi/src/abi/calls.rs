//! The calls.

use core::ffi::c_char;

use super::{Config, Event, Status};

/// Bytes of a client, besides `rx` and `tx`, on every target.
pub const HW_CLIENT_SIZE: usize = 1024;
/// The alignment of a client's memory, in bytes.
pub const HW_CLIENT_ALIGN: usize = 8;
/// The least `rx_len`: the longest BYE, with its header and 8 bytes to spare.
pub const HW_MIN_RX: usize = 528;
/// The least `tx_len`: a beat, and something to send.
pub const HW_MIN_TX: usize = 128;
/// A time that never comes.
pub const HW_NEVER: u64 = u64::MAX;

/// A client. It lies in memory that the caller gives, such as an `hw_client_memory`.
#[derive(Debug)]
pub struct Client {
    _private: (),
}

/// Memory for a client.
#[repr(C)]
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it may not be initialised")]
pub union ClientMemory {
    /// Aligns it.
    pub align: u64,
    /// Holds it.
    pub bytes: [u8; HW_CLIENT_SIZE],
}

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

/// The health that this client's beats report, v1.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Ok = 0,
    /// Something does not make progress.
    Degraded = 1,
    /// About to disconnect.
    Draining = 2,
}

/// A number that stands for a [`Health`].
pub type HealthNumber = u32;

/// The state of a connection.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// This client's interval in force; 0: no beats.
    pub interval_ms: u32,
    /// The silence after which the server is dead, under its promise in force; 0: no verdict.
    pub timeout_ms: u32,
    /// How long nothing has come from the server.
    pub silence_ms: u32,
    /// v1: how long ago the server last heard this client, as far as it has said.
    pub unheard_ms: u32,
    /// v1: the round trip in microseconds, as exact as the clock; 0: not known.
    pub rtt_us: u32,
    /// v1: where `rtt_us` is 0, the round trip is below this; 0: not known.
    pub rtt_below_us: u32,
    /// v1: how late the server's last beat was.
    pub peer_late_ms: u32,
    /// v1: the server's health.
    pub peer_health: HealthNumber,
    /// v1: the server says that this client's beats come far too often.
    pub too_fast: bool,
}

/// Makes 64-bit milliseconds of a 32-bit counter, which starts again at 0 after 49 days. All zeros
/// is its start.
#[expect(clippy::exhaustive_structs, reason = "C makes it")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// The time so far.
    pub ms: u64,
    /// The counter at the last call, and whether there was one.
    pub ticks: u32,
    /// 0 before the first call.
    pub is_running: u32,
}

/// The kernel's own timers for a connection: `SO_KEEPALIVE` with its three numbers, and
/// `TCP_USER_TIMEOUT`, which fit together.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`, in seconds.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`, in seconds.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub count: u32,
    /// `TCP_USER_TIMEOUT`, in milliseconds.
    pub user_timeout_ms: u32,
    /// The peer is found dead after so long at the latest, in milliseconds.
    pub bound_ms: u32,
}

/// Fills in the defaults: v1, beats every 10 s, a timeout of 30 s, no name. What is left to set is
/// `rx`, `tx`, and `seed`. Nothing happens if `config` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_config_default(config: *mut Config) {
    let _ = config;
}

/// Makes a client of `size` bytes at `memory`, whatever is there. It is idle then: `memory` is the
/// `hw_client` of all other calls. It has nothing to be freed.
///
/// `HW_ERR_ARGUMENT`: a null pointer, or a setting out of range. `HW_ERR_SIZE`: `memory`, `rx` or
/// `tx` is too small, or `memory` not aligned to `HW_CLIENT_ALIGN`. `HW_ERR_PROTOCOL`: a setting
/// that the protocol does not have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_init(
    memory: *mut core::ffi::c_void,
    size: usize,
    config: *const Config,
) -> Status {
    let _ = (memory, size, config);
    Status::ERR_STATE
}

/// The transport is connected, as of `now_ms`: a HELLO (v1) or the first beat (v0) waits to be
/// written. Ask `hw_client_poll` next. Bytes and events of a connection before are dropped.
///
/// `HW_ERR_STATE`: there is a connection; call `hw_client_disconnected` first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_connected(client: *mut Client, now_ms: u64) -> Status {
    let _ = (client, now_ms);
    Status::ERR_STATE
}

/// These bytes came, as of `now_ms`. How many there was room for goes to `taken`. If there are
/// fewer than `len`, take the events, then feed the rest; do not read on before that. After the end
/// of a connection all bytes are taken and dropped.
///
/// `HW_ERR_STATE`: there is no connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_feed(
    client: *mut Client,
    now_ms: u64,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
) -> Status {
    let _ = (client, now_ms, bytes, len, taken);
    Status::ERR_STATE
}

/// Takes the next event, of kind `HW_EVENT_NONE` if there is none. Call it until then whenever
/// bytes were fed, and when `hw_client_poll` says `HW_STEP_CLOSE`. What an event points to stays
/// until the next call of this or of `hw_client_feed`. In a session that can be resumed, a message
/// counts as taken over by the application when this is called the next time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_event(
    client: *mut Client,
    now_ms: u64,
    event: *mut Event,
) -> Status {
    let _ = (client, now_ms, event);
    Status::ERR_STATE
}

/// What to do next. Ask whenever bytes were fed and their events taken, when the deadline has come,
/// and after each step: early and repeated calls do no harm. `HW_STEP_IDLE` without a connection,
/// and for a client that was not initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_poll(client: *mut Client, now_ms: u64) -> Step {
    let _ = (client, now_ms);
    Step::Idle
}

/// After `HW_STEP_READ`: the socket was read, what it held was fed, and the events were taken.
/// `more`: the read stopped with bytes left. Then a verdict that is still due waits for another
/// read, though not without end. Otherwise it is given now. Answers what to do next, as
/// `hw_client_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_read_done(client: *mut Client, now_ms: u64, more: bool) -> Step {
    let _ = (client, now_ms, more);
    Step::Idle
}

/// When to call `hw_client_poll` at the latest if nothing happens before, on the caller's clock;
/// `HW_NEVER`: there is no such time. It can move earlier only by calls of this library, so ask
/// after the last of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_deadline(client: *const Client) -> u64 {
    let _ = client;
    HW_NEVER
}

/// What to write now: `bytes` and `len`, perhaps 0. It stays until the next call with this client.
/// Report with `hw_client_written` how much of it the socket took.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_output(
    client: *const Client,
    bytes: *mut *const u8,
    len: *mut usize,
) -> Status {
    let _ = (client, bytes, len);
    Status::ERR_STATE
}

/// The socket took the first `len` bytes of what `hw_client_output` gave.
///
/// `HW_ERR_ARGUMENT`: that is more than there was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_written(client: *mut Client, now_ms: u64, len: usize) -> Status {
    let _ = (client, now_ms, len);
    Status::ERR_STATE
}

/// Queues a message, whole or not at all; on `HW_PROTOCOL_RAW` the bytes as they are. It is copied.
/// `HW_OK` means that it is queued, not that it has arrived.
///
/// `HW_ERR_STATE`: not connected, or on v1 not welcomed yet. `HW_ERR_ROOM`: not now.
/// `HW_ERR_TOO_LONG`: never. `HW_ERR_PROTOCOL`: not in a session that can be resumed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_send(
    client: *mut Client,
    now_ms: u64,
    bytes: *const u8,
    len: usize,
) -> Status {
    let _ = (client, now_ms, bytes, len);
    Status::ERR_STATE
}

/// The longest message that `hw_client_send` would take now; 0 also where it would take none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_send_room(client: *const Client) -> usize {
    let _ = client;
    0
}

/// Promises the server a beat every `interval_ms` from now on: longer before the device sleeps,
/// shorter when it is back. The server's timeout follows. What the contract allows goes to
/// `agreed_ms`, which may be null. Changes that follow too fast on each other are told together.
/// Ends with the connection.
///
/// `HW_ERR_PROTOCOL`: not v1. `HW_ERR_STATE`: not welcomed yet, or this client sends no beats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_promise(
    client: *mut Client,
    interval_ms: u32,
    agreed_ms: *mut u32,
) -> Status {
    let _ = (client, interval_ms, agreed_ms);
    Status::ERR_STATE
}

/// The health that the beats report from now on, on this connection and the next ones. A change
/// makes a beat due at once. `HW_ERR_PROTOCOL`: not v1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_set_health(client: *mut Client, health: HealthNumber) -> Status {
    let _ = (client, health);
    Status::ERR_STATE
}

/// Ends the connection when what waits is written; on v1 a BYE comes last. `hw_client_poll` says
/// `HW_STEP_CLOSE` then, or when the socket has taken nothing for 3 s. Close gently: shut down the
/// sending half, then read and drop what comes until the server has closed too, for 1 s at most.
///
/// `HW_ERR_STATE`: there is no connection. `HW_ERR_ROOM`: not now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_close(client: *mut Client, now_ms: u64) -> Status {
    let _ = (client, now_ms);
    Status::ERR_STATE
}

/// The transport has ended, or could not be made. The client is idle then. What was not written is
/// dropped; events of what was fed can still be taken, and the last tells how it ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_disconnected(client: *mut Client, now_ms: u64) -> Status {
    let _ = (client, now_ms);
    Status::ERR_STATE
}

/// How long to wait from `now_ms` on before connecting again, in milliseconds: 0 for the first
/// attempt, then random and growing, or what the server asked for. `HW_NEVER`: the server said that
/// it would refuse this client again. It is drawn once for each attempt, and called again it says
/// what is left. 0 while there is a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_retry_ms(client: *mut Client, now_ms: u64) -> u64 {
    let _ = (client, now_ms);
    HW_NEVER
}

/// The state of the connection. `HW_ERR_STATE`: there is none, or on v1 it is not welcomed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_link(
    client: *const Client,
    now_ms: u64,
    link: *mut Link,
) -> Status {
    let _ = (client, now_ms, link);
    Status::ERR_STATE
}

/// The time of a counter of milliseconds that starts again at 0 after 2^32. Call it at least every
/// 24 days. A counter that goes back is taken as standing still. Null: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_clock_extend(clock: *mut Clock, ticks_ms: u32) -> u64 {
    let _ = (clock, ticks_ms);
    0
}

/// The kernel's timers that find a dead peer within `timeout_ms`, for a connection without beats or
/// besides them. `HW_ERR_ARGUMENT`: less than 3 s, more than 24 days, or `keepalive` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_keepalive_fit(timeout_ms: u32, keepalive: *mut Keepalive) -> Status {
    let _ = (timeout_ms, keepalive);
    Status::ERR_ARGUMENT
}

/// What a status is called: a text that ends with a zero and always stays.
#[unsafe(no_mangle)]
pub extern "C" fn hw_status_text(status: i32) -> *const c_char {
    let _ = status;
    c"".as_ptr()
}

/// The name of a violation's code, as in the events of the programs.
#[unsafe(no_mangle)]
pub extern "C" fn hw_violation_text(code: u32) -> *const c_char {
    let _ = code;
    c"".as_ptr()
}

/// The name of a BYE's code, as in the events of the programs.
#[unsafe(no_mangle)]
pub extern "C" fn hw_bye_text(code: u32) -> *const c_char {
    let _ = code;
    c"".as_ptr()
}

/// The version of this library.
#[unsafe(no_mangle)]
pub extern "C" fn hw_version() -> *const c_char {
    c"0.1.0".as_ptr()
}
