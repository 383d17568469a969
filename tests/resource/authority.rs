//! gateward itself on a socket, with memory stores and a clock that stands still.

use std::{future::pending, net::TcpListener, time::Duration};

use gateward::{
    domain::scope::Scope,
    http::{
        router,
        serve::{ServeOptions, serve},
    },
    resource::{ClientCredentials, ProtectedResource},
    service::administer_clients::ClientSpec,
    testing::server::{OPAQUE_RESOURCE, Parameters, TestClient, TestServer, machine, resource_server},
};

use crate::{
    RESOURCE,
    guarded::Guarded,
    hosted::{Hosted, listen},
};

/// The real thing.
pub(crate) struct Authority {
    pub(crate) server: TestServer,
    hosted: Hosted,
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let listener = listen();
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let server = TestServer::builder().issuer(&issuer).start().await;
        Self { hosted: host(&server, listener), server }
    }

    /// Goes away. The stores and keys stay.
    pub(crate) fn stop(&mut self) {
        self.hosted.stop();
    }

    /// Comes back where it was.
    pub(crate) fn come_back(&mut self) {
        self.hosted = host(&self.server, self.hosted.listen_again());
    }

    /// A resource of this issuer with its clock.
    pub(crate) fn resource(&self, uri: &str) -> ProtectedResource {
        ProtectedResource::new(uri, self.server.authority().issuer.as_str()).clock(self.server.clock.clone())
    }

    /// [`RESOURCE`], where everything needs `mcp:read`.
    pub(crate) fn guarded(&self) -> Guarded {
        Guarded::new(self.resource(RESOURCE).scope("mcp:read"))
    }

    /// Lets a resource server ask about tokens for these resources.
    pub(crate) async fn credentials(&self) -> ClientCredentials {
        let mut spec = resource_server(RESOURCE);
        spec.resources.extend(resource_server(OPAQUE_RESOURCE).resources);
        let client = self.server.create_client("guard", spec).await;
        ClientCredentials::new(&client.id, client.secret())
    }

    pub(crate) async fn worker(&self) -> TestClient {
        let scope = Scope::parse("mcp:read mcp:write mcp:execute files:read").expect("a scope");
        self.server.create_client("worker", ClientSpec { scope, ..machine() }).await
    }

    /// A token that a worker gets for itself.
    pub(crate) async fn token(&self, worker: &TestClient, resource: &str, scope: &str) -> String {
        token_from(&self.server, worker, resource, scope).await
    }

    pub(crate) async fn revoke(&self, worker: &TestClient, token: &str) {
        let answer = self.server.post_as(worker, "/oauth/revoke", [("token", token)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// A token that a worker gets for itself.
pub(crate) async fn token_from(server: &TestServer, worker: &TestClient, resource: &str, scope: &str) -> String {
    let form = Parameters::from([("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)]);
    server.token(worker, form).await.member("access_token")
}

fn host(server: &TestServer, listener: TcpListener) -> Hosted {
    let app = server.app.clone();
    let options = ServeOptions {
        header_timeout: Duration::from_secs(30),
        stall_timeout: Duration::from_secs(30),
        ..ServeOptions::default()
    };
    Hosted::start(listener, move |listener| async move {
        serve(&app, router(&app), vec![listener], options, pending()).await;
    })
}

/// An [`Authority`], its worker, and a token of the worker for [`RESOURCE`] with `mcp:read`.
pub(crate) async fn with_token() -> (Authority, TestClient, String) {
    let authority = Authority::start().await;
    let worker = authority.worker().await;
    let token = authority.token(&worker, RESOURCE, "mcp:read").await;
    (authority, worker, token)
}
