//! Temporary certificates for tests.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use tempfile::TempDir;

/// A CA that issues certificates, with a temporary directory for their files.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
    roots: PathBuf,
    key: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self::named(&format!("Test authority {}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Authority {
    /// A new CA with a unique name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new CA with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
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

    /// The file with the CA's own certificate.
    #[must_use]
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// The CA's own certificate and key, which are not meant for a server.
    #[must_use]
    pub fn own(&self) -> Files {
        Files { certificate: self.roots.clone(), key: self.key.clone() }
    }

    /// A certificate for servers and clients.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Files {
        self.issue_with(names, |_| {})
    }

    /// The same, with other parameters.
    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Files {
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

    /// A list in which the certificates with these serial numbers are revoked.
    #[must_use]
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2024, 1, 2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// Writes a file of this name into the directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.directory.path(), name, text)
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}
