//! Where a client lies, and what C passes to it.

use core::slice;

use super::Status;
use crate::client;

/// Bytes of a client, besides `rx` and `tx`: with pointers of 64 and of 32 bits, with and without
/// sessions that can be resumed. The header has them too (`cbindgen.toml`).
pub const HW_CLIENT_SIZE: usize = match (size_of::<usize>() > 4, cfg!(feature = "resume")) {
    (true, true) => 832,
    (true, false) => 592,
    (false, true) => 744,
    (false, false) => 512,
};
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
    /// [`MAGIC`], once the client is there.
    magic: u64,
    it: client::Client<'static>,
}

const MAGIC: u64 = u64::from_le_bytes(*b"heartwir");

const _: () = assert!(size_of::<Client>() <= HW_CLIENT_SIZE, "a client has its size");
const _: () = assert!(align_of::<Client>() <= HW_CLIENT_ALIGN, "a client has its alignment");

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

impl Client {
    pub(super) const fn new(it: client::Client<'static>) -> Self {
        Self { magic: MAGIC, it }
    }
}

/// The client at a pointer, if one was made there.
pub(super) unsafe fn client<'a>(at: *const Client) -> Result<&'a client::Client<'static>, Status> {
    check(at)?;
    // SAFETY: it is aligned and not null, and the caller says that it has the size of a client.
    if unsafe { (&raw const (*at).magic).read() } != MAGIC {
        return Err(Status::ERR_STATE);
    }
    // SAFETY: `hw_client_init` has made a client there, which nothing else uses now.
    Ok(unsafe { &(*at).it })
}

/// The same, to change it.
pub(super) unsafe fn client_mut<'a>(
    at: *mut Client,
) -> Result<&'a mut client::Client<'static>, Status> {
    check(at)?;
    // SAFETY: as in `client`.
    if unsafe { (&raw const (*at).magic).read() } != MAGIC {
        return Err(Status::ERR_STATE);
    }
    // SAFETY: as in `client`.
    Ok(unsafe { &mut (*at).it })
}

fn check(at: *const Client) -> Result<(), Status> {
    if at.is_null() || !at.is_aligned() { Err(Status::ERR_ARGUMENT) } else { Ok(()) }
}

/// The bytes at a pointer, which may be null if there are none.
pub(super) unsafe fn bytes<'a>(at: *const u8, len: usize) -> Result<&'a [u8], Status> {
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() || isize::try_from(len).is_err() {
        return Err(Status::ERR_ARGUMENT);
    }
    // SAFETY: it is not null, and the caller says that it has so many bytes.
    Ok(unsafe { slice::from_raw_parts(at, len) })
}

/// Puts a result where C wants it.
pub(super) unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Status> {
    if to.is_null() || !to.is_aligned() {
        return Err(Status::ERR_ARGUMENT);
    }
    // SAFETY: it is aligned and not null, and the caller says that it has room for this.
    unsafe { to.write(value) };
    Ok(())
}

pub(super) fn status(result: Result<(), Status>) -> Status {
    match result {
        Ok(()) => Status::OK,
        Err(status) => status,
    }
}
