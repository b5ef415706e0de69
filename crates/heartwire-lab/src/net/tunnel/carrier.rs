//! What carries the applications' connections: nothing, or a pair of programs.

use core::time::Duration;

use clap::ValueEnum;

use super::app::ssh_args;
use super::files::Files;
use super::process::Running;
use super::service::Service;
use super::trial::Trial;
use crate::local::without_settings;
use crate::net::topology::Topology;

/// The server's address.
const SERVER: &str = "198.51.100.2";

/// Where `heartwire tunnel serve` listens.
const TUNNEL: &str = "198.51.100.2:29003";

/// What carries the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Carrier {
    /// Nothing: the client connects to the server.
    Plain,
    /// socat at the client.
    Socat,
    /// A port that ssh forwards, restarted by autossh.
    Autossh,
    /// `heartwire tunnel`.
    Tunnel,
}

impl Carrier {
    /// As typed on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Socat => "socat",
            Self::Autossh => "autossh",
            Self::Tunnel => "tunnel",
        }
    }

    /// For a table.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain TCP",
            Self::Socat => "socat",
            Self::Autossh => "autossh",
            Self::Tunnel => "heartwire tunnel",
        }
    }

    /// Where clients connect, at the port of the service.
    pub(super) const fn host(self) -> &'static str {
        match self {
            Self::Plain => SERVER,
            Self::Socat => "127.0.0.2",
            Self::Autossh => "127.0.0.3",
            Self::Tunnel => "127.0.0.4",
        }
    }

    /// Starts its programs. They may not listen yet.
    pub(super) fn start(
        self,
        trial: &Trial<'_>,
        topology: &Topology,
        services: &[Service],
    ) -> anyhow::Result<Vec<Running>> {
        let each = |start: &dyn Fn(Service) -> anyhow::Result<Running>| {
            services.iter().map(|&service| start(service)).collect()
        };
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Socat => each(&|service| self.socat(trial, topology, service)),
            Self::Autossh => Ok(vec![self.autossh(trial, topology, services)?]),
            Self::Tunnel => {
                let mut programs = vec![tunnel_serve(trial, topology, services)?];
                for &service in services {
                    programs.push(self.tunnel_connect(trial, topology, service)?);
                }
                Ok(programs)
            }
        }
    }

    fn socat(
        self,
        trial: &Trial<'_>,
        topology: &Topology,
        service: Service,
    ) -> anyhow::Result<Running> {
        let (port, host) = (service.port(), self.host());
        let mut command = topology.client.lasting_command("socat");
        command.arg(format!("TCP-LISTEN:{port},bind={host},fork,reuseaddr"));
        command.arg(format!("TCP:{SERVER}:{port}"));
        Running::server(&mut command, trial.log(&format!("socat-{}", service.name())))
    }

    fn autossh(
        self,
        trial: &Trial<'_>,
        topology: &Topology,
        services: &[Service],
    ) -> anyhow::Result<Running> {
        let mut command = topology.client.lasting_command("autossh");
        command.env("AUTOSSH_GATETIME", "0").args(["-M", "0", "-N"]).args(ssh_args(trial.files));
        // It notices an outage as soon as the tunnel does.
        for option in ["ServerAliveInterval=3", "ServerAliveCountMax=3", "ExitOnForwardFailure=yes"]
        {
            command.args(["-o", option]);
        }
        for service in services {
            let port = service.port();
            command.args(["-L", &format!("{}:{port}:127.0.0.1:{port}", self.host())]);
        }
        command.arg(format!("root@{SERVER}"));
        Running::server(&mut command, trial.log("autossh"))
    }

    fn tunnel_connect(
        self,
        trial: &Trial<'_>,
        topology: &Topology,
        service: Service,
    ) -> anyhow::Result<Running> {
        let mut command = topology.client.lasting_command(trial.heartwire);
        without_settings(&mut command).args(connect_args(trial, service));
        command.args(["--listen", &format!("{}:{}", self.host(), service.port())]);
        Running::server(&mut command, trial.log(&format!("tunnel-connect-{}", service.name())))
    }
}

/// What ssh runs instead of a connection.
pub(super) fn proxy_command(trial: &Trial<'_>) -> String {
    let args = connect_args(trial, Service::Ssh).join(" ");
    format!("{} {args} --stdio", trial.heartwire.display())
}

fn connect_args(trial: &Trial<'_>, service: Service) -> Vec<String> {
    let (certificate, grace) = (trial.files.certificate(), typed(trial.args.grace));
    let mut args =
        ["tunnel", "connect", TUNNEL, service.name(), "--tls-ca"].map(str::to_owned).to_vec();
    args.push(certificate.display().to_string());
    args.extend(
        ["--tls-server-name", "localhost", "--format", "json", "--grace"].map(str::to_owned),
    );
    args.push(grace);
    args
}

fn tunnel_serve(
    trial: &Trial<'_>,
    topology: &Topology,
    services: &[Service],
) -> anyhow::Result<Running> {
    let files: &Files = trial.files;
    let mut command = topology.server.lasting_command(trial.heartwire);
    without_settings(&mut command).args(["tunnel", "serve", "--listen", TUNNEL]);
    command.arg("--tls-cert").arg(files.certificate()).arg("--tls-key").arg(files.key());
    command.args(["--allow-anyone", "--format", "json", "--grace", &typed(trial.args.grace)]);
    for service in services {
        let (name, port) = (service.name(), service.port());
        command.args(["--service", &format!("{name}=127.0.0.1:{port}")]);
    }
    Running::server(&mut command, trial.log("tunnel-serve"))
}

fn typed(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
