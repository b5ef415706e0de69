//! Processor time that a client costs a real `heartwire serve`, by result: accepted, rejected as
//! stale, discarded because it has left, or closed by the accept rate.
//!
//! `cargo build --release -p heartwire-cli && cargo run --release -p heartwire-lab --example costs`
//!
//! The server has one shard. Linux counts the time of its threads, which includes the kernel's work
//! for them: on loopback also most of the way to the client.

#![expect(clippy::print_stdout, reason = "it is a program")]

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("it needs Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use core::net::SocketAddr;
    use core::time::Duration;
    use std::fs;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::thread;

    use anyhow::Context;
    use heartwire_core::v1::{Hello, Offer};
    use heartwire_core::{Preset, Side};
    use rustix::process::{Pid, Signal, kill_process};

    const CLIENTS: usize = 2_000;
    const ROUNDS: usize = 5;
    /// Longer than `Admission::STALE_AFTER`.
    const TOO_LONG: Duration = Duration::from_millis(2_700);

    pub(super) fn main() -> anyhow::Result<()> {
        println!("{CLIENTS} clients at a time, {ROUNDS} times: µs of processor time for each");
        let open = ["--accept-rate", "off", "--accept-rate-per-address", "off"];
        run("accepted, then closed", &open, |server| {
            let clients = server.hellos()?;
            read_all(clients, 3)
        })?;
        run("rejected as stale", &open, |server| {
            server.freeze()?;
            let clients = server.hellos()?;
            thread::sleep(TOO_LONG);
            server.signal(Signal::CONT)?;
            read_all(clients, 4)
        })?;
        run("discarded because it has left", &open, |server| {
            server.freeze()?;
            drop(server.hellos()?);
            server.signal(Signal::CONT)
        })?;
        run(
            "closed by the accept rate",
            &["--accept-rate", "1", "--accept-rate-per-address", "off"],
            |server| {
                server.freeze()?;
                let clients = server.hellos()?;
                server.signal(Signal::CONT)?;
                for mut client in clients {
                    // Whether it is reset while it is read from does not matter.
                    let _ = client.read(&mut [0; 64]);
                }
                Ok(())
            },
        )
    }

    fn run(
        name: &str,
        flags: &[&str],
        mut round: impl FnMut(&Serve) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            let server = Serve::start(flags)?;
            let before = server.spent()?;
            round(&server)?;
            // Until it has nothing more to do.
            let mut spent = server.spent()?;
            loop {
                thread::sleep(Duration::from_millis(200));
                let now = server.spent()?;
                if now.saturating_sub(spent) < Duration::from_millis(1) {
                    break;
                }
                spent = now;
            }
            let each = spent.saturating_sub(before).as_secs_f64() / f64::from(2_000_u32);
            costs.push(each * 1e6);
        }
        costs.sort_by(f64::total_cmp);
        let least = costs.first().context("no round")?;
        let most = costs.last().context("no round")?;
        println!("{name}: {least:.0} to {most:.0}");
        Ok(())
    }

    /// Reads the first frame of each client, which must be of that kind.
    fn read_all(clients: Vec<TcpStream>, kind: u8) -> anyhow::Result<()> {
        for mut client in clients {
            let mut header = [0; 8];
            client.read_exact(&mut header).context("no answer")?;
            anyhow::ensure!(header.first() == Some(&kind), "{header:?} came");
        }
        Ok(())
    }

    struct Serve(Child, SocketAddr);

    impl Serve {
        fn start(flags: &[&str]) -> anyhow::Result<Self> {
            let program = std::env::current_exe()?;
            let program = program.ancestors().nth(2).context("no directory")?.join("heartwire");
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let mut command = Command::new(&program);
            command.args(["serve", "--threads", "1", "--listen", &address.to_string()]);
            command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let child = command.spawn();
            let mut this = Self(
                child.with_context(|| format!("cannot start {}", program.display()))?,
                address,
            );
            let output = BufReader::new(this.0.stdout.take().context("no output")?);
            thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
            for _ in 0..100 {
                if TcpStream::connect(address).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
            Ok(this)
        }

        /// Clients that have said HELLO.
        fn hellos(&self) -> anyhow::Result<Vec<TcpStream>> {
            let hello = Hello::new(Offer::new(&Preset::Default.policy(Side::Client))).encode();
            let connect = |_| -> anyhow::Result<TcpStream> {
                let mut stream = TcpStream::connect(self.1)?;
                stream.write_all(&hello)?;
                Ok(stream)
            };
            (0..CLIENTS).map(connect).collect()
        }

        /// The processor time of all its threads.
        fn spent(&self) -> anyhow::Result<Duration> {
            let mut nanos = 0;
            for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
                let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
                let spent = schedstat.split_whitespace().next().context("an empty schedstat")?;
                nanos += spent.parse::<u64>()?;
            }
            Ok(Duration::from_nanos(nanos))
        }

        /// Returns when all threads stand still: each stops for itself, a little later.
        fn freeze(&self) -> anyhow::Result<()> {
            self.signal(Signal::STOP)?;
            loop {
                let mut is_still = true;
                for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
                    let stat = fs::read_to_string(task?.path().join("stat"))?;
                    is_still &= stat.contains(") T ");
                }
                if is_still {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(1));
            }
        }

        fn signal(&self, signal: Signal) -> anyhow::Result<()> {
            Ok(kill_process(Pid::from_child(&self.0), signal)?)
        }
    }

    impl Drop for Serve {
        fn drop(&mut self) {
            // It may have ended by itself.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
