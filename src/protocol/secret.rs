//! A secret as somebody presented it: a code, token, password, verifier, assertion or client secret.

use std::fmt;

use zeroize::Zeroizing;

/// Text that must not appear in a log, an error or a trace.
///
/// It does not print, compare, clone or serialise; its memory is wiped when it is dropped. Whoever needs the
/// characters says so with [`Secret::expose`], which is easy to find in a review.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` out of circulation.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The characters. Never pass them to anything that formats or stores text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
