//! Room `config`, tested as a whole: documents and environments in, a configuration or its problems out.

use std::{collections::BTreeSet, path::Path};

use super::*;

mod guarded;
mod refusals;
mod tls;

const PRODUCTION: &str = include_str!("../../../config/production.example.toml");
const SEVERAL: &str = include_str!("../../../config/several.example.toml");
const MINIMAL: &str = r#"
issuer = "https://auth.example.com"
[[resources]]
uri = "https://mcp.example.com/mcp"
scopes = [{ name = "mcp:execute", description = "Call tools" }]
"#;

fn no_file(_: &Path) -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::read(Source { name: "config.toml", text }, &environment(variables), &no_file)
}

fn read(text: &str) -> Result<Config, Problems> {
    read_with(text, &[])
}

/// The problems of `MINIMAL` and more, one line each.
fn problems(more: &str) -> String {
    read(&format!("{MINIMAL}{more}")).unwrap_err().to_string()
}

#[test]
fn development_loads_without_a_file_and_without_an_environment() {
    let config = load(None, []).unwrap();
    assert_eq!((config.mode, config.issuer.as_str()), (Mode::Development, "http://localhost:3000"));
    assert_eq!(config.resources.default_resource().uri.as_str(), "http://localhost:3000/mcp");
    assert_eq!(config.stores.tokens.expose(), "sqlite:gateward-data/gateward.db");
    assert!(matches!(&config.keys.master_key, MasterKey::Generate(path) if path.ends_with("master.key")));
    assert_eq!(config.check_safety(), []);
}

#[test]
fn the_production_example_loads() {
    let file = |path: &Path| match path.to_str() {
        Some("/etc/gateward/ada.password") => Ok("correct horse\n".to_owned()),
        _ => no_file(path),
    };
    let environment = environment(&[("MCP_SERVER_SECRET", "0123456789abcdef0123456789abcdef")]);
    let config = Config::read(Source { name: "p.toml", text: PRODUCTION }, &environment, &file).unwrap();
    assert_eq!(config.clients.len(), 2);
    assert!(matches!(&config.users[0].password, StaticPassword::Plain(secret) if secret.expose() == "correct horse"));
    assert_eq!(
        config.clients[1].secret,
        Some(crate::domain::credential::Digest::of("0123456789abcdef0123456789abcdef"))
    );
    let concerns: Vec<String> = config.check_safety().into_iter().map(|u| u.setting).collect();
    assert_eq!(concerns, ["keys.master_key"], "the key file is not there in a test");
}

#[test]
fn the_example_for_several_instances_loads() {
    let variables = [
        ("GATEWARD_MASTER_KEY", "gw_mk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("DATABASE_URL", "postgres://gateward:secret@db.example/gateward"),
        ("REDIS_URL", "rediss://gateward:secret@redis.example"),
    ];
    let config = read_with(SEVERAL, &variables).unwrap();
    assert_eq!(config.stores.tokens.to_string(), "rediss://gateward:(hidden)@redis.example");
    for url in [config.stores.clients, config.stores.accounts, config.stores.keys] {
        assert_eq!(url.to_string(), "postgres://gateward:(hidden)@db.example/gateward");
    }
}

#[test]
fn the_defaults_alone_lack_an_issuer_and_a_resource_and_nothing_else() {
    let found = read("").unwrap_err().to_string();
    assert_eq!(
        found,
        "config.toml: `issuer`: must be set\n\
         config.toml: `resources`: at least one resource is needed: declare the MCP server that tokens are for, with \
         [[resources]]"
    );
}

#[test]
fn every_setting_of_the_defaults_has_a_comment_above_it() {
    let mut commented = false;
    for line in DEFAULTS.lines() {
        assert!(commented || line.is_empty() || line.starts_with('#') || line.starts_with("[["), "no comment: {line}");
        commented = line.starts_with('#');
    }
}

#[test]
fn the_sections_read_exactly_what_the_defaults_have() {
    let text = format!(
        "{MINIMAL}rules = [{{ methods = [\"DELETE\"], scope = \"mcp:execute\" }}]\n\
         [[clients]]\nclient_id = \"c\"\nmay_introspect = true\nresources = [\"https://mcp.example.com/mcp\"]\n\
         secret = \"sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\"\n\
         [[users]]\nusername = \"ada\"\npassword = \"env:P\"\n"
    );
    let environment = environment(&[("P", "p")]);
    let defaults = document::parse("default.toml", DEFAULTS).unwrap();
    let given = document::parse("config.toml", &text).unwrap();
    let merged = layers::merge(&defaults, Some(given), "config.toml", &mut Vec::new());
    let context = Context {
        file: "config.toml",
        environment: &environment,
        read_file: &no_file,
        problems: RefCell::default(),
        concerns: RefCell::default(),
        taken: RefCell::default(),
    };
    assert!(Config::assemble(&context, &merged).is_some(), "{:?}", context.problems);
    let known: BTreeSet<String> = layers::known_keys(&defaults).into_iter().collect();
    assert_eq!(context.taken.into_inner(), known);
}

#[test]
fn a_production_server_behind_a_proxy_that_is_not_named_sees_one_sender_only() {
    let sees_one_only = |more: &str| read(&format!("{MINIMAL}{more}")).unwrap().sees_one_sender_only();
    assert!(sees_one_only(""));
    assert!(!sees_one_only("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n"));
    assert!(!sees_one_only("[server]\nlisten = [\"0.0.0.0:443\"]\n"));
    assert!(!load(None, []).unwrap().sees_one_sender_only());
}

#[test]
fn this_machine_has_no_rates_in_development_and_has_them_in_production() {
    let exempt = |config: Config| config.limits.exempt.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(exempt(load(None, []).unwrap()), ["127.0.0.0/8", "::1/128"]);
    assert_eq!(exempt(read(MINIMAL).unwrap()), [""; 0]);
    let text = format!("{MINIMAL}[limits]\nexempt = [\"10.0.0.0/8\"]\ntoken_per_client = 0\n");
    let config = read(&text).unwrap();
    assert_eq!(
        (config.limits.token.per_client, config.limits.token.per_address.map(|rate| rate.get())),
        (None, Some(50))
    );
    assert_eq!(exempt(config), ["10.0.0.0/8"]);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = format!("{MINIMAL}[server]\nlisten = [\"127.0.0.1:1\"]\nbody_limit = 2048\n");
    let config = read_with(&text, &[("GATEWARD_SERVER__LISTEN", "127.0.0.1:2, [::1]:2")]).unwrap();
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!((listen, config.server.body_limit), (vec!["127.0.0.1:2".into(), "[::1]:2".into()], 2048));
    assert_eq!(config.server.header_timeout, Duration::from_secs(10));
}

#[test]
fn the_environment_can_declare_a_whole_server() {
    let config = load(
        None,
        environment(&[
            ("GATEWARD_ISSUER", "https://auth.example.com"),
            ("GATEWARD_RESOURCES__0__URI", "https://mcp.example.com"),
            ("GATEWARD_RESOURCES__0__SCOPES__0__NAME", "a"),
            ("GATEWARD_RESOURCES__0__SCOPES__0__DESCRIPTION", "Do a"),
            ("GATEWARD_RESOURCES__0__SCOPES__1__NAME", "b"),
            ("GATEWARD_RESOURCES__0__SCOPES__1__DESCRIPTION", "Do b"),
            ("GATEWARD_KEYS__MASTER_KEY", "env:GATEWARD_MY_KEY"),
            ("GATEWARD_MY_KEY", "0123456789abcdef0123456789abcdef"),
            ("GATEWARD_CONFIG", "read by the command line"),
        ]),
    )
    .unwrap();
    assert_eq!(config.mode, Mode::Production);
    assert_eq!(config.resources.default_resource().scope().to_string(), "a b");
    assert_eq!(config.check_safety(), []);
}

#[test]
fn elements_of_a_list_are_taken_in_the_order_of_their_numbers() {
    let variables: Vec<(String, String)> = (0..11)
        .flat_map(|n| {
            let scope = format!("GATEWARD_RESOURCES__0__SCOPES__{n}__");
            [(format!("{scope}NAME"), format!("s{n}")), (format!("{scope}DESCRIPTION"), "S".to_owned())]
        })
        .collect();
    let config = load(None, variables).unwrap();
    let names: Vec<&str> = config.resources.default_resource().scopes.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10"]);
}

#[test]
fn conventional_names_set_the_stores_and_names_with_our_prefix_win() {
    let variables = [("DATABASE_URL", "postgres://u:p@h/db"), ("REDIS_URL", "redis://:p@r")];
    let config = read_with(MINIMAL, &variables).unwrap();
    assert_eq!(config.stores.clients.to_string(), "postgres://u:(hidden)@h/db");
    assert_eq!(config.stores.tokens.expose(), "redis://:p@r");
    let config = read_with(MINIMAL, &[variables[0], ("GATEWARD_STORES__URL", "sqlite:x.db")]).unwrap();
    assert_eq!(config.stores.clients.expose(), "sqlite:x.db");
}

#[test]
fn secrets_are_hidden_when_the_configuration_is_shown_and_origins_are_not() {
    let text = format!(
        "{MINIMAL}[stores]\nurl = \"postgres://u:hunter2@h/db\"\n[[users]]\nusername = \"ada\"\npassword = \"env:P\"\n\
         [[clients]]\nclient_id = \"c\"\ngrant_types = [\"client_credentials\"]\nscope = \"mcp:execute\"\n\
         secret = \"sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\"\n"
    );
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    let variables = [("P", "hunter2"), ("GATEWARD_LOG__FILTER", "debug"), ("OAUTH_TOKEN_SECRET", secret)];
    let config = read_with(&text, &variables).unwrap();
    let shown = config.show();
    assert!(!shown.contains("hunter2") && !shown.contains("6b86b273"), "{shown}");
    assert!(!format!("{config:?}").contains("hunter2"));
    for line in [
        "issuer = \"https://auth.example.com\" # config.toml:2",
        "filter = \"debug\" # GATEWARD_LOG__FILTER",
        "code = \"60s\" # default",
        "password = \"env:P\" # config.toml:10",
        "secret = \"(hidden)\" # config.toml:15",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
    }
    toml::from_str::<toml::Table>(shown).unwrap();
    // In the order of default.toml, which is no order of the alphabet.
    assert!(shown.find("[server]") < shown.find("[keys]"));
}

#[test]
fn a_token_secret_makes_tokens_hs256_unless_a_resource_says_otherwise() {
    let secret = [("OAUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef")];
    let algorithms = |text: &str| read_with(text, &secret).unwrap().policy().keys.algorithms;
    assert_eq!(algorithms(MINIMAL), []);
    assert_eq!(algorithms(&format!("{MINIMAL}algorithm = \"PS256\"\n")), [Algorithm::PS256]);
    assert_eq!(read(MINIMAL).unwrap().policy().keys.algorithms, [Algorithm::ES256]);
}

#[test]
fn a_key_verifies_as_long_as_the_longest_token_lives() {
    let more = "[[resources]]\nuri = \"https://b.example\"\ntoken_lifetime = \"2h\"\n\
                scopes = [{ name = \"b\", description = \"B\" }]\n";
    let config = read(&format!("{MINIMAL}{more}")).unwrap();
    assert_eq!(config.policy().keys.schedule.verify_after, Duration::from_secs(7200) + CLOCK_SKEW);
}

#[test]
fn production_accepts_nothing_unsafe() {
    let text = MINIMAL.replace("https://auth.example.com", "http://localhost:3000");
    let text = format!(
        "{text}[server]\nlisten = [\"0.0.0.0:3000\"]\n[stores]\nurl = \"memory:\"\nkeys = \"sqlite:k.db\"\n[[clients]]\n\
         client_id = \"c\"\ngrant_types = [\"client_credentials\"]\nscope = \"mcp:execute\"\nsecret = \"env:S\"\n"
    );
    let config = read_with(&text, &[("S", "short")]).unwrap();
    let settings: Vec<String> = config.check_safety().into_iter().map(|found| found.setting).collect();
    assert_eq!(
        settings,
        [
            "issuer",
            "server.listen",
            "keys.master_key",
            "stores.clients",
            "stores.tokens",
            "stores.accounts",
            "stores.audit",
            "clients.secret"
        ]
    );
    let development = read_with(&text, &[("S", "short"), ("GATEWARD_MODE", "development")]).unwrap();
    assert_eq!(development.check_safety(), []);
}

#[cfg(unix)]
#[test]
fn a_master_key_file_that_others_can_read_is_unsafe() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    fs::write(&path, "key").unwrap();
    let config = read(&format!("{MINIMAL}[keys]\nmaster_key = \"file:{}\"\n", path.display())).unwrap();
    for (mode, safe) in [(0o600, true), (0o400, true), (0o440, true), (0o604, false), (0o620, false), (0o644, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(config.check_safety().is_empty(), safe, "{mode:o}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(config.check_safety()[0].to_string().contains("not a file"));
    fs::remove_dir(&path).unwrap();
    assert!(config.check_safety()[0].to_string().contains("cannot be read"));
}

#[test]
fn a_client_that_states_no_scope_may_ask_humans_for_every_scope_of_its_resources() {
    let more = "[[clients]]\nclient_id = \"app\"\ngrant_types = [\"refresh_token\", \"authorization_code\"]\n\
                redirect_uris = [\"http://127.0.0.1/cb\"]\n";
    let config = read(&format!("{MINIMAL}{more}")).unwrap();
    assert_eq!(config.clients[0].scope.to_string(), "mcp:execute offline_access");
    assert_eq!(config.clients[0].authentication, crate::domain::client::AuthenticationMethod::None);
}
