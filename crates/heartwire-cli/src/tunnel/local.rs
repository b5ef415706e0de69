//! A connection to a local program: TCP, a Unix socket, or standard input and output.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, Stdin, Stdout};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Mutex;

use crate::values::address;

/// The longest message: a heartbeat waits for the rest of one, and then goes first.
const CHUNK: usize = 16 * 1024;

/// Where a local program listens, or connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text));
        match path {
            Some(path) => Ok(Self::Unix(path.into())),
            None => address(text).map(Self::Tcp),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A socket that local programs connect to. A Unix socket's path is removed at the end.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}

impl Listener {
    pub(super) async fn bind(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Place::Unix(path) => {
                let bound = match UnixListener::bind(path) {
                    // It is left from a program that was killed, if nothing listens on it. To
                    // connect to a file of another kind fails alike, and that file stays.
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_socket(path)? => {
                        match UnixStream::connect(path).await {
                            Err(gone) if gone.kind() == io::ErrorKind::ConnectionRefused => {
                                std::fs::remove_file(path)?;
                                UnixListener::bind(path)
                            }
                            Ok(_) | Err(_) => Err(error),
                        }
                    }
                    bound => bound,
                };
                bound.map(|listener| Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    pub(super) fn place(&self) -> io::Result<Place> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Place::Tcp),
            Self::Unix(_, path) => Ok(Place::Unix(path.clone())),
        }
    }

    /// The next connection, and the address that it comes from, if it has one.
    pub(super) async fn accept(&self) -> io::Result<(Local, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Local::tcp(stream)?, Some(peer)))
            }
            Self::Unix(listener, _) => Ok((Local::Unix(listener.accept().await?.0), None)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // An error leaves a path that the next start replaces.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection to a local program. Dropped before it was [finished](Self::finish), it is reset,
/// where TCP can, so that a program never takes what it has got for the whole; this holds also if
/// this process is killed.
#[derive(Debug)]
pub(super) enum Local {
    Tcp(TcpStream),
    Unix(UnixStream),
    Stdio(Box<(Mutex<Stdin>, Mutex<Stdout>)>),
}

impl Local {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        set_socket_linger(&stream, Some(core::time::Duration::ZERO))?;
        Ok(Self::Tcp(stream))
    }

    pub(super) fn stdio() -> Self {
        Self::Stdio(Box::new((Mutex::new(tokio::io::stdin()), Mutex::new(tokio::io::stdout()))))
    }

    pub(super) async fn connect_tcp(target: &str) -> io::Result<Self> {
        Self::tcp(TcpStream::connect(target).await?)
    }

    pub(super) async fn connect_unix(path: &PathBuf) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::Unix)
    }

    /// The next bytes; none when the program sends no more. Cancel-safe, except on standard input,
    /// whose end is then lost with the process.
    pub(super) async fn read(&self) -> io::Result<Vec<u8>> {
        loop {
            // Not before there is something to read: most connections are idle.
            let mut chunk = Vec::new();
            let read = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    chunk.reserve_exact(CHUNK);
                    stream.try_read_buf(&mut chunk)
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    chunk.reserve_exact(CHUNK);
                    stream.try_read_buf(&mut chunk)
                }
                Self::Stdio(stdio) => {
                    chunk.reserve_exact(CHUNK);
                    stdio.0.lock().await.read_buf(&mut chunk).await
                }
            };
            match read {
                Ok(_) => {
                    // It may wait for long.
                    if chunk.len() < CHUNK / 2 {
                        chunk.shrink_to_fit();
                    }
                    return Ok(chunk);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what it takes at once, in any thread. Returns how much that is: none after an error,
    /// which the next [write](Self::write_all) finds.
    pub(super) fn write_now(&self, data: &[u8]) -> usize {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(data),
            Self::Unix(stream) => stream.try_write(data),
            Self::Stdio(_) => return 0,
        };
        written.unwrap_or(0)
    }

    /// Writes all of it, in order.
    pub(super) async fn write_all(&self, data: &[Vec<u8>]) -> io::Result<()> {
        if let Self::Stdio(stdio) = self {
            let mut stdout = stdio.1.lock().await;
            for bytes in data {
                stdout.write_all(bytes).await?;
            }
            return stdout.flush().await;
        }
        let mut slices: Vec<_> = data.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut slices = slices.as_mut_slice();
        // Without those that are empty.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = match self {
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write_vectored(slices)
                }
                Self::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_write_vectored(slices)
                }
                Self::Stdio(_) => return Ok(()),
            };
            match written {
                Ok(len) => IoSlice::advance_slices(&mut slices, len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the program that nothing more comes.
    pub(super) async fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => Ok(shutdown(stream, Shutdown::Write)?),
            Self::Unix(stream) => Ok(shutdown(stream, Shutdown::Write)?),
            Self::Stdio(stdio) => {
                stdio.1.lock().await.flush().await?;
                // A pipe ends when its descriptor is closed.
                let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
                Ok(rustix::stdio::dup2_stdout(null)?)
            }
        }
    }

    /// Waits until the connection has failed, also while nothing is read from it.
    pub(super) async fn failed(&self) {
        let failed = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
            Self::Stdio(_) => return core::future::pending().await,
        };
        // An error means the same.
        drop(failed);
    }

    /// Both directions have ended: the connection ends as TCP's do.
    pub(super) fn finish(&self) {
        if let Self::Tcp(stream) = self {
            // At worst the last bytes are lost, and the program is told so by a reset.
            let _ = set_socket_linger(stream, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_is_left_over_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let left = Place::Unix(dir.path().join("left"));
        let Place::Unix(path) = &left else { unreachable!() };
        drop(UnixListener::bind(path).unwrap());
        let listener = Listener::bind(&left).await.unwrap();
        let in_use = Listener::bind(&left).await.unwrap_err();
        assert_eq!(in_use.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());

        std::fs::write(path, "notes").unwrap();
        let file = Listener::bind(&left).await.unwrap_err();
        assert_eq!(file.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "notes");
    }
}
