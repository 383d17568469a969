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
        let filter = section.required("filter", read_filter);
        Some(Self { format: format?, filter: filter? })
    }
}

fn read_filter(text: &str) -> Result<String, String> {
    // It would be accepted, and match nothing.
    if text.contains('[') {
        return Err("requests are no spans; give targets and levels, like gateward=debug".to_owned());
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
