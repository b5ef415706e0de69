//! Three namespaces in a row: a client, a router that translates addresses, a server.
//!
//! ```text
//! client 192.0.2.2 ── 192.0.2.1 router 198.51.100.1 ── 198.51.100.2 server
//! ```
//!
//! The links end in these namespaces, and none of them knows a way out. So every experiment can use
//! the same addresses, which are set aside for documentation, and no packet can reach anything
//! else.

use std::process::Command;

use super::command::run;
use super::impair::{Impairer, Profile};
use super::namespace::{Maker, Namespace};

/// The server's address and port.
pub(crate) const SERVER: &str = "198.51.100.2:39002";

/// Where a [middlebox](super::middlebox) listens: the router, as the client sees it.
pub(super) const MIDDLEBOX: &str = "192.0.2.1:39002";

/// The interface of both ends.
pub(super) const LINK: &str = "link";

/// The router's interface towards the client.
pub(super) const TO_CLIENT: &str = "client";

/// The router's interface towards the server.
pub(super) const TO_SERVER: &str = "server";

/// The table that a fault's rules go to; `faults` sees what is forwarded.
const RULES: &str = "\
table ip lab {
    chain translate { type nat hook postrouting priority 100; oifname server masquerade; }
    chain faults { type filter hook forward priority 0; }
}
";

/// The namespaces of one experiment. Dropping it removes them with everything in them.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Held until the namespaces go; first, so that it ends before they do.
    _impairer: Option<Impairer>,
    pub(crate) client: Namespace,
    pub(super) router: Namespace,
    pub(crate) server: Namespace,
}

impl Topology {
    /// The namespaces of a single experiment, in which all links are good.
    pub(crate) fn plain(maker: Maker) -> anyhow::Result<Self> {
        Self::make(maker, 0, None)
    }

    /// Makes the namespaces of experiment number `experiment`; with a profile, packets between the
    /// client and the router pass through an [`Impairer`].
    pub(super) fn make(
        maker: Maker,
        experiment: usize,
        profile: Option<&Profile>,
    ) -> anyhow::Result<Self> {
        let make = |role| Namespace::make(maker.name(experiment, role));
        let (client, router, server) = (make("client")?, make("router")?, make("server")?);
        join((&server, LINK), (&router, TO_SERVER))?;
        let impairer = match profile {
            Some(profile) => Some(Impairer::start(profile, (&client, LINK), (&router, TO_CLIENT))?),
            None => {
                join((&client, LINK), (&router, TO_CLIENT))?;
                None
            }
        };
        client.ip("addr add 192.0.2.2/24 dev link\n\
             link set dev link up\n\
             route add default via 192.0.2.1\n")?;
        router.ip("addr add 192.0.2.1/24 dev client\n\
             addr add 198.51.100.1/24 dev server\n\
             link set dev client up\n\
             link set dev server up\n")?;
        // No route back to the client: without translation there is no answer, as on the internet.
        server.ip("addr add 198.51.100.2/24 dev link\nlink set dev link up\n")?;
        router.set_sysctls(&["net.ipv4.ip_forward=1"])?;
        router.nft(RULES)?;
        Ok(Self { _impairer: impairer, client, router, server })
    }

    /// Limits how much the router forwards, each way, as `tc` writes it: `100mbit`.
    pub(super) fn limit_rate(&self, rate: &str) -> anyhow::Result<()> {
        for interface in [TO_CLIENT, TO_SERVER] {
            let mut tc = self.router.command("tc");
            tc.args(["qdisc", "add", "dev", interface, "root", "tbf", "rate", rate]);
            // Twice as much as the kernel hands over at once, and a queue as routers have it.
            run(tc.args(["burst", "128kb", "latency", "50ms"])).map(drop)?;
        }
        Ok(())
    }

    /// Adds a rule for packets that the router forwards.
    pub(super) fn add_rules(&self, rules: &[&str]) -> anyhow::Result<()> {
        // In one go: the kernel takes all of them at the same moment.
        let script: String =
            rules.iter().map(|rule| format!("add rule ip lab faults {rule}\n")).collect();
        self.router.nft(&script)
    }

    /// Removes what [`add_rules`](Self::add_rules) added.
    pub(super) fn clear_rules(&self) -> anyhow::Result<()> {
        self.router.nft("flush chain ip lab faults\n")
    }
}

/// A cable between two interfaces, which are made directly in their namespaces.
fn join(one: (&Namespace, &str), other: (&Namespace, &str)) -> anyhow::Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["link", "add", "name", one.1, "netns", one.0.name(), "type", "veth"]);
    ip.args(["peer", "name", other.1, "netns", other.0.name()]);
    run(&mut ip).map(drop)
}
