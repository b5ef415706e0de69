//! The calls of a client.

use core::ffi::c_void;
use core::slice;

use super::memory::{bytes, client, client_mut, put, status};
use super::{
    Client, Config, Event, HW_CLIENT_SIZE, HW_MIN_RX, HW_MIN_TX, HW_NEVER, Health, HealthNumber,
    Link, Status, Step,
};
use crate::client;

/// Makes a client of `size` bytes at `memory`, whatever is there. It is idle then: `memory` is the
/// `hw_client` of all other calls. It has nothing to be freed.
///
/// `HW_ERR_ARGUMENT`: a null pointer, a setting out of range, or `memory`, `rx` and `tx` overlap.
/// `HW_ERR_SIZE`: `memory`, `rx` or `tx` is too small, or `memory` not aligned to
/// `HW_CLIENT_ALIGN`. `HW_ERR_PROTOCOL`: a setting that the protocol does not have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_init(
    memory: *mut c_void,
    size: usize,
    config: *const Config,
) -> Status {
    // SAFETY: as the module says.
    status(unsafe { init(memory, size, config) })
}

/// The transport is connected, as of `now_ms`: a HELLO (v1) or the first beat (v0) waits to be
/// written. Ask `hw_client_poll` next. Bytes and events of a connection before are dropped.
///
/// `HW_ERR_STATE`: there is a connection; call `hw_client_disconnected` first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_connected(client: *mut Client, now_ms: u64) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| client.connected(now_ms)))
}

/// These bytes came, as of `now_ms`, which was read after they did. They lie outside of `rx`. How
/// many there was room for goes to `taken`. If there are fewer than `len`, take the events, then
/// feed the rest; do not read on before that. After the end of a connection all bytes are taken and
/// dropped.
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
    // SAFETY: as the module says.
    let fed = unsafe { client_mut(client) }.and_then(|client| {
        // SAFETY: the same.
        let bytes = unsafe { self::bytes(bytes, len) }?;
        // SAFETY: the same. Before the bytes are taken, so that nothing changes if it is null.
        unsafe { put(taken, 0) }?;
        let fed = client.feed(now_ms, bytes)?;
        // SAFETY: the same.
        unsafe { put(taken, fed) }
    });
    status(fed)
}

/// Takes the next event, of kind `HW_EVENT_NONE` if there is none. Call it until then whenever
/// bytes were fed, and when `hw_client_poll` says `HW_STEP_CLOSE`. What an event points to stays
/// until the next call of this or of `hw_client_feed`. In a session that can be resumed, a message
/// counts as taken over by the application when this is called the next time, or
/// `hw_client_close`, or `hw_client_connected`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_event(
    client: *mut Client,
    now_ms: u64,
    event: *mut Event,
) -> Status {
    // Before an event is taken.
    if event.is_null() || !event.is_aligned() {
        return Status::ERR_ARGUMENT;
    }
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| {
        // SAFETY: the same.
        unsafe { put(event, client.event(now_ms)) }
    }))
}

/// What to do next. Ask whenever bytes were fed and their events taken, when the deadline has come,
/// and after each step: early and repeated calls do no harm. `HW_STEP_IDLE` without a connection,
/// and for a client that was not initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_poll(client: *mut Client, now_ms: u64) -> Step {
    // SAFETY: as the module says.
    unsafe { client_mut(client) }.map_or(Step::Idle, |client| client.poll(now_ms))
}

/// After `HW_STEP_READ`: the socket was read, what it held was fed, and the events were taken.
/// `more`: the read stopped with bytes left. Then a verdict that is still due waits for another
/// read, though not without end. Otherwise it is given now. Answers what to do next, as
/// `hw_client_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_read_done(client: *mut Client, now_ms: u64, more: bool) -> Step {
    // SAFETY: as the module says.
    unsafe { client_mut(client) }.map_or(Step::Idle, |client| client.read_done(now_ms, more))
}

/// When to call `hw_client_poll` at the latest if nothing happens before, on the caller's clock;
/// `HW_NEVER`: there is no such time. It can move earlier only by calls of this library, so ask
/// after the last of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_deadline(client: *const Client) -> u64 {
    // SAFETY: as the module says.
    let client = unsafe { self::client(client) };
    client.ok().and_then(client::Client::deadline_ms).unwrap_or(HW_NEVER)
}

/// What to write now: `bytes` and `len`, perhaps 0. It stays until the next call with this client.
/// Report with `hw_client_written` how much of it the socket took, before any other call with this
/// client: another one may put a beat in front. To write while others are made, as with DMA, copy
/// it and report the copy as written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_output(
    client: *const Client,
    bytes: *mut *const u8,
    len: *mut usize,
) -> Status {
    if bytes.is_null() || len.is_null() {
        return Status::ERR_ARGUMENT;
    }
    // SAFETY: as the module says.
    status(unsafe { self::client(client) }.and_then(|client| {
        let output = client.output();
        // SAFETY: the same.
        unsafe { put(bytes, output.as_ptr()) }?;
        // SAFETY: the same.
        unsafe { put(len, output.len()) }
    }))
}

/// The socket took the first `len` bytes of what `hw_client_output` gave.
///
/// `HW_ERR_ARGUMENT`: that is more than there was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_written(client: *mut Client, now_ms: u64, len: usize) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| client.written(now_ms, len)))
}

/// Queues a message, whole or not at all; on `HW_PROTOCOL_RAW` the bytes as they are. It is copied.
/// `HW_OK` means that it is queued, not that it has arrived.
///
/// `HW_ERR_STATE`: not connected, closing, or on v1 not welcomed yet. `HW_ERR_ROOM`: not now.
/// `HW_ERR_TOO_LONG`: never. `HW_ERR_PROTOCOL`: not in a session that can be resumed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_send(
    client: *mut Client,
    now_ms: u64,
    bytes: *const u8,
    len: usize,
) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| {
        // SAFETY: the same.
        client.send(now_ms, unsafe { self::bytes(bytes, len) }?)
    }))
}

/// The longest message that `hw_client_send` would take now; 0 also where it would take none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_send_room(client: *const Client) -> usize {
    // SAFETY: as the module says.
    unsafe { self::client(client) }.map_or(0, |client| client.send_room())
}

/// Promises the server a beat every `interval_ms` from now on: longer before the device sleeps,
/// shorter when it is back; 0: as agreed. The server's timeout follows. What the contract allows
/// goes to `agreed_ms`, which may be null. Changes that follow too fast on each other are told
/// together. Ends with the connection.
///
/// `HW_ERR_PROTOCOL`: not v1. `HW_ERR_STATE`: not welcomed yet, or this client sends no beats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_promise(
    client: *mut Client,
    interval_ms: u32,
    agreed_ms: *mut u32,
) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| {
        if !agreed_ms.is_aligned() {
            return Err(Status::ERR_ARGUMENT);
        }
        let agreed = client.promise(interval_ms)?;
        if agreed_ms.is_null() {
            return Ok(());
        }
        // SAFETY: the same.
        unsafe { put(agreed_ms, agreed) }
    }))
}

/// The health that the beats report from now on, on this connection and the next ones. A change
/// makes a beat due at once. `HW_ERR_PROTOCOL`: not v1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_set_health(client: *mut Client, health: HealthNumber) -> Status {
    let Some(health) = Health::of_number(health) else { return Status::ERR_ARGUMENT };
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| client.set_health(health)))
}

/// Ends the connection when what waits is written; on v1 a BYE comes last. `hw_client_poll` says
/// `HW_STEP_CLOSE` then, or when the socket has taken nothing for 3 s. Close gently: shut down the
/// sending half, then read and drop what comes until the server has closed too, for 1 s at most.
///
/// `HW_ERR_STATE`: there is no connection, or it has ended or is closing. `HW_ERR_ROOM`: not now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_close(client: *mut Client, now_ms: u64) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.and_then(|client| client.close(now_ms)))
}

/// The transport has ended, or could not be made. The client is idle then. What was not written is
/// dropped; events of what was fed can still be taken, and the last tells how it ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_disconnected(client: *mut Client, now_ms: u64) -> Status {
    // SAFETY: as the module says.
    status(unsafe { client_mut(client) }.map(|client| client.disconnected(now_ms)))
}

/// How long to wait from `now_ms` on before connecting again, in milliseconds: 0 for the first
/// attempt, then random and growing, or what the server asked for. `HW_NEVER`: the server said that
/// it would refuse this client again, or the client was not initialised. It is drawn once for each
/// attempt, and called again it says what is left. 0 while there is a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_retry_ms(client: *mut Client, now_ms: u64) -> u64 {
    // SAFETY: as the module says.
    let client = unsafe { client_mut(client) };
    client.ok().and_then(|client| client.retry_ms(now_ms)).unwrap_or(HW_NEVER)
}

/// The state of the connection. `HW_ERR_STATE`: there is none, or on v1 it is not welcomed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_client_link(
    client: *const Client,
    now_ms: u64,
    link: *mut Link,
) -> Status {
    // SAFETY: as the module says.
    status(unsafe { self::client(client) }.and_then(|client| {
        // SAFETY: the same.
        unsafe { put(link, client.link(now_ms)?) }
    }))
}

unsafe fn init(memory: *mut c_void, size: usize, config: *const Config) -> Result<(), Status> {
    let memory: *mut Client = memory.cast();
    if memory.is_null() || config.is_null() || !config.is_aligned() {
        return Err(Status::ERR_ARGUMENT);
    }
    if size < HW_CLIENT_SIZE || !memory.is_aligned() {
        return Err(Status::ERR_SIZE);
    }
    // SAFETY: it is not null, and the caller says that it is a config.
    let config = unsafe { &*config };
    let optional = |at: *const u8, len| {
        // SAFETY: the caller says that it has its length, and stays.
        if at.is_null() { Ok(None) } else { unsafe { bytes(at, len) }.map(Some) }
    };
    let identity = client::Identity {
        name: optional(config.name.cast(), config.name_len)?,
        token: optional(config.token, config.token_len)?,
        agent: optional(config.agent.cast(), config.agent_len)?,
    };
    let its =
        [(memory.cast(), HW_CLIENT_SIZE), (config.rx, config.rx_len), (config.tx, config.tx_len)];
    if its
        .iter()
        .enumerate()
        .any(|(at, one)| its.iter().skip(at + 1).any(|two| overlap(*one, *two)))
    {
        return Err(Status::ERR_ARGUMENT);
    }
    // SAFETY: the caller says that they have their lengths, stay, and are used by nothing else.
    let (rx, tx) = unsafe {
        (buffer(config.rx, config.rx_len, HW_MIN_RX)?, buffer(config.tx, config.tx_len, HW_MIN_TX)?)
    };
    let settings = client::Settings::new(config, identity)?;
    if !settings.has_room(rx.len(), tx) {
        return Err(Status::ERR_SIZE);
    }
    // SAFETY: it is aligned, and has room for a client.
    unsafe { make(memory, settings, rx, tx) };
    Ok(())
}

/// Makes a client at a place.
#[inline(never)] // It takes much stack, and so does what comes before.
unsafe fn make(
    memory: *mut Client,
    settings: client::Settings<'static>,
    rx: &'static mut [u8],
    tx: &'static mut [u8],
) {
    let client = Client::new(client::Client::new(settings, rx, tx));
    // SAFETY: the caller says so.
    unsafe { memory.write(client) };
}

/// Whether two parts of memory, of so many bytes each, have a byte in common.
fn overlap((one, one_len): (*mut u8, usize), (two, two_len): (*mut u8, usize)) -> bool {
    let (one, two) = (one.addr(), two.addr());
    one < two.saturating_add(two_len) && two < one.saturating_add(one_len)
}

/// The caller's memory for what comes or goes.
unsafe fn buffer<'a>(at: *mut u8, len: usize, least: usize) -> Result<&'a mut [u8], Status> {
    if at.is_null() || isize::try_from(len).is_err() {
        return Err(Status::ERR_ARGUMENT);
    }
    if len < least {
        return Err(Status::ERR_SIZE);
    }
    // SAFETY: it is not null, and the caller says that it has so many bytes, for this only.
    Ok(unsafe { slice::from_raw_parts_mut(at, len) })
}
