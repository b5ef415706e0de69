//! The connections of HTTP: how many there are, and how long each may take.

use core::future::ready;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, HttpBody};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep};

use super::listener::{Listener, Stream};
use super::spares::Spares;

/// Connections at one time.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// Bytes of a request's head, and of what waits behind it.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// Lines in a request's head.
const MAX_HEADERS: usize = 64;

/// From the first byte of a request's head, or from connecting, to the head's last byte.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Between two requests.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A client that takes none of its response for this long is disconnected.
const BLOCKED_FOR: Duration = Duration::from_secs(30);

/// Between looks for connections that have taken too long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two new connections when all are taken. So each has a tenth of a second for its request
/// before it makes room for others, however fast they come.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// After an error of the system while accepting, such as a lack of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Serves for as long as the program runs.
pub(super) async fn serve(listener: Listener, app: Router) {
    let open = Open::default();
    open.spares.fill();
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => open.take(stream, &app).await,
                Err(_) if open.spares.give_up_one() => {
                    // Without a descriptor the system says so whether a connection waits or not,
                    // and a client would take the one that it does not take.
                    tokio::select! {
                        biased;
                        accepted = listener.accept() => if let Ok(stream) = accepted {
                            open.take(stream, &app).await;
                        },
                        () = ready(()) => open.spares.fill(),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for HTTP");
                    sleep(ERROR_PAUSE).await;
                }
            },
            _ = look.tick() => {
                open.end_overdue(Instant::now());
                open.spares.fill();
            }
        }
    }
}

/// The open connections, in the order in which they came.
#[derive(Clone, Default)]
struct Open {
    watches: Arc<Mutex<BTreeMap<u64, Arc<Watch>>>>,
    /// The number of the next one.
    next: Arc<AtomicU64>,
    spares: Spares,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection, for which one that waits makes room. If all are busy it is closed.
    async fn take(&self, stream: Pin<Box<dyn Stream>>, app: &Router) {
        let is_full = self.lock().len() >= MAX_CONNECTIONS;
        if !is_full || self.make_room() {
            let watch = Arc::new(Watch::new(Instant::now()));
            let place = {
                let mut open = self.lock();
                let number = self.next.fetch_add(1, Relaxed);
                open.insert(number, Arc::clone(&watch));
                Place { open: self.clone(), number }
            };
            tokio::spawn(converse(stream, app.clone(), watch, place));
        }
        if is_full {
            sleep(FULL_PAUSE).await;
        }
    }

    /// Ends the connection that has waited longest without a request, or else the one that has
    /// taken nothing of its response for longest.
    fn make_room(&self) -> bool {
        let mut open = self.lock();
        let longest = |since: fn(&State) -> Option<Instant>| {
            let all = open.iter().filter_map(|(&number, watch)| {
                let since = since(&watch.lock())?;
                Some((since, number))
            });
            all.min().map(|(_, number)| number)
        };
        let Some(number) = longest(State::waits_since).or_else(|| longest(|state| state.blocked))
        else {
            return false;
        };
        if let Some(watch) = open.remove(&number) {
            watch.ended.notify_one();
        }
        true
    }

    fn end_overdue(&self, now: Instant) {
        for watch in self.lock().values() {
            if watch.lock().deadline().is_some_and(|deadline| deadline <= now) {
                watch.ended.notify_one();
            }
        }
    }
}

/// The place of a connection among the open ones.
struct Place {
    open: Open,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The socket is closed already.
        self.open.spares.fill();
        self.open.lock().remove(&self.number);
    }
}

/// One connection from its first byte to its last.
async fn converse(stream: Pin<Box<dyn Stream>>, app: Router, watch: Arc<Watch>, _place: Place) {
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        watch.to(Stage::Busy);
        let response = TowerToHyperService::new(app.clone()).call(request);
        let watch = Arc::clone(&watch);
        async move {
            Ok::<_, core::convert::Infallible>(response.await?.map(|body| Watched { body, watch }))
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD).max_headers(MAX_HEADERS);
    // Those of this module take its place.
    http.header_read_timeout(None);
    let stream = TokioIo::new(Counted { stream, watch: Arc::clone(&watch) });
    tokio::select! {
        // What a client does wrong is told to it, as far as it can be.
        _ = http.serve_connection(stream, answer) => {}
        () = watch.ended.notified() => {}
    }
}

/// What a connection does, as far as its bounds depend on it.
#[derive(Debug)]
struct Watch {
    state: Mutex<State>,
    /// It has to end.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    since: Instant,
    /// Since when its client takes nothing of what is written.
    blocked: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two requests.
    Idle,
    /// Reading a request's head.
    Reading,
    /// A request is answered.
    Busy,
}

impl Watch {
    fn new(now: Instant) -> Self {
        let state = State { stage: Stage::Reading, since: now, blocked: None };
        Self { state: Mutex::new(state), ended: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to(&self, stage: Stage) {
        let mut state = self.lock();
        (state.stage, state.since) = (stage, Instant::now());
    }

    fn heard(&self) {
        if self.lock().stage == Stage::Idle {
            self.to(Stage::Reading);
        }
    }

    fn written<T>(&self, written: &Poll<T>) {
        let mut state = self.lock();
        state.blocked = match (written, state.blocked) {
            (Poll::Ready(_), _) => None,
            (Poll::Pending, None) => Some(Instant::now()),
            (Poll::Pending, since @ Some(_)) => since,
        };
    }
}

impl State {
    /// Since when it waits for a request.
    const fn waits_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Idle | Stage::Reading => Some(self.since),
            Stage::Busy => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if let Some(blocked) = self.blocked {
            return Some(blocked + BLOCKED_FOR);
        }
        match self.stage {
            Stage::Idle => Some(self.since + IDLE_FOR),
            Stage::Reading => Some(self.since + HEAD_WITHIN),
            // Each answer has its own bound.
            Stage::Busy => None,
        }
    }
}

/// A stream that tells what comes and goes.
struct Counted {
    stream: Pin<Box<dyn Stream>>,
    watch: Arc<Watch>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.stream.as_mut().poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.heard();
        }
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write(cx, buf);
        self.watch.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write_vectored(cx, bufs);
        self.watch.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

/// A response's body, with whose end its connection waits for the next request.
struct Watched {
    body: Body,
    watch: Arc<Watch>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.to(Stage::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection at this stage, since so many seconds after the first.
    fn add(open: &Open, number: u64, stage: Stage, seconds: u64, start: Instant) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(start));
        let since = start + Duration::from_secs(seconds);
        *watch.lock() = State { stage, since, blocked: None };
        open.lock().insert(number, Arc::clone(&watch));
        watch
    }

    #[test]
    fn the_connection_that_has_waited_longest_without_a_request_makes_room() {
        let (open, start) = (Open::default(), Instant::now());
        add(&open, 1, Stage::Busy, 0, start);
        add(&open, 2, Stage::Idle, 5, start);
        add(&open, 3, Stage::Reading, 3, start);
        let slow = add(&open, 4, Stage::Busy, 1, start);
        let left = || open.lock().keys().copied().collect::<Vec<_>>();
        assert!(open.make_room());
        assert_eq!(left(), [1, 2, 4]);
        assert!(open.make_room());
        assert_eq!(left(), [1, 4]);
        assert!(!open.make_room(), "those that are answered stay");
        slow.written(&Poll::<()>::Pending);
        assert!(open.make_room(), "unless they take nothing of it");
        assert_eq!(left(), [1]);
    }

    #[test]
    fn each_stage_has_its_bound() {
        let start = Instant::now();
        let watch = Watch::new(start);
        assert_eq!(watch.lock().deadline(), Some(start + HEAD_WITHIN));
        watch.to(Stage::Busy);
        watch.heard();
        assert_eq!(watch.lock().deadline(), None, "a body, or a request sent ahead");
        watch.written(&Poll::<()>::Pending);
        let blocked = watch.lock().blocked.unwrap();
        watch.written(&Poll::<()>::Pending);
        assert_eq!(watch.lock().deadline(), Some(blocked + BLOCKED_FOR), "since the first");
        watch.written(&Poll::Ready(()));
        watch.to(Stage::Idle);
        let since = watch.lock().since;
        assert_eq!(watch.lock().deadline(), Some(since + IDLE_FOR));
        watch.heard();
        let since = watch.lock().since;
        assert_eq!(watch.lock().deadline(), Some(since + HEAD_WITHIN));
    }
}
