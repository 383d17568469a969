//! What requests to resources need, and the servers behind the gateway.

use super::*;
use crate::domain::{
    request_path::RequestPath,
    scope_rule::{Calls, ScopeRules},
};

fn guarded(more: &str) -> GuardedResource {
    read(&format!("{MINIMAL}{more}")).unwrap().guarded.remove(0)
}

/// The problems of one resource at a URI; its issuer is `https://auth.example.com`.
fn at(uri: &str, more: &str) -> String {
    let text = format!("{}{more}", MINIMAL.replace("https://mcp.example.com/mcp", uri));
    read(&text).err().map(|problems| problems.to_string()).unwrap_or_default()
}

fn needed(rules: &ScopeRules, method: &str, path: &str) -> String {
    rules.needed(method, &RequestPath::parse(path).unwrap(), Calls::Known(&[])).to_string()
}

const UPSTREAM: &str = "upstream = \"http://127.0.0.1:8000/mcp\"\n";

#[test]
fn a_resource_says_nothing_about_requests_unless_it_is_told_to() {
    let guarded = guarded("");
    assert_eq!((guarded.uri.as_str(), guarded.name.as_str()), ("https://mcp.example.com/mcp", "mcp.example.com"));
    assert_eq!((guarded.rules, guarded.scopes.to_string()), (ScopeRules::default(), "mcp:execute".to_owned()));
    assert_eq!((guarded.upstream, guarded.allowed_origins, guarded.trust_mcp_headers), (None, vec![], false));
}

#[test]
fn every_resource_is_guarded_in_the_order_of_the_file() {
    let more = format!(
        "[[resources]]\nuri = \"https://b.example\"\n{UPSTREAM}allowed_origins = [\"https://app.example.com\", \"*\"]\n\
         trust_mcp_headers = true\nscopes = [{{ name = \"b\", description = \"B\" }}]\n"
    );
    let config = read(&format!("{MINIMAL}{more}")).unwrap();
    let names: Vec<&str> = config.guarded.iter().map(|guarded| guarded.uri.as_str()).collect();
    assert_eq!(names, ["https://mcp.example.com/mcp", "https://b.example"]);
    let behind = &config.guarded[1];
    assert_eq!(behind.upstream.as_ref().map(url::Url::as_str), Some("http://127.0.0.1:8000/mcp"));
    assert_eq!(behind.allowed_origins, ["https://app.example.com", "*"]);
    assert!(behind.trust_mcp_headers);
}

#[test]
fn rules_say_what_requests_need() {
    let text = format!("{MINIMAL}required_scope = \"a\"\n").replace(
        "scopes = [",
        "scopes = [{ name = \"a\", description = \"A\" }, { name = \"x:*\", description = \"X\" }, ",
    );
    let text = format!(
        "{text}[[resources.rules]]\npath = \"/mcp/admin/\"\nscope = \"x:*\"\n[[resources.rules]]\nmethods = [\"DELETE\", \
         \"PUT\"]\nscope = \"mcp:execute\"\n[[resources.rules]]\nmcp_method = \"tools/*\"\nmcp_name = \"launch-*\"\nscope = \
         \"mcp:execute\"\n"
    );
    let guarded = read(&text).unwrap().guarded.remove(0);
    assert_eq!(needed(&guarded.rules, "GET", "/mcp"), "a");
    assert_eq!(needed(&guarded.rules, "GET", "/mcp/admin"), "a x:*");
    assert_eq!(needed(&guarded.rules, "PUT", "/mcp"), "a mcp:execute");
    assert_eq!(guarded.rules.rules.len(), 3);
}

#[test]
fn rules_can_come_from_the_environment() {
    let config = read_with(
        MINIMAL,
        &[
            ("GATEWARD_RESOURCES__0__RULES__0__METHODS", "DELETE, PUT"),
            ("GATEWARD_RESOURCES__0__RULES__0__SCOPE", "mcp:execute"),
            ("GATEWARD_RESOURCES__0__UPSTREAM", "https://mcp.internal"),
        ],
    )
    .unwrap();
    assert_eq!(needed(&config.guarded[0].rules, "PUT", "/mcp"), "mcp:execute");
    assert_eq!(config.guarded[0].upstream.as_ref().map(url::Url::as_str), Some("https://mcp.internal/"));
}

#[test]
fn the_gateway_has_bounds() {
    let options = read(MINIMAL).unwrap().gateway;
    let expected = Gateway {
        body_limit: 4 << 20,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(300),
        recheck: Duration::from_secs(5),
    };
    assert_eq!(options, expected);
    for (bad, expected) in [
        ("body_limit = 1023", "from 1024 to 67108864"),
        ("body_limit = 67108865", "from 1024 to 67108864"),
        ("connect_timeout = \"0s\"", "from \"1s\" to"),
        ("response_timeout = \"2h\"", "from \"1s\" to \"1h\""),
        ("recheck = \"0s\"", "from \"1s\" to"),
        ("recheck = \"61s\"", "from \"1s\" to"),
    ] {
        let found = problems(&format!("[gateway]\n{bad}\n"));
        assert!(found.starts_with("config.toml:7: `gateway.") && found.contains(expected), "{bad}: {found}");
    }
}

#[test]
fn a_rule_that_could_not_take_effect_is_refused() {
    for (rule, expected) in [
        ("path = \"/mcp\"", "`resources.rules.scope`: must be set"),
        ("path = \"/mcp\"\nscope = \" \"", "config.toml:8: `resources.rules.scope`: must be set"),
        ("scope = \"mcp:execute\"", "`resources.rules.scope`: the rule has no condition"),
        ("path = \"/mcp\"\nscope = \"mcp:read\"", "`resources.rules.scope`: the resource has no scope \"mcp:read\""),
        ("path = \"/mcp\"\nscope = \"mcp:*\"", "the resource has no scope \"mcp:*\""),
        ("path = \"/mcp\"\nscope = \"offline_access\"", "the resource has no scope \"offline_access\""),
        ("mcp_name = \"launch\"\nscope = \"mcp:execute\"", ":7: `resources.rules.mcp_name`: needs mcp_method"),
        ("mcp_method = \"a*b\"\nscope = \"mcp:execute\"", "`resources.rules.mcp_method`: must be a name"),
        (
            "methods = [\"delete\"]\nscope = \"mcp:execute\"",
            "`resources.rules.methods`: must be HTTP methods in capitals",
        ),
        ("methods = [\"\"]\nscope = \"mcp:execute\"", "`resources.rules.methods`: must be HTTP methods in capitals"),
        ("path = \"mcp\"\nscope = \"mcp:execute\"", "`resources.rules.path`: must be a path such as"),
        ("path = \"/mcp/../x\"\nscope = \"mcp:execute\"", "`resources.rules.path`: must be a path such as"),
        ("path = \"/admin\"\nscope = \"mcp:execute\"", "no request to the resource has this path: it begins with /mcp"),
        ("path = \"/mcpx\"\nscope = \"mcp:execute\"", "no request to the resource has this path"),
    ] {
        let found = problems(&format!("[[resources.rules]]\n{rule}\n"));
        assert!(found.contains(expected), "{rule}: {found}");
    }
    assert!(
        problems("required_scope = \"mcp:*\"\n").contains(":6: `resources.required_scope`: the resource has no scope")
    );
    guarded("[[resources.rules]]\npath = \"/\"\nscope = \"mcp:execute\"\n");
}

#[test]
fn a_server_behind_is_told_by_a_plain_url() {
    for (upstream, expected) in [
        ("127.0.0.1:8000", "must be the URL of an MCP server"),
        ("/mcp", "must be the URL of an MCP server"),
        ("http:mcp.internal", "must be the URL of an MCP server"),
        ("http:\\\\\\\\mcp.internal", "must be the URL of an MCP server"),
        (" http://mcp.internal", "must be the URL of an MCP server"),
        ("http://", "must be the URL of an MCP server"),
        ("unix:///run/mcp.sock", "must be the URL of an MCP server"),
        ("ws://mcp.internal", "must be http or https"),
        ("http://u:hunter2@mcp.internal", "must not have a query, a fragment or a user"),
        ("http://mcp.internal/?key=hunter2", "must not have a query, a fragment or a user"),
        ("http://mcp.internal/?", "must not have a query, a fragment or a user"),
        ("http://mcp.internal/#x", "must not have a query, a fragment or a user"),
    ] {
        let found = problems(&format!("upstream = \"{upstream}\"\n"));
        assert!(found.starts_with(&format!("config.toml:6: `resources.upstream`: {expected}")), "{upstream}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn a_gateway_needs_a_resource_that_is_told_by_host_and_path() {
    for (uri, expected) in [
        ("urn:example:mcp", "is neither http nor https"),
        ("https://mcp.example.com/mcp?x=1", "has a query"),
        ("https://u@mcp.example.com/mcp", "has a query or a user"),
        ("https://mcp.example.com/a//b", "can be read in more than one way"),
        ("https://mcp.example.com/a;b", "can be read in more than one way"),
    ] {
        let found = at(uri, UPSTREAM);
        assert!(
            found.starts_with("config.toml:6: `resources.upstream`: needs ") && found.contains(expected),
            "{found}"
        );
        assert_eq!(at(uri, ""), "", "without a gateway it is a name like any other");
    }
}

#[test]
fn an_mcp_server_takes_no_place_of_this_server_itself() {
    for path in ["", "/oauth", "/oauth/x", "/%6fauth/x", "/.well-known/mcp", "/livez", "/readyz/x"] {
        let found = at(&format!("https://auth.example.com{path}"), UPSTREAM);
        assert!(found.contains("with this server itself: give it a path of its own"), "{path}: {found}");
    }
    // The scheme may be that of a proxy in front.
    assert!(at("http://auth.example.com/oauth", UPSTREAM).contains("shares /oauth"));
    for uri in [
        "https://auth.example.com/mcp",
        "https://auth.example.com/oauthx",
        "https://auth.example.com:8443/oauth",
        "https://mcp.example.com",
        "https://mcp.example.com/oauth",
    ] {
        assert_eq!(at(uri, UPSTREAM), "", "{uri}");
    }
    assert!(
        at("https://mcp.example.com/.well-known", UPSTREAM).contains("shares /.well-known"),
        "its own metadata is there"
    );
}

#[test]
fn the_path_of_the_issuer_is_before_its_places() {
    let at = |path: &str| {
        let text = MINIMAL.replace("https://auth.example.com", "https://mcp.example.com/tenant");
        let text = text.replace("https://mcp.example.com/mcp", &format!("https://mcp.example.com{path}"));
        read(&format!("{text}{UPSTREAM}")).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    for path in ["/", "/tenant", "/tenant/oauth", "/tenant/.well-known/x", "/livez", "/.well-known/x"] {
        assert!(at(path).contains("with this server itself"), "{path}");
    }
    for path in ["/oauth", "/tenant/mcp", "/tenant/livez"] {
        assert_eq!(at(path), "", "{path}");
    }
}

#[test]
fn one_mcp_server_may_be_below_another_but_not_in_its_place() {
    let two = |second: &str| {
        let more = format!(
            "{UPSTREAM}[[resources]]\nuri = \"{second}\"\nupstream = \"http://127.0.0.1:8001\"\nscopes = [{{ name = \"b\", \
             description = \"B\" }}]\n"
        );
        read(&format!("{MINIMAL}{more}")).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    assert_eq!(two("https://mcp.example.com/mcp/files"), "");
    assert_eq!(two("https://files.example.com/mcp"), "");
    for same in ["https://mcp.example.com/mcp/", "https://mcp.example.com/%6dcp", "http://mcp.example.com/mcp"] {
        let found = two(same);
        assert!(
            found.contains("config.toml:9: `resources.upstream`: requests to ") && found.contains("look the same"),
            "{found}"
        );
    }
}

#[test]
fn requests_do_not_go_in_circles() {
    let listening = |listen: &str, upstream: &str| {
        let more = format!("upstream = \"{upstream}\"\n[server]\nlisten = [{listen}]\n");
        read(&format!("{MINIMAL}{more}")).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    for (listen, upstream) in [
        ("\"127.0.0.1:3000\"", "http://127.0.0.1:3000/x"),
        ("\"127.0.0.1:3000\"", "http://localhost:3000"),
        ("\"127.0.0.1:3000\"", "http://a.LOCALHOST.:3000"),
        ("\"127.0.0.1:3000\"", "http://0.0.0.0:3000"),
        ("\"127.0.0.1:3000\"", "http://[::ffff:127.0.0.1]:3000"),
        ("\"127.0.0.1:3000\"", "http://0x7f.1:3000"),
        ("\"[::]:3000\"", "http://127.0.0.1:3000"),
        ("\"0.0.0.0:3000\"", "http://127.0.0.2:3000"),
        ("\"127.0.0.1:1\", \"10.0.0.1:80\"", "http://10.0.0.1/mcp"),
        ("\"[::1]:443\"", "https://[::1]"),
    ] {
        let found = listening(listen, upstream);
        assert!(found.starts_with("config.toml:6: `resources.upstream`: is this server itself"), "{upstream}: {found}");
    }
    for upstream in
        ["http://127.0.0.1:3001", "http://127.0.0.2:3000", "http://mcp.internal:3000", "http://10.0.0.1:3000"]
    {
        assert_eq!(listening("\"127.0.0.1:3000\"", upstream), "", "{upstream}");
    }
    for upstream in ["https://mcp.example.com/mcp", "https://mcp.example.com/mcp/x", "http://mcp.example.com/%6dcp"] {
        let found = listening("\"127.0.0.1:3000\"", upstream);
        assert!(
            found.contains("`resources.upstream`: leads back to this server, as gateway of mcp.example.com/mcp"),
            "{found}"
        );
    }
    assert_eq!(listening("\"127.0.0.1:3000\"", "https://mcp.example.com/server"), "");
}

#[test]
fn a_plain_http_server_behind_is_no_concern_in_production() {
    let text = format!("{MINIMAL}upstream = \"http://mcp.internal:8000\"\n[keys]\nmaster_key = \"env:K\"\n");
    let config = read_with(&text, &[("K", "gw_mk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]).unwrap();
    assert_eq!(config.check_safety(), []);
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    for bad in [
        "https://app.example.com/",
        "https://App.example.com",
        "https://app.example.com:443",
        "https://*.example.com",
        "app.example.com",
        "null",
        "",
        "data:x",
        "https://u@app.example.com",
    ] {
        let found = problems(&format!("allowed_origins = [\"{bad}\"]\n"));
        assert!(
            found.starts_with("config.toml:6: `resources.allowed_origins`: must be origins such as"),
            "{bad}: {found}"
        );
    }
    assert_eq!(guarded("allowed_origins = \"http://localhost:6274\"\n").allowed_origins, ["http://localhost:6274"]);
}

#[test]
fn what_is_wrong_beside_a_resource_that_is_wrong_is_told_too() {
    let found = problems("token_lifetime = \"1y\"\nupstream = \"x\"\nallowed_origins = [\"x\"]\n");
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn the_shown_configuration_has_the_rules() {
    let more = format!("{UPSTREAM}[[resources.rules]]\nmcp_method = \"tools/call\"\nscope = \"mcp:execute\"\n");
    let config = read(&format!("{MINIMAL}{more}")).unwrap();
    let shown = config.show();
    for line in [
        "[[resources.rules]]",
        "mcp_method = \"tools/call\" # config.toml:8",
        "mcp_name = \"\" # default",
        "upstream = \"http://127.0.0.1:8000/mcp\" # config.toml:6",
        "required_scope = \"\" # default",
        "[gateway]",
        "recheck = \"5s\" # default",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
    }
    toml::from_str::<toml::Table>(shown).unwrap();
}
