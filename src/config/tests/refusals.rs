//! What is refused, and what is said about it.

use proptest::prelude::*;

use super::*;
use crate::domain::policy::RegistrationMode;

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
        ("[log]\nfilter = \"[request]=debug\"\n", "config.toml:7: `log.filter`: requests are no spans"),
    ] {
        let found = problems(more);
        assert!(found.contains(expected), "{found}");
    }
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
fn hs256_without_a_token_secret_and_a_short_token_secret_are_refused() {
    assert!(problems("algorithm = \"HS256\"\n").contains(":6: `resources.algorithm`: HS256 needs"));
    let found = read_with(MINIMAL, &[("OAUTH_TOKEN_SECRET", "short")]).unwrap_err().to_string();
    assert!(found.starts_with("environment variable OAUTH_TOKEN_SECRET: is shorter than 32 bytes"), "{found}");
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
fn what_is_declared_twice_is_refused() {
    for (more, expected) in [
        (
            "[[users]]\nusername = \"A\"\npassword = \"env:P\"\n[[users]]\nusername = \"a\"\npassword = \"env:P\"\n",
            "\"a\"",
        ),
        (
            "[[clients]]\nclient_id = \"c\"\nmay_introspect = true\nresources = [\"https://mcp.example.com/mcp\"]\nsecret = \"env:P\"\n"
                .repeat(2)
                .as_str(),
            "`clients.client_id`: \"c\" is declared twice",
        ),
        (
            "[[resources]]\nuri = \"https://b.example\"\nscopes = [{ name = \"b\", description = \"B\" }, { name = \"b\", \
             description = \"B\" }]\n",
            "config.toml:8: `resources.scopes.name`: \"b\" is declared twice",
        ),
        (
            "[[resources]]\nuri = \"https://MCP.example.com/mcp\"\nscopes = [{ name = \"b\", description = \"B\" }]\n",
            "`resources`: two resources are called",
        ),
    ] {
        let found = read_with(&format!("{MINIMAL}{more}"), &[("P", "p")]).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn durations_that_contradict_each_other_are_refused() {
    for (more, expected) in [
        ("[keys]\nrotation_period = \"1d\"\n", "`keys.publish_ahead`: must be shorter than rotation_period"),
        (
            "[lifetimes]\nsession_idle = \"13h\"\n",
            ":7: `lifetimes.session_idle`: must not be longer than session_absolute",
        ),
        (
            "[lifetimes]\nrefresh = \"60s\"\nrefresh_reuse_window = \"61s\"\n",
            ":8: `lifetimes.refresh_reuse_window`: must not be longer than refresh",
        ),
    ] {
        let found = problems(more);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn passwords_are_hashed_with_argon2id_and_nothing_else() {
    let user = |hash: &str| read(&format!("{MINIMAL}[[users]]\nusername = \"u\"\npassword_hash = \"{hash}\"\n"));
    let rest = "$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    assert!(user(&format!("$argon2id{rest}")).is_ok());
    for bad in [format!("$argon2i{rest}"), "$2b$12$abc".to_owned(), "$argon2id$v=19$m=19456,t=2,p=1".to_owned()] {
        assert!(user(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_utf8_is_refused_where_it_is_used() {
    let more = "[[users]]\nusername = \"u\"\npassword = \"env:P\"\n";
    let text = format!("{MINIMAL}{more}");
    let bad = "\u{fffd}".repeat(32);
    for name in ["GATEWARD_LOG__FILTER", "OAUTH_TOKEN_SECRET", "P"] {
        let variables = [("P", "p"), (name, bad.as_str())];
        let found = read_with(&text, &variables).unwrap_err().to_string();
        assert!(found.contains(name) && found.contains("is not UTF-8"), "{found}");
    }
    assert!(read_with(&text, &[("P", "p"), ("UNRELATED", &bad)]).is_ok());
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
