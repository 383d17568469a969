//! May it? What the human sees before a client gets access in their name.
//!
//! The page keeps apart what this server knows (who is signed in, where the code goes, which scopes) from what the
//! client merely says about itself (its name), and says plainly which is which.

use askama::Template;

use super::{STYLE, legible};

/// The consent page. It has no `Debug`, because `request` must not end up in a log.
#[derive(Template, Clone, Copy)]
#[template(path = "consent.html", config = "src/http/page/askama.toml")]
pub struct ConsentPage<'a> {
    /// Where the answer posts to: a path of this server. The answer is `decision=approve` or `decision=deny`.
    pub form_action: &'a str,
    /// The sealed authorization request; goes out and comes back in the hidden field `request`, and is the CSRF token.
    pub request: &'a str,
    /// Who is signed in.
    pub username: &'a str,
    /// What the client is called.
    pub client_name: &'a str,
    /// How far that name can be trusted.
    pub vouching: Vouching,
    /// Where the code will be sent: taken from the redirect URI, never from what the client says about itself.
    pub destination: Destination<'a>,
    /// The display name of the resource.
    pub resource_name: &'a str,
    /// The canonical URI of the resource.
    pub resource_uri: &'a str,
    /// Scopes that the client asks for and does not have yet.
    pub new_scopes: &'a [ScopeLine<'a>],
    /// Scopes that this human granted to this client for this resource before.
    pub already_granted: &'a [ScopeLine<'a>],
    /// For how long, as a sentence: `Until you revoke it, or 7 days after it was last used.`
    pub duration: &'a str,
    /// Where the "Not you? Sign out" form posts to; it carries `request` too.
    pub sign_out_action: &'a str,
}

/// Who stands behind the name of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// An administrator of this server registered the client.
    Configured,
    /// The client registered itself: its name is its own claim, which nobody checked.
    SelfAsserted,
}

/// Where the code goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A website: its host, with the port if that is not the default one.
    Host(&'a str),
    /// A program that listens on the human's own computer.
    Loopback {
        /// The port of the requested redirect URI.
        port: Option<u16>,
    },
    /// Whichever app is registered for a private-use scheme; the scheme without its colon (`cursor`).
    PrivateScheme(&'a str),
}

/// One scope, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeLine<'a> {
    /// As on the wire: `mcp:execute`.
    pub name: &'a str,
    /// For people: `Call tools, which may change things`. May be empty; then only the name is shown.
    pub description: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_sound;
    use super::*;

    const PAGE: ConsentPage<'static> = ConsentPage {
        form_action: "/oauth/consent",
        request: "sealed.request",
        username: "ada",
        client_name: "Claude",
        vouching: Vouching::SelfAsserted,
        destination: Destination::Host("claude.ai"),
        resource_name: "Example Notes",
        resource_uri: "https://mcp.example.com/mcp",
        new_scopes: &[ScopeLine { name: "mcp:execute", description: "Call tools" }],
        already_granted: &[ScopeLine { name: "mcp:read", description: "Read your notes" }],
        duration: "Until you revoke it.",
        sign_out_action: "/oauth/sign-out",
    };

    /// What a reader gets: no tags, single spaces.
    fn text(html: &str) -> String {
        let body = &html[html.find("<main").unwrap()..];
        let mut inside = false;
        let visible: String = body
            .chars()
            .filter(|c| {
                let shown = !inside && *c != '<';
                inside = *c == '<' || (inside && *c != '>');
                shown
            })
            .collect();
        visible.replace("&nbsp;", " ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_page_says_who_wants_what_as_whom_and_for_how_long() {
        let html = PAGE.render().unwrap();
        assert_sound(&html);
        let text = text(&html);
        for part in [
            "Claude wants to use Example Notes as you",
            "Signed in as ada",
            "https://mcp.example.com/mcp",
            "Call tools mcp:execute",
            "Read your notes mcp:read",
            "Until you revoke it.",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn approve_and_deny_are_two_buttons_of_one_form() {
        let html = PAGE.render().unwrap();
        let form = &html[html.find(r#"action="/oauth/consent""#).unwrap()..];
        let form = &form[..form.find("</form>").unwrap()];
        assert_eq!(form.matches("<button").count(), 2);
        assert!(form.contains(r#"name="decision" value="deny""#));
        assert!(form.contains(r#"name="decision" value="approve""#));
        assert!(form.contains(r#"name="request" value="sealed.request""#));
        assert!(!html.contains("autofocus"), "a stray Enter must not decide");
    }

    #[test]
    fn somebody_else_can_sign_out_with_the_request_at_hand() {
        let html = PAGE.render().unwrap();
        let form = &html[html.find(r#"action="/oauth/sign-out""#).unwrap()..];
        let form = &form[..form.find("</form>").unwrap()];
        assert!(form.contains("Not you?") && form.contains(r#"name="request" value="sealed.request""#));
    }

    #[test]
    fn only_a_self_asserted_name_comes_with_a_warning() {
        let warned = |vouching| {
            let html = ConsentPage { vouching, ..PAGE }.render().unwrap();
            assert_sound(&html);
            assert_eq!(html.contains(r#"id="unchecked""#), html.contains(r#"aria-describedby="unchecked""#));
            html.contains(r#"id="unchecked""#)
        };
        assert!(warned(Vouching::SelfAsserted));
        assert!(!warned(Vouching::Configured));
    }

    #[test]
    fn each_kind_of_vouching_is_said_in_words() {
        let said = |vouching| text(&ConsentPage { vouching, ..PAGE }.render().unwrap());
        assert!(said(Vouching::Configured).contains("Registered by an administrator of this server"));
        assert!(said(Vouching::SelfAsserted).contains("nobody has checked that"));
    }

    #[test]
    fn each_kind_of_destination_is_said_in_words() {
        for vouching in [Vouching::Configured, Vouching::SelfAsserted] {
            let said = |destination| text(&ConsentPage { vouching, destination, ..PAGE }.render().unwrap());
            assert!(said(Destination::Host("claude.ai")).contains("Access goes to claude.ai"));
            assert!(said(Destination::Loopback { port: None }).contains("An app on this computer"));
            assert!(said(Destination::Loopback { port: Some(33418) }).contains("port 33418"));
            assert!(said(Destination::PrivateScheme("cursor")).contains("The app registered for cursor: links"));
        }
    }

    #[test]
    fn what_was_granted_before_is_kept_apart_from_what_is_new() {
        let said =
            |new_scopes, already_granted| text(&ConsentPage { new_scopes, already_granted, ..PAGE }.render().unwrap());
        let (new, old) = (PAGE.new_scopes, PAGE.already_granted);
        assert!(said(new, &[]).contains("It will be able to Call tools"));
        assert!(said(new, old).contains("You allowed before Read your notes"));
        assert!(!said(new, &[]).contains("You allowed before"));
        assert!(said(&[], old).contains("nothing new") && !said(&[], old).contains("It will be able to"));
        assert!(said(&[], &[]).contains("no particular permission"));
    }

    #[test]
    fn a_scope_without_a_description_is_shown_by_its_name() {
        let html =
            ConsentPage { new_scopes: &[ScopeLine { name: "mcp:odd", description: "" }], ..PAGE }.render().unwrap();
        assert!(text(&html).contains("It will be able to mcp:odd"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let evil = "\"><script>alert(1)</script><p style=\"x\" onclick='y'>";
        let lines = [ScopeLine { name: evil, description: evil }];
        let page = ConsentPage {
            form_action: evil,
            request: evil,
            username: evil,
            client_name: evil,
            vouching: Vouching::SelfAsserted,
            destination: Destination::Host(evil),
            resource_name: evil,
            resource_uri: evil,
            new_scopes: &lines,
            already_granted: &lines,
            duration: evil,
            sign_out_action: evil,
        };
        for vouching in [Vouching::Configured, Vouching::SelfAsserted] {
            for destination in [Destination::Host(evil), Destination::PrivateScheme(evil)] {
                let html = ConsentPage { vouching, destination, ..page }.render().unwrap();
                assert!(!html.contains("<script") && !html.contains("<p style") && !html.contains("onclick='"));
            }
        }
    }

    #[test]
    fn a_name_cannot_reverse_its_neighbours() {
        let html = ConsentPage { client_name: "\u{202E}edualC", ..PAGE }.render().unwrap();
        assert!(!html.contains('\u{202E}') && html.contains("<bdi class=\"name\">edualC</bdi>"));
    }
}
