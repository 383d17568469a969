//! `gateward serve`.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use http::HeaderValue;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};

use super::{
    background,
    certificate::Certificate,
    compose::{Assembly, refuse_unsafe},
    declare::declare,
    development,
    failure::Failure,
    gateway, instance, limits, log, metrics, output,
    reload::Reload,
};
use crate::{
    config::{Config, Mode},
    domain::audit::{Action, Event},
    http::{
        AddressBlocks, App, HttpOptions, TrustedProxies, router,
        serve::{ConnectionLimits, Drained, ServeOptions, serve},
    },
    resource::SystemClock,
};

/// How long a client may take nothing of what it is told. Long enough for a network that changes, no more: it holds a connection to
/// the server behind.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a body may take, compared with the whole request: something is left for the answer.
const BODY_SHARE: u32 = 3;

pub(super) async fn run(config: Config, file: Option<&Path>) -> Result<(), Failure> {
    refuse_unsafe(&config, "refusing to start")?;
    let log = log::start(&config.log)?;
    if config.sees_one_sender_only() {
        warn!("limits count everybody behind the proxy as one sender: name the proxy in server.trusted_proxies");
    }
    // Bound first: if another server has the port, nothing else happens.
    let listeners = listen(&config).await?;
    let metrics_listener = metrics::listen(config.metrics.listen).await?;
    let certificate = Certificate::open(&config, Arc::new(SystemClock))?;
    let instance = instance::of_server(&config, listeners.first().and_then(|listener| listener.local_addr().ok()));
    let mut assembly = Assembly::open(config, &instance).await?;
    let now = assembly.now();
    background::maintain_keys(&assembly.authority, &assembly.keyring, now).await?;
    declare(&assembly.authority, &assembly.config, now).await?;
    let (shutdown, hangups) = (shutdown_signal()?, signal(SignalKind::hangup())?);
    let options = HttpOptions {
        trusted_proxies: TrustedProxies::new(assembly.config.server.trusted_proxies.iter().copied()),
        body_limit: assembly.config.server.body_limit,
        body_timeout: assembly.config.server.request_timeout / BODY_SHARE,
        request_timeout: assembly.config.server.request_timeout,
        max_in_flight: assembly.config.server.max_in_flight,
        limits: limits::of_config(&assembly.config),
        registration_burst: assembly.config.registration_rate.burst,
        registration_period: assembly.config.registration_rate.period,
    };
    let app = App::new(assembly.authority.clone(), assembly.clock.clone(), options);
    let gateway = gateway::compose(&app, &assembly)?;
    let routes = gateway.around(router(&app));
    #[cfg(feature = "otlp")]
    let traces = super::traces::start(&assembly.config.traces, &app)?;
    let measured = metrics::start(metrics_listener, &app, &mut assembly, certificate.clone())?;
    let assembly = Arc::new(assembly);
    let mut background = background::start(&app, &assembly, measured);
    background.extend(certificate.as_ref().map(background::follow_certificate));
    let (file, followed) = (file.map(Path::to_owned), certificate.clone());
    background.push(
        Reload { file, app: app.clone(), assembly: assembly.clone(), log, certificate: followed }.follow(hangups),
    );
    match assembly.config.mode {
        Mode::Development => development::prepare(&assembly, now).await?,
        Mode::Production => {}
    }
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        output::line(&format!("listening on {address} as {}", assembly.config.issuer))?;
    }
    tell_the_manager(NotifyState::Ready);

    let server = &assembly.config.server;
    let policy = assembly.config.strict_transport_security().map(HeaderValue::try_from).transpose();
    let serve_options = ServeOptions {
        tls: certificate.map(|certificate| certificate.options()),
        strict_transport_security: policy.map_err(|error| Failure::failed(&error))?,
        connections: ConnectionLimits {
            total: server.max_connections,
            per_address: server.max_connections_per_address,
            uncounted: AddressBlocks::new(server.trusted_proxies.iter().copied()),
        },
        header_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        stall_timeout: STALL_TIMEOUT,
        drain_delay: server.drain_delay,
        grace: server.shutdown_grace,
        ..ServeOptions::default()
    };
    assembly.trail.begin(assembly.now()).await;
    let drained = serve(&app, routes, listeners, serve_options, shutdown).await;
    for task in background {
        task.abort();
    }
    match drained {
        Drained::Completely => info!("every request was finished"),
        Drained::TimedOut => warn!("some requests were cut off: shutdown_grace was over"),
    }
    assembly.authority.record(Event::success(assembly.now(), Action::ServerStop));
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        traces.finish().await;
    }
    // Everything that was answered is on the disk; a store that is stuck does not hold the process.
    if !assembly.close().await {
        warn!("the store did not close in time");
    }
    Ok(())
}

async fn listen(config: &Config) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in &config.server.listen {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| {
            Failure::configuration(format!("cannot listen on {address}: {error}; see server.listen"))
        })?);
    }
    Ok(listeners)
}

/// SIGTERM, as orchestrators send it, or SIGINT, as a terminal does.
fn shutdown_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell_the_manager(NotifyState::Stopping);
    })
}

/// What systemd (`Type=notify`) waits for. Whoever starts the server otherwise is not told.
fn tell_the_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager cannot be told");
    }
}
