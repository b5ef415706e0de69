//! The settings of a client.

use core::ffi::c_char;
use core::ptr;

use super::memory;

/// The protocol that a client speaks.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Version 1: a handshake, beats that report both directions, BYE.
    V1 = 0,
    /// Version 0, the tutorial's: 8 bytes before each message, and beats without a body.
    V0 = 1,
    /// Bytes without anything around them. There are no beats, so only `timeout_ms` counts.
    Raw = 2,
}

/// A number that stands for a [`Protocol`].
pub type ProtocolNumber = u32;

/// The settings of a client. Fill it with `hw_config_default` first. Times are milliseconds. The
/// memory that it points to must stay until the client is used no more.
#[expect(clippy::exhaustive_structs, reason = "C makes it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Default `HW_PROTOCOL_V1`.
    pub protocol: ProtocolNumber,
    /// A beat is sent this often: offered on v1, where the server decides, and in force on v0.
    /// Default 10 s; 0: no beats.
    pub interval_ms: u32,
    /// The silence after which the server is dead, at least two intervals. Default 30 s; 0: there
    /// is no verdict.
    pub timeout_ms: u32,
    /// v1: the shortest interval that the server may ask for. 0: 1 s, or `interval_ms` if that is
    /// less.
    pub min_interval_ms: u32,
    /// v1: the longest timeout that the server may stretch this one to. 0: 1 h, or `timeout_ms` if
    /// that is more.
    pub max_timeout_ms: u32,
    /// v0: 1: answer each beat with one, and send none unasked. `interval_ms` must be 0 then.
    pub echo: u32,
    /// From the connection to the server's first whole header, on v1 to its WELCOME. 0: 10 s on
    /// v1, otherwise no limit: such a server may stay silent.
    pub handshake_timeout_ms: u32,
    /// From a frame's first byte to its last, and 1 s more per KiB. 0: 30 s.
    pub frame_timeout_ms: u32,
    /// How coarse the clock is: the time that is passed was right at most so long ago. 0: 1 ms.
    pub clock_step_ms: u32,
    /// How late `hw_client_poll` is called at most, after its deadline; 65,535 at most. 0: 100 ms.
    /// Verdicts are never early because of it; they say in their bound that they may be so late.
    pub tick_ms: u32,
    /// v1: the client's name, UTF-8, at most 255 bytes; null: it has none.
    pub name: *const c_char,
    /// Bytes of `name`.
    pub name_len: usize,
    /// v1: the token that the server asks for, at most 256 bytes; null: none. It is read at each
    /// connection and never shown.
    pub token: *const u8,
    /// Bytes of `token`.
    pub token_len: usize,
    /// v1: the client's program for the server's logs, UTF-8, at most 64 bytes; null: none.
    pub agent: *const c_char,
    /// Bytes of `agent`.
    pub agent_len: usize,
    /// Memory for what comes, at least `HW_MIN_RX` bytes. The longest message that the server may
    /// send is 8 bytes shorter.
    pub rx: *mut u8,
    /// Bytes of `rx`.
    pub rx_len: usize,
    /// Memory for what waits to be written, at least `HW_MIN_TX` bytes, and on v1 room for the
    /// HELLO, which has the name, the token, and at most 180 bytes more, or 300 with `grace_ms`.
    pub tx: *mut u8,
    /// Bytes of `tx`.
    pub tx_len: usize,
    /// A random number, another one for each device and each start. Without one, devices that
    /// restart together come back together.
    pub seed: u64,
    /// The longest wait before the first new attempt; it doubles with each. 0: 500 ms.
    pub first_wait_ms: u32,
    /// The longest wait before any attempt. 0: 30 s.
    pub max_wait_ms: u32,
    /// v1: ask for a session that can be resumed, and is kept so long without a connection. The
    /// server's messages are then not lost with a connection; in such a session this client sends
    /// none. 0: no. Refused with `HW_ERR_PROTOCOL` in a library without it.
    pub grace_ms: u32,
}

/// Fills in the defaults: v1, beats every 10 s, a timeout of 30 s, no name. What is left to set is
/// `rx`, `tx`, and `seed`. Nothing happens if `config` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_config_default(config: *mut Config) {
    // SAFETY: it is null, or has room for a config.
    let _ = unsafe { memory::put(config, Config::DEFAULT) };
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        protocol: 0,
        interval_ms: 10_000,
        timeout_ms: 30_000,
        min_interval_ms: 0,
        max_timeout_ms: 0,
        echo: 0,
        handshake_timeout_ms: 0,
        frame_timeout_ms: 0,
        clock_step_ms: 0,
        tick_ms: 0,
        name: ptr::null(),
        name_len: 0,
        token: ptr::null(),
        token_len: 0,
        agent: ptr::null(),
        agent_len: 0,
        rx: ptr::null_mut(),
        rx_len: 0,
        tx: ptr::null_mut(),
        tx_len: 0,
        seed: 0,
        first_wait_ms: 0,
        max_wait_ms: 0,
        grace_ms: 0,
    };
}
