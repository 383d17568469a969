//! The outside of a compact JWS (RFC 7515 7.1): three parts, and the members of the header that decide anything.
//!
//! Members that name keys by place or value (`jku`, `jwk`, `x5u`, `x5c`) are not even read: keys come from the issuer or from
//! the client's registration. `crit` lists extensions that must be understood; none are.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, IgnoredAny},
};

/// Longer texts are refused before anything is decoded: no token of ours, and no assertion that means well, comes near.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// A compact JWS, taken apart and decoded; nothing about it has been judged.
pub(crate) struct Jws<'a> {
    /// What is signed: the first two parts as they stand.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
    header: Vec<u8>,
    payload: &'a str,
}

/// A JOSE header. A member that appears twice makes it unreadable (RFC 7515 4).
#[derive(Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    pub(crate) alg: Cow<'a, str>,
    #[serde(borrow, default)]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) kid: Option<Cow<'a, str>>,
    /// Whether there is one, whatever it says.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whether a text has the three parts of one; nothing else about it has been looked at.
pub(crate) fn is_compact(text: &str) -> bool {
    text.bytes().filter(|b| *b == b'.').count() == 2
}

impl<'a> Jws<'a> {
    /// Takes `text` apart.
    pub(crate) fn split(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        Some(Self {
            message: message.as_bytes(),
            // Refuses padding, other alphabets and stray bits: a signature has one spelling.
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            header: URL_SAFE_NO_PAD.decode(header).ok()?,
            payload,
        })
    }

    /// The header; `None` if it is unreadable or wants something understood that is not.
    pub(crate) fn header(&self) -> Option<Header<'_>> {
        object(&self.header).filter(|header: &Header<'_>| !header.crit)
    }

    /// The claims. Only for a JWS whose signature has been checked.
    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        object(&URL_SAFE_NO_PAD.decode(self.payload).ok()?)
    }
}

impl Header<'_> {
    /// Whether `typ` is stated.
    #[cfg(feature = "server")]
    pub(crate) fn is_typed(&self) -> bool {
        self.typ.is_some()
    }

    /// Whether `typ` is `name`, in full (`application/..`) or short, in any case (RFC 7515 4.1.9).
    pub(crate) fn is_of_type(&self, name: &str) -> bool {
        const FULL: &str = "application/";
        self.typ.as_ref().is_some_and(|typ| {
            let short = match typ.split_at_checked(FULL.len()) {
                Some((full, short)) if full.eq_ignore_ascii_case(FULL) => short,
                Some(_) | None => typ,
            };
            short.eq_ignore_ascii_case(name)
        })
    }
}

/// Reads a JSON object. Serde would also fill a struct from an array, member by member.
fn object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Option<T> {
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(json).ok())?
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A compact JWS of any header and payload, for tests.
#[cfg(test)]
pub(crate) fn compact(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(header: &str) -> bool {
        let text = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        Jws::split(&text).is_some_and(|jws| jws.header().is_some())
    }

    #[test]
    fn a_header_with_crit_a_repeated_member_or_a_wrong_type_is_refused() {
        assert!(readable(r#"{"alg":"ES256","jku":"https://evil.example","x":1}"#));
        for bad in [
            r#"{"alg":"ES256","crit":["b64"]}"#,
            r#"{"alg":"ES256","crit":null}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":1}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"kid":"a"}"#,
            r#"["ES256"]"#,
            "",
        ] {
            assert!(!readable(bad), "{bad}");
        }
    }

    #[test]
    fn a_type_may_be_short_or_full_and_in_any_case() {
        let is = |typ: &str| {
            let header = format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#);
            let text = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
            Jws::split(&text).unwrap().header().unwrap().is_of_type("at+jwt")
        };
        assert!(is("at+jwt") && is("application/at+jwt") && is("AT+JWT") && is("Application/At+Jwt"));
        assert!(!is("JWT") && !is("") && !is("application/") && !is("x/at+jwt") && !is("éapplication/at+jwt"));
    }

    #[test]
    fn other_than_three_parts_or_over_16_kib_is_no_jws() {
        for bad in ["", ".", "e30.e30", "e30.e30.AA=", "e30.e30.A B", "e30.e30.AB", "e30.e30.AA.e30.AA"] {
            assert!(Jws::split(bad).is_none_or(|jws| jws.claims::<serde_json::Value>().is_none()), "{bad}");
        }
        assert!(Jws::split(&format!("e30.{}.AA", "A".repeat(MAX_LENGTH - 7))).is_some());
        assert!(Jws::split(&format!("e30.{}.AA", "A".repeat(MAX_LENGTH - 6))).is_none());
    }
}
