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
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport,
        auth::{
            AuthClient, AuthorizationManager, AuthorizationRequest, ClientCredentialsConfig, CredentialStore,
            InMemoryCredentialStore, JwtSigningAlgorithm, OAuthState, OAuthTokenResponse,
        },
        streamable_http_client::{AuthRequiredError, StreamableHttpClientTransportConfig},
    },
};
use serde_json::{Value, json};

use crate::example::World;

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

    /// Connects to the MCP server with the tokens.
    async fn connect(self, world: &World, lifecycle: ClientLifecycleMode) -> Running {
        let manager = self.oauth.into_authorization_manager().expect("it is authorized");
        connect(world, manager, lifecycle).await.unwrap()
    }
}

/// Connects with whatever tokens there are.
async fn connect(
    world: &World,
    manager: AuthorizationManager,
    lifecycle: ClientLifecycleMode,
) -> Result<Running, ClientInitializeError> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let config = StreamableHttpClientTransportConfig::with_uri(world.mcp.as_str());
    let transport = StreamableHttpClientTransport::with_client(AuthClient::new(http, manager), config);
    ().serve_with_lifecycle(transport, lifecycle).await
}

/// What the MCP server answers to a client without tokens.
async fn challenge(world: &World, lifecycle: ClientLifecycleMode) -> String {
    let manager = AuthorizationManager::new(&world.mcp).await.unwrap();
    let Err(refused) = connect(world, manager, lifecycle).await else { panic!("it was let in without a token") };
    assert!(refused.is_authorization_required(), "{refused}");
    let ClientInitializeError::TransportError { error, .. } = refused else { panic!("{refused}") };
    let mut source: Option<&dyn Error> = Some(&*error.error);
    while let Some(error) = source {
        if let Some(required) = error.downcast_ref::<AuthRequiredError>() {
            return required.www_authenticate_header.clone();
        }
        source = error.source();
    }
    panic!("no challenge in {error}")
}

/// Who the MCP server takes us for.
async fn whoami(client: &Running) -> String {
    let result = client.call_tool(CallToolRequestParams::new("whoami")).await.unwrap();
    assert_ne!(result.is_error, Some(true));
    result.content[0].as_text().expect("a text").text.clone()
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

/// Discovery, registration, login, code, a call, a refresh, a call.
async fn assert_lives_its_whole_life(lifecycle: ClientLifecycleMode) {
    let world = World::start();
    let challenge = challenge(&world, lifecycle.clone()).await;
    let mut client = Client::of(&world).await;
    let request = AuthorizationRequest::new(CALLBACK).with_client_name("Rust client").with_challenge(challenge);
    client.oauth.start_authorization(request).await.unwrap();
    let authorize_url = client.oauth.get_authorization_url().await.unwrap();
    let (_, callback) = world.agree(&authorize_url).await;
    client.oauth.handle_callback_url(&callback).await.unwrap();

    let (client_id, _) = client.oauth.get_credentials().await.unwrap();
    let store = client.store.clone();
    let before = tokens(&store).await;
    assert_eq!(before["scope"], "mcp:execute offline_access");
    let client = client.connect(&world, lifecycle).await;
    let names: Vec<String> =
        client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
    assert_eq!(names, ["launch_specialist", "whoami"]);
    let expected = format!("admin through {client_id}, allowed: mcp:execute offline_access");
    assert_eq!(whoami(&client).await, expected);

    spoil(&store).await;
    assert_eq!(whoami(&client).await, expected);
    let after = tokens(&store).await;
    for token in ["access_token", "refresh_token"] {
        assert!(after[token].is_string());
        assert_ne!(after[token], before[token], "{token}");
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_client_with_a_session_lives_its_whole_life() {
    assert_lives_its_whole_life(ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_client_without_a_session_lives_its_whole_life() {
    assert_lives_its_whole_life(discover()).await;
}

/// As clients of 2026-07-28 begin.
fn discover() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

#[tokio::test]
async fn a_worker_gets_in_with_its_secret() {
    let world = World::start();
    let worker = world.worker(&["--auth-method", "client_secret_post", "--scope", "mcp:execute"]);
    let config = ClientCredentialsConfig::ClientSecret {
        client_id: worker.id.clone(),
        client_secret: worker.secret.expect("a secret"),
        scopes: vec!["mcp:execute".into()],
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
    let worker = world.worker(&["--auth-method", "private_key_jwt", "--jwks", file, "--scope", "mcp:execute"]);
    assert!(worker.secret.is_none());
    let config = ClientCredentialsConfig::PrivateKeyJwt {
        client_id: worker.id.clone(),
        signing_key: private.into_bytes(),
        signing_algorithm: JwtSigningAlgorithm::ES256,
        token_endpoint_audience: None,
        scopes: vec!["mcp:execute".into()],
        resource: Some(world.mcp.clone()),
    };
    assert_worker_gets_in(&world, &worker.id, config).await;
}

async fn assert_worker_gets_in(world: &World, client_id: &str, config: ClientCredentialsConfig) {
    let mut client = Client::of(world).await;
    client.oauth.authenticate_client_credentials(config).await.unwrap();
    let tokens = tokens(&client.store).await;
    assert_eq!(tokens["scope"], "mcp:execute");
    assert!(tokens["refresh_token"].is_null(), "RFC 6749 4.4.3: no refresh token");
    let client = client.connect(world, discover()).await;
    assert_eq!(whoami(&client).await, format!("{client_id} through {client_id}, allowed: mcp:execute"));
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
