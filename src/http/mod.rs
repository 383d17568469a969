//! The door: router, extractors, one file per endpoint, pages.
//!
//! Nothing is decided here. An endpoint reads what the request says (extractors), calls one use case, and writes down what
//! became of it (`respond`).

mod about;
mod admission;
mod audit;
mod authorize;
mod client;
mod discovery;
mod extract;
mod health;
mod html;
mod interaction;
mod introspect;
pub mod limits;
mod metrics;
pub mod page;
mod peer;
pub mod probe;
mod register;
mod rejections;
mod request_id;
pub mod respond;
mod revoke;
mod router;
mod routes;
pub mod serve;
mod sign_in;
mod table;
mod token;
#[cfg(feature = "otlp")]
mod trace;
mod traffic;

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

pub use self::{
    admission::Crossing,
    client::ClientRefusal,
    extract::{BearerRejection, FormRejection, JsonRejection},
    metrics::serve_metrics,
    peer::{AddressBlocks, TrustedProxies},
    rejections::{Rejection, Rejections},
    router::router,
    routes::{Answer, Routes},
    table::{ROUTES, Route, RouteIndex, path},
    traffic::Endpoint,
};
use self::{
    limits::{InFlight, LimitOptions, Limits, RegistrationLimit},
    request_id::RequestIds,
    traffic::{Connected, Traffic},
};
use crate::{
    metrics::Metrics,
    port::clock::Clock,
    service::{Authority, ready::Readiness},
};

/// What the operator decides about the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: TrustedProxies,
    /// The largest body, in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take altogether.
    pub request_timeout: Duration,
    /// How many requests may be worked on at once; health is always answered.
    pub max_in_flight: usize,
    /// How often somebody may ask. The default has no limits.
    pub limits: LimitOptions,
    /// How many registrations one address may make at once.
    pub registration_burst: NonZeroU32,
    /// How long until one more is allowed.
    pub registration_period: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_in_flight: 1024,
            limits: LimitOptions::default(),
            registration_burst: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
            registration_period: Duration::from_secs(30),
        }
    }
}

/// What every endpoint works with.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    authority: Authority,
    clock: Arc<dyn Clock>,
    options: HttpOptions,
    limits: Limits,
    in_flight: InFlight,
    registration_limit: RegistrationLimit,
    rejections: Rejections,
    request_ids: RequestIds,
    traffic: OnceLock<Traffic>,
    #[cfg(feature = "otlp")]
    tracer: OnceLock<opentelemetry_sdk::trace::SdkTracer>,
    readiness: Readiness,
    draining: AtomicBool,
    streams_end: watch::Sender<bool>,
}

impl App {
    /// Brings an authority to the web.
    pub fn new(authority: Authority, clock: Arc<dyn Clock>, options: HttpOptions) -> Self {
        let registration_limit = RegistrationLimit::new(&options);
        let limits = Limits::new(&options.limits, &clock);
        let in_flight = InFlight::new(options.max_in_flight);
        Self(Arc::new(Inner {
            authority,
            clock,
            options,
            limits,
            in_flight,
            registration_limit,
            request_ids: RequestIds::default(),
            rejections: Rejections::default(),
            traffic: OnceLock::new(),
            #[cfg(feature = "otlp")]
            tracer: OnceLock::new(),
            readiness: Readiness::default(),
            draining: AtomicBool::new(false),
            streams_end: watch::Sender::new(false),
        }))
    }

    /// The use cases.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Sets anew how often somebody may ask. Senders whose rate stays as it was have used what they had used of it.
    pub fn set_limits(&self, limits: &LimitOptions) {
        self.0.limits.set(limits);
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// How many were turned away, and why.
    pub fn rejections(&self) -> &Rejections {
        &self.0.rejections
    }

    /// Counts requests and connections from now on. Once.
    pub fn measure(&self, metrics: &mut Metrics) {
        let traffic = Traffic::new(metrics);
        // Whoever does it twice gets the figures of the first time.
        let _ = self.0.traffic.set(traffic);
        let app = self.clone();
        metrics.totals("gateward_rejections", "What a limit of the door turned away, and which", move || {
            let count = |why: Rejection| (vec![("reason", why.as_str())], app.rejections().count(why) as f64);
            Rejection::ALL.map(count).into()
        });
    }

    /// Counts a connection for as long as what is returned is kept; `None` if nobody counts.
    fn connected(&self) -> Option<Connected> {
        self.0.traffic.get().map(Traffic::connect)
    }

    /// Lets `/readyz` say that this instance is going away.
    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Turns true when streams that end only with their token have to end with the server.
    pub fn streams_end(&self) -> watch::Receiver<bool> {
        self.0.streams_end.subscribe()
    }

    fn end_streams(&self) {
        self.0.streams_end.send_replace(true);
    }

    /// Forgets what limits no longer need to know; for the housekeeping of the process.
    pub fn forget_idle_senders(&self) {
        self.0.registration_limit.forget_idle();
    }

    fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}
