//! The service behind a relay: it does with each connection what the client asks for.

use core::net::SocketAddr;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::load::Way;

/// The length of the client's request.
pub(super) const REQUEST_LEN: usize = 9;

/// The service says that it is there, and that it has everything.
pub(super) const DONE: [u8; 1] = [1];

/// Bytes written and read at once.
pub(super) const BLOCK: usize = 64 * 1024;

/// A service in threads of its own, until the process ends.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) address: SocketAddr,
}

impl Service {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The client notices what goes wrong.
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address })
    }
}

/// `None` asks for each byte to be sent back.
pub(super) fn request(way: Option<Way>, bytes: u64) -> [u8; REQUEST_LEN] {
    let mut request = [0; REQUEST_LEN];
    let (what, len) = request.split_at_mut(1);
    what.fill(way.map_or(b'=', Way::code));
    len.copy_from_slice(&bytes.to_le_bytes());
    request
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut what = [0; 1];
    let mut bytes = [0; size_of::<u64>()];
    stream.read_exact(&mut what)?;
    stream.read_exact(&mut bytes)?;
    let bytes = u64::from_le_bytes(bytes);
    stream.write_all(&DONE)?;
    let way = Way::ALL.into_iter().find(|way| what == [way.code()]);
    let sending = way.filter(|way| way.has_down()).map(|_| send_apart(&stream, bytes));
    let sending = sending.transpose()?;
    if way.is_some_and(Way::has_up) {
        receive(&mut stream, bytes)?;
    }
    if let Some(sending) = sending {
        sending.join().map_err(|_| io::ErrorKind::Other)??;
    }
    if way.is_some() {
        stream.write_all(&DONE)?;
    }
    // What follows is sent back, until the client ends.
    let mut buffer = vec![0; BLOCK];
    loop {
        let len = stream.read(&mut buffer)?;
        let Some(read) = buffer.get(..len).filter(|read| !read.is_empty()) else { return Ok(()) };
        stream.write_all(read)?;
    }
}

/// Sends bytes from a thread of its own.
pub(super) fn send_apart(
    stream: &TcpStream,
    bytes: u64,
) -> io::Result<thread::JoinHandle<io::Result<()>>> {
    let mut stream = stream.try_clone()?;
    Ok(thread::spawn(move || {
        let block = vec![7; BLOCK];
        let mut left = bytes;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            stream.write_all(block.get(..len).unwrap_or_default())?;
            left -= u64::try_from(len).unwrap_or(left);
        }
        Ok(())
    }))
}

/// Receives so many bytes, and discards them.
pub(super) fn receive(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let read = stream.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= u64::try_from(read).unwrap_or(left);
    }
    Ok(())
}
