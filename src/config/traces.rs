//! `[traces]`.

use url::Url;

use super::reader::Reader;

/// Whether and where requests are told as spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// The base URL of a collector that speaks OTLP over HTTP.
    pub endpoint: Option<Url>,
    /// How many of a hundred traces that begin here are sent.
    pub sample_percent: u8,
}

impl Traces {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let endpoint = section.optional("endpoint", |text| match Url::parse(text) {
            Ok(_) if !cfg!(feature = "otlp") => {
                Err("cannot be used: this program was built without the feature `otlp`".to_owned())
            }
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.query().is_none() => Ok(url),
            Ok(_) | Err(_) => Err("must be an http or https URL such as \"http://127.0.0.1:4318\"".to_owned()),
        });
        let sample_percent = section.integer("sample_percent", 0..=100);
        Some(Self { endpoint: endpoint?, sample_percent: sample_percent? })
    }
}
