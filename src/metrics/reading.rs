//! Numbers that somebody else keeps.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::Labels;

/// What the numbers do.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They come and go.
    Gauge,
}

/// A metric whose values are looked up.
pub(super) struct Reading {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) read: Box<dyn Fn() -> Vec<(Labels, f64)> + Send + Sync>,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let of_the_format = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, of_the_format)?;
        for (labels, value) in (self.read)() {
            let mut metric = metric.encode_family(&labels)?;
            match self.kind {
                Kind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
                Kind::Gauge => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}
