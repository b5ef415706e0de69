//! The client's end: `heartwire connect`, or the C library's example in its place.

use std::path::Path;
use std::sync::mpsc::Sender;

use anyhow::Context;
use heartwire_plan::End;

use super::detector::flags;
use super::experiment::Lab;
use super::namespace::Namespace;
use super::program::{Program, Told};

/// The program that connects to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// `heartwire connect`.
    Connect,
    /// `examples/posix.c` of the C library, or a program with the same options and events.
    C,
}

impl Client {
    pub(super) const ALL: [Self; 2] = [Self::Connect, Self::C];

    /// Human-readable, a few words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::C => "the C client",
        }
    }

    /// Starts it with these settings. Its events go to `tell`.
    pub(super) fn start(
        self,
        lab: &Lab,
        namespace: &Namespace,
        end: &End,
        protocol: &str,
        target: &str,
        tell: &Sender<Told>,
    ) -> anyhow::Result<Program> {
        let (program, args): (&Path, Vec<String>) = match self {
            Self::Connect => (&lab.heartwire, connect_args(end, protocol, target)),
            Self::C => {
                let program = lab.c_client.as_ref().context("no --c-client was named")?;
                (program, c_args(end, protocol, target)?)
            }
        };
        Program::client(namespace, program, &args, tell)
    }
}

fn connect_args(end: &End, protocol: &str, target: &str) -> Vec<String> {
    let mut args = ["connect", "--format", "json"].map(str::to_owned).to_vec();
    args.extend(flags(end));
    args.extend(["--retry=never", "--connect-timeout=20s", "--stay", target].map(str::to_owned));
    args.push(format!("--protocol={protocol}"));
    args
}

/// The options of `posix.c`. It has none for the peer's interval, which no client needs to know:
/// only a plan does.
fn c_args(end: &End, protocol: &str, target: &str) -> anyhow::Result<Vec<String>> {
    let (host, port) = target.rsplit_once(':').context("an address without a port")?;
    let ms = |time: Option<core::time::Duration>| time.unwrap_or_default().as_millis();
    // One connection, as with `--retry=never`.
    let mut args = vec!["-1".to_owned()];
    if protocol == "v0" {
        args.push("-0".to_owned());
    }
    args.push(format!("-i{}", ms(end.policy.interval())));
    args.push(format!("-t{}", ms(end.policy.timeout())));
    if end.policy.echo() {
        args.push("-e".to_owned());
    }
    if let Some(keepalive) = end.kernel.keepalive() {
        let (idle, interval) = (keepalive.idle().as_secs(), keepalive.interval().as_secs());
        args.push(format!("-k{idle},{interval},{}", keepalive.count()));
    }
    if let Some(user_timeout) = end.kernel.user_timeout() {
        args.push(format!("-u{}", user_timeout.as_millis()));
    }
    args.extend([host, port].map(str::to_owned));
    Ok(args)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use heartwire_core::Side;

    use super::*;
    use crate::net::detector::Detector;

    #[test]
    fn settings_are_typed_as_the_c_client_reads_them() {
        let typed = |detector: Detector| {
            let plan = detector.plan(Duration::ZERO, None).unwrap();
            let protocol = detector.protocol();
            c_args(&plan.end(Side::Client), protocol, "192.0.2.1:7").unwrap().join(" ")
        };
        assert_eq!(typed(Detector::None), "-1 -0 -i0 -t0 192.0.2.1 7");
        assert_eq!(typed(Detector::Asking), "-1 -0 -i0 -t3000 -e 192.0.2.1 7");
        assert_eq!(typed(Detector::Everything), "-1 -0 -i1000 -t3000 -k1,1,3 -u5000 192.0.2.1 7");
        assert_eq!(typed(Detector::ProtocolV1), "-1 -i1000 -t3000 192.0.2.1 7");
    }
}
