//! A proxy: a path between two ends with a delay, which a test can cut towards the server, or end.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// One direction of a proxied connection.
#[derive(Debug, Default)]
pub struct Way {
    /// Drops all bytes, which the kernel still acknowledges, and the end of the connection too.
    cut: AtomicBool,
    /// How many bytes have come, dropped ones included.
    came: AtomicUsize,
    /// The delay of each byte.
    delay: Duration,
}

impl Way {
    /// A direction with this delay.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// A proxy in front of a server.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    to_server: Arc<Way>,
    to_client: Arc<Way>,
    /// Where new connections lead.
    target: Arc<Mutex<SocketAddr>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    /// Of each connection, whether nothing passes any more.
    silent: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Proxy {
    /// A proxy for the server at `target`, with these two directions.
    pub fn new(target: SocketAddr, to_server: Way, to_client: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let to_server = Arc::new(to_server);
        let to_client = Arc::new(to_client);
        let (there, back) = (Arc::clone(&to_server), Arc::clone(&to_client));
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let open = Arc::clone(&streams);
        let target = Arc::new(Mutex::new(target));
        let leads_to = Arc::clone(&target);
        let silent = Arc::<Mutex<Vec<Arc<AtomicBool>>>>::default();
        let all = Arc::clone(&silent);
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let target = *leads_to.lock().unwrap();
                let Ok(server) = TcpStream::connect(target) else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    open.lock().unwrap().push(stream.try_clone().unwrap());
                }
                let is_silent = Arc::<AtomicBool>::default();
                all.lock().unwrap().push(Arc::clone(&is_silent));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                pass_on(from, to, &there, &is_silent);
                pass_on(server, client, &back, &is_silent);
            }
        });
        Self { addr, to_server, to_client, target, streams, silent }
    }

    /// A proxy without delay.
    pub fn plain(target: SocketAddr) -> Self {
        Self::new(target, Way::default(), Way::default())
    }

    /// Ends the connections that there are, at both ends, without what is on its way.
    pub fn hang_up(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            // The ends may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Hangs up. New connections lead to `target`, and are not cut.
    pub fn hang_up_and_lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
        self.hang_up();
        self.to_server.cut.store(false, Ordering::SeqCst);
    }

    /// How many bytes have come for the server, on all connections, dropped ones included.
    pub fn came(&self) -> usize {
        self.to_server.came.load(Ordering::SeqCst)
    }

    /// How many bytes have come for the clients, on all connections, dropped ones included.
    pub fn came_back(&self) -> usize {
        self.to_client.came.load(Ordering::SeqCst)
    }

    /// Lets nothing pass any more on the connections that there are, which stay open.
    pub fn silence(&self) {
        for is_silent in self.silent.lock().unwrap().drain(..) {
            is_silent.store(true, Ordering::SeqCst);
        }
    }

    /// Cuts the direction to the server.
    pub fn cut_to_server(&self) {
        self.to_server.cut.store(true, Ordering::SeqCst);
    }
}

/// Bytes in flight, with the time of their arrival; `None` at the end.
type Queue = (Mutex<VecDeque<(Instant, Option<Vec<u8>>)>>, Condvar);

fn pass_on(mut from: TcpStream, mut to: TcpStream, way: &Arc<Way>, is_silent: &Arc<AtomicBool>) {
    let is_silent = Arc::clone(is_silent);
    let queue: Arc<Queue> = Arc::default();
    let (way, sender) = (Arc::clone(way), Arc::clone(&queue));
    let writing = Arc::clone(&way);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let bytes = match from.read(&mut buffer) {
                Ok(0) => None,
                Ok(len) => {
                    way.came.fetch_add(len, Ordering::SeqCst);
                    Some(buffer[..len].to_vec())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => None,
            };
            let is_end = bytes.is_none();
            sender.0.lock().unwrap().push_back((Instant::now() + way.delay, bytes));
            sender.1.notify_all();
            if is_end {
                return;
            }
        }
    });
    thread::spawn(move || {
        loop {
            let guard = queue.0.lock().unwrap();
            let mut guard = queue.1.wait_while(guard, |queue| queue.is_empty()).unwrap();
            let (at, bytes) = guard.pop_front().unwrap();
            drop(guard);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            let is_cut = [&writing.cut, &*is_silent].iter().any(|it| it.load(Ordering::SeqCst));
            match bytes {
                Some(bytes) if !is_cut => {
                    if to.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Some(_) => {}
                None => {
                    if !is_cut {
                        let _ = to.shutdown(Shutdown::Write);
                    }
                    return;
                }
            }
        }
    });
}
