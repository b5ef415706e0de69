//! Sessions that outlive their connections: of such a session this client is the receiver.

#[cfg(not(feature = "resume"))]
mod none;
#[cfg(feature = "resume")]
mod proof;
#[cfg(feature = "resume")]
mod resumable;

#[cfg(not(feature = "resume"))]
pub(super) use none::Sessions;
#[cfg(feature = "resume")]
pub(super) use resumable::Sessions;

/// What became of the session before, when the server has accepted this client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) resumed: bool,
    pub(super) lost: bool,
}
