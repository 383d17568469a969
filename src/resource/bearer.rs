//! The token of a request (RFC 6750 2.1): one, in one `Authorization` header, and nowhere else.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

/// What a request shows.
#[derive(Clone)]
pub(super) enum Presented {
    /// No bearer token; perhaps credentials of another scheme.
    Nothing,
    /// One token.
    Token(BearerToken),
    /// A header that is not well-formed, or several ways at once (RFC 6750 3.1).
    Malformed,
}

/// A token as it came, sharing the memory of its header. Does not print.
#[derive(Clone)]
pub(super) struct BearerToken {
    header: HeaderValue,
    start: usize,
}

impl BearerToken {
    pub(super) fn text(&self) -> &str {
        self.header.to_str().ok().and_then(|text| text.get(self.start..)).unwrap_or_default()
    }
}

const SCHEME: &str = "Bearer";

impl Presented {
    pub(super) fn read(headers: &HeaderMap, query: Option<&str>) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = values.next() else {
            // A token in the query is none: it would be in logs and histories (OAuth 2.1 5.1.1).
            return Self::Nothing;
        };
        if values.next().is_some() {
            return Self::Malformed;
        }
        let Some(text) = header.to_str().ok() else { return Self::Malformed };
        // RFC 9110 11.1: scheme names are case-insensitive.
        let Some((scheme, rest)) = text.split_at_checked(SCHEME.len()) else { return Self::Nothing };
        if !scheme.eq_ignore_ascii_case(SCHEME) || !(rest.is_empty() || rest.starts_with(' ')) {
            return Self::Nothing;
        }
        let token = rest.trim_start_matches(' ');
        if !is_b64token(token) || query.is_some_and(has_access_token) {
            return Self::Malformed;
        }
        Self::Token(BearerToken { header: header.clone(), start: text.len() - token.len() })
    }
}

/// RFC 6750 2.1: `b64token`.
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !body.is_empty() && body.bytes().all(allowed)
}

fn has_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]], query: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        match Presented::read(&headers, query) {
            Presented::Nothing => "nothing".into(),
            Presented::Malformed => "malformed".into(),
            Presented::Token(token) => token.text().into(),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for header in [&b"Bearer abc.d-e_f"[..], b"bearer abc.d-e_f", b"BEARER   abc.d-e_f"] {
            assert_eq!(read(&[header], None), "abc.d-e_f");
        }
    }

    #[test]
    fn another_scheme_and_a_token_in_the_query_are_no_token() {
        for header in [&b"Basic YTpi"[..], b"Bearerx", b"", b"DPoP x"] {
            assert_eq!(read(&[header], None), "nothing");
        }
        assert_eq!(read(&[], Some("access_token=abc")), "nothing");
    }

    #[test]
    fn what_is_not_one_token_in_one_place_is_malformed() {
        for header in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer a b",
            b"Bearer a, Bearer b",
            b"Bearer \"a\"",
            b"Bearer =",
            b"Bearer \xff",
        ] {
            assert_eq!(read(&[header], None), "malformed", "{header:?}");
        }
        assert_eq!(read(&[b"Bearer a", b"Bearer a"], None), "malformed");
        assert_eq!(read(&[b"Bearer a"], Some("x=1&access%5Ftoken=b")), "malformed");
    }
}
