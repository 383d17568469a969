//! Secrets. None stands in the file itself; the file says where one is, or what its digest is.

use std::{fmt, path::PathBuf};

use base64::{Engine, alphabet, engine};
use zeroize::Zeroizing;

use super::{environment::NOT_UTF8, reader::Reader};
use crate::{domain::credential::Digest, protocol::secret::Secret};

/// A shared secret below this length, in bytes, is not a random one of 256 bits.
pub(super) const SHORTEST: usize = 32;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Environment(String),
}

impl Source {
    /// Reads `file:PATH` or `env:NAME`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Some(Self::File(path.into()));
        }
        text.strip_prefix("env:").filter(|name| !name.is_empty()).map(|name| Self::Environment(name.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

const ADVICE_SOURCE: &str = "a secret is not written here: say `env:NAME` or `file:PATH`";
const ADVICE_DIGEST: &str = "a secret is not written here: say `env:NAME` or `file:PATH`, or give its digest as \
                             `sha256:..` (printf %s \"$SECRET\" | sha256sum)";

impl Reader<'_> {
    /// Fetches a secret from where the setting says it is.
    pub(super) fn fetch(&self, source: &Source) -> Result<Secret, String> {
        let text = match source {
            Source::Environment(name) => {
                Zeroizing::new(self.context.environment.get(name).cloned().unwrap_or_default())
            }
            Source::File(path) => {
                let text = (self.context.read_file)(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Zeroizing::new(text)
            }
        };
        // Editors and `echo` end a file with a line end that is no part of the secret.
        let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if secret.is_empty() {
            return Err(format!("{source} is not set or empty"));
        }
        if secret.contains(NOT_UTF8) {
            return Err(format!("{source} is not UTF-8"));
        }
        Ok(Secret::new(secret))
    }

    /// Fetches the secret that a setting points to.
    pub(super) fn secret(&self, text: &str) -> Result<Secret, String> {
        let source = Source::parse(text).ok_or_else(|| ADVICE_SOURCE.to_owned())?;
        self.fetch(&source)
    }

    /// The digest of the secret that a setting points to, or the digest that it states.
    pub(super) fn digest<K>(&self, key: &str, text: &str) -> Result<Digest<K>, String> {
        if let Some(digest) = text.strip_prefix("sha256:") {
            return read_digest(digest).map(Digest::from_bytes).ok_or_else(|| {
                "`sha256:` is followed by 64 hexadecimal digits or 43 characters of base64url".to_owned()
            });
        }
        let source = Source::parse(text).ok_or_else(|| ADVICE_DIGEST.to_owned())?;
        let secret = self.fetch(&source)?;
        if secret.expose().len() < SHORTEST {
            self.concern(
                key,
                format!("the secret in {source} is shorter than {SHORTEST} characters"),
                "Use a random one, e.g. from `openssl rand -base64 32`.",
            );
        }
        Ok(Digest::of(secret.expose()))
    }
}

/// 32 bytes in hexadecimal, base64url or base64, padded or not.
fn read_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        return Some(bytes);
    }
    let engine = |alphabet| {
        let padding = engine::DecodePaddingMode::Indifferent;
        engine::GeneralPurpose::new(alphabet, engine::GeneralPurposeConfig::new().with_decode_padding_mode(padding))
    };
    let decoded = engine(&alphabet::URL_SAFE).decode(text).or_else(|_| engine(&alphabet::STANDARD).decode(text));
    decoded.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_reads_the_same_in_every_spelling() {
        let hex = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        let expected = *Digest::<()>::of("1").as_bytes();
        for text in [
            hex,
            &hex.to_uppercase(),
            "a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s",
            "a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s=",
            "a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=",
        ] {
            assert_eq!(read_digest(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_source_is_a_file_or_a_variable() {
        assert_eq!(Source::parse("env:A"), Some(Source::Environment("A".into())));
        assert_eq!(Source::parse("file:/run/x"), Some(Source::File("/run/x".into())));
        for bad in ["", "env:", "file:", "hunter2", "ENV:A"] {
            assert_eq!(Source::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_digest_parser_panic(text in "\\PC{0,70}") {
            let _ = read_digest(&text);
        }
    }
}
