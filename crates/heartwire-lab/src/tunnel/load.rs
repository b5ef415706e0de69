//! The client's side: bulk data one way or both, and round trips.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use super::relay::Running;
use super::service::{DONE, receive, request, send_apart};
use crate::process::Usage;

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the service.
    Up,
    /// To the client.
    Down,
    Both,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Both];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Up => b'u',
            Self::Down => b'd',
            Self::Both => b'b',
        }
    }

    pub(super) const fn has_up(self) -> bool {
        matches!(self, Self::Up | Self::Both)
    }

    pub(super) const fn has_down(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// What one connection has carried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bulk {
    /// In each direction that data goes.
    pub(super) mib_per_s: f64,
    /// Processor time of the relay.
    pub(super) cpu_ms_per_mib: f64,
}

/// Round trips, in µs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// Connects through a relay, and waits until the service has answered.
fn open(running: &Running, way: Option<Way>, bytes: u64) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(running.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&request(way, bytes))?;
    expect_done(&mut stream)?;
    Ok(stream)
}

fn expect_done(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut done = [0];
    stream.read_exact(&mut done).context("the service does not answer")?;
    ensure!(done == DONE, "the service answers {done:?}");
    Ok(())
}

fn usage(running: &Running) -> anyhow::Result<u64> {
    let used = running.ends.iter().map(|end| Ok(Usage::of(end.pid())?.cpu_ns));
    used.sum()
}

pub(super) fn bulk(running: &Running, way: Way, bytes: u64) -> anyhow::Result<Bulk> {
    let mut stream = open(running, Some(way), bytes)?;
    let before = usage(running)?;
    let began = Instant::now();
    let sending = way.has_up().then(|| send_apart(&stream, bytes)).transpose()?;
    if way.has_down() {
        receive(&mut stream, bytes)?;
    }
    if let Some(sending) = sending {
        sending.join().map_err(|_| anyhow::anyhow!("the sender has panicked"))??;
    }
    expect_done(&mut stream)?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = Duration::from_nanos(usage(running)? - before).as_secs_f64();
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "it is below 2^53")]
    let mib = bytes as f64 / f64::from(1 << 20);
    let ways = f64::from(u8::from(way.has_up()) + u8::from(way.has_down()));
    Ok(Bulk { mib_per_s: mib / seconds, cpu_ms_per_mib: cpu * 1e3 / mib / ways })
}

pub(super) fn trips(running: &Running, len: usize, count: u32) -> anyhow::Result<Trip> {
    let mut stream = open(running, None, 0)?;
    let mut histogram = Histogram::<u64>::new(3)?;
    let message = vec![7; len];
    let mut answer = vec![0; len];
    let first = count / 10;
    for number in 0..first + count {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        if number >= first {
            histogram.record(u64::try_from(sent.elapsed().as_nanos())?)?;
        }
    }
    ensure!(answer == message, "the relay has changed the bytes");
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "it is below 2^53")]
    let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Trip { p50: us(0.5), p99: us(0.99), p999: us(0.999) })
}
