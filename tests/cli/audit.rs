//! `gateward audit`.

use serde_json::{Value, json};

use crate::{
    Home, members,
    support::{Options, Server, oauth::Wire, until},
    text,
};

/// A client, a worker's work on it, and an account; the identifier of the client.
fn busy(home: &Home) -> String {
    let created = home.json(&[
        "client",
        "create",
        "--name",
        "reporter",
        "--grant",
        "client_credentials",
        "--scope",
        "mcp:execute",
        "--json",
    ]);
    let id = text(&created, "client_id").to_owned();
    home.ok(&["client", "update", &id, "--disable"]);
    home.ok(&["client", "rotate-secret", &id]);
    home.ok(&["user", "create", "grace"]);
    home.ok(&["user", "set-password", "grace"]);
    home.ok(&["user", "disable", "grace"]);
    home.ok(&["user", "enable", "Grace"]);
    home.ok(&["client", "delete", &id]);
    home.ok(&["key", "rotate"]);
    id
}

fn events(listed: &Value) -> Vec<&str> {
    listed.as_array().expect("a list").iter().map(|entry| text(entry, "event")).collect()
}

#[test]
fn what_operators_do_is_listed_the_newest_last_and_found_by_whom_it_was_done_to() {
    let home = Home::new();
    assert_eq!(home.json(&["audit", "list", "--json"]), json!([]));
    let id = busy(&home);
    let listed = home.json(&["audit", "list", "--json"]);
    let of_client = ["client.create", "client.update", "client.rotate_secret", "client.delete"];
    let of_user = ["user.create", "user.set_password", "user.disable", "user.enable"];
    let found = events(&listed);
    let without_keys: Vec<&str> = found.iter().copied().filter(|event| *event != "key.add").collect();
    assert_eq!(without_keys, [&of_client[..3], &of_user, &of_client[3..]].concat());
    assert_eq!(found.last(), Some(&"key.add"));
    for entry in listed.as_array().expect("a list") {
        let reason = if text(entry, "event") == "client.update" { "disabled" } else { "by_operator" };
        assert_eq!((text(entry, "outcome"), text(entry, "reason")), ("success", reason), "{entry}");
    }
    assert_eq!(
        members(&listed[0]),
        [
            "address",
            "at",
            "attempt_id",
            "client_id",
            "event",
            "grant_id",
            "id",
            "instance",
            "key_id",
            "outcome",
            "reason",
            "request_id",
            "time",
            "times",
            "token_id",
            "user_id",
            "username"
        ]
    );
    let by = |filter: &[&str]| home.json(&[&["audit", "list", "--json"], filter].concat());
    assert_eq!(events(&by(&["--client", &id])), of_client);
    let of_grace = by(&["--user", "grace"]);
    assert_eq!(events(&of_grace), of_user);
    assert_eq!(text(&of_grace[0], "username"), "grace");
    assert_eq!(events(&by(&["--event", "user"])), of_user);
    assert_eq!(events(&by(&["--event", "user.create", "--event", "client.delete"])), ["user.create", "client.delete"]);
    assert_eq!(events(&by(&["--event", "client", "--limit", "2"])), of_client[2..]);
    assert_eq!(events(&by(&["--since", "1h"])), found);
    for none in [["--until", "1h"], ["--since", "2100-01-01"], ["--outcome", "refused"], ["--reference", "x"]] {
        assert_eq!(by(&none), json!([]), "{none:?}");
    }
}

#[test]
fn what_is_done_to_everything_at_once_is_listed_too() {
    let home = Home::new();
    home.ok(&["key", "rotate"]);
    let keys = home.json(&["key", "list", "--json"]);
    home.ok(&["key", "revoke", text(&keys[0], "kid")]);
    home.ok(&["grant", "revoke", "--all"]);
    home.ok(&["backup", "backup.db"]);
    let left = home.json(&["key", "revoke", "--all", "--json"]);
    let listed = |group: &str| home.json(&["audit", "list", "--json", "--event", group]);
    let revoked = listed("key.revoke");
    let key_ids: Vec<&str> = revoked.as_array().expect("a list").iter().map(|entry| text(entry, "key_id")).collect();
    let expected: Vec<&str> =
        [&keys[0]].into_iter().chain(left.as_array().expect("a list")).map(|key| text(key, "kid")).collect();
    assert_eq!(key_ids, expected);
    assert_eq!(events(&listed("grant")), ["grant.revoke_all"]);
    assert_eq!(events(&listed("store")), ["store.backup"]);

    // What was noted since the backup was made goes with what it replaces.
    home.ok(&["restore", "backup.db", "--force"]);
    assert_eq!(events(&listed("store")), ["store.restore"]);
    assert_eq!(events(&listed("grant")), ["grant.revoke_all"]);
    assert_eq!(events(&listed("key.revoke")).len(), 1);
}

#[test]
fn people_see_columns() {
    let home = Home::new();
    assert_eq!(home.ok(&["audit", "list"]), "(none)\n");
    let id = busy(&home);
    let table = home.ok(&["audit", "list", "--event", "client", "--event", "user"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let titles = ["TIME", "EVENT", "OUTCOME", "REASON", "CLIENT", "USER", "GRANT", "ADDRESS", "REQUEST", "TIMES"];
    assert_eq!(lines[0], titles);
    assert_eq!(lines[1][1..], ["client.create", "success", "by_operator", &id, "-", "-", "-", "-", "1"]);
    assert_eq!(lines[4][1..], ["user.create", "success", "by_operator", "-", "grace", "-", "-", "-", "1"]);
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let home = Home::new();
    assert!(home.fails(&["audit", "list", "--event", "nonsense"], 2).contains("token.revoke"));
    assert!(home.fails(&["audit", "list", "--since", "yesterday"], 2).contains("yesterday"));
    assert!(home.fails(&["audit", "list", "--outcome", "bad"], 2).contains("refused"));
    assert!(home.fails(&["audit", "list", "--user", "nobody"], 3).contains("no user nobody"));
    home.fails(&["audit", "list", "--limit", "0"], 2);
}

#[test]
fn only_what_is_routine_can_be_left_out() {
    let home = Home::new().set("GATEWARD_AUDIT__LEAVE_OUT", "user.login");
    let said = home.fails(&["audit", "list"], 5);
    assert!(said.contains("user.login") && said.contains("token.client_credentials"), "{said}");
}

#[tokio::test]
async fn what_a_running_server_does_shows_a_moment_later() {
    let server = Server::start(Options::new().set("GATEWARD_AUDIT__INSTANCE", "auth-1"));
    let wire = Wire::to(&server);
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    assert_eq!(wire.client_credentials(&worker).await.status, 200);
    let list = || server.run_json(&["audit", "list", "--json", "--event", "token"]);
    until("the token is in the trail", async || list() != json!([])).await;
    let listed = list();
    let [entry] = &listed.as_array().expect("a list")[..] else { panic!("not one: {listed}") };
    assert_eq!((text(entry, "event"), text(entry, "client_id")), ("token.client_credentials", worker.id.as_str()));
    // Linux talks to any loopback address from the first of them.
    assert_eq!((text(entry, "instance"), text(entry, "address")), ("auth-1", "127.0.0.1"));
}
