//! A client of HTTP/1.1 that keeps its connection: just what the server of `serve --http` answers.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use serde_json::Value;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to the server's HTTP side.
#[derive(Debug)]
pub(super) struct Http {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("the server takes no HTTP")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Asks for `path`, which must be there.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.request("GET", path, "")?;
        ensure!(answer.status == 200, "{path} was answered with {}", answer.status);
        Ok(answer.body)
    }

    /// The same, of JSON.
    pub(super) fn json(&mut self, path: &str) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.get(path)?).with_context(|| format!("{path} is not JSON"))
    }

    /// Sends a request with further `headers`, each with its end of line.
    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
    ) -> anyhow::Result<Answer> {
        self.send(method, path, headers)?;
        self.answer().with_context(|| format!("no answer to {method} {path}"))
    }

    /// Sends it, and reads no answer.
    pub(super) fn send(&mut self, method: &str, path: &str, headers: &str) -> anyhow::Result<()> {
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{length}{headers}\r\n", self.address);
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.context("no status")?;
        let mut len = 0;
        loop {
            let header = self.line()?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').context("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                len = value.trim().parse()?;
            }
            ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "an answer in chunks");
        }
        ensure!(len <= MAX_ANSWER, "an answer of {len} bytes");
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let len = self.stream.read_line(&mut line)?;
        ensure!(len > 0, "the server has closed the connection");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
