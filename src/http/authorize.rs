//! `GET|POST /oauth/authorize` (OAuth 2.1 4.1.1) and `GET|POST /oauth/consent`: what the human sees on the way, and the one
//! place that sends a browser to a client.

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use url::{Url, form_urlencoded};

use super::{
    App,
    audit::Scene,
    extract::{Browser, FormRejection, PostedForm},
    html::{html, see_other, set_cookie},
    interaction::{FormAnswer, authorize_again, open, unaddressed, unreadable_form},
    page::{
        consent::{ConsentPage, Destination, ScopeLine, Vouching},
        login::{LoginPage, LoginProblem},
    },
    respond::Refusal,
    table::path,
};
use crate::{
    domain::{
        audit::Action,
        client::Provenance,
        correlation::AttemptId,
        redirect::RedirectKind,
        resource::Resource,
        scope::{Scope, ScopeToken},
    },
    log::note_attempt,
    protocol::{authorization::AuthorizationRequest, error::AuthorizationErrorCode, form::Form},
    service::{
        authorize::{
            AccessDuration, Addressee, AuthorizeError, CodeIssued, ConsentView, Decision, LogInView, Next, Unaddressed,
        },
        interaction::BrokenInteraction,
    },
};

/// A request arrives.
pub(super) async fn authorize(State(app): State<App>, scene: Scene, Browser(browser): Browser, uri: Uri) -> Response {
    let attempt = app.authority().new_attempt();
    note_attempt(attempt);
    let request = match AuthorizationRequest::parse(uri.query().unwrap_or_default().as_bytes()) {
        Ok(request) => request,
        Err(error) => return unreadable_form(attempt, FormRejection::Malformed(error)),
    };
    let known = browser.is_some();
    let browser = browser.unwrap_or_else(|| app.authority().new_browser());
    let report = scene.report(&app, Action::Authorize).in_attempt(attempt);
    let report = report.claiming(request.client_id.as_deref().unwrap_or_default());
    let next = app.authority().begin(attempt, request, &browser, scene.now).await;
    let mut response = show(&app, attempt, report.tell(next));
    if !known {
        set_cookie(&app, response.headers_mut(), &browser, None);
    }
    response
}

/// RFC 6749 3.1: a request may also be posted. A browser that comes from another site posts without its cookie, so the same
/// request is asked for again in a way that brings it.
pub(super) async fn authorize_posted(State(app): State<App>, request: Request) -> Response {
    match PostedForm::read(request, &app).await {
        Ok(read) => see_other(&authorize_again(&app, &AuthorizationRequest::from(&read.form))),
        Err(rejection) => unreadable_form(app.authority().new_attempt(), rejection),
    }
}

/// The next step after a login.
pub(super) async fn consent_page(
    State(app): State<App>,
    scene: Scene,
    Browser(browser): Browser,
    uri: Uri,
) -> Response {
    let form = match Form::parse(uri.query().unwrap_or_default().as_bytes()) {
        Ok(form) => form,
        Err(error) => return unreadable_form(app.authority().new_attempt(), FormRejection::Malformed(error)),
    };
    match open(&app, &scene, &form, browser) {
        Ok((interaction, browser)) => {
            let attempt = interaction.attempt();
            let report = scene.report(&app, Action::Authorize).of(&interaction);
            show(&app, attempt, report.tell(app.authority().proceed(interaction, &browser, scene.now).await))
        }
        Err(page) => *page,
    }
}

/// The human decided.
pub(super) async fn decide(State(app): State<App>, scene: Scene, answer: FormAnswer) -> Response {
    let attempt = answer.interaction.attempt();
    let decision = match answer.form.get("decision") {
        Some("approve") => Decision::Approve,
        Some("deny") => Decision::Deny,
        Some(_) | None => return unaddressed(&app, attempt, &Unaddressed::Interaction(BrokenInteraction::Unreadable)),
    };
    let report = scene.report(&app, Action::UserConsent).of(&answer.interaction);
    match report.tell(app.authority().decide(answer.interaction, decision, &answer.browser, scene.now).await) {
        Ok(issued) => return_code(&app, &issued),
        Err(error) => refuse(&app, attempt, error),
    }
}

fn show(app: &App, attempt: AttemptId, next: Result<Next, AuthorizeError>) -> Response {
    match next {
        Ok(Next::LogIn(view)) => log_in_page(app, &view, None, StatusCode::OK),
        Ok(Next::AskConsent(view)) => ask_consent(app, &view),
        Ok(Next::Return(issued)) => return_code(app, &issued),
        Err(error) => refuse(app, attempt, error),
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

fn refuse(app: &App, attempt: AttemptId, error: AuthorizeError) -> Response {
    match error {
        AuthorizeError::Unaddressed(error) => unaddressed(app, attempt, &error),
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
