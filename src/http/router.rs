//! The routes, and what every request to them passes: its name, CORS, limits, panics, JSON for wrong paths and methods.

use std::{any::Any as AnyPanic, convert::Infallible, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, Response, StatusCode,
        header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, RETRY_AFTER},
    },
    routing::{MethodRouter, get, post},
};
use tower::{Layer, Service, service_fn};
use tower_http::{
    catch_panic::{CatchPanic, CatchPanicLayer},
    cors::{AllowHeaders, Any, CorsLayer},
};

use super::{
    App, about, authorize,
    discovery::{self, MetadataDocument},
    health, html, introspect, register,
    respond::{ErrorText, STORE_RETRY_SECONDS, plain_error},
    revoke,
    routes::Routes,
    sign_in,
    table::{ROUTES, RouteIndex, RouteTable, inserted, path},
    token,
    traffic::Endpoint,
};
use crate::domain::correlation::RequestId;

impl App {
    /// The path of an endpoint on this host, with the issuer's own path before it.
    pub(super) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.authority().issuer.path())
    }
}

/// The whole server.
pub fn router(app: &App) -> Routes {
    let routes = CatchPanicLayer::custom(panicked as Panicked).layer(routes(app));
    let guarded = Guarded { app: app.clone(), routes };
    let table = RouteTable::new(app.authority().issuer.path());
    Routes::new(move |request| {
        let route = table.find(request.uri().path());
        Box::pin(guarded.clone().answer(route, request))
    })
}

fn routes(app: &App) -> Router {
    let at = |below| app.path(listed(below));
    let registration = Router::new().route(&at(path::REGISTER), post(register::post));
    metadata(app)
        .merge(registration.layer(app.0.registration_limit.layer(app.clone())))
        .route(&at(path::JWKS), get(discovery::jwks))
        .route(&at(path::TOKEN), post(token::post))
        .route(&at(path::REVOKE), post(revoke::post))
        .route(&at(path::REGISTERED), get(register::get).put(register::put).delete(register::delete))
        .route(&at(path::AUTHORIZE), get(authorize::authorize).post(authorize::authorize_posted))
        .route(&at(path::LOGIN), post(sign_in::log_in))
        .route(&at(path::CONSENT), get(authorize::consent_page).post(authorize::decide))
        .route(&at(path::LOGOUT), post(sign_in::log_out))
        .route(&at(path::SIGNED_OUT), get(sign_in::signed_out))
        .route(&at(path::INTROSPECT), post(introspect::post))
        .route(&at(path::DOCUMENTATION), get(about::get))
        .route(listed(path::LIVEZ), get(health::livez))
        .route(listed(path::READYZ), get(health::readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app.clone())
}

/// The two documents, in the inserted form (RFC 8414 3.1) and in the appended one that OpenID uses; the same place twice
/// when the issuer has no path.
fn metadata(app: &App) -> Router<App> {
    let document = MetadataDocument::new(app.authority());
    let route = || -> MethodRouter<App> {
        let document = document.clone();
        get(move |headers: HeaderMap| discovery::metadata_document(document.clone(), headers))
    };
    let base = app.authority().issuer.path();
    [path::METADATA, path::OPENID].iter().fold(Router::new(), |router, well_known| {
        let router = router.route(&inserted(listed(well_known), base), route());
        if base.is_empty() { router } else { router.route(&app.path(well_known), route()) }
    })
}

/// The path, which the table must have too: without it, scripts would be kept out and requests counted as unmatched. The server does not
/// start then.
fn listed(path: &'static str) -> &'static str {
    assert!(ROUTES.iter().any(|route| route.path == path), "{path} is missing from the table of routes");
    path
}

type Panicked = fn(Box<dyn AnyPanic + Send>) -> Response<Body>;

/// What holds for every route. Endpoints read their bodies themselves, with a limit and a deadline, and answer in their own words.
#[derive(Clone)]
struct Guarded {
    app: App,
    routes: CatchPanic<Router, Panicked>,
}

impl Guarded {
    async fn answer(mut self, route: Option<RouteIndex>, request: Request) -> Response<Body> {
        let is_open = route.is_some_and(|route| route.route().open_to_scripts);
        let (app, routes) = (&self.app, &mut self.routes);
        let answer = |request: Request| async move {
            // In boxes: what is around moves them a few times before the work begins.
            if is_open && request.method() == Method::OPTIONS {
                Box::pin(preflight(request)).await
            } else {
                Box::pin(bounded(app, routes, request)).await
            }
        };
        let mut response = app.enter(Endpoint::Route(route), request, answer).await;
        // Refusals as well.
        if is_open {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        response
    }
}

/// What a script may read of an answer beside what every script may.
const EXPOSED: &str = "www-authenticate, retry-after, dpop-nonce, x-request-id";

/// What a script of another origin may send: anything, because cookies play no part.
async fn preflight(request: Request) -> Response<Body> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(Duration::from_secs(3600));
    let nothing = service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    cors.layer(nothing).call(request).await.unwrap_or_else(|never| match never {})
}

/// A request that is stuck is given up; what it was doing is done or undone as a whole, because every step of a store is one.
async fn bounded(app: &App, routes: &mut CatchPanic<Router, Panicked>, request: Request) -> Response<Body> {
    let _flight = match app.let_in(&request) {
        Ok(flight) => flight,
        Err(refusal) => return *refusal,
    };
    match tokio::time::timeout(app.0.options.request_timeout, routes.call(request)).await {
        Ok(Ok(response)) => response.map(Body::new),
        Ok(Err(never)) => match never {},
        Err(_) => given_up(),
    }
}

fn given_up() -> Response<Body> {
    let mut response = plain_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "The request took too long. Try again shortly.",
    );
    response.headers_mut().insert(RETRY_AFTER, STORE_RETRY_SECONDS.into());
    response
}

/// JSON, never a redirect; for a human at a browser, a page, except below `/.well-known`.
async fn not_found(State(app): State<App>, Extension(id): Extension<RequestId>, request: Request) -> Response<Body> {
    let accepts_html = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    if accepts_html && !request.uri().path().contains("/.well-known") {
        return html::error_page(id.as_str(), &NOT_FOUND, Some(&app.path(path::DOCUMENTATION)));
    }
    plain_error(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.")
}

const NOT_FOUND: ErrorText = ErrorText {
    status: StatusCode::NOT_FOUND,
    title: "There is nothing here",
    explanation: "This is an authorization server: apps send you to it when they need your approval.",
    advice: "Go back to the app that you wanted to connect.",
    code: None,
};

/// axum adds `Allow`.
async fn method_not_allowed() -> Response<Body> {
    plain_error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "This method is not allowed here; see Allow.")
}

fn panicked(_: Box<dyn AnyPanic + Send>) -> Response<Body> {
    tracing::error!("a request handler panicked");
    let mut response =
        plain_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Something failed in this server.");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
