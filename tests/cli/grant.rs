//! `gateward grant`.

use gateward::testing::browser::ScriptedBrowser;
use serde_json::json;

use crate::{
    Home, members,
    support::{Options, Server, oauth::Wire},
    text,
};

#[test]
fn without_grants_the_list_is_empty_and_an_unknown_one_is_not_there() {
    let home = Home::new();
    assert_eq!(home.json(&["grant", "list", "--json"]), json!([]));
    assert_eq!(home.ok(&["grant", "list"]), "(none)\n");
    assert!(home.fails(&["grant", "revoke", "AAAAAAAAAAAAAAAAAAAAAA"], 3).contains("no grant"));
    assert!(home.fails(&["grant", "list", "--user", "nobody"], 3).contains("no user nobody"));
    home.fails(&["grant", "revoke", ""], 2);
}

#[tokio::test]
async fn a_grant_is_listed_and_revoking_it_ends_everything_issued_from_it() {
    let server = Server::start(Options::new());
    let wire = Wire::to(&server);
    let (client, resource_server) = (wire.register("Story").await, server.resource_server());
    let mut browser = ScriptedBrowser::new().unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (code, pkce) = wire.code(&mut browser, &client, server.password()).await;
        answers.push(wire.redeem(&client, &code, &pkce).await);
    }
    let [first, second] = &answers[..] else { panic!() };

    let listed = server.run_json(&["grant", "list", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(
        members(&listed[0]),
        ["client_id", "created_at", "expires_at", "grant_id", "resources", "scope", "state", "user_id"]
    );
    assert_eq!(listed[0]["resources"], json!([server.resource()]));
    for filter in [["--client", client.id.as_str()], ["--user", "admin"]] {
        assert_eq!(server.run_json(&[&["grant", "list", "--json"], &filter[..]].concat()), listed);
    }
    assert_eq!(server.run_json(&["grant", "list", "--json", "--client", "worker"]), json!([]));

    let active = wire.introspect(&resource_server, &first.text("access_token")).await;
    let grant = text(&active, "grant_id");
    assert!(server.run(&["grant", "revoke", grant]).status.success());
    assert!(!wire.is_active(&resource_server, &first.text("access_token")).await);
    assert_eq!(wire.refresh(&client, &first.text("refresh_token")).await.error(), "invalid_grant");
    assert!(wire.is_active(&resource_server, &second.text("access_token")).await, "the other one lives");

    assert_eq!(server.run_json(&["grant", "list", "--json"]).as_array().map(Vec::len), Some(1));
    let all = server.run_json(&["grant", "list", "--all", "--json"]);
    let revoked = all.as_array().expect("a list").iter().find(|row| text(row, "grant_id") == grant).expect("it");
    assert_eq!(text(revoked, "state"), "revoked");
}
