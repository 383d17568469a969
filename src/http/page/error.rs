//! It cannot go on, and there is nobody to redirect to: the human learns why, and what to do.

use askama::Template;

use super::{STYLE, legible};

/// The page for an error that must not, or cannot, be sent back to the client.
#[derive(Template, Debug, Clone, Copy)]
#[template(path = "error.html", config = "src/http/page/askama.toml")]
pub struct ErrorPage<'a> {
    /// The heading, for people: `This app is not known here`.
    pub title: &'a str,
    /// What happened, in a sentence or two.
    pub explanation: &'a str,
    /// What the human can do about it.
    pub advice: &'a str,
    /// The id under which the operator finds this event in the log.
    pub reference: &'a str,
    /// The OAuth error code, for whoever wrote the client.
    pub code: Option<&'a str>,
    /// Where "Start again" leads: `https`, `http` or a path of this server. Anything else is not shown.
    pub continue_url: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_sound;
    use super::*;

    const PAGE: ErrorPage<'static> = ErrorPage {
        title: "This app is not known here",
        explanation: "The app that sent you here is not registered.",
        advice: "Remove the connection in the app and add it again.",
        reference: "01JZX4",
        code: Some("invalid_client"),
        continue_url: Some("https://claude.ai/"),
    };

    #[test]
    fn the_page_says_what_happened_what_to_do_and_what_to_quote() {
        let html = PAGE.render().unwrap();
        assert_sound(&html);
        for part in [PAGE.title, PAGE.explanation, PAGE.advice, PAGE.reference, "invalid_client"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.contains(r#"href="https://claude.ai/""#) && html.contains("Start again"));
    }

    #[test]
    fn code_and_way_on_are_left_out_when_there_are_none() {
        let html = ErrorPage { code: None, continue_url: None, ..PAGE }.render().unwrap();
        assert_sound(&html);
        assert!(!html.contains("Start again") && !html.contains("<dt>Code"));
    }

    #[test]
    fn a_way_on_that_is_no_web_address_is_not_offered() {
        let html = ErrorPage { continue_url: Some("javascript:alert(1)"), ..PAGE }.render().unwrap();
        assert_sound(&html);
        assert!(!html.contains("Start again"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let evil = "\"><script>alert(1)</script><p style=\"x\" onclick='y'>";
        let url = format!("https://a.example/{}", evil.replace(' ', "+"));
        let page = ErrorPage {
            title: evil,
            explanation: evil,
            advice: evil,
            reference: evil,
            code: Some(evil),
            continue_url: Some(&url),
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<p style") && !html.contains("onclick='"));
        assert!(html.contains("Start again"));
    }
}
