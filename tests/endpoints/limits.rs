//! Whoever asks too often, or when there is too much to do, is told so in the words of the endpoint; others are not in their way.

use std::num::NonZeroU32;

use axum::http::Method;
use gateward::{
    http::{
        AddressBlocks, Rejection, TrustedProxies,
        limits::{LimitOptions, Rates},
    },
    testing::server::{Builder, Parameters, RESOURCE, TestClient, TestServer, machine, public_client, resource_server},
};

use super::{everywhere::endless, *};

const ONE: Option<NonZeroU32> = NonZeroU32::new(1);
/// With one request a second: what may come at once.
const BURST: usize = 10;
const ELSEWHERE: &str = "198.51.100.7";

fn limited(change: impl FnOnce(&mut LimitOptions)) -> Builder {
    TestServer::builder().options(|options| change(&mut options.limits))
}

fn client_credentials() -> Parameters {
    Parameters::from([("grant_type", "client_credentials")])
}

#[track_caller]
fn assert_too_many(answer: &Answer) {
    assert_error(answer, StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

async fn token_from(server: &TestServer, client: &TestClient, address: &str) -> Answer {
    server.call(Method::POST, "/oauth/token").from(address).form_as(client, client_credentials()).send().await
}

/// A request of a client that nobody knows.
async fn invented(server: &TestServer, number: usize, address: &str) -> Answer {
    let call = server.call(Method::POST, "/oauth/token").from(address).basic(&format!("nobody-{number}"), "x");
    call.form(client_credentials()).send().await
}

#[tokio::test]
async fn a_flood_of_invented_clients_is_turned_away_before_the_store_is_asked() {
    let faults = faults::Faults::default();
    let builder = limited(|limits| limits.token.per_address = ONE);
    let server = builder.stores(|stores| faults.wrap(stores)).start().await;
    for number in 0..BURST {
        assert_invalid_client(&invented(&server, number, ELSEWHERE).await);
    }
    let asked = faults.calls("clients.find");
    for number in BURST..100 {
        assert_too_many(&invented(&server, number, ELSEWHERE).await);
    }
    assert_eq!(faults.calls("clients.find"), asked);
    assert_eq!(server.app.rejections().count(Rejection::TooOften), 90);
    server.pass(3);
    for number in 100..103 {
        assert_invalid_client(&invented(&server, number, ELSEWHERE).await);
    }
    assert_too_many(&invented(&server, 103, ELSEWHERE).await);
}

#[tokio::test]
async fn a_client_that_is_known_where_it_is_does_not_notice_a_flood_from_there() {
    let server = limited(|limits| limits.token.per_address = ONE).start().await;
    let worker = server.create_client("worker", machine()).await;
    assert_ok(&token_from(&server, &worker, ELSEWHERE).await);
    for number in 0..50 {
        invented(&server, number, ELSEWHERE).await;
    }
    assert_too_many(&invented(&server, 50, ELSEWHERE).await);
    for _ in 0..50 {
        assert_ok(&token_from(&server, &worker, ELSEWHERE).await);
    }
    let newcomer = server.create_client("newcomer", machine()).await;
    assert_too_many(&token_from(&server, &newcomer, ELSEWHERE).await);
    assert_ok(&token_from(&server, &newcomer, "203.0.113.9").await);
}

#[tokio::test]
async fn a_client_has_a_limit_of_its_own_at_each_address() {
    let server = limited(|limits| limits.token.per_client = ONE).start().await;
    let (busy, other) = (server.create_client("busy", machine()).await, server.create_client("other", machine()).await);
    // The first one proves who it is, and does not count yet.
    for _ in 0..=BURST {
        assert_ok(&token_from(&server, &busy, ELSEWHERE).await);
    }
    assert_too_many(&token_from(&server, &busy, ELSEWHERE).await);
    assert_ok(&token_from(&server, &other, ELSEWHERE).await);
    assert_ok(&token_from(&server, &busy, "203.0.113.9").await);
    server.pass(1);
    assert_ok(&token_from(&server, &busy, ELSEWHERE).await);
    assert_too_many(&token_from(&server, &busy, ELSEWHERE).await);
}

/// Its name is no secret, and proves nothing.
#[tokio::test]
async fn whoever_uses_the_name_of_a_public_client_is_nobody_until_a_grant_of_its_is_good() {
    let server = limited(|limits| limits.token.per_address = ONE).start().await.with_user().await;
    let app = server.create_client("app", public_client()).await;
    for _ in 0..BURST {
        assert_bad_request(&server.refresh(&app, "gw_rt_x").await, "invalid_grant");
    }
    assert_too_many(&server.refresh(&app, "gw_rt_x").await);
    let tokens = async |address: &str| {
        let code = server.code(&Parameters::authorize(&app)).await;
        server.call(Method::POST, "/oauth/token").from(address).form_as(&app, Parameters::redeem(&code)).send().await
    };
    assert_ok(&tokens(ELSEWHERE).await);
    for _ in 0..2 * BURST {
        assert_ok(&tokens(ELSEWHERE).await);
    }
}

#[tokio::test]
async fn introspection_and_revocation_have_limits_too() {
    let rates = Rates { per_address: ONE, per_client: ONE };
    let server = limited(|limits| limits.token_query = rates).start().await;
    let mcp = server.create_client("mcp", resource_server(RESOURCE)).await;
    for _ in 0..=BURST {
        assert_eq!(server.introspect(&mcp, "x").await, inactive());
    }
    assert_too_many(&server.post_as(&mcp, "/oauth/introspect", [("token", "x")]).await);
    for (number, path) in (0..2 * BURST).zip(["/oauth/introspect", "/oauth/revoke"].iter().cycle()) {
        let call = server.call(Method::POST, path).from(ELSEWHERE).basic(&format!("nobody-{number}"), "x");
        let answer = call.form([("token", "x")]).send().await;
        if number < BURST { assert_invalid_client(&answer) } else { assert_too_many(&answer) }
    }
}

#[tokio::test]
async fn a_human_sees_a_page_that_says_later() {
    let server = limited(|limits| limits.pages = ONE).start().await;
    let app = server.create_client("app", public_client()).await;
    let mut visitor = server.visitor();
    for _ in 0..BURST {
        assert_page(&visitor.authorize(&Parameters::authorize(&app)).await, StatusCode::OK);
    }
    let refused = visitor.authorize(&Parameters::authorize(&app)).await;
    assert_page(&refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/oauth/login", "/oauth/consent", "/oauth/logout"] {
        let answer = visitor.post(path, [("request", "x")]).await;
        assert_page(&answer, StatusCode::TOO_MANY_REQUESTS);
    }
    server.pass(1);
    assert_page(&visitor.authorize(&Parameters::authorize(&app)).await, StatusCode::OK);
}

#[tokio::test]
async fn registration_its_management_and_metadata_have_limits_too() {
    let server = limited(|limits| (limits.registration, limits.public) = (ONE, ONE)).start().await;
    let minimal = serde_json::json!({ "redirect_uris": [gateward::testing::server::REDIRECT] });
    for _ in 0..BURST {
        assert_eq!(server.register(&minimal).await.status, StatusCode::CREATED);
    }
    assert_too_many(&server.register(&minimal).await);
    assert_too_many(&server.get("/oauth/register/x").await);
    let public =
        ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/nothing", "/.well-known/nothing"];
    for (_, path) in (0..BURST).zip(public.iter().cycle()) {
        assert_ne!(server.get(path).await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    for path in public {
        assert_too_many(&server.get(path).await);
    }
    for path in ["/livez", "/readyz"] {
        assert_ok(&server.get(path).await);
    }
}

#[tokio::test]
async fn a_refusal_may_be_read_by_scripts() {
    let everything = |limits: &mut LimitOptions| {
        (limits.token.per_address, limits.registration, limits.public) = (ONE, ONE, ONE);
    };
    let server = limited(everything).start().await;
    for (method, path) in [
        (Method::POST, "/oauth/token"),
        (Method::POST, "/oauth/register"),
        (Method::GET, "/.well-known/oauth-authorization-server"),
    ] {
        let ask = async || {
            let call = server.call(method.clone(), path).header("origin", "https://inspector.example");
            call.form(client_credentials().add("client_id", "x")).send().await
        };
        for _ in 0..BURST {
            ask().await;
        }
        let refused = ask().await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "{path}");
    }
}

#[tokio::test]
async fn a_slash_64_is_one_address_and_an_exempt_one_is_none() {
    let exempt = AddressBlocks::new(["203.0.113.0/24".parse().expect("a block")]);
    let server = limited(|limits| (limits.public, limits.exempt) = (ONE, exempt)).start().await;
    let from = async |address: &str| server.call(Method::GET, "/").from(address).send().await.status;
    for n in 0..BURST {
        assert_eq!(from(&format!("2001:db8::{n}")).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(from("2001:db8::ffff").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from("2001:db8:0:1::1").await, StatusCode::NOT_FOUND);
    for _ in 0..3 * BURST {
        assert_eq!(from("203.0.113.200").await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn senders_behind_a_trusted_proxy_are_told_apart_in_either_way_of_telling() {
    let proxies = TrustedProxies::new(["10.0.0.0/8".parse().expect("a block")]);
    let server =
        limited(|limits| limits.public = ONE).options(|options| options.trusted_proxies = proxies).start().await;
    let by = async |proxy: &str, name: &str, value: String| {
        server.call(Method::GET, "/").from(proxy).header(name, value).send().await.status
    };
    for _ in 0..BURST {
        assert_eq!(by("10.0.0.1", "forwarded", format!("for=\"{ELSEWHERE}:4711\"")).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(by("10.0.0.1", "x-forwarded-for", ELSEWHERE.to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(by("10.0.0.1", "forwarded", "for=198.51.100.8".to_owned()).await, StatusCode::NOT_FOUND);
    // Whoever is no proxy is one sender, whatever it says.
    for n in 0..BURST {
        assert_eq!(by("192.0.2.77", "forwarded", format!("for=198.51.100.{n}")).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(by("192.0.2.77", "forwarded", "for=203.0.113.1".to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn with_too_much_to_do_it_says_so_at_once_and_stays_live_and_ready() {
    let server = TestServer::builder().options(|options| options.max_in_flight = 3).start().await;
    let worker = server.create_client("worker", machine()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut call = Box::pin(server.call(Method::POST, "/oauth/token").raw_form(endless()).send());
        assert!(futures_util::future::poll_immediate(&mut call).await.is_none());
        held.push(call);
    }
    for (method, path) in [(Method::GET, "/.well-known/jwks.json"), (Method::POST, "/oauth/token"), (Method::GET, "/x")]
    {
        let answer = server.call(method, path).send().await;
        assert_unavailable(&answer);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    for path in ["/livez", "/readyz"] {
        assert_ok(&server.get(path).await);
    }
    assert_eq!(server.app.rejections().count(Rejection::Busy), 3);
    drop(held);
    assert_ok(&server.token(&worker, client_credentials()).await);
}

#[tokio::test]
async fn a_password_spray_hears_later_while_tokens_are_issued() {
    let server = limited(|limits| limits.pages = NonZeroU32::new(1000)).start().await.with_user().await;
    let app = server.create_client("app", public_client()).await;
    let worker = server.create_client("worker", machine()).await;
    let mut visitor = server.visitor();
    let page = visitor.authorize(&Parameters::authorize(&app)).await;
    let spray: Vec<_> = (0..300)
        .map(|n| {
            let form = [("request", page.sealed()), ("username", &*format!("user{n}")), ("password", "summer")];
            tokio::spawn(visitor.call(Method::POST, "/oauth/login").from(ELSEWHERE).form(form).send())
        })
        .collect();
    let mut honest = 0;
    let mut turned_away = 0;
    for attempt in spray {
        assert_ok(&server.token(&worker, client_credentials()).await);
        honest += 1;
        let answer = attempt.await.expect("no panic");
        match answer.status {
            StatusCode::FORBIDDEN => {}
            status => {
                assert!(matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS), "{status}");
                assert!(answer.header("retry-after").is_some());
                turned_away += 1;
            }
        }
    }
    assert_eq!(honest, 300);
    assert!(turned_away > 0);
    assert_eq!(server.app.rejections().count(Rejection::HasherBusy), turned_away);
}
