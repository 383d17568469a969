//! `application/x-www-form-urlencoded`, read strictly.
//!
//! One reader serves query strings and bodies. It refuses what lenient readers repair (bad percent escapes, text that is
//! not UTF-8), because two parties that repair differently can be played against each other.

use std::fmt;

use thiserror::Error;

/// More parameters than any request of the specifications has; beyond it the sender is not a client.
pub const MAX_PARAMETERS: usize = 64;

/// Why a form could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormError {
    /// A `%` that two hexadecimal digits do not follow.
    #[error("a percent escape is malformed")]
    BadEscape,
    /// A name or value that does not decode to UTF-8.
    #[error("a parameter is not UTF-8")]
    NotUtf8,
    /// More than [`MAX_PARAMETERS`] parameters.
    #[error("too many parameters")]
    TooMany,
    /// A parameter other than `resource` that appears twice (RFC 6749 3.1, 3.2).
    #[error("a parameter appears more than once")]
    Repeated,
}

/// The parameters of one request, in order; each name at most once, `resource` excepted (RFC 8707 2).
///
/// It does not print: any value may be a secret.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads the bytes of a body or of a query string.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        match Self::parse_marking(bytes)? {
            (form, repeated) if repeated.is_empty() => Ok(form),
            _ => Err(FormError::Repeated),
        }
    }

    /// The same, but names the parameters that appear more than once instead of refusing them; their first value counts.
    pub(super) fn parse_marking(bytes: &[u8]) -> Result<(Self, Vec<String>), FormError> {
        let mut repeated = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
            if pairs.len() + repeated.len() == MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if name != "resource" && pairs.iter().any(|(n, _)| *n == name) {
                repeated.push(name);
            } else {
                pairs.push((name, value));
            }
        }
        Ok((Self(pairs), repeated))
    }

    /// The value of `name`; RFC 6749 3.1: a parameter without a value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Every value of a parameter that may repeat, in order, empty ones left out.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
}

/// Decodes one name or value: `+` is a space, `%XX` a byte.
pub fn decode(bytes: &[u8]) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'%' | b'+')) {
        decoded.extend_from_slice(&rest[..at]);
        let (byte, length) = match &rest[at..] {
            [b'%', high, low, ..] => (hex(*high)? << 4 | hex(*low)?, 3),
            [b'+', ..] => (b' ', 1),
            _ => return Err(FormError::BadEscape),
        };
        decoded.push(byte);
        rest = &rest[at + length..];
    }
    decoded.extend_from_slice(rest);
    String::from_utf8(decoded).map_err(|_| FormError::NotUtf8)
}

fn hex(digit: u8) -> Result<u8, FormError> {
    let value = char::from(digit).to_digit(16);
    value.and_then(|value| u8::try_from(value).ok()).ok_or(FormError::BadEscape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_value_counts_as_absent() {
        assert_eq!(Form::parse(b"scope=&state=x").unwrap().get("scope"), None);
    }

    #[test]
    fn a_repeated_parameter_is_refused_even_when_one_is_empty() {
        assert_eq!(Form::parse(b"a=1&a=").unwrap_err(), FormError::Repeated);
    }

    #[test]
    fn a_parameter_repeated_under_another_spelling_is_still_repeated() {
        assert_eq!(Form::parse(b"state=1&st%61te=2").unwrap_err(), FormError::Repeated);
    }

    #[test]
    fn resource_may_repeat_and_keeps_its_order() {
        let form = Form::parse(b"resource=b&resource=a").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        assert_eq!(Form::parse(b"a=%ff").unwrap_err(), FormError::NotUtf8);
    }

    #[test]
    fn a_malformed_escape_is_refused_rather_than_taken_literally() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"%=1"] {
            assert_eq!(Form::parse(bad).unwrap_err(), FormError::BadEscape);
        }
    }

    #[test]
    fn ten_thousand_parameters_are_refused() {
        let body: String = (0..10_000).map(|i| format!("p{i}=&")).collect();
        assert_eq!(Form::parse(body.as_bytes()).unwrap_err(), FormError::TooMany);
    }

    proptest! {
        #[test]
        fn what_a_client_encodes_is_what_we_read(name in "[a-z]{1,8}", value in "\\PC{1,40}") {
            let body = url::form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let form = Form::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(form.get(&name), Some(value.as_str()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&bytes);
        }
    }
}
