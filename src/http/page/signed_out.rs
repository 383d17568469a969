//! Goodbye: the session of this browser is over.

use askama::Template;

use super::STYLE;

/// The page after signing out.
#[derive(Template, Debug, Clone, Copy)]
#[template(path = "signed_out.html", config = "src/http/page/askama.toml")]
pub struct SignedOutPage<'a> {
    /// Where "Sign in again" leads: `https`, `http` or a path of this server. Anything else is not shown.
    pub continue_url: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_sound;
    use super::*;

    #[test]
    fn the_page_says_that_the_session_is_over_and_that_access_is_not() {
        let html = SignedOutPage { continue_url: None }.render().unwrap();
        assert_sound(&html);
        assert!(html.contains("You are signed out") && html.contains("keep it"));
        assert!(!html.contains("Sign in again"));
    }

    #[test]
    fn the_way_back_in_is_offered_when_there_is_one() {
        let html = SignedOutPage { continue_url: Some("/oauth/authorize?client_id=a&x=\"") }.render().unwrap();
        assert_sound(&html);
        assert!(html.contains("Sign in again") && html.contains("client_id=a&#38;x=&#34;"));
    }
}
