//! Who are you? Username and password, for the browser of the human whom a client sent here.

use askama::Template;

use super::{STYLE, legible};

/// The login page. It has no `Debug`, because `request` must not end up in a log.
#[derive(Template, Clone, Copy)]
#[template(path = "login.html", config = "src/http/page/askama.toml")]
pub struct LoginPage<'a> {
    /// Where the form posts to: a path of this server.
    pub form_action: &'a str,
    /// The sealed authorization request; goes out and comes back in the hidden field `request`, and is the CSRF token.
    pub request: &'a str,
    /// What the client that sent the human here calls itself, if it has a name. Shown as a name, not vouched for.
    pub client_name: Option<&'a str>,
    /// The display name of the resource that the client asks for, if it is known.
    pub resource_name: Option<&'a str>,
    /// The prefilled username (`login_hint`, or the last try), empty if there is none. Focus goes to the first empty
    /// field.
    pub username: &'a str,
    /// Why the last try failed; `None` on the first.
    pub problem: Option<LoginProblem>,
}

/// Why the page is shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginProblem {
    /// The pair of username and password is not right. It never says which: that would tell who has an account.
    WrongCredentials,
    /// The rate limit was reached.
    TooManyAttempts {
        /// Minutes until another try makes sense, rounded up; 0 is shown as 1.
        retry_after_minutes: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_sound;
    use super::*;

    const PAGE: LoginPage<'static> = LoginPage {
        form_action: "/oauth/login",
        request: "sealed.request",
        client_name: Some("Claude"),
        resource_name: Some("Example Notes"),
        username: "",
        problem: None,
    };

    /// The one tag that carries this attribute.
    fn tag<'h>(html: &'h str, attribute: &str) -> &'h str {
        let at = html.find(attribute).unwrap_or_else(|| panic!("{attribute} is missing"));
        let start = html[..at].rfind('<').unwrap();
        &html[start..at + html[at..].find('>').unwrap()]
    }

    #[test]
    fn the_first_visit_asks_for_username_and_password_and_reports_nothing() {
        let html = PAGE.render().unwrap();
        assert_sound(&html);
        assert!(html.contains(r#"<form method="post" action="/oauth/login""#));
        assert!(html.contains(r#"name="request" value="sealed.request""#));
        assert!(tag(&html, r#"name="username""#).contains(r#"autocomplete="username""#));
        assert!(tag(&html, r#"name="password""#).contains(r#"type="password" autocomplete="current-password""#));
        assert!(!html.contains(r#"role="alert""#) && !tag(&html, r#"name="password""#).contains("aria-"));
    }

    #[test]
    fn focus_goes_to_the_first_empty_field_and_to_one_field_only() {
        let html = PAGE.render().unwrap();
        assert!(tag(&html, r#"name="username""#).contains("autofocus"));
        assert_eq!(html.matches("autofocus").count(), 1);
        let html = LoginPage { username: "ada", ..PAGE }.render().unwrap();
        assert!(tag(&html, r#"name="password""#).contains("autofocus"));
        assert_eq!(html.matches("autofocus").count(), 1);
    }

    #[test]
    fn wrong_credentials_are_announced_and_tied_to_both_fields() {
        let html =
            LoginPage { username: "ada", problem: Some(LoginProblem::WrongCredentials), ..PAGE }.render().unwrap();
        assert_sound(&html);
        assert!(tag(&html, r#"role="alert""#).contains(r#"id="problem""#));
        for field in [r#"name="username""#, r#"name="password""#] {
            assert!(tag(&html, field).contains(r#"aria-invalid="true" aria-describedby="problem""#));
        }
        assert!(html.contains("<title>Could not sign in"));
    }

    #[test]
    fn too_many_attempts_say_how_long_to_wait_and_blame_no_field() {
        let page = |minutes| {
            let problem = Some(LoginProblem::TooManyAttempts { retry_after_minutes: minutes });
            LoginPage { username: "ada", problem, ..PAGE }.render().unwrap()
        };
        assert_sound(&page(5));
        assert!(page(5).contains("Wait 5 minutes"));
        assert!(page(1).contains("Wait 1 minute,") && page(0).contains("Wait 1 minute,"));
        assert!(!tag(&page(5), r#"name="username""#).contains("aria-invalid"));
        assert!(tag(&page(5), r#"name="password""#).contains(r#"aria-describedby="problem""#));
    }

    #[test]
    fn a_password_is_never_prefilled() {
        let html =
            LoginPage { username: "ada", problem: Some(LoginProblem::WrongCredentials), ..PAGE }.render().unwrap();
        assert!(!tag(&html, r#"name="password""#).contains("value="));
    }

    #[test]
    fn hostile_text_stays_text() {
        let evil = "\"><script>alert(1)</script><p style=\"x\" onclick='y'>\u{202E}";
        let page = LoginPage {
            form_action: evil,
            request: evil,
            client_name: Some(evil),
            resource_name: Some(evil),
            username: evil,
            problem: None,
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<p style") && !html.contains("onclick='"));
        assert!(html.contains("&#60;script&#62;"));
    }

    #[test]
    fn every_mix_of_known_and_unknown_names_makes_a_sentence() {
        for client_name in [None, Some("Claude")] {
            for resource_name in [None, Some("Example Notes")] {
                let html = LoginPage { client_name, resource_name, ..PAGE }.render().unwrap();
                assert_sound(&html);
                assert!(html.contains("to continue."));
                assert_eq!(html.contains("<bdi class=\"name\">Claude</bdi>"), client_name.is_some());
                assert_eq!(html.contains("<bdi class=\"name\">Example Notes</bdi>"), resource_name.is_some());
            }
        }
    }
}
