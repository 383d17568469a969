//! `gateward client`.

use serde_json::json;

use crate::{
    Home, members,
    support::{
        Options, Server,
        oauth::{Identity, Wire},
    },
    text,
};

const WORKER: &[&str] =
    &["client", "create", "--name", "worker", "--grant", "client_credentials", "--scope", "mcp:execute", "--json"];

const MEMBERS: &[&str] = &[
    "auth_method",
    "client_id",
    "created_at",
    "grant_types",
    "last_used_at",
    "may_introspect",
    "name",
    "provenance",
    "redirect_uris",
    "resources",
    "scope",
    "status",
];

fn with_secret() -> Vec<&'static str> {
    let mut members = [MEMBERS, &["client_secret"]].concat();
    members.sort_unstable();
    members
}

#[test]
fn create_prints_identifier_and_secret_and_nothing_else_ever_prints_the_secret() {
    let home = Home::new();
    let created = home.json(WORKER);
    assert_eq!(members(&created), with_secret());
    let (id, secret) = (text(&created, "client_id"), text(&created, "client_secret"));
    assert!(secret.starts_with("gw_cs_"));
    assert_eq!(created["grant_types"], json!(["client_credentials"]));
    assert_eq!(created["auth_method"], "client_secret_basic");
    assert_eq!((text(&created, "scope"), text(&created, "status")), ("mcp:execute", "active"));

    let shown = home.json(&["client", "show", id, "--json"]);
    assert_eq!(members(&shown), MEMBERS);
    let listed = home.json(&["client", "list", "--json"]);
    assert_eq!(listed, json!([shown]));
    for everything in [home.ok(&["client", "list"]), home.ok(&["client", "show", id])] {
        assert!(everything.contains(id) && !everything.contains(secret));
    }
}

#[test]
fn create_without_json_prints_lines_that_people_read() {
    let home = Home::new();
    let printed =
        home.ok(&["client", "create", "--id", "worker", "--grant", "client_credentials", "--scope", "mcp:read"]);
    let line = |name: &str| printed.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    assert!(line("client_id").is_some_and(|line| line.ends_with("  worker")), "{printed}");
    assert!(line("client_secret").is_some_and(|line| line.contains("  gw_cs_")), "{printed}");
    assert!(line("redirect_uris").is_some_and(|line| line.ends_with("  -")), "{printed}");
}

#[test]
fn a_client_for_humans_has_its_redirect_uris_and_a_public_one_no_secret() {
    let home = Home::new();
    let created = home.json(&[
        "client",
        "create",
        "--public",
        "--grant",
        "authorization_code",
        "--grant",
        "refresh_token",
        "--redirect-uri",
        "https://app.example/callback",
        "--redirect-uri",
        "http://127.0.0.1/callback",
        "--scope",
        "mcp:read",
        "--scope",
        "mcp:write",
        "--resource",
        "http://localhost:3000/mcp",
        "--json",
    ]);
    assert_eq!(members(&created), MEMBERS);
    assert_eq!(created["redirect_uris"], json!(["https://app.example/callback", "http://127.0.0.1/callback"]));
    assert_eq!(created["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(created["resources"], json!(["http://localhost:3000/mcp"]));
    assert_eq!((text(&created, "auth_method"), text(&created, "scope")), ("none", "mcp:read mcp:write"));
}

#[test]
fn a_client_with_keys_authenticates_with_them() {
    let home = Home::new();
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    home.write("keys.json", &json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string());
    let create = ["client", "create", "--grant", "client_credentials", "--scope", "mcp:read", "--json", "--jwks"];
    let created = home.json(&[&create[..], &["keys.json"]].concat());
    assert_eq!(members(&created), MEMBERS, "no secret");
    assert_eq!(created["auth_method"], "private_key_jwt");

    home.write("broken.json", "{\"keys\": 1}");
    assert!(home.fails(&[&create[..], &["broken.json"]].concat(), 2).contains("broken.json"));
    assert!(home.fails(&[&create[..], &["absent.json"]].concat(), 2).contains("absent.json"));
}

#[test]
fn a_specification_that_makes_no_sense_ends_with_2() {
    let home = Home::new();
    for (wrong, said) in [
        (&["--grant", "authorization_code"][..], "redirect URI"),
        (&["--grant", "client_credentials", "--public"], "confidential"),
        (&["--grant", "client_credentials", "--auth-method", "private_key_jwt"], "JWKS"),
        (&["--grant", "client_credentials"], "needs a scope"),
        (&[], "grant type"),
        (&["--introspect"], "resource"),
        (&["--grant", "implicit"], "authorization_code, refresh_token, client_credentials"),
        (&["--grant", "client_credentials", "--auth-method", "tls"], "private_key_jwt"),
        (&["--grant", "client_credentials", "--scope", "\""], "--scope"),
        (&["--grant", "client_credentials", "--scope", "mcp:exceute"], "no resource has such a scope"),
        (&["--grant", "authorization_code", "--redirect-uri", "javascript:alert(1)"], "--redirect-uri"),
        (&["--grant", "client_credentials", "--resource", "https://other.example/"], "no such resource"),
        (&["--grant", "client_credentials", "--id", "a b"], ""),
        (&["--grant", "client_credentials", "--public", "--auth-method", "none"], "cannot be used with"),
    ] {
        let told = home.fails(&[&["client", "create"], wrong].concat(), 2);
        assert!(told.contains(said), "{wrong:?}: {told}");
    }
    assert_eq!(home.json(&["client", "list", "--json"]), json!([]));
}

#[test]
fn update_changes_what_is_mentioned_and_leaves_the_rest() {
    let home = Home::new();
    let created = home.json(WORKER);
    let id = text(&created, "client_id");
    let mut expected = home.json(&["client", "show", id, "--json"]);

    let updated = home.json(&["client", "update", id, "--name", "renamed", "--disable", "--json"]);
    expected["name"] = "renamed".into();
    expected["status"] = "disabled".into();
    assert_eq!(updated, expected);

    let updated = home.json(&["client", "update", id, "--enable", "--scope", "mcp:read", "--json"]);
    expected["status"] = "active".into();
    expected["scope"] = "mcp:read".into();
    assert_eq!(updated, expected);
    assert_eq!(home.json(&["client", "show", id, "--json"]), expected);

    assert!(home.fails(&["client", "update", id, "--auth-method", "none"], 2).contains("create another client"));
    assert!(home.fails(&["client", "update", id, "--grant", "authorization_code"], 2).contains("redirect URI"));
    assert!(home.fails(&["client", "update", id, "--scope", "mcp:exceute"], 2).contains("mcp:exceute"));
    assert_eq!(home.json(&["client", "show", id, "--json"]), expected);
}

#[test]
fn rotate_secret_prints_another_secret_once() {
    let home = Home::new();
    let created = home.json(WORKER);
    let id = text(&created, "client_id");
    let rotated = home.json(&["client", "rotate-secret", id, "--overlap", "1h", "--json"]);
    assert_eq!(members(&rotated), with_secret());
    assert_ne!(text(&rotated, "client_secret"), text(&created, "client_secret"));
    assert!(home.fails(&["client", "rotate-secret", id, "--overlap", "soon"], 2).contains("--overlap"));

    let public = home.json(&[
        "client",
        "create",
        "--public",
        "--grant",
        "authorization_code",
        "--redirect-uri",
        "https://app.example/",
        "--json",
    ]);
    assert!(home.fails(&["client", "rotate-secret", text(&public, "client_id")], 2).contains("does not use a secret"));
}

#[test]
fn what_is_deleted_is_gone_and_its_name_is_not_given_away_again() {
    let home = Home::new();
    let create = ["client", "create", "--id", "worker", "--grant", "client_credentials", "--scope", "mcp:read"];
    home.ok(&create);
    assert!(home.fails(&create, 4).contains("worker"));
    assert!(home.ok(&["client", "delete", "worker"]).contains("deleted worker"));
    for verb in ["show", "delete", "rotate-secret"] {
        assert!(home.fails(&["client", verb, "worker"], 3).contains("no client worker"));
    }
    assert_eq!(home.fails(&["client", "update", "worker", "--disable"], 3).lines().count(), 1);
    assert_eq!(home.json(&["client", "list", "--json"]), json!([]));
    assert_eq!(home.ok(&["client", "list"]), "(none)\n");
    // Tokens of the old one may still be around.
    home.fails(&create, 4);
}

#[tokio::test]
async fn a_client_of_the_configuration_is_changed_there() {
    let secret = "a secret of more than thirty-two characters";
    let server = Server::start(
        Options::new()
            .set("GATEWARD_CLIENTS__0__CLIENT_ID", "declared")
            .set("GATEWARD_CLIENTS__0__GRANT_TYPES", "client_credentials")
            .set("GATEWARD_CLIENTS__0__SCOPE", "mcp:read")
            .set("GATEWARD_CLIENTS__0__SECRET", "env:WORKER_SECRET")
            .set("WORKER_SECRET", secret),
    );
    let declared = Identity { id: "declared".into(), secret: Some(secret.into()) };
    let wire = Wire::to(&server);
    assert_eq!(wire.client_credentials(&declared).await.status, 200);
    assert_eq!(server.run_json(&["client", "show", "declared", "--json"])["provenance"], "configured");
    for change in [&["update", "declared", "--disable"][..], &["rotate-secret", "declared"], &["delete", "declared"]] {
        let output = server.run(&[&["client"], change].concat());
        assert_eq!(output.status.code(), Some(4));
        assert!(String::from_utf8_lossy(&output.stderr).contains("change it there"));
    }
    assert_eq!(wire.client_credentials(&declared).await.status, 200);
}
