//! A receiver that answers as a test wants.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a receiver answers a request, after it has read and remembered it.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// With this status line and these headers.
    Status(&'static str),
    /// Never, and it keeps the connection open.
    Hang,
    /// It closes the connection instead.
    Close,
    /// It closes the connection within the answer's body.
    Break,
    /// With bytes that are not HTTP.
    Garbage,
    /// With an answer whose body never ends.
    Endless,
    /// A byte at a time.
    Slow,
}

pub(super) const OK: Reply = Reply::Status("200 OK\r\n");
pub(super) const BUSY: Reply = Reply::Status("503 Service Unavailable\r\n");

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) head: HashMap<String, String>,
    pub(super) body: String,
}

impl Got {
    fn changes(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["changes"].as_array().unwrap().clone()
    }
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    got: Mutex<Vec<Got>>,
    taken: Mutex<Vec<Value>>,
    plan: Mutex<VecDeque<Reply>>,
    usual: Mutex<Option<Reply>>,
    refused: Mutex<Option<&'static str>>,
    connections: AtomicUsize,
}

impl Receiver {
    /// One that answers with these, and then as it usually does: with 200.
    pub(super) async fn start(plan: impl IntoIterator<Item = Reply>) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), plan).await
    }

    pub(super) async fn bind(address: SocketAddr, plan: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { plan: Mutex::new(plan.into_iter().collect()), ..Shared::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How it answers from now on, after what was planned.
    pub(super) fn usually(&self, reply: Reply) {
        *self.shared.usual.lock().unwrap() = Some(reply);
    }

    /// It is busy from now on when a delivery has this text in it.
    pub(super) fn refuse(&self, text: &'static str) {
        *self.shared.refused.lock().unwrap() = Some(text);
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Changes in the order in which they were taken, some more than once.
    pub(super) fn changes(&self) -> Vec<Value> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// How many there are of them.
    pub(super) fn count(&self) -> usize {
        self.shared.taken.lock().unwrap().len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { serve(stream, &shared).await });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let got = read(&mut stream).await?;
        let is_refused = shared.refused.lock().unwrap().is_some_and(|text| got.body.contains(text));
        let planned = shared.plan.lock().unwrap().pop_front().or(is_refused.then_some(BUSY));
        let reply = planned.or_else(|| shared.usual.lock().unwrap().clone()).unwrap_or(OK);
        {
            let mut all = shared.got.lock().unwrap();
            let is_taken = match reply {
                Reply::Status(line) => line.starts_with('2'),
                // It may have ended before it took them, or after.
                Reply::Hang | Reply::Close | Reply::Break => all.len().is_multiple_of(2),
                Reply::Garbage => false,
                Reply::Endless | Reply::Slow => true,
            };
            if is_taken {
                shared.taken.lock().unwrap().extend(got.changes());
            }
            all.push(got);
        }
        answer(&mut stream, reply).await?;
    }
}

async fn answer(stream: &mut BufReader<TcpStream>, reply: Reply) -> Option<()> {
    match reply {
        Reply::Status(line) => {
            let answer = format!("HTTP/1.1 {line}content-length: 3\r\n\r\nok\n");
            stream.write_all(answer.as_bytes()).await.ok()
        }
        Reply::Hang => core::future::pending().await,
        Reply::Close => None,
        Reply::Break => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await;
            None
        }
        Reply::Garbage => {
            let _ = stream.write_all(&[0, 255, b'\r', b'\n', 13, 10]).await;
            None
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b'x'; 4096]).await.ok()?;
            }
        }
        Reply::Slow => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" {
                stream.write_all(&[*byte]).await.ok()?;
                tokio::time::sleep(core::time::Duration::from_millis(1)).await;
            }
            Some(())
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut head = HashMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) => head.insert(name.to_owned(), value.to_owned()),
            None => head.insert("request".to_owned(), line.to_owned()),
        };
    }
    let mut body = vec![0; head["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(Got { head, body: String::from_utf8(body).unwrap() })
}
