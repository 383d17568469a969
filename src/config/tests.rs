//! Room `config`, tested as a whole: documents and environments in, a configuration or its problems out.

use std::{collections::BTreeSet, path::Path};

use proptest::prelude::*;

use super::*;
use crate::domain::policy::RegistrationMode;

const PRODUCTION: &str = include_str!("../../config/production.example.toml");
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
        "{MINIMAL}[[clients]]\nclient_id = \"c\"\nmay_introspect = true\nresources = [\"https://mcp.example.com/mcp\"]\n\
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
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    for (more, expected) in [
        ("[server]\nlisen = []\n", "config.toml:7: unknown key `server.lisen`; did you mean `server.listen`?"),
        ("[sever]\n", "config.toml:6: unknown key `sever`; did you mean `server`?"),
        ("alias = []\n", "config.toml:6: unknown key `resources.alias`; did you mean `resources.aliases`?"),
        ("[login]\nlisten = []\n", "config.toml:7: unknown key `login.listen`; did you mean `server.listen`?"),
        ("[server.tls]\nqqqqqqqqqqqqqqqqqqqqqqqq = 1\n", "config.toml:6: unknown key `server.tls`; did you mean `"),
        ("[[users]]\nqqqqqqqqqqqqqqqqqqqqqqqq = 1\n", "config.toml:7: unknown key `users.qqqqqqqqqqqqqqqqqqqqqqqq`"),
    ] {
        let found = problems(more);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn several_problems_are_told_at_once_in_the_order_of_the_file() {
    let found =
        problems("token_lifetime = \"1y\"\n[server]\nlisten = [\n \"x\",\n \"127.0.0.1:1\",\n \"y\"]\nport = 3\n");
    let lines: Vec<&str> = found.lines().map(|line| &line[..14]).collect();
    assert_eq!(lines, ["config.toml:6:", "config.toml:9:", "config.toml:11", "config.toml:12"], "{found}");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for (more, expected) in [
        ("[server]\nlisten = 3000\n", "config.toml:7: `server.listen` must be a list, not a whole number"),
        ("[server]\nlisten = [1]\n", "config.toml:7: `server.listen` must be a list of texts, not a whole number"),
        ("[server]\nbody_limit = \"1k\"\n", "`server.body_limit` must be a whole number, not a text"),
        ("[server]\nbody_limit = 1.5\n", "`server.body_limit` must be a whole number, not a fraction"),
        ("[server]\nbody_limit = 1\n", "`server.body_limit`: must be a whole number from 1024 to 16777216"),
        ("[users]\nusername = \"a\"\n", "`users` must be a list of tables: [[users]], not a table"),
        ("[lifetimes]\ncode = \"1h\"\n", "config.toml:7: `lifetimes.code`: must be from \"5s\" to \"10m\""),
        ("[keys]\nalgorithm = \"none\"\n", "`keys.algorithm`: must be ES256, EdDSA, RS256 or PS256"),
        ("[log]\nfilter = \"a=b=c\"\n", "config.toml:7: `log.filter`: "),
    ] {
        let found = problems(more);
        assert!(found.contains(expected), "{found}");
    }
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
fn an_unknown_variable_with_our_prefix_is_refused_with_the_nearest_known_one() {
    for (name, expected) in [
        ("GATEWARD_SERVER__LISEN", "no setting has this name; did you mean GATEWARD_SERVER__LISTEN?"),
        ("GATEWARD_SERVER_LISTEN", "no setting has this name; did you mean GATEWARD_SERVER__LISTEN?"),
        ("GATEWARD_SERVER", "is a section; add `__` and a key of it"),
        ("GATEWARD_RESOURCES", "a list of tables is set element by element"),
        ("GATEWARD_RESOURCES__X__URI", "no setting has this name"),
        ("GATEWARD_RESOURCES__5__URI", "element 5 of a list that has only 1"),
        ("GATEWARD_SERVER__BODY_LIMIT", "must be a whole number"),
    ] {
        let found = read_with(MINIMAL, &[(name, "x")]).unwrap_err().to_string();
        assert!(found.starts_with(&format!("environment variable {name}: {expected}")), "{found}");
    }
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
fn a_secret_in_the_file_is_refused_without_being_repeated() {
    for more in [
        "[keys]\nmaster_key = \"hunter2\"\n",
        "[registration]\nmode = \"initial_access_token\"\ninitial_access_tokens = [\"hunter2\"]\n",
        "[[clients]]\nclient_id = \"c\"\ngrant_types = [\"client_credentials\"]\nsecret = \"hunter2\"\n",
        "[[clients]]\nclient_id = \"c\"\njwks = \"hunter2\"\n",
        "[[users]]\nusername = \"u\"\npassword = \"hunter2\"\n",
        "[[users]]\nusername = \"u\"\npassword_hash = \"hunter2\"\n",
    ] {
        let found = problems(more);
        assert!(found.contains("env:NAME") || found.contains("must be a JSON Web Key Set"), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
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
fn hs256_without_a_token_secret_and_a_short_token_secret_are_refused() {
    assert!(problems("algorithm = \"HS256\"\n").contains(":6: `resources.algorithm`: HS256 needs"));
    let found = read_with(MINIMAL, &[("OAUTH_TOKEN_SECRET", "short")]).unwrap_err().to_string();
    assert!(found.starts_with("environment variable OAUTH_TOKEN_SECRET: is shorter than 32 bytes"), "{found}");
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
    assert!(config.check_safety()[0].to_string().contains("cannot be read"));
}

#[test]
fn clients_that_contradict_themselves_are_refused() {
    let worker = "client_id = \"c\"\ngrant_types = [\"client_credentials\"]\n";
    for (client, expected) in [
        (format!("{worker}scope = \"mcp:execute\"\n"), "`clients.grant_types`: client_credentials needs `secret`"),
        (format!("{worker}secret = \"env:S\"\n"), "`clients.scope`: client_credentials needs it stated"),
        (
            format!("{worker}auth_method = \"client_secret_post\"\n"),
            "`clients.auth_method`: this method needs `secret`",
        ),
        (format!("{worker}scope = \"mcp:x\"\n"), "config.toml:9: `clients.scope`: no resource has the scope \"mcp:x\""),
        (format!("{worker}resources = [\"https://x.example\"]\n"), "no [[resources]] is called https://x.example"),
        ("client_id = \"c\"\n".to_owned(), "`clients.grant_types`: without a grant type"),
        ("grant_types = []\n".to_owned(), "`clients.client_id`: must be set"),
        (
            "client_id = \"c\"\ngrant_types = [\"authorization_code\"]\n".to_owned(),
            "`clients.redirect_uris`: authorization_code needs",
        ),
        (
            "client_id = \"c\"\nmay_introspect = true\nsecret = \"env:S\"\n".to_owned(),
            "`clients.may_introspect`: needs",
        ),
        (
            "client_id = \"c\"\njwks = '{\"keys\":[{\"kty\":\"EC\",\"d\":\"x\"}]}'\n".to_owned(),
            "`clients.jwks`: holds a private",
        ),
    ] {
        let text = format!("{MINIMAL}[[clients]]\n{client}");
        let found = read_with(&text, &[("S", "0123456789abcdef0123456789abcdef")]).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_client_that_states_no_scope_may_ask_humans_for_every_scope_of_its_resources() {
    let more = "[[clients]]\nclient_id = \"app\"\ngrant_types = [\"refresh_token\", \"authorization_code\"]\n\
                redirect_uris = [\"http://127.0.0.1/cb\"]\n";
    let config = read(&format!("{MINIMAL}{more}")).unwrap();
    let client = config.clients[0].to_client(crate::domain::time::Timestamp::EPOCH);
    assert_eq!(client.scope.to_string(), "mcp:execute offline_access");
    assert!(client.is_public());
    assert_eq!(client.application_type.as_str(), "native");
}

#[test]
fn what_is_declared_twice_is_refused() {
    for (more, expected) in [
        (
            "[[users]]\nusername = \"A\"\npassword = \"env:P\"\n[[users]]\nusername = \"a\"\npassword = \"env:P\"\n",
            "\"a\"",
        ),
        ("[[resources.scopes]]\nname = \"x\"\ndescription = \"X\"\n", ""),
    ] {
        let found = read_with(&format!("{MINIMAL}{more}"), &[("P", "p")]).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn initial_access_tokens_and_their_mode_belong_together() {
    assert!(problems("[registration]\nmode = \"initial_access_token\"\n").contains("needs at least one"));
    let tokens = "initial_access_tokens = [\"env:T\"]\n";
    let open = format!("{MINIMAL}[registration]\n{tokens}");
    let variables = [("T", "0123456789abcdef0123456789abcdef")];
    assert!(read_with(&open, &variables).unwrap_err().to_string().contains("has no effect unless"));
    let guarded = format!("{open}mode = \"initial_access_token\"\n");
    let config = read_with(&guarded, &variables).unwrap();
    assert!(matches!(config.registration.mode, RegistrationMode::InitialAccessToken(digests) if digests.len() == 1));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems = load(Some(Path::new("/nowhere/gateward.toml")), []).unwrap_err().to_string();
    assert!(problems.starts_with("/nowhere/gateward.toml: cannot be read: "), "{problems}");
}

/// Lines that look like configuration, so that the property test gets past the TOML parser.
fn line() -> impl Strategy<Value = String> {
    let defaults = document::parse("default.toml", DEFAULTS).unwrap();
    let keys: Vec<String> = layers::known_keys(&defaults);
    let value = prop_oneof![
        "\"[a-z0-9:/._ -]{0,12}\"",
        "-?[0-9]{1,20}",
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{ a = 1 }".to_owned()),
        "\\[\"[a-z:]{0,5}\", [0-9]\\]",
        Just("\"env:X\"".to_owned()),
        Just("\"é\"".to_owned()),
        Just("1979-05-27".to_owned()),
    ];
    (proptest::sample::select(keys), value).prop_map(|(key, value)| format!("{key} = {value}"))
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}", name in "[A-Z_0-9]{0,20}", value in "\\PC{0,20}") {
        let _ = read_with(&text, &[(&format!("GATEWARD_{name}"), &value)]);
    }

    #[test]
    fn no_settings_make_the_loader_panic(
        lines in proptest::collection::vec(line(), 0..6),
        key in proptest::sample::select(vec!["LISTEN", "RESOURCES__0__URI", "USERS__0", "USERS__1__USERNAME", "MODE"]),
        value in "\\PC{0,20}",
    ) {
        let variables = [(format!("GATEWARD_{key}"), value)];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let _ = read_with(&lines.join("\n"), &variables);
        let _ = read_with(&format!("{MINIMAL}{}", lines.join("\n")), &variables);
    }
}
