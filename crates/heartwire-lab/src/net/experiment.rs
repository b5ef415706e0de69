//! One healthy connection between the real programs, in its own namespaces.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::Context;
use heartwire_core::Side;
use heartwire_plan::Plan;

use super::client::Client;
use super::detector::flags;
use super::fault::{Fault, NAT_LIFETIME};
use super::impair::Profile;
use super::middlebox::Middlebox;
use super::namespace::Maker;
use super::program::{Program, Telling};
use super::stop::Stop;
use super::topology::{MIDDLEBOX, SERVER, Topology};

/// How long a program may take to start and to connect, on a machine that is busy with others. A
/// link that loses packets makes TCP wait a second, then two, then four.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// More than a client can make the server echo before it stops reading, see
/// [`flood`](Program::flood): then nothing but the window is full.
const MAX_QUEUE: usize = 64 * 1024 * 1024;

/// Common to all experiments.
#[derive(Clone, Debug)]
pub(super) struct Lab {
    pub(super) maker: Maker,
    /// The program under test.
    pub(super) heartwire: PathBuf,
    /// The C client to test as well, if any.
    pub(super) c_client: Option<PathBuf>,
    pub(super) stop: Stop,
}

/// The plan of a connection, and what is done to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions<'a> {
    pub(super) plan: Plan,
    /// The program at the client's end.
    pub(super) client: Client,
    /// The protocol version, as typed on the command line.
    pub(super) protocol: &'static str,
    /// The fault that it has to be prepared for.
    pub(super) fault: Fault,
    /// The impairments of the path, if any.
    pub(super) profile: Option<&'a Profile>,
}

/// A healthy connection. Dropping it ends the programs and removes the namespaces, in this order.
#[derive(Debug)]
pub(super) struct Experiment {
    pub(super) client: Program,
    pub(super) server: Program,
    pub(super) middlebox: Option<Middlebox>,
    pub(super) topology: Topology,
    pub(super) telling: Telling,
}

impl Experiment {
    /// Makes one.
    pub(super) fn start(
        lab: &Lab,
        number: usize,
        conditions: Conditions<'_>,
    ) -> anyhow::Result<Self> {
        let Conditions { plan, client, protocol, fault, profile } = conditions;
        let topology = Topology::make(lab.maker, number, profile)?;
        prepare(&topology, fault)?;
        let (tell, told) = mpsc::channel();
        let mut telling = Telling::new(told, lab.stop.clone());

        let mut args = flags(&plan.end(Side::Server));
        args.extend(["--threads=1".to_owned(), format!("--listen={SERVER}")]);
        args.push(format!("--protocol={protocol}"));
        if matches!(fault, Fault::GoneUnacked | Fault::ClientNotReading) {
            args.push("--on-data=echo".to_owned());
        }
        if fault == Fault::ClientNotReading {
            args.push(format!("--max-queue={MAX_QUEUE}"));
        }
        if fault == Fault::ServerNotReading {
            args.push("--hold-data".to_owned());
        }
        let server = Program::serve(&topology.server, &lab.heartwire, &args, &tell)?;
        telling
            .expect(Side::Server, "listening", STARTED_WITHIN)
            .with_context(|| server.complaints())?;

        let middlebox = if fault == Fault::BlackHole {
            Some(Middlebox::start(&topology.router, MIDDLEBOX, SERVER)?)
        } else {
            None
        };
        let target = if middlebox.is_some() { MIDDLEBOX } else { SERVER };
        let end = plan.end(Side::Client);
        let client = client.start(lab, &topology.client, &end, protocol, target, &tell)?;
        telling
            .expect(Side::Client, "online", STARTED_WITHIN)
            .with_context(|| client.complaints())?;
        telling.expect(Side::Server, "online", STARTED_WITHIN)?;
        Ok(Self { client, server, middlebox, topology, telling })
    }

    pub(super) const fn program(&mut self, side: Side) -> &mut Program {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// Sets what a fault needs before there is a connection.
fn prepare(topology: &Topology, fault: Fault) -> anyhow::Result<()> {
    if !matches!(fault, Fault::NatFlushDrop | Fault::NatFlushReset | Fault::NatExpiry) {
        return Ok(());
    }
    // A packet of an unknown connection makes no new entry in the router.
    topology.router.set_sysctls(&["net.netfilter.nf_conntrack_tcp_loose=0"])?;
    if fault == Fault::NatExpiry {
        let lifetime = NAT_LIFETIME.as_secs();
        let lifetime = format!("net.netfilter.nf_conntrack_tcp_timeout_established={lifetime}");
        topology.router.set_sysctls(&[&lifetime])?;
    }
    topology.add_rules(&[if fault == Fault::NatFlushReset {
        "ct state invalid meta l4proto tcp reject with tcp reset"
    } else {
        "ct state invalid drop"
    }])
}
