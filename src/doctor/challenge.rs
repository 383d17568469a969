//! Reading the challenge of a 401 (RFC 9110 11.6.1), however strangely it is written.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// The parameters of the first Bearer challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge(Vec<(String, String)>);

impl Challenge {
    /// `None` if there is no Bearer challenge.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(WWW_AUTHENTICATE).iter().find_map(|value| Self::parse(value.to_str().ok()?))
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A list of challenges: `scheme name=value, name="value", scheme ..`. A word without `=` begins the next challenge.
    fn parse(text: &str) -> Option<Self> {
        let mut found: Option<Vec<(String, String)>> = None;
        for item in items(text) {
            let (head, value) = item.split_once('=').map_or((item.as_str(), None), |(head, value)| (head, Some(value)));
            let mut words = head.split_ascii_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next());
            let scheme = if second.is_some() || value.is_none() { Some(first) } else { None };
            if let Some(scheme) = scheme {
                if found.is_some() {
                    break;
                }
                found = scheme.eq_ignore_ascii_case("bearer").then(Vec::new);
            }
            if let (Some(parameters), Some(value)) = (&mut found, value) {
                parameters.push((second.unwrap_or(first).to_ascii_lowercase(), unquoted(value)));
            }
        }
        found.map(Self)
    }
}

/// What commas separate, outside of quotes.
fn items(text: &str) -> Vec<String> {
    let (mut items, mut item, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        item.push(c);
    }
    items.push(item);
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').map(|inner| inner.strip_suffix('"').unwrap_or(inner)) {
        None => value.to_owned(),
        Some(inner) => {
            let mut escaped = false;
            let keep = |c: &char| {
                escaped = *c == '\\' && !escaped;
                !escaped
            };
            inner.chars().filter(keep).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> Option<Vec<(String, String)>> {
        Challenge::parse(text).map(|challenge| challenge.0)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn parameters_are_read_with_quotes_and_without() {
        assert_eq!(
            parameters(r#"bearer realm="a, \"b\"=c", error=invalid_token,Resource_Metadata = "https://x/?a=b""#),
            pairs(&[("realm", r#"a, "b"=c"#), ("error", "invalid_token"), ("resource_metadata", "https://x/?a=b")])
        );
        assert_eq!(parameters("Bearer"), pairs(&[]));
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        assert_eq!(parameters(r#"Basic realm="x", Bearer error="e", DPoP algs="ES256""#), pairs(&[("error", "e")]));
        assert_eq!(parameters(r#"Basic realm="Bearer x=y""#), None);
        assert_eq!(parameters(""), None);
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        for text in ["\"", "Bearer a=\"", "Bearer =", ",,=,\"\\", "Bearer \u{20ac}=\u{20ac}", "\\\"", "Bearer a=\"\\"] {
            let _ = Challenge::parse(text);
        }
    }
}
