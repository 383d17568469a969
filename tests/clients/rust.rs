//! The official Rust SDK with its auth feature: a human's client, and workers with client credentials.

use std::{error::Error, fs};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport,
        auth::{
            AuthClient, AuthorizationCallback, AuthorizationManager, AuthorizationRequest, ClientCredentialsConfig,
            CredentialStore, InMemoryCredentialStore, JwtSigningAlgorithm, OAuthState, OAuthTokenResponse,
            WWWAuthenticateParams,
        },
        streamable_http_client::{InsufficientScopeError, StreamableHttpClientTransportConfig},
    },
};
use serde_json::{Value, json};

use crate::{
    support::clock::Clock,
    world::{TWO_HOURS, Tool, World},
};

/// Nobody listens there: the browser hands the callback over without visiting it.
const CALLBACK: &str = "http://127.0.0.1:1/callback";

type Running = RunningService<RoleClient, ()>;

/// A client whose tokens we can look at.
struct Client {
    store: InMemoryCredentialStore,
    oauth: OAuthState,
}

impl Client {
    async fn of(world: &World) -> Self {
        let store = InMemoryCredentialStore::new();
        let mut manager = AuthorizationManager::new(&world.mcp).await.unwrap();
        manager.set_credential_store(store.clone());
        Self { store, oauth: OAuthState::Unauthorized(manager) }
    }

    /// A human logs in and agrees, starting from nothing but the URL of the MCP server.
    async fn authorized(
        world: &World,
        lifecycle: ClientLifecycleMode,
        request: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest,
    ) -> Self {
        let challenge = challenge(world, lifecycle).await;
        let mut client = Self::of(world).await;
        let always = AuthorizationRequest::new(CALLBACK).with_client_name("Rust client").with_challenge(challenge);
        client.oauth.start_authorization(request(always)).await.unwrap();
        let authorize_url = client.oauth.get_authorization_url().await.unwrap();
        let (_, callback) = world.agree(&authorize_url).await;
        client.oauth.handle_callback_url(&callback).await.unwrap();
        client
    }

    fn into_http(self) -> AuthClient<reqwest::Client> {
        http(self.oauth.into_authorization_manager().expect("it is authorized"))
    }
}

fn http(manager: AuthorizationManager) -> AuthClient<reqwest::Client> {
    AuthClient::new(reqwest::Client::builder().no_proxy().build().unwrap(), manager)
}

/// Connects with whatever tokens there are.
async fn connect(
    world: &World,
    http: AuthClient<reqwest::Client>,
    lifecycle: ClientLifecycleMode,
) -> Result<Running, ClientInitializeError> {
    let config = StreamableHttpClientTransportConfig::with_uri(world.mcp.as_str());
    ().serve_with_lifecycle(StreamableHttpClientTransport::with_client(http, config), lifecycle).await
}

/// What the MCP server answers to a client without tokens.
async fn challenge(world: &World, lifecycle: ClientLifecycleMode) -> String {
    let manager = AuthorizationManager::new(&world.mcp).await.unwrap();
    let Err(refused) = connect(world, http(manager), lifecycle).await else { panic!("it was let in without a token") };
    assert!(refused.is_authorization_required(), "{refused}");
    refused.auth_challenge().expect("a challenge").to_owned()
}

async fn call(client: &Running, tool: &Tool) -> Result<String, ServiceError> {
    let arguments = tool.arguments.as_object().expect("an object").clone();
    let result = client.call_tool(CallToolRequestParams::new(tool.name).with_arguments(arguments)).await?;
    assert_ne!(result.is_error, Some(true));
    Ok(result.content[0].as_text().expect("a text").text.clone())
}

/// The challenge that a call was answered with.
fn insufficient_scope(refused: &ServiceError) -> String {
    let ServiceError::TransportSend(error) = refused else { panic!("{refused}") };
    let mut source: Option<&dyn Error> = Some(&*error.error);
    while let Some(error) = source {
        if let Some(insufficient) = error.downcast_ref::<InsufficientScopeError>() {
            return insufficient.www_authenticate_header.clone();
        }
        source = error.source();
    }
    panic!("no challenge in {refused}")
}

async fn tokens(store: &InMemoryCredentialStore) -> Value {
    let stored = store.load().await.unwrap().expect("there are tokens");
    serde_json::to_value(stored.token_response).unwrap()
}

/// Makes the access token one that the MCP server refuses.
async fn spoil(store: &InMemoryCredentialStore) {
    let mut stored = store.load().await.unwrap().expect("there are tokens");
    let mut tokens = serde_json::to_value(stored.token_response).unwrap();
    tokens["access_token"] = "spoiled".into();
    stored.token_response = Some(serde_json::from_value::<OAuthTokenResponse>(tokens).unwrap());
    store.save(stored).await.unwrap();
}

/// Discovery, registration, login, code, a call, a refresh, a call. By itself the SDK asks for everything that the metadata of the
/// MCP server names.
async fn assert_lives_its_whole_life(lifecycle: ClientLifecycleMode) {
    let world = World::start();
    let client = Client::authorized(&world, lifecycle.clone(), |request| request).await;
    let (client_id, _) = client.oauth.get_credentials().await.unwrap();
    let store = client.store.clone();
    let before = tokens(&store).await;
    assert_eq!(before["scope"], "mcp:execute mcp:read offline_access");
    let client = connect(&world, client.into_http(), lifecycle).await.unwrap();
    let names: Vec<String> =
        client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
    assert_eq!(names, ["launch-specialist", "whoami"]);
    let expected = format!("{} through {client_id}, allowed: mcp:execute mcp:read offline_access", world.subject());
    assert_eq!(call(&client, &world.small).await.unwrap(), expected);

    spoil(&store).await;
    assert_eq!(call(&client, &world.small).await.unwrap(), expected);
    assert_refreshed(&before, &tokens(&store).await);
    client.cancel().await.unwrap();
}

fn assert_refreshed(before: &Value, after: &Value) {
    for token in ["access_token", "refresh_token"] {
        assert!(after[token].is_string());
        assert_ne!(after[token], before[token], "{token}");
    }
    assert_eq!(after["scope"], before["scope"]);
}

/// Asks for what the first challenge names, is refused, asks for the union, gets in, and keeps it when the token is refreshed.
pub(crate) async fn assert_steps_up(world: &World, lifecycle: ClientLifecycleMode) {
    let client = Client::authorized(world, lifecycle.clone(), AuthorizationRequest::with_initial_scope_selection).await;
    let store = client.store.clone();
    assert_eq!(tokens(&store).await["scope"], "mcp:read offline_access");
    let http = client.into_http();
    let manager = http.auth_manager.clone();
    let client = connect(world, http, lifecycle).await.unwrap();
    assert!(call(&client, &world.small).await.unwrap().contains(world.small.answer));

    let refused = call(&client, &world.large).await.expect_err("its token permits too little");
    let challenge = WWWAuthenticateParams::parse(&insufficient_scope(&refused), &world.mcp.parse().unwrap());
    assert!(challenge.is_insufficient_scope());
    // The SDK leaves it to the host to go on from here; it computes the union, of what was granted and what is missing.
    let missing = challenge.scope.expect("what is missing");
    let authorize_url = manager.lock().await.request_scope_upgrade(&missing).await.unwrap();
    let (_, callback) = world.agree(&authorize_url).await;
    let AuthorizationCallback { code, csrf_token, issuer, .. } =
        AuthorizationCallback::from_redirect_url(&callback).unwrap();
    let exchanged =
        manager.lock().await.exchange_code_for_token_with_issuer(&code, &csrf_token, issuer.as_deref()).await;
    exchanged.unwrap();
    let before = tokens(&store).await;
    assert_eq!(before["scope"], "mcp:execute mcp:read offline_access");
    // In the same session, if there is one.
    assert!(call(&client, &world.large).await.unwrap().contains(world.large.answer));

    spoil(&store).await;
    assert!(call(&client, &world.large).await.unwrap().contains(world.large.answer));
    assert_refreshed(&before, &tokens(&store).await);
    client.cancel().await.unwrap();
}

/// Its token expires between two calls; it is neither asked to log in again nor to begin another session.
pub(crate) async fn assert_outlives_its_token(world: &World, clock: &Clock, lifecycle: ClientLifecycleMode) {
    let client = Client::authorized(world, lifecycle.clone(), AuthorizationRequest::with_initial_scope_selection).await;
    let store = client.store.clone();
    let before = tokens(&store).await;
    let client = connect(world, client.into_http(), lifecycle).await.unwrap();
    assert!(call(&client, &world.small).await.unwrap().contains(world.small.answer));
    assert_eq!(tokens(&store).await, before);
    clock.set_ahead(TWO_HOURS);
    assert!(call(&client, &world.small).await.unwrap().contains(world.small.answer));
    assert_refreshed(&before, &tokens(&store).await);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_client_with_a_session_outlives_its_token() {
    let clock = Clock::new();
    assert_outlives_its_token(&World::start_by(Some(&clock)), &clock, ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_client_without_a_session_outlives_its_token() {
    let clock = Clock::new();
    assert_outlives_its_token(&World::start_by(Some(&clock)), &clock, discover()).await;
}

#[tokio::test]
async fn a_client_with_a_session_lives_its_whole_life() {
    assert_lives_its_whole_life(ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_client_without_a_session_lives_its_whole_life() {
    assert_lives_its_whole_life(discover()).await;
}

#[tokio::test]
async fn a_client_with_a_session_steps_up() {
    assert_steps_up(&World::start(), ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_client_without_a_session_steps_up() {
    assert_steps_up(&World::start(), discover()).await;
}

/// As clients of 2026-07-28 begin.
pub(crate) fn discover() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

#[tokio::test]
async fn a_worker_gets_in_with_its_secret() {
    let world = World::start();
    let worker = world.worker(&["--auth-method", "client_secret_post", "--scope", "mcp:read"]);
    let config = ClientCredentialsConfig::ClientSecret {
        client_id: worker.id.clone(),
        client_secret: worker.secret.expect("a secret"),
        scopes: vec!["mcp:read".into()],
        resource: Some(world.mcp.clone()),
    };
    assert_worker_gets_in(&world, &worker.id, config).await;
}

#[tokio::test]
async fn a_worker_gets_in_with_its_private_key() {
    let world = World::start();
    let (private, public) = key_pair();
    let file = world.gateward.directory().join("worker.jwks.json");
    fs::write(&file, public.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let worker = world.worker(&["--auth-method", "private_key_jwt", "--jwks", file, "--scope", "mcp:read"]);
    assert!(worker.secret.is_none());
    let config = ClientCredentialsConfig::PrivateKeyJwt {
        client_id: worker.id.clone(),
        signing_key: private.into_bytes(),
        signing_algorithm: JwtSigningAlgorithm::ES256,
        token_endpoint_audience: None,
        scopes: vec!["mcp:read".into()],
        resource: Some(world.mcp.clone()),
    };
    assert_worker_gets_in(&world, &worker.id, config).await;
}

async fn assert_worker_gets_in(world: &World, client_id: &str, config: ClientCredentialsConfig) {
    let mut client = Client::of(world).await;
    client.oauth.authenticate_client_credentials(config).await.unwrap();
    let tokens = tokens(&client.store).await;
    assert_eq!(tokens["scope"], "mcp:read");
    assert!(tokens["refresh_token"].is_null(), "RFC 6749 4.4.3: no refresh token");
    let client = connect(world, client.into_http(), discover()).await.unwrap();
    let expected = format!("{client_id} through {client_id}, allowed: mcp:read");
    assert_eq!(call(&client, &world.small).await.unwrap(), expected);
    client.cancel().await.unwrap();
}

/// A private key (PEM), and a JSON Web Key Set with its public half.
fn key_pair() -> (String, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let document = pair.to_pkcs8v1().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&document));
    // SEC 1 2.3.3: 4, x, y.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    (pem, json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "use": "sig"}]}))
}
