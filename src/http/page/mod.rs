//! The pages a human sees: login, consent, an error that must not be redirected, signed out.
//!
//! Each file holds one view model: plain text in, HTML out by [`askama::Template::render`], no request, no store, no
//! decision. The handlers fill it in. What every page promises:
//!
//! - **No script, no inline style attribute, nothing from the network.** One `<style>` element, whose text is [`STYLE`]
//!   byte for byte, and one icon in a `data:` URI. The policy that fits: `default-src 'none'`, `style-src` with
//!   [`STYLE_SOURCE`], `img-src data:`, `base-uri 'none'`, `frame-ancestors 'none'`, and a `form-action` of `'self'` and
//!   every place that the redirect after the post may lead to. Chromium checks each hop of it, also those that the
//!   client's callback adds, and knows no IPv6 sources (it ignores `http://[::1]:1`; `http:` works).
//! - **All text is hostile.** askama escapes it; [`legible`] takes out what can reorder or hide its neighbours; `<bdi>`
//!   keeps its direction to itself; the style sheet breaks it anywhere.
//! - **Nobody is left out.** Landmarks, one `h1`, real labels, visible focus, AA contrast in light and dark, 320 px.

pub mod about;
pub mod consent;
pub mod error;
pub mod legible;
pub mod login;
pub mod signed_out;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The style sheet of all pages, exactly as it stands between `<style>` and `</style>`.
pub const STYLE: &str = include_str!("style.css");

/// The CSP source expression that allows [`STYLE`] and no other style: `'sha256-...'`, quotes included.
///
/// Worked out from the text itself, once, so that an edited style sheet cannot be shut out by a stale hash.
pub static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE.as_bytes()))));

/// A URL fit for a link: `https`, `http`, or a path of this server. Anything else (`javascript:`, `data:`, `//host`,
/// `/\host`) is no link at all; the policy would stop most of it, but a page should not offer it in the first place.
fn link(url: Option<&str>) -> Option<&str> {
    url.filter(|url| {
        let own_path = url.starts_with('/') && !url[1..].starts_with(['/', '\\']);
        (own_path || url.starts_with("https://") || url.starts_with("http://"))
            && !url.contains(|c: char| c.is_control() || c.is_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What holds for every page, whatever text it was given.
    pub(super) fn assert_sound(html: &str) {
        assert_eq!(html.matches("<style>").count(), 1);
        assert!(html.contains(&format!("<style>{STYLE}</style>")), "the style is emitted verbatim");
        // The page proper; its own style sheet and icon would only get in the way of the searches below.
        let (head, rest) = html.split_once("<style>").unwrap();
        let (_, body) = rest.split_once("</style>").unwrap();
        let page = format!("{head}{body}").to_lowercase();
        for forbidden in
            ["<script", "style=", " src=", "javascript:", "<img", "<iframe", "onclick", "onload", "onerror="]
        {
            assert!(!page.contains(forbidden), "{forbidden} in {page}");
        }
        for required in ["<!doctype html>", "<html lang=\"en\">", "name=\"viewport\"", "noindex", "light dark", "<main"]
        {
            assert!(page.contains(required), "{required} is missing");
        }
        assert_eq!(page.matches("<h1").count(), 1);
        assert_eq!(page.matches("<bdi").count(), page.matches("</bdi>").count());
    }

    #[test]
    fn the_style_source_is_the_sha256_of_the_style() {
        assert!(STYLE_SOURCE.starts_with("'sha256-") && STYLE_SOURCE.ends_with("='"));
        assert_eq!(STYLE_SOURCE.len(), "'sha256-'".len() + 44);
    }

    #[test]
    fn the_style_has_nothing_that_a_browser_changes_before_hashing_it() {
        // HTML turns CR LF into LF and ends the element at its closing tag.
        assert!(!STYLE.contains('\r') && !STYLE.contains("</") && !STYLE.contains('\0'));
    }

    #[test]
    fn the_style_fetches_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("@font-face"));
    }

    #[test]
    fn a_link_leads_to_the_web_or_to_a_path_of_this_server() {
        for good in ["https://claude.ai/", "http://localhost:3000/x", "/oauth/authorize?x=1", "/"] {
            assert_eq!(link(Some(good)), Some(good));
        }
        for bad in
            ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", "", "/\t/evil.example"]
        {
            assert_eq!(link(Some(bad)), None, "{bad}");
        }
    }
}
