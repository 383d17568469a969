//! `GET|POST /oauth/authorize` (OAuth 2.1 4.1.1) and `GET|POST /oauth/consent`: what the human sees on the way, and the one
//! place that sends a browser to a client.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use url::{Url, form_urlencoded};

use super::{
    App,
    extract::{Browser, FormRejection, Now, TokenForm, cookie_name},
    page::{
        STYLE_SOURCE,
        consent::{ConsentPage, Destination, ScopeLine, Vouching},
        error::ErrorPage,
        login::{LoginPage, LoginProblem},
    },
    respond::{ErrorText, Refusal, error_page_of, no_store, status_of, with_type},
    router::path,
};
use crate::{
    domain::{
        client::Provenance,
        redirect::{RedirectKind, RedirectUri},
        resource::Resource,
        scope::{Scope, ScopeToken},
    },
    protocol::{
        authorization::AuthorizationRequest,
        error::AuthorizationErrorCode,
        form::{Form, FormError},
    },
    service::{
        authorize::{
            AccessDuration, Addressee, AuthorizeError, CodeIssued, ConsentView, Decision, LogInView, Next, Unaddressed,
        },
        interaction::{BrokenInteraction, BrowserToken, Interaction},
    },
};

/// A request arrives.
pub(super) async fn authorize(State(app): State<App>, Now(now): Now, Browser(browser): Browser, uri: Uri) -> Response {
    let (form, repeated) = match Form::parse_marking(uri.query().unwrap_or_default().as_bytes()) {
        Ok(read) => read,
        Err(error) => return unreadable_form(&app, FormRejection::Malformed(error)),
    };
    // Where the answer goes must be beyond doubt; anything else that is repeated is an error for the client to hear of.
    if repeated.iter().any(|name| matches!(name.as_str(), "client_id" | "redirect_uri")) {
        return unreadable_form(&app, FormRejection::Malformed(FormError::Repeated));
    }
    let known = browser.is_some();
    let browser = browser.unwrap_or_else(|| app.authority().new_browser());
    let request = AuthorizationRequest { repeated: !repeated.is_empty(), ..AuthorizationRequest::from(&form) };
    let request = match repeated.iter().any(|name| name == "state") {
        true => AuthorizationRequest { state: None, ..request },
        false => request,
    };
    let next = app.authority().begin(request, &browser, now).await;
    let mut response = show(&app, next);
    if !known {
        set_cookie(&app, response.headers_mut(), &browser, None);
    }
    response
}

/// RFC 6749 3.1: a request may also be posted. A browser that comes from another site posts without its cookie, so the same
/// request is asked for again in a way that brings it.
pub(super) async fn authorize_posted(State(app): State<App>, request: Request) -> Response {
    match TokenForm::read(request, &app).await {
        Ok(read) => see_other(&authorize_again(&app, &AuthorizationRequest::from(&read.form))),
        Err(rejection) => unreadable_form(&app, rejection),
    }
}

/// The page for a form or query that cannot be read.
pub(super) fn unreadable_form(app: &App, rejection: FormRejection) -> Response {
    tracing::info!(?rejection, "unreadable form");
    error_page(app, &ErrorText { status: status_of(rejection), ..UNREADABLE }, None)
}

/// The next step after a login.
pub(super) async fn consent_page(
    State(app): State<App>,
    Now(now): Now,
    Browser(browser): Browser,
    uri: Uri,
) -> Response {
    let form = match Form::parse(uri.query().unwrap_or_default().as_bytes()) {
        Ok(form) => form,
        Err(error) => return unreadable_form(&app, FormRejection::Malformed(error)),
    };
    match (open(&app, &form, browser.as_ref(), now), browser) {
        (Ok(interaction), Some(browser)) => show(&app, app.authority().proceed(interaction, &browser, now).await),
        (Ok(_), None) => unaddressed(&app, &Unaddressed::Interaction(BrokenInteraction::Unreadable)),
        (Err(broken), _) => unaddressed(&app, &Unaddressed::Interaction(broken)),
    }
}

/// The human decided.
pub(super) async fn decide(
    State(app): State<App>,
    Now(now): Now,
    Browser(browser): Browser,
    request: Request,
) -> Response {
    let unreadable = || unaddressed(&app, &Unaddressed::Interaction(BrokenInteraction::Unreadable));
    let form = match TokenForm::read(request, &app).await {
        Ok(read) => read.form,
        Err(rejection) => return unreadable_form(&app, rejection),
    };
    let decision = match form.get("decision") {
        Some("approve") => Decision::Approve,
        Some("deny") => Decision::Deny,
        Some(_) | None => return unreadable(),
    };
    match (open(&app, &form, browser.as_ref(), now), browser) {
        (Ok(interaction), Some(browser)) => match app.authority().decide(interaction, decision, &browser, now).await {
            Ok(issued) => return_code(&app, &issued),
            Err(error) => refuse(&app, error),
        },
        (Ok(_), None) => unreadable(),
        (Err(broken), _) => unaddressed(&app, &Unaddressed::Interaction(broken)),
    }
}

/// Reads the sealed request that a form carries.
pub(super) fn open(
    app: &App,
    form: &Form,
    browser: Option<&BrowserToken>,
    now: crate::domain::time::Timestamp,
) -> Result<Interaction, BrokenInteraction> {
    app.authority().open_interaction(form.get("request").unwrap_or_default(), browser, now)
}

fn show(app: &App, next: Result<Next, AuthorizeError>) -> Response {
    match next {
        Ok(Next::LogIn(view)) => log_in_page(app, &view, None, StatusCode::OK),
        Ok(Next::AskConsent(view)) => ask_consent(app, &view),
        Ok(Next::Return(issued)) => return_code(app, &issued),
        Err(error) => refuse(app, error),
    }
}

/// The login page, the first time or after a failure.
pub(super) fn log_in_page(
    app: &App,
    view: &LogInView,
    failure: Option<(LoginProblem, &str)>,
    status: StatusCode,
) -> Response {
    let page = LoginPage {
        form_action: &app.path(path::LOGIN),
        request: &app.authority().seal_interaction(&view.interaction),
        client_name: view.client.name.as_deref(),
        resource_name: Some(&view.resource.name),
        username: failure.map_or(view.login_hint.as_deref().unwrap_or_default(), |(_, username)| username),
        problem: failure.map(|(problem, _)| problem),
    };
    // A login whose consent is remembered goes straight on to the client, so its form may lead there too.
    html(status, &page, Some(view.redirect.uri()))
}

fn ask_consent(app: &App, view: &ConsentView) -> Response {
    let join = |part: fn(&Resource) -> &str| view.resources.iter().map(part).collect::<Vec<_>>().join(", ");
    let uri = view.redirect.uri();
    let url = Url::parse(uri.as_str()).ok();
    let host = url.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    let (new, known) = (describe(&view.new, &view.resources), describe(&view.known, &view.resources));
    let page = ConsentPage {
        form_action: &app.path(path::CONSENT),
        request: &app.authority().seal_interaction(&view.interaction),
        username: view.user.username.as_str(),
        client_name: view.client.display_name(),
        vouching: match view.client.provenance {
            Provenance::Configured | Provenance::Operator => Vouching::Configured,
            Provenance::Dynamic => Vouching::SelfAsserted,
        },
        destination: match uri.kind() {
            RedirectKind::Https => Destination::Host(host.as_deref().unwrap_or_default()),
            RedirectKind::Loopback => Destination::Loopback { port: url.as_ref().and_then(Url::port) },
            RedirectKind::PrivateScheme => Destination::PrivateScheme(url.as_ref().map_or("", Url::scheme)),
        },
        resource_name: &join(|r| &r.name),
        resource_uri: &join(|r| r.uri.as_str()),
        new_scopes: &lines(&new),
        already_granted: &lines(&known),
        duration: &duration_sentence(app.authority().access_duration(view)),
        sign_out_action: &app.path(path::LOGOUT),
    };
    html(StatusCode::OK, &page, Some(uri))
}

/// Each scope with what it means: at every resource that knows it, if there are several.
fn describe(scope: &Scope, resources: &[Resource]) -> Vec<(String, String)> {
    let meaning = |token: &ScopeToken| {
        if token.is_offline_access() {
            return "Keep this access while you are away, without asking you to sign in again".to_owned();
        }
        let known = resources.iter().filter_map(|resource| {
            let definition = resource.scopes.iter().find(|s| s.name == *token)?;
            Some(match resources {
                [_] => definition.description.clone(),
                _ => format!("{} ({})", definition.description, resource.name),
            })
        });
        known.collect::<Vec<_>>().join("; ")
    };
    scope.iter().map(|token| (token.as_str().to_owned(), meaning(token))).collect()
}

fn lines(described: &[(String, String)]) -> Vec<ScopeLine<'_>> {
    described.iter().map(|(name, description)| ScopeLine { name, description }).collect()
}

fn duration_sentence(duration: AccessDuration) -> String {
    match duration {
        AccessDuration::UntilUnusedFor(limit) => {
            format!("Until you revoke it, or {} after it was last used.", in_words(limit.as_secs()))
        }
        AccessDuration::Once(limit) => format!("For {}.", in_words(limit.as_secs())),
    }
}

/// `7 days`, `1 hour`: the largest unit that divides the time without a rest.
fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        s if s > 0 && s % 86_400 == 0 => (s / 86_400, "day"),
        s if s > 0 && s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s > 0 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn return_code(app: &App, issued: &CodeIssued) -> Response {
    send_to_client(app, &issued.to, &[("code", issued.code.expose())])
}

fn refuse(app: &App, error: AuthorizeError) -> Response {
    match error {
        AuthorizeError::Unaddressed(error) => unaddressed(app, &error),
        AuthorizeError::Addressed { to, why } => {
            tracing::info!(%why, "authorization refused");
            let refusal = Refusal::<AuthorizationErrorCode>::from(&why);
            let parameters = [("error", refusal.code.as_str()), ("error_description", refusal.description)];
            send_to_client(app, &to, &parameters)
        }
    }
}

/// The one emitter of answers to clients: RFC 6749 4.1.2 and 4.1.2.1, with `state` byte for byte and `iss` (RFC 9207 2).
fn send_to_client(app: &App, to: &Addressee, parameters: &[(&str, &str)]) -> Response {
    let uri = to.redirect.uri().as_str();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = &to.state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", app.authority().issuer.as_str());
    // The client's own text stays as it is: a URL type would rewrite it.
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    see_other(&format!("{uri}{separator}{}", query.finish()))
}

/// RFC 9700 4.12: 303, so that a browser never repeats a form post at the other end.
pub(super) fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let mut response = no_store(StatusCode::SEE_OTHER.into_response());
            response.headers_mut().insert(LOCATION, location);
            response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The error page for a request whose answer has no certain place to go.
pub(super) fn unaddressed(app: &App, error: &Unaddressed) -> Response {
    tracing::info!(%error, "authorization stopped");
    let again = match error {
        Unaddressed::SessionOver(request)
        | Unaddressed::Interaction(
            BrokenInteraction::OtherBrowser(request)
            | BrokenInteraction::Expired(request)
            | BrokenInteraction::Changed(request)
            | BrokenInteraction::Answered(request),
        ) => Some(authorize_again(app, request)),
        Unaddressed::Interaction(BrokenInteraction::Unreadable)
        | Unaddressed::ClientMissing
        | Unaddressed::NoClient(_)
        | Unaddressed::Redirect(_)
        | Unaddressed::Store(_) => None,
    };
    error_page(app, &error_page_of(error), again.as_deref())
}

/// The path that starts a request again.
pub(super) fn authorize_again(app: &App, request: &AuthorizationRequest) -> String {
    format!("{}?{}", app.path(path::AUTHORIZE), request.to_query())
}

const UNREADABLE: ErrorText = ErrorText {
    status: StatusCode::BAD_REQUEST,
    title: "This link cannot be read",
    explanation: "It has a parameter twice, is too long, or is not well-formed. Nothing was done.",
    advice: "Go back to the app and start again. If that does not help, its developer has to look at it.",
    code: Some("invalid_request"),
};

pub(super) fn error_page(app: &App, text: &ErrorText, continue_url: Option<&str>) -> Response {
    let reference = app.authority().reference();
    tracing::info!(%reference, title = text.title, "error page");
    let page = ErrorPage {
        title: text.title,
        explanation: text.explanation,
        advice: text.advice,
        reference: &reference,
        code: text.code,
        continue_url,
    };
    html(text.status, &page, None)
}

/// A page with the headers that keep it safe. `leads_to` is where its form may end up, beside this server.
pub(super) fn html(status: StatusCode, page: &impl Template, leads_to: Option<&RedirectUri>) -> Response {
    let body = match page.render() {
        Ok(body) => body,
        Err(error) => {
            super::respond::log_failure(&error);
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = no_store(with_type(status, "text/html; charset=utf-8", body));
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src {}; img-src data:; form-action {}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_SOURCE,
        form_action(leads_to),
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Chromium checks every redirect after a form post against `form-action`, also those that the client's callback adds, and
/// knows no IPv6 sources: so whole schemes, and only the ones that this redirect can need.
fn form_action(leads_to: Option<&RedirectUri>) -> String {
    let Some(uri) = leads_to else { return "'self'".to_owned() };
    match uri.kind() {
        RedirectKind::Https => "'self' https:".to_owned(),
        RedirectKind::Loopback => "'self' https: http:".to_owned(),
        RedirectKind::PrivateScheme => {
            let scheme = uri.as_str().split(':').next().unwrap_or_default();
            format!("'self' https: {scheme}:")
        }
    }
}

/// Hands a browser its cookie. `max_age` in seconds; without one it goes when the browser does.
pub(super) fn set_cookie(app: &App, headers: &mut HeaderMap, browser: &BrowserToken, max_age: Option<u64>) {
    let secure = if app.authority().issuer.is_https() { "; Secure" } else { "" };
    let lasting = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}{lasting}", cookie_name(app), browser.expose());
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.append(SET_COOKIE, cookie);
    }
}
