//! Heartwire for C: a client without its socket and its clock, in memory that the caller gives.
//!
//! The header is `include/heartwire.h`.

#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
mod client;
mod names;
#[cfg(target_os = "none")]
mod panic;
#[cfg(test)]
mod tests;
