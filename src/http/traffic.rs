//! How many requests there are at which endpoint, how they end and how long they take; and how many connections.
//!
//! An endpoint is one of the table of routes, whatever the path says that led there, and a method one that it serves: what a stranger
//! sends makes no series. Every series is there from the start.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};

use super::table::{ROUTES, RouteIndex};
use crate::metrics::{Counter, Counters, Gauge, Histogram, Histograms, Metrics, Timer};

/// How a request ends: by its status, or because whoever sent it went away.
const ENDS: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// A method that the endpoint does not serve.
const OTHER: &str = "other";

/// Who answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The authorization server; none of its routes if nothing is there.
    Route(Option<RouteIndex>),
    /// A protected resource behind the gateway.
    Gateway,
    /// The gateway, for somebody else's proxy.
    ForwardAuth,
    /// The gateway, about its protected resources (RFC 9728).
    ResourceMetadata,
}

/// What is counted about the door.
pub(super) struct Traffic {
    in_flight: Gauge,
    open: Gauge,
    accepted: Counter,
    /// Some that are no routes, and then those of the routes.
    series: Vec<Series>,
}

/// The series of one endpoint.
struct Series {
    methods: Vec<(Method, Of)>,
    other: Of,
}

/// The series of one method there.
struct Of {
    ends: [Counter; ENDS.len()],
    took: Histogram,
}

/// Places in [`Traffic::series`] before those of the routes.
const UNMATCHED: usize = 0;
const GATEWAY: usize = 1;
const FORWARD_AUTH: usize = 2;
const RESOURCE_METADATA: usize = 3;
const FIRST_ROUTE: usize = 4;

impl Traffic {
    pub(super) fn new(metrics: &mut Metrics) -> Self {
        let requests = metrics.counters("gateward_http_requests", "Requests by endpoint, and how they ended");
        let took = metrics.histograms(
            "gateward_http_request_duration_seconds",
            "From the head of a request to the head of its answer, by endpoint",
        );
        let of = |endpoint, methods: &[&'static str]| Series::new(&requests, &took, endpoint, methods);
        let mut series = vec![
            of("unmatched", &[]),
            of("gateway", &["GET", "POST", "DELETE"]),
            of("forward-auth", &["GET"]),
            of("resource-metadata", &["GET"]),
        ];
        series.extend(ROUTES.iter().map(|route| of(route.path, route.methods)));
        Self {
            in_flight: metrics.gauge("gateward_http_requests_in_flight", "Requests that have no answer yet"),
            open: metrics.gauge("gateward_http_connections", "Connections that are open"),
            accepted: metrics.counter("gateward_http_connections_accepted", "Connections that were accepted"),
            series,
        }
    }

    /// A request has come.
    pub(super) fn begin(&self, request: &Request, endpoint: Endpoint) -> InFlight<'_> {
        let place = match endpoint {
            Endpoint::Gateway => GATEWAY,
            Endpoint::ForwardAuth => FORWARD_AUTH,
            Endpoint::ResourceMetadata => RESOURCE_METADATA,
            Endpoint::Route(None) => UNMATCHED,
            Endpoint::Route(Some(route)) => FIRST_ROUTE + route.0,
        };
        self.in_flight.inc();
        InFlight {
            in_flight: &self.in_flight,
            of: self.series[place].of(request.method()),
            since: Timer::start(),
            end: 0,
        }
    }

    /// A connection has come; it is open as long as what is returned is kept.
    pub(super) fn connect(&self) -> Connected {
        self.accepted.inc();
        self.open.inc();
        Connected(self.open.clone())
    }
}

impl Series {
    fn new(requests: &Counters, took: &Histograms, endpoint: &'static str, methods: &[&'static str]) -> Self {
        let of = |method| {
            let labels = || vec![("endpoint", endpoint), ("method", method)];
            let end = |end| requests.with([labels(), vec![("status", end)]].concat());
            Of { ends: ENDS.map(end), took: took.with(labels()) }
        };
        let served = |method: &&'static str| Some((method.parse().ok()?, of(*method)));
        Self { methods: methods.iter().filter_map(served).collect(), other: of(OTHER) }
    }

    fn of(&self, method: &Method) -> &Of {
        self.methods.iter().find(|(served, _)| served == method).map_or(&self.other, |(_, of)| of)
    }
}

/// A request that has no answer yet. Whoever drops it without one has gone away.
pub(super) struct InFlight<'a> {
    in_flight: &'a Gauge,
    of: &'a Of,
    since: Timer,
    end: usize,
}

impl InFlight<'_> {
    /// The answer begins.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.end = usize::from(status.as_u16() / 100).min(ENDS.len() - 1);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.in_flight.dec();
        self.of.ends[self.end].inc();
        self.of.took.observe(self.since.elapsed());
    }
}

/// A connection that is open.
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
