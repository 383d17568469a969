//! How pages and redirects leave: the headers that keep a browser safe.

use askama::Template;
use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_FRAME_OPTIONS},
    },
    response::{IntoResponse, Response},
};

use super::{
    App,
    extract::cookie_name,
    page::{STYLE_SOURCE, error::ErrorPage},
    respond::{ErrorText, STORE_RETRY_SECONDS, log_failure, no_store, with_type},
};
use crate::{
    domain::redirect::{RedirectKind, RedirectUri},
    service::interaction::BrowserToken,
};

/// A page with the headers that keep it safe. `leads_to` is where its form may end up, beside this server.
pub(super) fn html(status: StatusCode, page: &impl Template, leads_to: Option<&RedirectUri>) -> Response {
    let body = match page.render() {
        Ok(body) => body,
        Err(error) => {
            log_failure(&error);
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

/// A page that says what went wrong. `reference`: the name of the attempt or request, which the log has too.
pub(super) fn error_page(reference: &str, text: &ErrorText, continue_url: Option<&str>) -> Response {
    // Whoever floods the server is not to flood its log as well.
    if text.status == StatusCode::TOO_MANY_REQUESTS {
        tracing::debug!(reference, title = text.title, "error page");
    } else {
        tracing::info!(reference, title = text.title, "error page");
    }
    let page = ErrorPage {
        title: text.title,
        explanation: text.explanation,
        advice: text.advice,
        reference,
        code: text.code,
        continue_url,
    };
    let mut response = html(text.status, &page, None);
    if text.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, STORE_RETRY_SECONDS.into());
    }
    response
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
