//! `gateward config`, and what every command says of a configuration that is wrong.

use crate::Home;

/// What a production server needs at least, except for what each test changes.
pub(crate) const PRODUCTION: &str = r#"issuer = "https://auth.example.com"
[keys]
master_key = "file:master.key"
[[resources]]
uri = "https://mcp.example.com/mcp"
scopes = [{ name = "mcp:read", description = "Read" }]
"#;

const CHECK: &[&str] = &["config", "check", "--config", "gateward.toml"];

#[test]
fn a_good_configuration_is_called_good() {
    let home = Home::new();
    assert!(home.ok(&["config", "check"]).contains("good"), "development mode");
    home.write("gateward.toml", PRODUCTION);
    home.ok(&["key", "generate-master", "master.key"]);
    assert!(home.ok(CHECK).contains("good"));
    assert!(!home.path("gateward-data").exists(), "looking changes nothing");
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_known_key_by_every_command() {
    let home = Home::new();
    home.write("gateward.toml", &format!("{PRODUCTION}[server]\nlisen = [\"127.0.0.1:1\"]\n"));
    for verb in [
        &["serve"][..],
        &["config", "check"],
        &["config", "show"],
        &["client", "list"],
        &["user", "list"],
        &["key", "list"],
        &["grant", "list"],
        &["migrate"],
        &["purge"],
    ] {
        let said = home.fails(&[verb, &["--config", "gateward.toml"]].concat(), 5);
        assert!(said.contains("gateward.toml:8: unknown key `server.lisen`; did you mean `server.listen`?"), "{said}");
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_known_one() {
    let home = Home::new().set("GATEWARD_SERVER_LISTEN", "127.0.0.1:1");
    let said = home.fails(&["serve"], 5);
    assert!(
        said.contains("GATEWARD_SERVER_LISTEN") && said.contains("did you mean GATEWARD_SERVER__LISTEN?"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let home = Home::new();
    assert!(home.fails(CHECK, 5).contains("gateward.toml"));
    home.write("gateward.toml", "issuer = \n");
    assert!(home.fails(CHECK, 5).contains("gateward.toml:1"));
}

#[test]
fn show_prints_every_setting_with_its_origin_and_no_secret() {
    let secret = "correct-horse-battery-staple-0123456789";
    let home = Home::new()
        .set("WORKER_SECRET", secret)
        .set("OAUTH_TOKEN_SECRET", secret)
        .set("GATEWARD_STORES__URL", format!("postgres://gateward:{secret}@db.example/gateward?password={secret}"));
    home.ok(&["key", "generate-master", "master.key"]);
    home.write("ada.password", secret);
    home.write(
        "gateward.toml",
        &format!(
            "{PRODUCTION}[[clients]]\nclient_id = \"worker\"\ngrant_types = [\"client_credentials\"]\nscope = \
             \"mcp:read\"\nsecret = \"env:WORKER_SECRET\"\n[[users]]\nusername = \"ada\"\npassword = \"file:ada.password\"\n"
        ),
    );
    let shown = home.ok(&["config", "show", "--config", "gateward.toml"]);
    for expected in [
        "issuer = \"https://auth.example.com\" # gateward.toml:1",
        "drain_delay = \"0s\" # default",
        "url = \"postgres://gateward:(hidden)@db.example/gateward?..\" # GATEWARD_STORES__URL",
        "secret = \"env:WORKER_SECRET\"",
        "password = \"file:ada.password\"",
        "OAUTH_TOKEN_SECRET is set (hidden)",
    ] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
    let master = std::fs::read_to_string(home.path("master.key")).unwrap();
    assert!(!shown.contains(secret) && !shown.contains(master.trim()));
}

#[test]
fn check_says_each_thing_that_is_unsafe_and_how_to_fix_it() {
    let home = Home::new();
    home.write("gateward.toml", &PRODUCTION.replace("https://auth.example.com", "http://localhost:3000"));
    home.write("master.key", "");
    let said = home.fails(CHECK, 5);
    assert!(said.contains("issuer: ") && said.contains("TLS"), "{said}");
    assert!(said.contains("keys.master_key: ") && said.contains("chmod 0600"), "{said}");
}
