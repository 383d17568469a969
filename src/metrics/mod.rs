//! Counting and timing, for Prometheus.
//!
//! Whatever is measured gets its handles once, at start: what a label can say is known then, so no request can make a new series, and
//! counting is an atomic addition. What somebody else knows already (how full a pool is) is read when it is asked for.

mod histogram;
mod reading;

pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::{encoding::text, metrics::family::Family, registry::Registry};

pub use self::histogram::{Histogram, Timer};
use self::reading::{Kind, Reading};

/// What tells the series of a metric apart: names and values, none of which comes from a request.
pub type Labels = Vec<(&'static str, &'static str)>;

/// The media type of [`Metrics::encode`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is measured, under its name.
#[derive(Debug, Default)]
pub struct Metrics(Registry);

impl Metrics {
    /// A number that only grows. Its name gets `_total` at the end.
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    /// Numbers that only grow, one for each of some labels. Its name gets `_total` at the end.
    pub fn counters(&mut self, name: &str, help: &str) -> Counters {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        Counters(family)
    }

    /// A number that comes and goes.
    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    /// How long things take, in seconds, for each of some labels.
    pub fn histograms(&mut self, name: &str, help: &str) -> Histograms {
        let family = Family::new_with_constructor(Histogram::default as fn() -> Histogram);
        self.0.register(name, help, family.clone());
        Histograms(family)
    }

    /// Numbers that come and go, and that `read` knows. It is called whenever somebody asks, so it must not wait for anything.
    pub fn readings(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.0.register_collector(Box::new(Reading { name, help, kind: Kind::Gauge, read: Box::new(read) }));
    }

    /// The same for numbers that only grow. The name gets `_total` at the end.
    pub fn totals(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.0.register_collector(Box::new(Reading { name, help, kind: Kind::Counter, read: Box::new(read) }));
    }

    /// Everything, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = text::encode(&mut text, &self.0);
        text
    }
}

/// One counter for each of some labels.
#[derive(Debug)]
pub struct Counters(Family<Labels, Counter>);

impl Counters {
    /// The one of these labels.
    pub fn with(&self, labels: Labels) -> Counter {
        self.0.get_or_create(&labels).clone()
    }
}

/// One histogram for each of some labels.
#[derive(Debug)]
pub struct Histograms(Family<Labels, Histogram, fn() -> Histogram>);

impl Histograms {
    /// The one of these labels.
    pub fn with(&self, labels: Labels) -> Histogram {
        self.0.get_or_create(&labels).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn everything_is_told_under_its_name_and_labels() {
        let mut metrics = Metrics::default();
        metrics.counter("gateward_things", "Things").inc();
        let kinds = metrics.counters("gateward_kinds", "Kinds");
        kinds.with(vec![("kind", "one")]).inc_by(2);
        kinds.with(vec![("kind", "one")]).inc();
        kinds.with(vec![("kind", "other")]);
        metrics.gauge("gateward_level", "Level").set(7);
        metrics.histograms("gateward_took_seconds", "Took").with(vec![("what", "x")]).observe(Duration::from_millis(3));
        metrics.readings("gateward_read", "Read", || vec![(vec![], 1.5)]);
        metrics.totals("gateward_known", "Known", || vec![(vec![], 4.0)]);
        metrics.readings("gateward_each", "Each", || vec![(vec![("of", "a")], 1.0), (vec![("of", "b")], 2.0)]);
        let text = metrics.encode();
        for line in [
            "# TYPE gateward_things counter",
            "gateward_things_total 1",
            "gateward_kinds_total{kind=\"one\"} 3",
            "gateward_kinds_total{kind=\"other\"} 0",
            "gateward_level 7",
            "gateward_took_seconds_bucket{le=\"0.0025\",what=\"x\"} 0",
            "gateward_took_seconds_bucket{le=\"0.005\",what=\"x\"} 1",
            "gateward_took_seconds_bucket{le=\"+Inf\",what=\"x\"} 1",
            "gateward_took_seconds_sum{what=\"x\"} 0.003",
            "gateward_took_seconds_count{what=\"x\"} 1",
            "gateward_read 1.5",
            "# TYPE gateward_known counter",
            "gateward_known_total 4.0",
            "gateward_each{of=\"a\"} 1.0",
            "gateward_each{of=\"b\"} 2.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
