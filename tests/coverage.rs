//! Nothing is forgotten: every route and method, and every member of the metadata document, is named here with a test that
//! exercises it, and that test is looked up in the sources of `tests/endpoints/`.
//!
//! There is no list of exceptions, and there is to be none.
#![expect(clippy::expect_used, clippy::panic, reason = "what is missing here has failed the test")]

use std::{collections::BTreeSet, fs, path::Path};

use gateward::{http::ROUTES, testing::server::TestServer};

/// Path, method, and `file::test`.
const ROUTE_TESTS: &[(&str, &str, &str)] = &[
    (
        "/.well-known/oauth-authorization-server",
        "GET",
        "discovery::the_document_says_where_everything_is_and_what_works",
    ),
    ("/.well-known/openid-configuration", "GET", "discovery::the_two_documents_are_identical"),
    ("/.well-known/jwks.json", "GET", "jwks::an_es256_token_verifies_with_the_published_key"),
    ("/oauth/authorize", "GET", "authorize::success_goes_back_with_code_state_and_iss_and_nothing_else"),
    ("/oauth/authorize", "POST", "authorize::a_posted_request_is_asked_for_again_by_a_link_and_touches_no_cookie"),
    ("/oauth/login", "POST", "login::a_login_leads_on_by_303"),
    ("/oauth/consent", "GET", "consent::the_page_says_who_where_what_and_for_how_long"),
    ("/oauth/consent", "POST", "consent::approval_leads_to_a_code_by_303"),
    ("/oauth/logout", "POST", "sign_out::signing_out_ends_the_session_and_leads_to_a_page"),
    ("/oauth/signed-out", "GET", "sign_out::the_page_after_it_offers_to_go_on_with_the_request"),
    ("/oauth/token", "POST", "token_code::a_code_is_exchanged_for_tokens_that_state_everything"),
    ("/oauth/register", "POST", "register::the_answer_states_every_effective_value_of_a_public_client"),
    ("/oauth/register/{client_id}", "GET", "manage_registration::a_client_reads_what_it_is_registered_as"),
    ("/oauth/register/{client_id}", "PUT", "manage_registration::an_update_replaces_everything_and_rotates_the_token"),
    ("/oauth/register/{client_id}", "DELETE", "manage_registration::a_deleted_client_is_gone_and_its_grants_with_it"),
    ("/oauth/revoke", "POST", "revoke::revoking_a_refresh_token_ends_its_grant_with_every_access_token"),
    ("/oauth/introspect", "POST", "introspect::an_active_token_is_described_in_full"),
    ("/oauth/about", "GET", "discovery::the_documentation_is_a_page_that_names_the_resources"),
    ("/livez", "GET", "health::a_running_server_is_live_and_ready"),
    ("/readyz", "GET", "health::a_draining_server_is_live_but_not_ready"),
];

/// Member, and the test that shows that it is true.
const METADATA_TESTS: &[(&str, &str)] = &[
    ("issuer", "discovery::the_issuer_is_one_string_byte_for_byte"),
    ("authorization_endpoint", "discovery::every_endpoint_that_is_advertised_is_there"),
    ("token_endpoint", "discovery::every_endpoint_that_is_advertised_is_there"),
    ("registration_endpoint", "discovery::closed_registration_is_not_advertised"),
    ("revocation_endpoint", "discovery::every_endpoint_that_is_advertised_is_there"),
    ("introspection_endpoint", "discovery::every_endpoint_that_is_advertised_is_there"),
    ("jwks_uri", "jwks::an_es256_token_verifies_with_the_published_key"),
    ("scopes_supported", "authorize::offline_access_is_always_known"),
    ("response_types_supported", "authorize::only_the_response_type_code_is_supported"),
    ("response_modes_supported", "authorize::only_the_response_mode_query_is_supported"),
    ("grant_types_supported", "client_authentication::an_unknown_grant_type_is_unsupported"),
    ("token_endpoint_auth_methods_supported", "client_authentication::only_the_registered_method_counts"),
    (
        "token_endpoint_auth_signing_alg_values_supported",
        "client_authentication::private_key_jwt_works_with_every_advertised_algorithm",
    ),
    ("introspection_endpoint_auth_methods_supported", "introspect::without_authentication_it_is_401"),
    (
        "introspection_endpoint_auth_signing_alg_values_supported",
        "client_authentication::an_assertion_authenticates_at_introspection_and_revocation_too",
    ),
    (
        "revocation_endpoint_auth_methods_supported",
        "client_authentication::the_method_in_none_counts_for_revocation_and_not_for_introspection",
    ),
    (
        "revocation_endpoint_auth_signing_alg_values_supported",
        "client_authentication::an_assertion_authenticates_at_introspection_and_revocation_too",
    ),
    ("code_challenge_methods_supported", "authorize::a_missing_challenge_method_means_plain_and_is_refused"),
    (
        "authorization_response_iss_parameter_supported",
        "authorize::success_goes_back_with_code_state_and_iss_and_nothing_else",
    ),
    ("prompt_values_supported", "authorize::prompt_none_with_session_and_consent_succeeds_silently"),
    ("service_documentation", "discovery::the_documentation_is_a_page_that_names_the_resources"),
    ("ui_locales_supported", "authorize::ui_locales_and_unknown_parameters_do_no_harm"),
    ("subject_types_supported", "discovery::openid_clients_find_what_their_specification_requires"),
    ("id_token_signing_alg_values_supported", "discovery::openid_clients_find_what_their_specification_requires"),
];

/// Whether `file::test` is a test that runs.
fn assert_is_a_test(name: &str) {
    let (file, test) = name.split_once("::").expect("file::test");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endpoints").join(format!("{file}.rs"));
    let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| {
        line.strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ")
            .is_some_and(|rest| rest.starts_with(&format!("{test}(")))
    });
    let at = at.unwrap_or_else(|| panic!("there is no test {name}"));
    let attributes: Vec<&str> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied().collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    assert!(attributes.iter().any(is_test), "{name} is no test");
    assert!(!attributes.iter().any(|line| line.starts_with("#[ignore")), "{name} does not run");
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endpoints/main.rs");
    let main = fs::read_to_string(main).expect("main.rs");
    assert!(main.lines().any(|line| line == format!("mod {file};")), "{file} is not compiled");
}

#[test]
fn every_route_has_a_test() {
    let routed: BTreeSet<(&str, &str)> =
        ROUTES.iter().flat_map(|route| route.methods.iter().map(|method| (route.path, *method))).collect();
    let listed: BTreeSet<(&str, &str)> = ROUTE_TESTS.iter().map(|(path, method, _)| (*path, *method)).collect();
    assert_eq!(routed, listed);
    assert_eq!(ROUTE_TESTS.len(), listed.len(), "a route is listed twice");
    for (_, _, test) in ROUTE_TESTS {
        assert_is_a_test(test);
    }
}

/// The table of routes is the wiring: each is served, and says so.
#[tokio::test]
async fn every_route_of_the_table_is_wired() {
    let server = TestServer::builder().start().await;
    for (path, method, _) in ROUTE_TESTS {
        let path = path.replace("{client_id}", "x");
        let answer = server.call(method.parse().expect("a method"), &path).send().await;
        assert!(!matches!(answer.status.as_u16(), 404 | 405), "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn every_member_of_the_metadata_has_a_test() {
    let document = TestServer::builder().start().await.get("/.well-known/oauth-authorization-server").await.json();
    let members: BTreeSet<&str> = document.as_object().expect("an object").keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = METADATA_TESTS.iter().map(|(member, _)| *member).collect();
    assert_eq!(members, listed);
    for (_, test) in METADATA_TESTS {
        assert_is_a_test(test);
    }
}

#[test]
fn every_file_of_endpoint_tests_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endpoints");
    let main = fs::read_to_string(folder.join("main.rs")).expect("main.rs");
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(main.lines().any(|line| line == format!("mod {name};")), "{name}.rs is not compiled");
        }
    }
}

fn implementation() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("IMPLEMENTATION.md");
    fs::read_to_string(document).expect("IMPLEMENTATION.md")
}

#[test]
fn every_section_of_the_implementation_is_there_once() {
    let document = implementation();
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = document.lines().filter(|line| line.starts_with("## ") && !seen.insert(*line)).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
}

/// `binary module::name`, or with a `*` in the name, as the traceability of `IMPLEMENTATION.md` writes them.
fn claimed_tests() -> Vec<String> {
    let text = implementation();
    let (_, table) = text.split_once("\n## Traceability").expect("the traceability");
    let quoted = table.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains(' ') && !text.contains('/')).map(str::to_owned).collect()
}

fn sources_below(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources_below(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn every_test_that_the_traceability_names_is_there() {
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    let claimed = claimed_tests();
    assert!(claimed.len() > 200, "the table was found: {}", claimed.len());
    let missing: Vec<_> = claimed
        .iter()
        .filter(|claim| {
            let name = claim.rsplit([' ', ':']).next().unwrap_or_default();
            match name.split_once('*') {
                Some((beginning, _)) => !sources.contains(&format!("fn {beginning}")),
                None => !sources.contains(&format!("fn {name}(")),
            }
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
