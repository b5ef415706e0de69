//! A path from a node to Redis that can be cut in several ways.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;

use super::draw::Cut;

/// A proxy between TCP on loopback and the Unix socket of a Redis.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: PathBuf,
    cut: Option<Cut>,
    /// Counts the times that all connections ended.
    age: u64,
    /// How many connections there were so far.
    count: u64,
    open: HashMap<u64, (TcpStream, UnixStream)>,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToRedis,
    ToNode,
}

impl Proxy {
    /// It ends with this process.
    pub(super) fn start(target: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let state = State { target, cut: None, age: 0, count: 0, open: HashMap::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for node in listener.incoming().map_while(Result::ok) {
                // A Redis that is down refuses, and so does this.
                let _ = of_thread.accept(node);
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Cuts it.
    pub(super) fn cut(&self, cut: Cut) {
        let mut state = self.shared.lock();
        state.cut = Some(cut);
        if cut == Cut::Refused {
            state.hang_up();
        }
        self.shared.changed.notify_all();
    }

    /// Makes it whole again.
    pub(super) fn mend(&self) {
        let mut state = self.shared.lock();
        if state.cut.take() != Some(Cut::Held) {
            state.hang_up();
        }
        self.shared.changed.notify_all();
    }

    /// Ends all connections; new ones lead elsewhere.
    pub(super) fn lead_to(&self, target: PathBuf) {
        let mut state = self.shared.lock();
        state.target = target;
        state.hang_up();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, node: TcpStream) -> anyhow::Result<()> {
        let mut state = self.lock();
        if state.cut == Some(Cut::Refused) {
            return Ok(());
        }
        let redis = UnixStream::connect(&state.target)?;
        node.set_nodelay(true)?;
        state.count += 1;
        let (age, number) = (state.age, state.count);
        state.open.insert(number, (node.try_clone()?, redis.try_clone()?));
        drop(state);
        let (from_node, into_redis) = (node.try_clone()?, redis.try_clone()?);
        let this = Arc::clone(self);
        thread::spawn(move || {
            this.pass_on(from_node, into_redis, Way::ToRedis, age);
            this.close(number);
        });
        let this = Arc::clone(self);
        thread::spawn(move || {
            this.pass_on(redis, node, Way::ToNode, age);
            this.close(number);
        });
        Ok(())
    }

    /// Passes on what comes, until one end closes.
    fn pass_on(&self, mut from: impl Read, mut to: impl Write, way: Way, age: u64) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let is_held = |state: &mut State| state.age == age && state.holds(way);
            let state = self.changed.wait_while(self.lock(), is_held);
            let is_over = state.unwrap_or_else(PoisonError::into_inner).age != age;
            let Some(bytes) = buffer.get(..len) else { return };
            if is_over || to.write_all(bytes).is_err() {
                return;
            }
        }
    }

    /// Ends both directions of a connection.
    fn close(&self, number: u64) {
        if let Some(pair) = self.lock().open.remove(&number) {
            end_both(&pair);
        }
    }
}

impl State {
    fn holds(&self, way: Way) -> bool {
        match self.cut {
            None | Some(Cut::Refused) => false,
            Some(Cut::Deaf) => way == Way::ToNode,
            Some(Cut::Held | Cut::Lost) => true,
        }
    }

    fn hang_up(&mut self) {
        self.age += 1;
        for (_, pair) in self.open.drain() {
            end_both(&pair);
        }
    }
}

fn end_both((node, redis): &(TcpStream, UnixStream)) {
    // The ends may have closed it.
    let _ = node.shutdown(Shutdown::Both);
    let _ = redis.shutdown(Shutdown::Both);
}
