//! Certificates that last as long as a test.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::path::{Path, PathBuf};

use heartwire::tls::{ClientTls, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

/// Somebody who issues certificates, and a directory for their files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
    roots: PathBuf,
    key: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn server(&self) -> ServerTls {
        ServerTls::new(&self.certificate, &self.key)
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self::named(&format!("Test authority {}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = TempDir::new().unwrap();
        let write = |name, text: String| write(directory.path(), name, &text);
        let roots = write("roots.pem", certificate.pem());
        let key_file = write("roots.key", key.serialize_pem());
        Self { issuer: Issuer::new(params, key), directory, roots, key: key_file }
    }

    /// The file with its own certificate.
    pub(crate) fn roots(&self) -> &Path {
        &self.roots
    }

    /// Its own certificate and key, which are not meant for a server.
    pub(crate) fn own(&self) -> Files {
        Files { certificate: self.roots.clone(), key: self.key.clone() }
    }

    /// A client that trusts only this one.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::new().roots(&self.roots)
    }

    /// A certificate for servers and clients.
    pub(crate) fn issue(&self, names: &[&str]) -> Files {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let serial = fs::read_dir(self.directory.path()).unwrap().count();
        Files {
            certificate: self.write(&format!("{serial}.pem"), &certificate.pem()),
            key: self.write(&format!("{serial}.key"), &key.serialize_pem()),
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.directory.path(), name, text)
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}
