//! `[log]`.

use tracing_subscriber::EnvFilter;

use super::reader::Reader;

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// What the server tells about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// Directives for [`EnvFilter`]; they parse.
    pub filter: String,
}

impl Log {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let format = section.one_of("format", &[("human", LogFormat::Human), ("json", LogFormat::Json)]);
        let filter = section.required("filter", |text| EnvFilter::try_new(text).map(|_| text.to_owned()));
        Some(Self { format: format?, filter: filter? })
    }
}
