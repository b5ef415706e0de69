//! TLS over real sockets, where the other end is one of ours or plain rustls. What a session makes
//! of what it reads, its unit tests hold.

mod certificates;
mod client;
mod peer;
mod server;
