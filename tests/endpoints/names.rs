//! Requests and authorization attempts have names: in their answers, in every line of the log, and on error pages.

use std::{collections::HashSet, time::Duration};

use axum::http::Method;
use gateward::{
    http::{ROUTES, TrustedProxies},
    testing::server::{Answer, OPAQUE_RESOURCE, Parameters, TestServer, machine, public_client, resource_server},
};

use tracing_subscriber::layer::SubscriberExt;

use super::{faults::Faults, log::Log, *};

fn name(answer: &Answer) -> String {
    answer.header("x-request-id").unwrap_or_else(|| panic!("no name: {}", answer.text())).to_owned()
}

/// The lines of a log in JSON, each with the request that it belongs to.
fn lines(log: &Log) -> Vec<(Value, Value)> {
    let lines = log.text();
    let line = |line: &str| -> Value { serde_json::from_str(line).expect("a line of JSON") };
    lines.lines().map(line).map(|line| (line["request"].clone(), line)).collect()
}

/// A log as `serve` writes it with `log.format = "json"`.
fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let lines = gateward::log::json(log.writer());
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
    (log, guard)
}

#[tokio::test]
async fn every_answer_tells_the_name_of_its_request_and_no_two_have_one_name() {
    let server = TestServer::start().await;
    let mut names = HashSet::new();
    let mut count = 0;
    let unknown = [("/nowhere", "GET"), ("/.well-known/nothing", "GET"), ("/oauth/token", "DELETE")];
    let routes = ROUTES.iter().flat_map(|route| route.methods.iter().map(|method| (route.path, *method)));
    for (path, method) in routes.chain(unknown) {
        let path = path.replace("{client_id}", "x");
        let method: Method = method.parse().expect("a method");
        let answer = server.call(method, &path).send().await;
        let name = name(&answer);
        assert!(name.len() == 22 && name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
        names.insert(name);
        count += 1;
    }
    assert!(count > ROUTES.len() && names.len() == count, "{count} requests, {} names", names.len());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_has_a_name_too() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    faults.get_stuck();
    let answer = server.post("/oauth/token", Parameters::refresh("gw_rt_x").add("client_id", "app")).await;
    assert_unavailable(&answer);
    name(&answer);
}

#[tokio::test]
async fn nobody_chooses_the_name_of_a_request() {
    let server = TestServer::start().await;
    let answer = server.call(Method::GET, "/livez").header("x-request-id", "of-somebody-else").send().await;
    assert_ne!(name(&answer), "of-somebody-else");
}

#[tokio::test]
async fn a_trusted_proxy_does_unless_the_name_is_odd() {
    let proxies = TrustedProxies::new(["10.0.0.0/8".parse().expect("a block")]);
    let server = TestServer::builder().options(|options| options.trusted_proxies = proxies).start().await;
    let call = || server.call(Method::GET, "/livez").from("10.0.0.1").header("x-forwarded-for", "198.51.100.1");
    assert_eq!(name(&call().header("x-request-id", "from-the-proxy").send().await), "from-the-proxy");
    for odd in ["", "two words", "\"quoted\"", &"x".repeat(65)] {
        assert_eq!(name(&call().header("x-request-id", odd).send().await).len(), 22, "{odd}");
    }
    let twice = call().header("x-request-id", "one").header("x-request-id", "two").send().await;
    assert_eq!(name(&twice).len(), 22);
}

/// Also what is done in a task of its own, for whoever hangs up: here a grant ends because its code came back.
#[tokio::test]
async fn every_line_of_a_request_has_its_name() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let code = server.code(&Parameters::authorize(&client)).await;
    server.redeem(&client, &code).await;
    let (log, guard) = listen();
    let replayed = server.redeem(&client, &code).await;
    drop(guard);
    assert_bad_request(&replayed, "invalid_grant");
    let lines = lines(&log);
    assert!(log.text().contains("a spent credential came back") && lines.len() > 1, "{}", log.text());
    for (request, line) in lines {
        assert_eq!(request["id"], name(&replayed), "{line}");
    }
}

#[tokio::test]
async fn a_failing_store_is_logged_with_the_name_that_the_client_is_told() {
    let faults = Faults::default();
    let server = TestServer::builder().stores(|stores| faults.wrap(stores)).start().await;
    let rs = server.create_client("rs", resource_server(OPAQUE_RESOURCE)).await;
    let worker = server.create_client("worker", machine()).await;
    faults.take_down();
    let (log, guard) = listen();
    let told = [
        server.post_as(&rs, "/oauth/introspect", [("token", "x")]).await,
        server.token(&worker, [("grant_type", "client_credentials")]).await,
    ];
    drop(guard);
    for answer in told {
        let of_it = |(request, line): &(Value, Value)| request["id"] == name(&answer) && line["level"] == "ERROR";
        assert!(lines(&log).iter().any(of_it), "{}", log.text());
    }
}

#[tokio::test]
async fn an_attempt_has_one_name_from_the_link_to_the_answer() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let (log, guard) = listen();
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let wrong = visitor.log_in_as(&login, "ada", "wrong").await;
    let consent = visitor.log_in(&wrong).await;
    let denied = visitor.decide(&consent, "deny").await;
    drop(guard);
    assert_redirected_error(&denied, "access_denied");
    let of = |message: &str| {
        let lines = lines(&log);
        let (request, _) = lines.iter().find(|(_, line)| line["message"] == message).expect("a line");
        (text(request, "attempt"), text(request, "id"))
    };
    let (failed, refused) = (of("a login failed"), of("authorization refused"));
    assert_eq!(failed.0, refused.0, "one attempt");
    assert_eq!((failed.1, refused.1), (name(&wrong), name(&denied)), "two requests");
}

/// What the human is asked to quote.
fn quoted(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("<dt>Reference</dt>").expect("a reference");
    rest.split_once(r#"dir="ltr">"#).expect("a value").1.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_error_page_quotes_the_attempt_as_the_log_does() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    let consent = visitor.log_in(&login).await;
    visitor.decide(&consent, "deny").await;
    let (log, guard) = listen();
    let answered = visitor.decide(&consent, "approve").await;
    // From another browser: whose attempt it is can still be told.
    let stolen = server.visitor().decide(&consent, "approve").await;
    drop(guard);
    assert_eq!(quoted(&answered), quoted(&stolen));
    let lines = lines(&log);
    assert!(lines.len() > 3, "{}", log.text());
    for (request, line) in lines {
        assert_eq!(text(&request, "attempt"), quoted(&answered), "{line}");
    }
}

#[tokio::test]
async fn two_attempts_of_one_browser_have_different_names() {
    let server = TestServer::start().await;
    let mut visitor = server.visitor();
    let query = Parameters::from([("client_id", "unknown")]);
    let (one, other) = (visitor.authorize(&query).await, visitor.authorize(&query).await);
    assert_ne!(quoted(&one), quoted(&other));
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_again_begins_a_new_attempt() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    let login = visitor.authorize(&Parameters::authorize(&client)).await;
    server.pass(Duration::from_secs(3600).as_secs());
    let expired = visitor.log_in_as(&login, "ada", "wrong").await;
    let again = visitor.authorize(&Parameters::authorize(&client)).await;
    let attempt = |page: &Answer| server.authority().attempt_of(page.sealed()).expect("an attempt").to_string();
    assert_eq!(quoted(&expired), attempt(&login));
    assert_ne!(attempt(&again), attempt(&login));
}

#[tokio::test]
async fn a_page_that_is_nowhere_quotes_its_request() {
    let server = TestServer::start().await;
    let page = server.call(Method::GET, "/nowhere").header("accept", "text/html").send().await;
    assert_eq!(quoted(&page), name(&page));
}
