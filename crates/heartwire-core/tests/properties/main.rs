//! Properties that hold for every input, each against a model small enough to be seen right.

mod backoff;
mod bucket;
mod chunks;
mod connection;
mod silence;
mod spread;
mod wheel;
