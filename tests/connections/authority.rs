//! Who vouches for certificates in these tests.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::{Certificate, ClientBuilder, redirect::Policy};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "the authority of a test");
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names and addresses, good for a long time.
    pub(crate) fn certify(&self, hosts: &[&str]) -> Pair {
        self.certify_until(hosts, 2999)
    }

    /// The same, good until that year begins.
    pub(crate) fn certify_until(&self, hosts: &[&str], year: i32) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, "the server of a test");
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The certificate of the authority itself.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A client that trusts this authority alone, and shows what it was shown.
    pub(crate) fn client(&self) -> ClientBuilder {
        let root = Certificate::from_der(&self.root()).unwrap();
        ClientBuilder::new().tls_certs_only([root]).tls_info(true).redirect(Policy::none()).no_proxy()
    }
}

impl Pair {
    /// The certificate as it travels.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    /// Puts both files where they belong, one after the other as everybody does.
    pub(crate) fn write(&self, directory: &Path) {
        fs::write(directory.join("server.pem"), &self.certificate).unwrap();
        let key = directory.join("server.key");
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}
