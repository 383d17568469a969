//! A form that continues an authorization request: the sealed request in it, and the browser that it is sealed for.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    App,
    audit::Scene,
    extract::{Browser, FormRejection, PostedForm},
    html::error_page,
    respond::{ErrorText, error_page_of, status_of},
    table::path,
};
use crate::{
    domain::{audit::Action, correlation::AttemptId},
    log::note_attempt,
    protocol::{authorization::AuthorizationRequest, form::Form},
    service::{
        authorize::Unaddressed,
        interaction::{BrokenInteraction, BrowserToken, Interaction},
    },
};

/// What a human answered, to a page that this very browser was shown. The seal is also what makes the form ours: another site
/// cannot make one.
pub(super) struct FormAnswer {
    pub(super) form: Form,
    pub(super) interaction: Interaction,
    pub(super) browser: BrowserToken,
}

impl FromRequest<App> for FormAnswer {
    /// A page for the human.
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let scene = Scene::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let Ok(Browser(browser)) = Browser::from_request_parts(&mut parts, app).await;
        let read = PostedForm::read(Request::from_parts(parts, body), app).await;
        let form = read.map_err(|rejection| unreadable_form(app.authority().new_attempt(), rejection))?.form;
        let (interaction, browser) = open(app, &scene, &form, browser).map_err(|page| *page)?;
        Ok(Self { form, interaction, browser })
    }
}

/// Reads the sealed request that a form or link carries; a page for the human if it continues nothing.
pub(super) fn open(
    app: &App,
    scene: &Scene,
    form: &Form,
    browser: Option<BrowserToken>,
) -> Result<(Interaction, BrowserToken), Box<Response>> {
    let sealed = form.get("request").unwrap_or_default();
    let opened = app.authority().open_interaction(sealed, browser.as_ref(), scene.now);
    // If it opened for this browser, there is one.
    let opened = opened.and_then(|interaction| match browser {
        Some(browser) => Ok((interaction, browser)),
        None => Err(BrokenInteraction::Unreadable),
    });
    match opened {
        Ok((interaction, browser)) => {
            note_attempt(interaction.attempt());
            Ok((interaction, browser))
        }
        Err(broken) => {
            let attempt = app.authority().attempt_of(sealed).unwrap_or_else(|| app.authority().new_attempt());
            let broken = scene.report(app, Action::Authorize).in_attempt(attempt).refused(broken);
            Err(Box::new(unaddressed(app, attempt, &Unaddressed::Interaction(broken))))
        }
    }
}

/// The error page for a request whose answer has no certain place to go.
pub(super) fn unaddressed(app: &App, attempt: AttemptId, error: &Unaddressed) -> Response {
    note_attempt(attempt);
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
    error_page(&attempt.to_string(), &error_page_of(error), again.as_deref())
}

/// The path that starts a request again.
pub(super) fn authorize_again(app: &App, request: &AuthorizationRequest) -> String {
    format!("{}?{}", app.path(path::AUTHORIZE), request.to_query())
}

/// The page for a form or query that cannot be read.
pub(super) fn unreadable_form(attempt: AttemptId, rejection: FormRejection) -> Response {
    note_attempt(attempt);
    tracing::info!(?rejection, "unreadable form");
    error_page(&attempt.to_string(), &ErrorText { status: status_of(rejection), ..UNREADABLE }, None)
}

const UNREADABLE: ErrorText = ErrorText {
    status: StatusCode::BAD_REQUEST,
    title: "This link cannot be read",
    explanation: "It has a parameter twice, is too long, or is not well-formed. Nothing was done.",
    advice: "Go back to the app and start again. If that does not help, its developer has to look at it.",
    code: Some("invalid_request"),
};
