//! How clients say who they are (RFC 6749 2.3, RFC 7523): exactly one method, the registered one.

use axum::http::Method;
use gateward::{
    adapter::signing_key::SigningKey,
    domain::{
        client::{AuthenticationMethod, ClientStatus},
        identifier::ClientId,
    },
    protocol::{
        client_authentication::JWT_BEARER,
        jose::{Algorithm, JwkSet},
    },
    service::administer_clients::ClientSpec,
    testing::server::{Call, ISSUER, Parameters, TestClient, TestServer, machine, public_client},
};
use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "/oauth/token";

fn form() -> Parameters {
    Parameters::from([("grant_type", "client_credentials")])
}

async fn worker_with(authentication: AuthenticationMethod) -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let worker = server.create_client("worker", ClientSpec { authentication, ..machine() }).await;
    (server, worker)
}

fn post(server: &TestServer) -> Call {
    server.call(Method::POST, TOKEN)
}

#[tokio::test]
async fn client_secret_basic_works() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    assert_ok(&post(&server).basic(&worker.id, worker.secret()).form(form()).send().await);
}

#[tokio::test]
async fn client_secret_post_works() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretPost).await;
    let form = form().add("client_id", &worker.id).add("client_secret", worker.secret());
    assert_ok(&post(&server).form(form).send().await);
}

#[tokio::test]
async fn id_and_secret_are_form_decoded_after_base64() {
    let server = TestServer::start().await;
    let (id, secret) = ("a:b%/+c", "p a+ss%:wörd&=");
    server.declare_client(id, machine(), secret).await;
    assert_ok(&post(&server).basic(id, secret).form(form()).send().await);
    // Not encoded, the first colon divides: another client.
    let raw = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    let call = post(&server).header("authorization", format!("Basic {raw}")).form(form());
    assert_invalid_client(&call.send().await);
}

#[tokio::test]
async fn the_scheme_name_is_case_insensitive() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", worker.id, worker.secret()));
    for scheme in ["basic", "BASIC"] {
        let call = post(&server).header("authorization", format!("{scheme} {pair}")).form(form());
        assert_ok(&call.send().await);
    }
}

#[tokio::test]
async fn a_malformed_authorization_header_is_401() {
    let (server, _) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    for header in [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic d29ya2Vy",
        "Basic Og==",
        "Basic d29ya2VyOg==",
        "Bearer x",
        "Basic d29ya2VyOiV6eg==",
        "Basic d29ya2VyOiVmZg==",
    ] {
        let call = post(&server).header("authorization", header).form(form());
        assert_invalid_client(&call.send().await);
    }
    let call = post(&server).header("authorization", [0x42, 0xff, 0x20]).form(form());
    assert_invalid_client(&call.send().await);
}

#[tokio::test]
async fn a_wrong_secret_is_401() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    for secret in ["wrong", &worker.secret()[1..], &format!("{}x", worker.secret()), &worker.secret().to_lowercase()] {
        assert_invalid_client(&post(&server).basic(&worker.id, secret).form(form()).send().await);
    }
}

#[tokio::test]
async fn unknown_deleted_and_disabled_clients_get_the_answer_of_a_wrong_secret() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let wrong = post(&server).basic(&worker.id, "wrong").form(form()).send().await;
    let same = |answer: &Answer| {
        assert_invalid_client(answer);
        assert_eq!((&answer.body, unnamed(answer)), (&wrong.body, unnamed(&wrong)));
    };
    same(&post(&server).basic("nobody", "x").form(form()).send().await);

    let id = ClientId::parse(&worker.id).expect("a client_id");
    let mut stored = server.authority().client(&id).await.expect("the client");
    stored.status = ClientStatus::Disabled;
    server.stores.clients.replace(&stored).await.expect("the store");
    same(&server.token(&worker, form()).await);

    server.authority().delete_client(&id, server.now()).await.expect("deleted");
    same(&server.token(&worker, form()).await);
}

#[tokio::test]
async fn an_unknown_public_client_is_401() {
    let server = TestServer::start().await;
    assert_invalid_client(&server.post(TOKEN, form().add("client_id", "nobody")).await);
}

#[tokio::test]
async fn nobody_at_all_is_401() {
    let server = TestServer::start().await;
    assert_invalid_client(&server.post(TOKEN, form()).await);
}

#[tokio::test]
async fn only_the_registered_method_counts() {
    use AuthenticationMethod::{ClientSecretBasic, ClientSecretPost};
    let (server, worker) = worker_with(ClientSecretBasic).await;
    let posted = form().add("client_id", &worker.id).add("client_secret", worker.secret());
    assert_invalid_client(&server.post(TOKEN, posted).await);
    let (server, worker) = worker_with(ClientSecretPost).await;
    assert_invalid_client(&post(&server).basic(&worker.id, worker.secret()).form(form()).send().await);
}

#[tokio::test]
async fn a_public_client_that_sends_a_secret_is_refused() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let refresh = Parameters::refresh("gw_rt_x");
    let posted = refresh.clone().add("client_id", &client.id).add("client_secret", "x");
    assert_invalid_client(&server.post(TOKEN, posted).await);
    assert_invalid_client(&post(&server).basic(&client.id, "x").form(refresh).send().await);
}

#[tokio::test]
async fn a_confidential_client_that_sends_no_secret_is_refused() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretPost).await;
    assert_invalid_client(&server.post(TOKEN, form().add("client_id", &worker.id)).await);
    let empty = form().add("client_id", &worker.id).add("client_secret", "");
    assert_invalid_client(&server.post(TOKEN, empty).await);
}

#[tokio::test]
async fn an_empty_secret_of_a_public_client_counts_as_absent() {
    let server = TestServer::start().await;
    let client = server.create_client("app", public_client()).await;
    let form = Parameters::refresh("gw_rt_x").add("client_id", &client.id).add("client_secret", "");
    assert_bad_request(&server.post(TOKEN, form).await, "invalid_grant");
}

#[tokio::test]
async fn two_methods_at_once_are_an_invalid_request() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let basic = || post(&server).basic(&worker.id, worker.secret());
    let with_secret = form().add("client_id", &worker.id).add("client_secret", worker.secret());
    assert_bad_request(&basic().form(with_secret.clone()).send().await, "invalid_request");
    let assertion = form().add("client_assertion_type", JWT_BEARER).add("client_assertion", "x.y.z");
    assert_bad_request(&basic().form(assertion).send().await, "invalid_request");
    let all = with_secret.add("client_assertion_type", JWT_BEARER).add("client_assertion", "x.y.z");
    assert_bad_request(&server.post(TOKEN, all).await, "invalid_request");
}

#[tokio::test]
async fn two_authorization_headers_are_an_invalid_request() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let call = post(&server).basic(&worker.id, worker.secret()).basic(&worker.id, "x").form(form());
    assert_bad_request(&call.send().await, "invalid_request");
}

#[tokio::test]
async fn a_client_id_beside_the_header_must_be_the_same() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let basic = || post(&server).basic(&worker.id, worker.secret());
    assert_ok(&basic().form(form().add("client_id", &worker.id)).send().await);
    assert_bad_request(&basic().form(form().add("client_id", "other")).send().await, "invalid_request");
}

#[tokio::test]
async fn after_a_rotation_both_secrets_work_until_the_overlap_ends() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let id = ClientId::parse(&worker.id).expect("a client_id");
    let overlap = std::time::Duration::from_secs(100);
    let rotated = server.authority().rotate_secret(&id, overlap, server.now()).await.expect("a rotation");
    let new = rotated.secret.expect("a secret").expose().to_owned();
    let new = TestClient { secret: Some(new), ..worker.clone() };
    for client in [&worker, &new] {
        assert_ok(&server.token(client, form()).await);
    }
    server.pass(100);
    assert_invalid_client(&server.token(&worker, form()).await);
    assert_ok(&server.token(&new, form()).await);
}

#[tokio::test]
async fn only_the_digest_of_a_secret_is_kept() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    let id = ClientId::parse(&worker.id).expect("a client_id");
    let stored = server.authority().client(&id).await.expect("the client");
    assert!(!serde_json::to_string(&stored).expect("JSON").contains(worker.secret()));
}

/// A worker with keys.
struct Signer {
    server: TestServer,
    key: SigningKey,
}

impl Signer {
    async fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm).expect("a key");
        let jwks = Some(JwkSet { keys: vec![key.public().clone()] });
        let server = TestServer::start().await;
        let spec = ClientSpec { authentication: AuthenticationMethod::PrivateKeyJwt, jwks, ..machine() };
        server.create_client("signer", spec).await;
        Self { server, key }
    }

    fn header(&self) -> Value {
        json!({ "alg": self.key.algorithm().as_str(), "kid": self.key.id().as_str() })
    }

    fn claims(&self) -> Value {
        let now = self.server.now().unix();
        json!({ "iss": "signer", "sub": "signer", "aud": ISSUER, "exp": now + 60, "iat": now, "jti": "1" })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.key.sign(message.as_bytes()).expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    async fn send(&self, assertion: &str) -> Answer {
        let form = form().add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion);
        self.server.post(TOKEN, form).await
    }

    /// With one changed claim; `null` takes it away.
    async fn with(&self, name: &str, value: Value) -> Answer {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value;
        }
        self.send(&self.sign(&self.header(), &claims)).await
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

async fn es256() -> Signer {
    Signer::new(Algorithm::ES256).await
}

#[tokio::test]
async fn private_key_jwt_works_with_every_advertised_algorithm() {
    for algorithm in Algorithm::ASYMMETRIC {
        let signer = Signer::new(*algorithm).await;
        assert_ok(&signer.send(&signer.sign(&signer.header(), &signer.claims())).await);
    }
}

#[tokio::test]
async fn the_audience_is_the_issuer_or_the_token_endpoint_as_a_single_string() {
    let signer = es256().await;
    assert_ok(&signer.with("aud", json!(ISSUER)).await);
    let mut claims = signer.claims();
    claims["aud"] = json!(format!("{ISSUER}/oauth/token"));
    claims["jti"] = json!("2");
    assert_ok(&signer.send(&signer.sign(&signer.header(), &claims)).await);
}

#[tokio::test]
async fn any_other_audience_is_refused() {
    for audience in [
        json!([ISSUER, "https://evil.example"]),
        json!([ISSUER, format!("{ISSUER}/oauth/token")]),
        json!([]),
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER}/oauth/revoke")),
        json!("https://evil.example"),
        json!(""),
        json!(7),
        json!(null),
    ] {
        assert_invalid_client(&es256().await.with("aud", audience).await);
    }
}

#[tokio::test]
async fn iss_and_sub_are_the_client() {
    for name in ["iss", "sub"] {
        for value in [json!("other"), json!(""), json!(["signer"]), json!(null)] {
            assert_invalid_client(&es256().await.with(name, value).await);
        }
    }
}

#[tokio::test]
async fn a_client_id_beside_the_assertion_must_be_the_same() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    let form = form().add("client_assertion_type", JWT_BEARER).add("client_assertion", &assertion);
    assert_invalid_client(&signer.server.post(TOKEN, form.clone().add("client_id", "other")).await);
    assert_ok(&signer.server.post(TOKEN, form.add("client_id", "signer")).await);
}

#[tokio::test]
async fn an_assertion_expires_and_may_not_live_long() {
    let now = es256().await.server.now().unix();
    for exp in [now - 61, now - 3600, now + 3600, i64::MAX, i64::MIN] {
        assert_invalid_client(&es256().await.with("exp", json!(exp)).await);
    }
    for exp in [json!(null), json!("soon"), json!(1e300)] {
        assert_invalid_client(&es256().await.with("exp", exp).await);
    }
}

#[tokio::test]
async fn an_assertion_from_the_future_is_refused() {
    let now = es256().await.server.now().unix();
    for name in ["iat", "nbf"] {
        assert_invalid_client(&es256().await.with(name, json!(now + 3600)).await);
    }
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    assert_ok(&signer.send(&assertion).await);
    assert_invalid_client(&signer.send(&assertion).await);
    // Another assertion with the same jti as well.
    assert_invalid_client(&signer.with("exp", json!(signer.server.now().unix() + 90)).await);
    // Even at the last moment, and after the purge.
    signer.server.pass(119);
    signer.server.authority().purge(signer.server.now()).await.expect("a purge");
    assert_invalid_client(&signer.send(&assertion).await);
}

/// The name beside such an assertion may be invented: it would be a row for each of them.
#[tokio::test]
async fn nobody_is_locked_out_by_what_is_no_assertion_of_theirs() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    let with_other_name = form().add("client_assertion_type", JWT_BEARER).add("client_assertion", &assertion);
    for _ in 0..40 {
        assert_invalid_client(&signer.server.post(TOKEN, with_other_name.clone().add("client_id", "other")).await);
        assert_invalid_client(&signer.send("x.y.z").await);
    }
    assert_ok(&signer.send(&assertion).await);
}

#[tokio::test]
async fn assertions_that_are_not_good_lock_a_client_out_like_wrong_secrets() {
    let signer = Signer::new(Algorithm::ES256).await;
    let other = SigningKey::generate(Algorithm::ES256).expect("a key");
    let forged = Signer { server: signer.server.clone(), key: other }.sign(&signer.header(), &signer.claims());
    for _ in 1..20 {
        assert_invalid_client(&signer.send(&forged).await);
    }
    assert_error(&signer.send(&forged).await, StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    let good = signer.sign(&signer.header(), &signer.claims());
    assert_error(&signer.send(&good).await, StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    signer.server.pass(300);
    assert_ok(&signer.send(&signer.sign(&signer.header(), &signer.claims())).await);
}

/// The purge is another instance's.
#[tokio::test]
async fn an_assertion_is_remembered_by_a_purge_whose_clock_is_ahead() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    assert_ok(&signer.send(&assertion).await);
    signer.server.pass(119);
    let ahead = signer.server.now().plus(std::time::Duration::from_secs(30));
    signer.server.authority().purge(ahead).await.expect("a purge");
    assert_invalid_client(&signer.send(&assertion).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_uses_of_one_assertion_at_once_one_counts() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    let form = form().add("client_assertion_type", JWT_BEARER).add("client_assertion", &assertion);
    let calls: Vec<_> = (0..32).map(|_| tokio::spawn(post(&signer.server).form(&form).send())).collect();
    let mut successes = 0;
    for call in calls {
        successes += usize::from(call.await.expect("no panic").status.is_success());
    }
    assert_eq!(successes, 1);
}

#[tokio::test]
async fn a_jti_is_needed() {
    for jti in [json!(null), json!(""), json!(7), json!("x".repeat(256))] {
        assert_invalid_client(&es256().await.with("jti", jti).await);
    }
}

#[tokio::test]
async fn the_algorithm_none_is_refused() {
    let signer = es256().await;
    for alg in ["none", "None", "NONE", ""] {
        let message = unsigned(&json!({ "alg": alg }), &signer.claims());
        assert_invalid_client(&signer.send(&format!("{message}.")).await);
        assert_invalid_client(&signer.send(&format!("{message}.AAAA")).await);
    }
}

#[tokio::test]
async fn a_mac_with_the_public_key_is_refused() {
    let signer = Signer::new(Algorithm::RS256).await;
    let public = serde_json::to_vec(signer.key.public()).expect("JSON");
    let message = unsigned(&json!({ "alg": "HS256" }), &signer.claims());
    for secret in [public, b"signer".to_vec(), vec![]] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        assert_invalid_client(&signer.send(&format!("{message}.{mac}")).await);
    }
}

#[tokio::test]
async fn the_algorithm_must_fit_the_key() {
    let signer = es256().await;
    for alg in ["EdDSA", "RS256", "PS256", "ES384", "ES256K"] {
        let mut header = signer.header();
        header["alg"] = json!(alg);
        assert_invalid_client(&signer.send(&signer.sign(&header, &signer.claims())).await);
    }
    let rsa = Signer::new(Algorithm::RS256).await;
    let mut header = rsa.header();
    header["alg"] = json!("PS256");
    assert_invalid_client(&rsa.send(&rsa.sign(&header, &rsa.claims())).await);
}

#[tokio::test]
async fn a_key_that_the_assertion_brings_along_is_not_believed() {
    let signer = es256().await;
    let own = SigningKey::generate(Algorithm::ES256).expect("a key");
    for header in [
        json!({ "alg": "ES256", "jwk": own.public() }),
        json!({ "alg": "ES256", "kid": own.id().as_str(), "jku": "https://evil.example/jwks.json" }),
        json!({ "alg": "ES256", "x5u": "https://evil.example/x" }),
    ] {
        let message = unsigned(&header, &signer.claims());
        let signature = URL_SAFE_NO_PAD.encode(own.sign(message.as_bytes()).expect("a signature"));
        assert_invalid_client(&signer.send(&format!("{message}.{signature}")).await);
    }
}

#[tokio::test]
async fn a_signature_over_something_else_is_refused() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    let (_, signature) = assertion.rsplit_once('.').expect("a JWS");
    let mut claims = signer.claims();
    claims["jti"] = json!("another");
    let forged = format!("{}.{signature}", unsigned(&signer.header(), &claims));
    assert_invalid_client(&signer.send(&forged).await);
}

#[tokio::test]
async fn an_assertion_that_is_none_is_refused() {
    let signer = es256().await;
    let good = signer.sign(&signer.header(), &signer.claims());
    for assertion in ["x", "..", "a.b.c", "a.b.c.d", &good.replace('.', ""), &format!("{good}="), &format!("{good}.x")]
    {
        assert_invalid_client(&signer.send(assertion).await);
    }
}

#[tokio::test]
async fn a_token_of_this_server_is_no_assertion() {
    let signer = es256().await;
    let mut header = signer.header();
    header["typ"] = json!("at+jwt");
    assert_invalid_client(&signer.send(&signer.sign(&header, &signer.claims())).await);
    header["typ"] = json!("JWT");
    header["crit"] = json!(["exp"]);
    assert_invalid_client(&signer.send(&signer.sign(&header, &signer.claims())).await);
}

#[tokio::test]
async fn the_assertion_type_is_needed_and_exact() {
    let signer = es256().await;
    let assertion = signer.sign(&signer.header(), &signer.claims());
    let with = |form: Parameters| form.add("client_assertion", &assertion);
    assert_bad_request(&signer.server.post(TOKEN, with(form())).await, "invalid_request");
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    let other = with(form().add("client_assertion_type", saml));
    assert_bad_request(&signer.server.post(TOKEN, other).await, "invalid_request");
    let alone = form().add("client_id", "signer").add("client_assertion_type", JWT_BEARER);
    assert_bad_request(&signer.server.post(TOKEN, alone).await, "invalid_request");
}

#[tokio::test]
async fn a_client_with_keys_cannot_come_without_them() {
    let signer = es256().await;
    assert_invalid_client(&signer.server.post(TOKEN, form().add("client_id", "signer")).await);
}

#[tokio::test]
async fn another_clients_key_is_not_this_clients() {
    let (one, other) = (es256().await, SigningKey::generate(Algorithm::ES256).expect("a key"));
    let spec = ClientSpec {
        authentication: AuthenticationMethod::PrivateKeyJwt,
        jwks: Some(JwkSet { keys: vec![other.public().clone()] }),
        ..machine()
    };
    one.server.create_client("other", spec).await;
    let mut claims = one.claims();
    claims["iss"] = json!("other");
    claims["sub"] = json!("other");
    assert_invalid_client(&one.send(&one.sign(&one.header(), &claims)).await);
}

#[tokio::test]
async fn a_registered_client_with_keys_authenticates() {
    let key = SigningKey::generate(Algorithm::ES256).expect("a key");
    let builder = TestServer::builder().policy(|policy| policy.registration.allow_client_credentials = true);
    let server = builder.start().await;
    let metadata = json!({
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": { "keys": [key.public()] },
    });
    let id = server.register(&metadata).await.member("client_id");
    let signer = Signer { server, key };
    let mut claims = signer.claims();
    claims["iss"] = json!(id);
    claims["sub"] = json!(id);
    assert_ok(&signer.send(&signer.sign(&signer.header(), &claims)).await);
}

#[tokio::test]
async fn an_unknown_grant_type_is_unsupported() {
    let (server, worker) = worker_with(AuthenticationMethod::ClientSecretBasic).await;
    for grant_type in ["password", "implicit", "CLIENT_CREDENTIALS", "urn:ietf:params:oauth:grant-type:device_code"] {
        let answer = server.token(&worker, [("grant_type", grant_type)]).await;
        assert_bad_request(&answer, "unsupported_grant_type");
    }
    assert_bad_request(&server.token(&worker, [("grant_type", "")]).await, "invalid_request");
    assert_bad_request(&server.token(&worker, Parameters::default()).await, "invalid_request");
}

#[tokio::test]
async fn the_method_in_none_counts_for_revocation_and_not_for_introspection() {
    let server = TestServer::start().await;
    server.create_client("app", public_client()).await;
    let form = Parameters::from([("client_id", "app"), ("token", "x")]);
    assert_ok(&server.post("/oauth/revoke", &form).await);
    assert_invalid_client(&server.post("/oauth/introspect", &form).await);
}

#[tokio::test]
async fn an_assertion_authenticates_at_introspection_and_revocation_too() {
    for algorithm in Algorithm::ASYMMETRIC {
        let signer = Signer::new(*algorithm).await;
        for (jti, path) in [("a", "/oauth/introspect"), ("b", "/oauth/revoke")] {
            let mut claims = signer.claims();
            claims["jti"] = json!(jti);
            let form = Parameters::from([("token", "x"), ("client_assertion_type", JWT_BEARER)])
                .add("client_assertion", &signer.sign(&signer.header(), &claims));
            assert_ok(&signer.server.post(path, &form).await);
            assert_invalid_client(&signer.server.post(path, &form).await);
        }
    }
}
