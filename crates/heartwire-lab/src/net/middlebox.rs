//! A middlebox that ends connections in itself, as proxies do, and that one day forwards no more:
//! its kernel goes on acknowledging what both ends send.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, ensure};

use super::namespace::{Namespace, this_program};

/// What the process prints when it listens, and when it has stopped forwarding.
const READY: &str = "ready";
const SWALLOWING: &str = "swallowing";

/// The process that plays the middlebox.
#[derive(Debug)]
pub(super) struct Middlebox {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Middlebox {
    /// Starts one in a namespace that listens at `listen` and forwards to `server`.
    pub(super) fn start(router: &Namespace, listen: &str, server: &str) -> anyhow::Result<Self> {
        let mut command = router.lasting_command(this_program()?);
        command.args(["net", "middlebox", listen, server]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().context("the middlebox has no input")?;
        let output = process.stdout.take().context("the middlebox has no output")?;
        let mut this = Self { process, input, output: BufReader::new(output) };
        this.expect(READY)?;
        Ok(this)
    }

    /// Returns when nothing is forwarded any more.
    pub(super) fn swallow(&mut self) -> anyhow::Result<()> {
        self.input.write_all(b"\n")?;
        self.expect(SWALLOWING)
    }

    fn expect(&mut self, what: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line.trim() == what, "the middlebox said {:?}, not {what}", line.trim());
        Ok(())
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What can be typed after `net middlebox`, which is for the lab itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    listen: SocketAddr,
    server: SocketAddr,
}

/// Plays the middlebox until it is killed, or its input ends.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen)?;
    crate::output::print(READY)?;
    let swallows = Arc::new(AtomicBool::new(false));
    let server = args.server;
    let box_swallows = Arc::clone(&swallows);
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            // A server that does not answer shows as a connection that ends.
            let Ok(far) = TcpStream::connect(server) else { continue };
            // As prompt as the link without it.
            let _ = near.set_nodelay(true).and(far.set_nodelay(true));
            let (near, far) = (Arc::new(near), Arc::new(far));
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (Arc::clone(from), Arc::clone(to));
                let swallows = Arc::clone(&box_swallows);
                thread::spawn(move || forward(&from, &to, &swallows));
            }
        }
    });
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    swallows.store(true, Ordering::SeqCst);
    crate::output::print(SWALLOWING)?;
    // Until the lab is done with it.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Takes bytes from one side to the other until one of them ends. Once it swallows, the other side
/// learns of nothing, not even of that.
fn forward(from: &Arc<TcpStream>, to: &Arc<TcpStream>, swallows: &AtomicBool) {
    let (mut from, mut to): (&TcpStream, &TcpStream) = (from, to);
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer);
        let swallowed = swallows.load(Ordering::SeqCst);
        match read {
            Ok(1..) if swallowed => {}
            Ok(len @ 1..) => {
                if to.write_all(buffer.get(..len).unwrap_or_default()).is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => {
                if !swallowed {
                    // It may have gone first.
                    let _ = to.shutdown(Shutdown::Write);
                }
                return;
            }
        }
    }
}
