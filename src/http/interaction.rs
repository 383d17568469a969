//! A form that continues an authorization request: the sealed request in it, and the browser that it is sealed for.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::Response,
};

use super::{
    App,
    extract::{Browser, FormRejection, Now, PostedForm},
    html::error_page,
    respond::{ErrorText, error_page_of, status_of},
    router::path,
};
use crate::{
    domain::time::Timestamp,
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
        let Ok(Now(now)) = Now::from_request_parts(&mut parts, app).await;
        let Ok(Browser(browser)) = Browser::from_request_parts(&mut parts, app).await;
        let read = PostedForm::read(Request::from_parts(parts, body), app).await;
        let form = read.map_err(|rejection| unreadable_form(app, rejection))?.form;
        match open(app, &form, browser, now) {
            Ok((interaction, browser)) => Ok(Self { form, interaction, browser }),
            Err(broken) => Err(unaddressed(app, &Unaddressed::Interaction(broken))),
        }
    }
}

/// Reads the sealed request that a form or link carries.
pub(super) fn open(
    app: &App,
    form: &Form,
    browser: Option<BrowserToken>,
    now: Timestamp,
) -> Result<(Interaction, BrowserToken), BrokenInteraction> {
    let sealed = form.get("request").unwrap_or_default();
    let interaction = app.authority().open_interaction(sealed, browser.as_ref(), now)?;
    // It opened for this browser, so there is one.
    browser.map(|browser| (interaction, browser)).ok_or(BrokenInteraction::Unreadable)
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

/// The page for a form or query that cannot be read.
pub(super) fn unreadable_form(app: &App, rejection: FormRejection) -> Response {
    tracing::info!(?rejection, "unreadable form");
    error_page(app, &ErrorText { status: status_of(rejection), ..UNREADABLE }, None)
}

const UNREADABLE: ErrorText = ErrorText {
    status: StatusCode::BAD_REQUEST,
    title: "This link cannot be read",
    explanation: "It has a parameter twice, is too long, or is not well-formed. Nothing was done.",
    advice: "Go back to the app and start again. If that does not help, its developer has to look at it.",
    code: Some("invalid_request"),
};
