//! `POST /oauth/login`, `POST /oauth/logout`, `GET /oauth/signed-out`: the human comes and goes.

use axum::{
    extract::State,
    http::{StatusCode, Uri, header::RETRY_AFTER},
    response::Response,
};
use url::form_urlencoded;

use super::{
    App,
    audit::Scene,
    authorize::log_in_page,
    html::{error_page, html, see_other, set_cookie},
    interaction::{FormAnswer, authorize_again, unaddressed},
    page::{login::LoginProblem, signed_out::SignedOutPage},
    rejections::Rejection,
    respond::{ErrorText, log_failure},
    table::path,
};
use crate::{
    domain::{audit::Action, correlation::AttemptId, time::Timestamp},
    protocol::{authorization::AuthorizationRequest, form::Form, secret::Secret},
    service::{
        authorize::{Addressed, AuthorizeError, Next, Unaddressed},
        interaction::{BrokenInteraction, BrowserToken, Interaction},
        log_in::{LogInAttempt, LogInError},
    },
};

/// Somebody logs in.
pub(super) async fn log_in(State(app): State<App>, scene: Scene, answer: FormAnswer) -> Response {
    let Scene { now, address, .. } = scene;
    let FormAnswer { form, interaction, browser } = answer;
    let username = form.get("username").unwrap_or_default();
    let password = Secret::new(form.get("password").unwrap_or_default());
    let attempt = LogInAttempt { username, password, address };
    let report = scene.report(&app, Action::UserLogin).of(&interaction);
    match report.tell(app.authority().log_in(interaction.clone(), attempt, &browser, now).await) {
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
    let attempt = interaction.attempt();
    let (problem, status) = match error {
        LogInError::WrongCredentials { .. } => (LoginProblem::WrongCredentials, StatusCode::FORBIDDEN),
        LogInError::TooManyAttempts { until } => {
            app.rejections().note(Rejection::TooManyLogins);
            let minutes = until.since(now).as_secs().div_ceil(60);
            let retry_after_minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
            (LoginProblem::TooManyAttempts { retry_after_minutes }, StatusCode::TOO_MANY_REQUESTS)
        }
        LogInError::NotAsked => {
            return unaddressed(app, attempt, &Unaddressed::Interaction(BrokenInteraction::Unreadable));
        }
        LogInError::Store(error) => return try_later(attempt, error),
        LogInError::Password(error) => {
            app.rejections().note(Rejection::HasherBusy);
            return try_later(attempt, error);
        }
    };
    // The same request as before; `begin` judges it and tells what the page needs.
    let mut response = match app.authority().begin(attempt, interaction.request, browser, now).await {
        Ok(Next::LogIn(view)) => log_in_page(app, &view, Some((problem, username)), status),
        Err(AuthorizeError::Addressed { why: Addressed::Store(error), .. }) => return try_later(attempt, &error),
        Ok(Next::AskConsent(_) | Next::Return(_))
        | Err(AuthorizeError::Addressed { why: Addressed::Refused(_), .. }) => {
            unaddressed(app, attempt, &Unaddressed::Interaction(BrokenInteraction::Unreadable))
        }
        Err(AuthorizeError::Unaddressed(error)) => unaddressed(app, attempt, &error),
    };
    if let LogInError::TooManyAttempts { until } = error {
        response.headers_mut().insert(RETRY_AFTER, until.since(now).as_secs().into());
    }
    response
}

fn try_later(attempt: AttemptId, error: &(dyn std::error::Error + 'static)) -> Response {
    log_failure(error);
    let text = ErrorText {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "You cannot log in right now",
        explanation: "The server cannot reach what it needs to check your password.",
        advice: "Go back and try again in a moment.",
        code: Some("temporarily_unavailable"),
    };
    error_page(&attempt.to_string(), &text, None)
}

/// Somebody leaves, perhaps so that somebody else can go on with the request.
pub(super) async fn log_out(
    State(app): State<App>,
    scene: Scene,
    FormAnswer { interaction, browser, .. }: FormAnswer,
) -> Response {
    let report = scene.report(&app, Action::UserLogout).of(&interaction);
    if let Err(error) = report.tell(app.authority().log_out(&browser).await) {
        return try_later(interaction.attempt(), &error);
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
