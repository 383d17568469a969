//! The certificate of this server: opened at start, looked at on schedule and on SIGHUP, and complained about in time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::spawn_blocking;
use tracing::{error, info};
use url::Url;

use super::{failure::Failure, output::rfc3339};
use crate::{
    adapter::certificate::{CertificateFiles, Refreshed, ServerCertificate},
    config::{Config, Tls},
    domain::time::Timestamp,
    http::serve::{PROTOCOLS, TlsOptions},
    port::clock::Clock,
};

/// How long before its end a certificate is complained about. Those that renew themselves have been renewed by then.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Handshakes at once: each keeps some 40 KiB, and the processor busy for less than a millisecond.
const HANDSHAKES: usize = 1024;

/// The certificate, and what was said about it.
pub(super) struct Certificate {
    certificate: Arc<ServerCertificate>,
    settings: Tls,
    /// The hosts that clients know this server by.
    hosts: Vec<String>,
    clock: Arc<dyn Clock>,
    said: Mutex<Vec<String>>,
}

impl Certificate {
    /// Reads the files that the configuration names; `None` without TLS.
    pub(super) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Arc<Self>>, Failure> {
        let Some(settings) = config.tls.clone() else { return Ok(None) };
        let (certificate, key) = (settings.certificate.clone(), settings.key.clone());
        let files = CertificateFiles { certificate, key, protocols: PROTOCOLS };
        let certificate = ServerCertificate::open(files)
            .map_err(|error| Failure::configuration(format!("tls: {error}; see tls.certificate and tls.key")))?;
        let sites = config.guarded.iter().filter(|guarded| guarded.upstream.is_some());
        let urls = sites.map(|site| site.uri.as_str()).chain([config.issuer.as_str()]);
        let mut hosts: Vec<String> =
            urls.filter_map(|url| Some(Url::parse(url).ok()?.host_str()?.to_owned())).collect();
        hosts.sort();
        hosts.dedup();
        let certificate = Arc::new(certificate);
        Ok(Some(Arc::new(Self { certificate, settings, hosts, clock, said: Mutex::default() })))
    }

    /// What the server needs for its handshakes.
    pub(super) fn options(&self) -> TlsOptions {
        self.say(self.complaints());
        TlsOptions {
            config: self.certificate.tls(),
            handshake_timeout: self.settings.handshake_timeout,
            handshakes: HANDSHAKES,
        }
    }

    /// When the one that is shown now expires.
    pub(super) fn expires(&self) -> Timestamp {
        self.certificate.expires()
    }

    /// How often the files are to be looked at.
    pub(super) fn period(&self) -> Duration {
        self.settings.poll
    }

    /// Looks at the files. What is wrong with them is said once.
    pub(super) async fn refresh(&self) {
        let certificate = self.certificate.clone();
        let mut complaints = match spawn_blocking(move || certificate.refresh()).await {
            Ok(Ok(Refreshed::Unchanged)) => Vec::new(),
            Ok(Ok(Refreshed::Changed)) => {
                let expires = rfc3339(self.certificate.expires());
                info!(expires, "another certificate: new connections get it");
                Vec::new()
            }
            Ok(Err(error)) => vec![format!("the certificate stays as it was: {error}")],
            Err(stopped) => vec![format!("the certificate could not be looked at: {stopped}")],
        };
        complaints.extend(self.complaints());
        self.say(complaints);
    }

    /// The same, and what was said is said again: somebody has asked.
    pub(super) async fn refresh_now(&self) {
        self.said().clear();
        self.refresh().await;
    }

    /// What is wrong with the certificate that is shown now.
    pub(super) fn complaints(&self) -> Vec<String> {
        let (now, expires) = (self.clock.now(), self.certificate.expires());
        let of_time = |expires: Timestamp| {
            let date = rfc3339(expires);
            if expires.is_over(now) {
                Some(format!("the certificate has expired ({date}): clients refuse it"))
            } else {
                expires.minus(SOON).is_over(now).then(|| format!("the certificate expires soon: {date}"))
            }
        };
        let strangers = self.hosts.iter().filter(|host| !self.certificate.is_for(host));
        let of_hosts = strangers.map(|host| format!("the certificate is not one for {host}: clients refuse it"));
        of_time(expires).into_iter().chain(of_hosts).collect()
    }

    fn say(&self, complaints: Vec<String>) {
        let mut said = self.said();
        for complaint in complaints.iter().filter(|complaint| !said.contains(complaint)) {
            error!("{complaint}");
        }
        *said = complaints;
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
