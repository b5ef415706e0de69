//! The socket on which HTTP is served.

use core::fmt;
use core::pin::Pin;
use std::io;
use std::net::TcpListener as StdTcpListener;

#[cfg(unix)]
use std::os::unix::net::UnixListener as StdUnixListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use anyhow::Context;
use tokio::io::{AsyncRead, AsyncWrite};

use super::args::HttpAddress;
use crate::systemd::HttpSocket;

/// HTTP cannot be served where it was to be.
#[derive(Debug)]
pub(crate) struct CannotServe {
    address: HttpAddress,
    why: String,
}

impl fmt::Display for CannotServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot serve HTTP at {}: {}", self.address, self.why)
    }
}

impl core::error::Error for CannotServe {}

/// A socket that listens, before there is a runtime.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(StdTcpListener),
    #[cfg(unix)]
    Unix(StdUnixListener, Option<SocketFile>),
}

impl Bound {
    /// Listens, and returns the address with the port that the system chose.
    pub(super) fn new(address: &HttpAddress) -> Result<(Self, HttpAddress), CannotServe> {
        let cannot = |why: String| CannotServe { address: address.clone(), why };
        match address {
            HttpAddress::Tcp(at) => {
                let listener =
                    StdTcpListener::bind(at).map_err(|error| cannot(error.to_string()))?;
                let at = listener.local_addr().map_err(|error| cannot(error.to_string()))?;
                Ok((Self::Tcp(listener), HttpAddress::Tcp(at)))
            }
            #[cfg(unix)]
            HttpAddress::Unix(path) => {
                let (listener, file) = SocketFile::bind(path).map_err(cannot)?;
                Ok((Self::Unix(listener, Some(file)), address.clone()))
            }
        }
    }

    /// A socket that a service manager passed, and its address.
    #[cfg(target_os = "linux")]
    pub(super) fn passed(socket: HttpSocket) -> anyhow::Result<(Self, HttpAddress)> {
        match socket {
            HttpSocket::Tcp(listener) => {
                let at = listener.local_addr().context("cannot serve HTTP on what was passed")?;
                Ok((Self::Tcp(listener), HttpAddress::Tcp(at)))
            }
            HttpSocket::Unix(listener) => {
                let at = listener.local_addr().context("cannot serve HTTP on what was passed")?;
                let path = at.as_pathname().unwrap_or_else(|| Path::new("")).to_owned();
                // The file belongs to the service manager.
                Ok((Self::Unix(listener, None), HttpAddress::Unix(path)))
            }
        }
    }

    /// None is passed here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn passed(socket: HttpSocket) -> anyhow::Result<(Self, HttpAddress)> {
        match socket {}
    }

    /// Leaves it to the caller to remove the socket's file.
    #[cfg(unix)]
    pub(super) fn without_file(self) -> (Self, Option<SocketFile>) {
        match self {
            Self::Tcp(_) => (self, None),
            Self::Unix(listener, file) => (Self::Unix(listener, None), file),
        }
    }

    /// Must be called within a runtime.
    pub(super) fn start(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(tokio::net::TcpListener::from_std(listener)?))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => {
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix(tokio::net::UnixListener::from_std(listener)?))
            }
        }
    }
}

/// A socket in the file system, which is removed with this value unless another has its place.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

#[cfg(unix)]
impl SocketFile {
    /// Makes a socket that only this user can connect to. One that no process listens on any more
    /// makes place; nothing else is deleted.
    fn bind(path: &Path) -> Result<(StdUnixListener, Self), String> {
        use std::os::unix::fs::FileTypeExt;
        use std::os::unix::net::UnixStream;

        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
            Ok(found) if !found.file_type().is_socket() => {
                return Err("a file that is no socket has this path".to_owned());
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err("another process listens there".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(|error| error.to_string())?;
                }
                Err(error) => return Err(error.to_string()),
            },
        }
        // The mode is right from the first moment on.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = StdUnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener.map_err(|error| error.to_string())?;
        Ok((listener, Self { path: path.to_owned(), identity: identity(path) }))
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // It may be on a file system that has become read-only; the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// A byte stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Waits for the next connection. Loses none if it is dropped before.
    pub(super) async fn accept(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A response goes out whole, and events at once.
                stream.set_nodelay(true)?;
                Ok(Box::pin(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Box::pin(listener.accept().await?.0)),
        }
    }
}
