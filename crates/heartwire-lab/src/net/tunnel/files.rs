//! The files of the servers and of their clients, in a folder that goes with the run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::args::Args;
use crate::net::command::run;
use crate::net::cuts::certificate;

/// The name under which clients of ssh know the server, over each carrier.
pub(super) const HOST_KEY_ALIAS: &str = "lab";

/// The folder, and what every trial shares.
#[derive(Debug)]
pub(super) struct Files {
    dir: TempDir,
    logs: PathBuf,
    /// The tunnel's certificate and key.
    tls: TempDir,
    /// Of the file that scp copies.
    pub(super) source_sha256: [u8; 32],
}

impl Files {
    pub(super) fn make(args: &Args) -> anyhow::Result<Self> {
        let dir = TempDir::new().context("no folder for the servers' files")?;
        // Servers of other users have folders in it.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let logs = args.logs.clone().unwrap_or_else(|| dir.path().join("logs"));
        fs::create_dir_all(&logs)
            .with_context(|| format!("cannot make the folder {}", logs.display()))?;
        let mut source = vec![0; usize::try_from(args.bytes)?];
        fastrand::fill(&mut source);
        fs::write(dir.path().join("source"), &source)?;
        let this =
            Self { dir, logs, tls: certificate()?, source_sha256: Sha256::digest(&source).into() };
        if args.needs_ssh() {
            this.make_ssh_keys()?;
        }
        Ok(this)
    }

    fn make_ssh_keys(&self) -> anyhow::Result<()> {
        for name in ["client_key", "host_key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(self.path(name));
            run(&mut keygen)?;
        }
        fs::copy(self.path("client_key.pub"), self.path("authorized_keys"))?;
        let host_key = fs::read_to_string(self.path("host_key.pub"))?;
        fs::write(self.path("known_hosts"), format!("{HOST_KEY_ALIAS} {host_key}"))?;
        let config = format!(
            "ListenAddress 0.0.0.0\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin \
             prohibit-password\nPasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile \
             none\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
            self.path("host_key").display(),
            self.path("authorized_keys").display(),
        );
        Ok(fs::write(self.path("sshd_config"), config)?)
    }

    /// A file or folder of that name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a program's standard error goes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.tls.path().join("cert.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.tls.path().join("key.pem")
    }
}

pub(super) fn checksum(path: &Path) -> anyhow::Result<[u8; 32]> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(&bytes).into())
}
