//! The authorization endpoint, broken in one way at a time.

use crate::world::{Asked, FILES, Told, breaks, defects};

const NATIVE: &str = "http://localhost:6274/oauth/callback";
const STRANGER: &str = "https://gateward-doctor.invalid/callback";

/// Whether it is an ordinary request to be called back there.
fn asks(asked: &Asked, redirect_uri: &str) -> bool {
    asked.path == "/oauth/authorize"
        && asked.query("redirect_uri").as_deref() == Some(redirect_uri)
        && asked.query("prompt").is_none()
        && asked.query("response_type").as_deref() == Some("code")
}

fn refuse(asked: &Asked, told: &mut Told, redirect_uri: &str) {
    let is_plain = asked.query("resource").is_none() && asked.query("code_challenge").is_some();
    if asks(asked, redirect_uri) && is_plain {
        told.become_page(400);
    }
}

fn is_unknown(asked: &Asked) -> bool {
    asked.query("client_id").as_deref() == Some("gateward-doctor-nobody")
}

fn refuse_resource(asked: &Asked, told: &mut Told, ends_with: &str) {
    if asked.query("resource").is_some_and(|resource| resource.ends_with(ends_with)) {
        told.redirect(&format!("{NATIVE}?error=invalid_target&error_description=Never+heard+of+it"));
    }
}

defects! {
    an_open_redirect_for_unknown_clients_is_noticed: "authorize.unknown_client", "gateward-doctor.invalid", |asked, told| {
        if is_unknown(asked) { told.redirect(&format!("{STRANGER}?error=unauthorized_client")); }
    };
    a_login_that_does_not_begin_on_the_desktop_is_noticed: "authorize.loopback", "400", |asked, told| refuse(asked, told, NATIVE);
    a_loopback_redirect_that_is_bound_to_its_port_is_noticed: "authorize.loopback_port", "400", |asked, told| {
        refuse(asked, told, "http://127.0.0.1:41207/");
    };
    a_login_that_does_not_begin_in_the_cloud_is_noticed: "authorize.https", "400", |asked, told| {
        refuse(asked, told, "https://claude.ai/api/mcp/auth_callback");
    };
    a_login_that_does_not_begin_for_a_private_scheme_is_noticed: "authorize.private_scheme", "400", |asked, told| {
        refuse(asked, told, "cursor://anysphere.cursor-mcp/oauth/callback");
    };
    a_redirect_that_was_never_registered_is_noticed: "authorize.unregistered_redirect", "gateward-doctor.invalid", |asked, told| {
        if asks(asked, STRANGER) && !is_unknown(asked) { told.redirect(&format!("{STRANGER}?code=1")); }
    };
    a_login_without_pkce_is_noticed: "authorize.pkce_required", "a page", |asked, told| {
        if asks(asked, NATIVE) && asked.query("code_challenge").is_none() { told.become_page(200); }
    };
    a_state_that_is_rewritten_is_noticed: "authorize.state", "got \"else\"", |asked, told| {
        if asked.query("prompt").is_some() { told.edit_location(|location| rewrite(&location, "state", Some("else"))); }
    };
    an_iss_of_somebody_else_is_noticed: "authorize.iss", "iss is \"https://other.example\"", |asked, told| {
        if asked.query("prompt").is_some() {
            told.edit_location(|location| rewrite(&location, "iss", Some("https://other.example")));
        }
    };
    a_resource_that_nobody_knows_is_noticed: "authorize.resource", "\"invalid_target\": \"Never heard of it\"", |asked, told| {
        refuse_resource(asked, told, "/mcp");
    };
    a_resource_that_depends_on_its_slash_is_noticed: "authorize.resource_slash", "https://files.example.com/\"", |asked, told| {
        assert!(!FILES.ends_with('/'));
        refuse_resource(asked, told, "files.example.com/");
    };
    a_login_in_a_frame_is_noticed: "authorize.framing", "neither", |asked, told| {
        if asked.path == "/oauth/authorize" {
            told.remove("content-security-policy");
            told.remove("x-frame-options");
        }
    };
}

fn rewrite(location: &str, parameter: &str, value: Option<&str>) -> String {
    let mut url = url::Url::parse(location).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(name, _)| name != parameter).collect();
    url.query_pairs_mut().clear().extend_pairs(pairs).extend_pairs(value.map(|value| (parameter, value)));
    url.into()
}

#[tokio::test]
async fn an_iss_that_is_advertised_and_missing_is_noticed() {
    breaks(&["authorize.iss"], "it is advertised, and missing", |asked, told| {
        if asked.query("prompt").is_some() {
            told.edit_location(|location| rewrite(&location, "iss", None));
        }
    })
    .await;
}
