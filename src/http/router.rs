//! The route table, and what wraps every route: body and time limits, CORS, JSON for wrong paths and methods, panics.

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    routing::{MethodRouter, get, post},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, Any, CorsLayer},
};

use super::{
    App, about, authorize,
    discovery::{self, MetadataDocument},
    health, html, introspect, register,
    request_id::REQUEST_ID,
    respond::{ErrorText, STORE_RETRY_SECONDS, plain_error},
    revoke, sign_in, token,
    traffic::Endpoint,
};
use crate::{
    domain::correlation::RequestId,
    service::{REGISTRATION_PATH, TOKEN_PATH},
};

/// Where everything is, below the issuer.
pub mod path {
    use super::{REGISTRATION_PATH, TOKEN_PATH};

    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const TOKEN: &str = TOKEN_PATH;
    pub const REGISTER: &str = REGISTRATION_PATH;
    pub const REVOKE: &str = "/oauth/revoke";
    pub const INTROSPECT: &str = "/oauth/introspect";
    pub const JWKS: &str = "/.well-known/jwks.json";
    pub const LOGIN: &str = "/oauth/login";
    pub const CONSENT: &str = "/oauth/consent";
    pub const LOGOUT: &str = "/oauth/logout";
    pub const SIGNED_OUT: &str = "/oauth/signed-out";
    pub const DOCUMENTATION: &str = "/oauth/about";
    /// RFC 8414 3.
    pub const METADATA: &str = "/.well-known/oauth-authorization-server";
    /// OpenID Connect Discovery 4.
    pub const OPENID: &str = "/.well-known/openid-configuration";
}

/// One route: its path below the issuer, and its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub path: &'static str,
    pub methods: &'static [&'static str],
}

/// Every route, for the test that sees to it that none is forgotten.
pub const ROUTES: &[Route] = &[
    Route { path: path::METADATA, methods: &["GET"] },
    Route { path: path::OPENID, methods: &["GET"] },
    Route { path: path::JWKS, methods: &["GET"] },
    Route { path: path::AUTHORIZE, methods: &["GET", "POST"] },
    Route { path: path::LOGIN, methods: &["POST"] },
    Route { path: path::CONSENT, methods: &["GET", "POST"] },
    Route { path: path::LOGOUT, methods: &["POST"] },
    Route { path: path::SIGNED_OUT, methods: &["GET"] },
    Route { path: path::TOKEN, methods: &["POST"] },
    Route { path: path::REGISTER, methods: &["POST"] },
    Route { path: "/oauth/register/{client_id}", methods: &["GET", "PUT", "DELETE"] },
    Route { path: path::REVOKE, methods: &["POST"] },
    Route { path: path::INTROSPECT, methods: &["POST"] },
    Route { path: path::DOCUMENTATION, methods: &["GET"] },
    Route { path: "/livez", methods: &["GET"] },
    Route { path: "/readyz", methods: &["GET"] },
];

impl App {
    /// The path of an endpoint on this host, with the issuer's own path before it.
    pub(super) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.authority().issuer.path())
    }
}

/// The whole server as one service.
pub fn router(app: &App) -> Router {
    let at = |below: &str| app.path(below);
    let open_to_scripts = Router::new()
        .route(&at(path::JWKS), get(discovery::jwks))
        .route(&at(path::TOKEN), post(token::post))
        .route(&at(path::REVOKE), post(revoke::post))
        .route(&at("/oauth/register/{client_id}"), get(register::get).put(register::put).delete(register::delete))
        .merge(
            Router::new()
                .route(&at(path::REGISTER), post(register::post))
                .layer(app.0.registration_limit.layer(app.clone())),
        )
        .merge(metadata(app));
    // CORS lies around everything else: a preflight is a method that no route serves, and scripts may read refusals as well.
    let open_to_scripts = guarded(open_to_scripts, app).layer(cors());
    let closed_to_scripts = Router::new()
        .route(&at(path::AUTHORIZE), get(authorize::authorize).post(authorize::authorize_posted))
        .route(&at(path::LOGIN), post(sign_in::log_in))
        .route(&at(path::CONSENT), get(authorize::consent_page).post(authorize::decide))
        .route(&at(path::LOGOUT), post(sign_in::log_out))
        .route(&at(path::SIGNED_OUT), get(sign_in::signed_out))
        .route(&at(path::INTROSPECT), post(introspect::post))
        .route(&at(path::DOCUMENTATION), get(about::get))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(not_found);
    open_to_scripts.merge(guarded(closed_to_scripts, app)).with_state(app.clone())
}

/// What holds for every route.
fn guarded(routes: Router<App>, app: &App) -> Router<App> {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        // Endpoints read their bodies themselves, with a limit and a deadline, and answer in their own words.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), bounded))
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
        let router = router.route(&format!("{well_known}{base}"), route());
        if base.is_empty() { router } else { router.route(&format!("{base}{well_known}"), route()) }
    })
}

/// Browser-based clients may read these answers from anywhere; cookies play no part in them.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER, HeaderName::from_static("dpop-nonce"), REQUEST_ID])
        .max_age(std::time::Duration::from_secs(3600))
}

/// A request that is stuck is given up; what it was doing is done or undone as a whole, because every step of a store is one.
async fn bounded(State(app): State<App>, request: Request, next: Next) -> Response<Body> {
    let limit = app.0.options.request_timeout;
    let answer = async |request: Request| {
        let _flight = match app.let_in(&request) {
            Ok(flight) => flight,
            Err(refusal) => return *refusal,
        };
        tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| given_up())
    };
    app.enter(Endpoint::Route, request, answer).await
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

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response<Body> {
    tracing::error!("a request handler panicked");
    let mut response =
        plain_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Something failed in this server.");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
