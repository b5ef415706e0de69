//! The fuzz targets, see `docs/fuzzing.md`.
//!
//! Each target is a function of bytes that panics when Heartwire breaks a promise. They are in a
//! library, so that the corpus can be replayed without a fuzzer.

#![deny(unsafe_code)]

mod books;
pub mod c_client;
pub mod connection;
pub mod decode;
mod half;
pub mod handshake;
mod judge;
mod knobs;
mod links;
mod model;
pub mod pair;
mod party;
mod place;
mod protocol;
mod resumable;
pub mod session;
