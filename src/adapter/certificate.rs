//! The certificate that this server shows, with its private key: read from two PEM files, and read again when they change.
//!
//! Whoever begins a connection gets what the files held when they were last found good. Two files never change at once: in
//! between, or if something else is wrong with them, the earlier certificate stays.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    InconsistentKeys, ServerConfig,
    client::verify_server_name,
    crypto::aws_lc_rs::{Ticketer, default_provider},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::watch;
use x509_cert::{Certificate as X509, der::Decode};
use zeroize::Zeroizing;

use crate::domain::time::Timestamp;

/// A file that is longer than this is something else.
const MAX_FILE: u64 = 1024 * 1024;

/// Why two files are no certificate with its key. Each message names the file.
#[derive(Debug, Error)]
pub enum CertificateError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path} is longer than a certificate or key can be")]
    TooLong { path: PathBuf },
    #[error("{path} holds no certificate in PEM (BEGIN CERTIFICATE)")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no private key in PEM (BEGIN PRIVATE KEY)")]
    NoKey { path: PathBuf },
    #[error("{path} is not valid PEM: {error}")]
    Pem { path: PathBuf, error: pem::Error },
    #[error("{path}: the first certificate cannot be read: {error}")]
    Malformed { path: PathBuf, error: x509_cert::der::Error },
    #[error("{key} is not the key of the first certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{certificate} and {key} cannot be used: {error}")]
    Unusable { certificate: PathBuf, key: PathBuf, error: rustls::Error },
}

/// Where a certificate and its key are, and what else a TLS server has to know.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
    /// The protocols that are offered (RFC 7301), most wanted first.
    pub protocols: &'static [&'static [u8]],
}

/// What the files hold.
struct Loaded {
    tls: Arc<ServerConfig>,
    own: CertificateDer<'static>,
    expires: Timestamp,
}

/// What a look at the files found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The same as before.
    Unchanged,
    /// Another certificate or key, which new connections get from now on.
    Changed,
}

/// The certificate that is shown now.
pub struct ServerCertificate {
    files: CertificateFiles,
    tls: watch::Sender<Arc<ServerConfig>>,
    state: Mutex<State>,
}

struct State {
    /// Of both files.
    digest: [u8; 32],
    own: CertificateDer<'static>,
    expires: Timestamp,
}

impl ServerCertificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn open(files: CertificateFiles) -> Result<Self, CertificateError> {
        let contents = files.read()?;
        let Loaded { tls, own, expires } = files.load(&contents)?;
        let state = Mutex::new(State { digest: contents.digest(), own, expires });
        Ok(Self { files, tls: watch::Sender::new(tls), state })
    }

    /// What the next connection is to use.
    pub fn tls(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.tls.subscribe()
    }

    /// Looks at the files again, and uses what they hold if that has changed.
    ///
    /// # Errors
    ///
    /// What is wrong with which file; the certificate stays as it was.
    pub fn refresh(&self) -> Result<Refreshed, CertificateError> {
        let contents = self.files.read()?;
        // Held on to: of two who look at once, the later one leaves what it saw.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = contents.digest();
        if digest == state.digest {
            return Ok(Refreshed::Unchanged);
        }
        let Loaded { tls, own, expires } = self.files.load(&contents)?;
        *state = State { digest, own, expires };
        self.tls.send_replace(tls);
        Ok(Refreshed::Changed)
    }

    /// From when on clients refuse the certificate.
    pub fn expires(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// Whether the certificate is one for this host, a name or an address.
    pub fn is_for(&self, host: &str) -> bool {
        // An IPv6 address stands in brackets in a URL only.
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let Ok(name) = ServerName::try_from(bare) else { return false };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ParsedCertificate::try_from(&state.own).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Contents {
    fn digest(&self) -> [u8; 32] {
        let of_certificate = Sha256::digest(&self.certificate);
        Sha256::new().chain_update(of_certificate).chain_update(&self.key).finalize().into()
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<Contents, CertificateError> {
        let certificate = read(&self.certificate)?.to_vec();
        Ok(Contents { certificate, key: read(&self.key)? })
    }

    fn load(&self, contents: &Contents) -> Result<Loaded, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CertificateError::Pem { path: self.certificate.clone(), error })?;
        let Some(own) = chain.first().cloned() else {
            return Err(CertificateError::NoCertificate { path: self.certificate.clone() });
        };
        let key = PrivateKeyDer::pem_slice_iter(&contents.key)
            .next()
            .ok_or_else(|| CertificateError::NoKey { path: self.key.clone() })?
            .map_err(|error| CertificateError::Pem { path: self.key.clone(), error })?;
        let expires =
            expiry(&own).map_err(|error| CertificateError::Malformed { path: self.certificate.clone(), error })?;
        let tls = self.tls(chain, key).map_err(|error| self.unusable(error))?;
        Ok(Loaded { tls: Arc::new(tls), own, expires })
    }

    fn tls(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, rustls::Error> {
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        tls.alpn_protocols = self.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // Clients come back with a ticket; nothing is kept for them here. Another certificate means other tickets, so that it is seen
        // by whoever connects next.
        tls.ticketer = Ticketer::new()?;
        Ok(tls)
    }

    fn unusable(&self, error: rustls::Error) -> CertificateError {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return CertificateError::Mismatch { certificate, key };
        }
        CertificateError::Unusable { certificate, key, error }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let unreadable = |error| CertificateError::Unreadable { path: path.into(), error };
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertificateError::TooLong { path: path.into() });
    }
    Ok(bytes)
}

/// The end of its validity (RFC 5280 4.1.2.5). The second it names still counts.
fn expiry(certificate: &CertificateDer<'_>) -> Result<Timestamp, x509_cert::der::Error> {
    let not_after = X509::from_der(certificate)?.tbs_certificate().validity().not_after;
    let seconds = not_after.to_unix_duration().as_secs();
    Ok(Timestamp::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(1)))
}
