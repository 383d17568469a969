//! `POST /oauth/login`, `POST /oauth/logout`, `GET /oauth/signed-out`: the human comes and goes.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header::RETRY_AFTER},
    response::Response,
};
use url::form_urlencoded;

use super::{
    App,
    authorize::{
        authorize_again, error_page, html, log_in_page, open, see_other, set_cookie, unaddressed, unreadable_form,
    },
    extract::{Browser, Now, Peer, TokenForm},
    page::{login::LoginProblem, signed_out::SignedOutPage},
    respond::{ErrorText, STORE_RETRY_SECONDS, log_failure},
    router::path,
};
use crate::{
    domain::time::Timestamp,
    protocol::{authorization::AuthorizationRequest, form::Form, secret::Secret},
    service::{
        authorize::{AuthorizeError, Next, Unaddressed},
        interaction::{BrokenInteraction, BrowserToken, Interaction},
        log_in::{LogInAttempt, LogInError},
    },
};

/// Somebody logs in.
pub(super) async fn log_in(
    State(app): State<App>,
    Now(now): Now,
    Browser(browser): Browser,
    Peer(address): Peer,
    request: Request,
) -> Response {
    let unreadable = || unaddressed(&app, &Unaddressed::Interaction(BrokenInteraction::Unreadable));
    let form = match TokenForm::read(request, &app).await {
        Ok(read) => read.form,
        Err(rejection) => return unreadable_form(&app, rejection),
    };
    let interaction = match open(&app, &form, browser.as_ref(), now) {
        Ok(interaction) => interaction,
        Err(broken) => return unaddressed(&app, &Unaddressed::Interaction(broken)),
    };
    let Some(browser) = browser else { return unreadable() };
    let username = form.get("username").unwrap_or_default();
    let password = Secret::new(form.get("password").unwrap_or_default());
    let attempt = LogInAttempt { username, password, address };
    match app.authority().log_in(interaction.clone(), attempt, &browser, now).await {
        Ok(logged_in) => {
            let sealed = app.authority().seal_interaction(&logged_in.interaction);
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("request", &sealed).finish();
            let mut response = see_other(&format!("{}?{query}", app.path(path::CONSENT)));
            let lifetime = app.authority().policy.lifetimes.session.absolute.as_secs();
            set_cookie(&app, response.headers_mut(), &logged_in.browser, Some(lifetime));
            response
        }
        Err(error) => ask_again(&app, interaction, &browser, username, &error, now).await,
    }
}

/// The login page again, with what went wrong.
async fn ask_again(
    app: &App,
    interaction: Interaction,
    browser: &BrowserToken,
    username: &str,
    error: &LogInError,
    now: Timestamp,
) -> Response {
    let (problem, status) = match error {
        LogInError::WrongCredentials => (LoginProblem::WrongCredentials, StatusCode::FORBIDDEN),
        LogInError::TooManyAttempts { until } => {
            let minutes = until.since(now).as_secs().div_ceil(60);
            let retry_after_minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
            (LoginProblem::TooManyAttempts { retry_after_minutes }, StatusCode::TOO_MANY_REQUESTS)
        }
        LogInError::NotAsked => {
            return unaddressed(app, &Unaddressed::Interaction(BrokenInteraction::Unreadable));
        }
        LogInError::Store(error) => return try_later(app, error),
        LogInError::Password(error) => return try_later(app, error),
    };
    // The same request as before; `begin` judges it and tells what the page needs.
    let mut response = match app.authority().begin(interaction.request, browser, now).await {
        Ok(Next::LogIn(view)) => log_in_page(app, &view, Some((problem, username)), status),
        Ok(Next::AskConsent(_) | Next::Return(_)) | Err(AuthorizeError::Addressed { .. }) => {
            unaddressed(app, &Unaddressed::Interaction(BrokenInteraction::Unreadable))
        }
        Err(AuthorizeError::Unaddressed(error)) => unaddressed(app, &error),
    };
    if let LogInError::TooManyAttempts { until } = error {
        response.headers_mut().insert(RETRY_AFTER, until.since(now).as_secs().into());
    }
    response
}

fn try_later(app: &App, error: &(dyn std::error::Error + 'static)) -> Response {
    log_failure(error);
    let text = ErrorText {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "You cannot log in right now",
        explanation: "The server cannot reach what it needs to check your password.",
        advice: "Go back and try again in a moment.",
        code: Some("temporarily_unavailable"),
    };
    let mut response = error_page(app, &text, None);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(STORE_RETRY_SECONDS));
    response
}

/// Somebody leaves, perhaps so that somebody else can go on with the request.
pub(super) async fn log_out(
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
    // The sealed request is also what makes this form ours: another site cannot log anybody out.
    let interaction = match open(&app, &form, browser.as_ref(), now) {
        Ok(interaction) => interaction,
        Err(broken) => return unaddressed(&app, &Unaddressed::Interaction(broken)),
    };
    let Some(browser) = browser else { return unreadable() };
    if let Err(error) = app.authority().log_out(&browser).await {
        return try_later(&app, &error);
    }
    let mut response = see_other(&format!("{}?{}", app.path(path::SIGNED_OUT), interaction.request.to_query()));
    set_cookie(&app, response.headers_mut(), &app.authority().new_browser(), None);
    response
}

/// Goodbye, with a way to go on with the request that was interrupted.
pub(super) async fn signed_out(State(app): State<App>, uri: Uri) -> Response {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let request = AuthorizationRequest::from(&form);
    let again = request.client_id.is_some().then(|| authorize_again(&app, &request));
    html(StatusCode::OK, &SignedOutPage { continue_url: again.as_deref() }, None)
}
