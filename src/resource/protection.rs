//! The judgement: may this request pass, and if not, what is it told?
//!
//! ```text
//! path -> credentials -> token -> what it calls -> scope -> sensitive? -> pass
//!  400     401 / 400   401 / 503   400/408/413/415   403     401 / 503
//! ```
//!
//! A token is verified before a body is read: strangers cannot make a server keep anything.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, UPGRADE},
};
use http_body_util::Full;
use tokio::sync::watch;
use url::Url;

use super::{
    bearer::{BearerToken, Presented},
    identity::Identity,
    lease::Lease,
    metadata::Metadata,
    refusal::Refusal,
    verifier::{Verifier, VerifyError},
};
use crate::{
    domain::{
        request_path::RequestPath,
        resource::ResourceUri,
        scope::Scope,
        scope_rule::{Calls, ScopeRules},
        time::Timestamp,
    },
    port::clock::Clock,
    protocol::mcp::{
        METHOD_HEADER, Message, MirroredHeaders, NAME_HEADER, UnreadableMessage, VERSION_HEADER, is_mirrored,
    },
};

pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) name: Option<String>,
    pub(super) rules: ScopeRules,
    pub(super) also_supported: Scope,
    pub(super) trusts_mcp_headers: bool,
    pub(super) message_limit: usize,
    pub(super) message_timeout: Duration,
    pub(super) recheck: Duration,
}

/// What a protected resource does with requests. Cheap to clone.
#[derive(Clone)]
pub struct Protection(Arc<Inner>);

struct Inner {
    metadata: Metadata,
    rules: ScopeRules,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    trusts_mcp_headers: bool,
    message_limit: usize,
    message_timeout: Duration,
    recheck: Duration,
    closing: Option<watch::Receiver<bool>>,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection").field("metadata_url", &self.0.metadata.url).finish_non_exhaustive()
    }
}

/// The parts of a request that are looked at: as it came, or as a proxy tells of it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path, escapes and all.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// The head of a request.
    pub fn new(method: &'a http::Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { method: method.as_str(), path: uri.path(), query: uri.query(), headers }
    }
}

/// A token that counts, and what is still to be found out about its request.
pub(super) struct Verified {
    pub(super) identity: Identity,
    token: BearerToken,
}

/// What has to be done to see what a request calls.
pub(super) enum Look {
    /// Nothing: no rule asks, or the headers say it.
    Done(Vec<crate::protocol::mcp::Call>),
    /// Read the message.
    Read,
    /// Nothing would help: what comes after an upgrade is not seen.
    Hidden,
}

impl Protection {
    pub(super) fn new(
        resource: &ResourceUri,
        settings: Settings,
        verifier: Verifier,
        clock: Arc<dyn Clock>,
        closing: Option<watch::Receiver<bool>>,
    ) -> Option<Self> {
        let url = Url::parse(resource.as_str()).ok()?;
        let scopes = settings.rules.scopes().union(&settings.also_supported.without_offline_access());
        let metadata = Metadata::new(resource, &url, settings.issuer, settings.name, &scopes)?;
        Some(Self(Arc::new(Inner {
            metadata,
            rules: settings.rules,
            verifier,
            clock,
            trusts_mcp_headers: settings.trusts_mcp_headers,
            message_limit: settings.message_limit,
            message_timeout: settings.message_timeout,
            recheck: settings.recheck,
            closing,
        })))
    }

    /// The metadata of the resource, if that is what the request asks for.
    pub fn metadata(&self, head: RequestHead<'_>) -> Option<Response<Full<Bytes>>> {
        self.0.metadata.answer(head)
    }

    /// Where the metadata is: what challenges name.
    pub fn metadata_url(&self) -> &str {
        &self.0.metadata.url
    }

    /// Judges a request of which only the head is there, as a proxy that asks shows it. Rules about MCP messages then fit
    /// everything that they could fit, unless the headers are trusted.
    ///
    /// # Errors
    ///
    /// Why it does not pass, as an answer.
    pub async fn judge_head(&self, head: RequestHead<'_>) -> Result<Identity, Response<Full<Bytes>>> {
        let verified = self.verify(head).await?;
        let look = self.look(head, false).map_err(|refusal| self.refuse(&refusal, &Scope::none()))?;
        let calls = match &look {
            // It may open a WebSocket: proxies that ask need not show `Upgrade`, which is for one hop.
            _ if ["GET", "CONNECT"].iter().any(|method| head.method.eq_ignore_ascii_case(method)) => Calls::Tunnel,
            Look::Done(calls) => Calls::Known(calls),
            Look::Read => Calls::Hidden,
            Look::Hidden => Calls::Tunnel,
        };
        self.judge_scope(head, &verified, calls).await?;
        Ok(verified.identity)
    }

    /// The first half: whose request is it?
    pub(super) async fn verify(&self, head: RequestHead<'_>) -> Result<Verified, Response<Full<Bytes>>> {
        match self.verified(head).await {
            Ok(verified) => Ok(verified),
            Err(refusal) => {
                // A hint, so that a client need not come back twice; what it says without a token is not held against it.
                let calls = self.headers(head.headers).and_then(|headers| headers.call()).ok().flatten();
                let needed = self.needed(head, Calls::Known(calls.as_slice()));
                Err(self.refuse(&refusal, &needed.unwrap_or_default()))
            }
        }
    }

    async fn verified(&self, head: RequestHead<'_>) -> Result<Verified, Refusal> {
        RequestPath::parse(head.path)?;
        let token = match Presented::read(head.headers, head.query) {
            Presented::Nothing => return Err(Refusal::NoToken),
            Presented::Malformed => return Err(Refusal::MalformedCredentials),
            Presented::Token(token) => token,
        };
        let identity = self.0.verifier.verify(token.text(), self.0.clock.now()).await?;
        Ok(Verified { identity, token })
    }

    /// What it takes to know what a request calls. `is_empty`: there is no body.
    pub(super) fn look(&self, head: RequestHead<'_>, is_empty: bool) -> Result<Look, Refusal> {
        let path = RequestPath::parse(head.path)?;
        // Whoever may open a WebSocket may send anything through it. Some clients offer h2c with every request, and go on
        // without it.
        if head.headers.get_all(UPGRADE).iter().any(|value| value != "h2c") {
            return Ok(Look::Hidden);
        }
        if is_empty || !self.0.rules.look_into_messages(head.method, &path) {
            return Ok(Look::Done(Vec::new()));
        }
        // What is compared with its headers is the message of a POST; a GET may open a WebSocket, which a proxy that asks need not
        // show.
        if self.0.trusts_mcp_headers && head.method == "POST" && self.names_a_version_that_compares(head.headers)? {
            // Tasks are an extension: servers need not compare what is said about them, nor what is not there.
            if let Some(call) = self.headers(head.headers)?.call()?.filter(|call| !call.method.starts_with("tasks/")) {
                return Ok(Look::Done(vec![call]));
            }
        }
        Ok(Look::Read)
    }

    /// Whether a message can be read at all.
    pub(super) fn refuse_encoded(&self, head: RequestHead<'_>) -> Result<(), Refusal> {
        let plain = head.headers.get_all(CONTENT_ENCODING).iter().all(|value| value == "identity");
        if plain && head.headers.get_all(CONTENT_TYPE).iter().all(is_utf8) {
            Ok(())
        } else {
            Err(Refusal::MessageEncoded)
        }
    }

    /// What a message calls. Its headers, if there are any, must say the same.
    pub(super) fn read(&self, head: RequestHead<'_>, body: &[u8]) -> Result<Message, Refusal> {
        // As good as none.
        let message = if body.is_empty() { Message::Single(None) } else { Message::parse(body)? };
        self.headers(head.headers)?.compare(&message)?;
        Ok(message)
    }

    /// The second half: may it?
    pub(super) async fn judge_scope(
        &self,
        head: RequestHead<'_>,
        verified: &Verified,
        calls: Calls<'_>,
    ) -> Result<(), Response<Full<Bytes>>> {
        let needed = self.needed(head, calls).map_err(|refusal| self.refuse(&refusal, &Scope::none()))?;
        if !verified.identity.scope().satisfies(&needed) {
            return Err(self.refuse(&Refusal::InsufficientScope, &needed));
        }
        let confirmed = self.0.verifier.confirm(verified.token.text(), &needed, self.0.clock.now()).await;
        let confirmed = confirmed.map_err(|error| self.refuse(&error.into(), &needed))?;
        // RFC 7662 2.2: what it permits by now may be less than what stands in it.
        if confirmed.is_some_and(|identity| !identity.scope().satisfies(&needed)) {
            return Err(self.refuse(&Refusal::InsufficientScope, &needed));
        }
        Ok(())
    }

    fn needed(&self, head: RequestHead<'_>, calls: Calls<'_>) -> Result<Cow<'_, Scope>, Refusal> {
        Ok(self.0.rules.needed(head.method, &RequestPath::parse(head.path)?, calls))
    }

    pub(super) fn refuse(&self, refusal: &Refusal, needed: &Scope) -> Response<Full<Bytes>> {
        if matches!(refusal, Refusal::Unavailable(_)) {
            tracing::warn!(resource = %self.0.metadata.url, reason = %refusal, "refused");
        } else {
            tracing::debug!(resource = %self.0.metadata.url, reason = %refusal, "refused");
        }
        refusal.response(&self.0.metadata.url, needed)
    }

    /// What lasts as long as the token does.
    pub(super) fn lease(&self, verified: &Verified) -> Lease {
        Lease::new(self.clone(), verified.identity.clone(), verified.token.clone())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) async fn verify_again(&self, token: &BearerToken) -> Result<(), VerifyError> {
        self.0.verifier.verify_again(token.text(), self.now()).await
    }

    pub(super) fn recheck(&self) -> Duration {
        self.0.recheck
    }

    pub(super) fn closing(&self) -> Option<watch::Receiver<bool>> {
        self.0.closing.clone()
    }

    pub(super) fn message_limit(&self) -> usize {
        self.0.message_limit
    }

    pub(super) fn message_timeout(&self) -> Duration {
        self.0.message_timeout
    }

    fn headers<'a>(&self, headers: &'a HeaderMap) -> Result<MirroredHeaders<'a>, UnreadableMessage> {
        Ok(MirroredHeaders { method: only(headers, METHOD_HEADER)?, name: only(headers, NAME_HEADER)? })
    }

    fn names_a_version_that_compares(&self, headers: &HeaderMap) -> Result<bool, UnreadableMessage> {
        Ok(only(headers, VERSION_HEADER)?.is_some_and(is_mirrored))
    }
}

/// Whether nobody takes a body of this type for anything but UTF-8 (RFC 8259 8.1). Servers that believe a charset would read another
/// message: in UTF-7, `+AGE-` is `a`.
fn is_utf8(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    let text = text.to_ascii_lowercase();
    // Wherever the word stands: servers differ in how they take a header apart.
    text.split("charset").skip(1).all(|rest| {
        let spellings = ["=utf-8", "=utf8", "=\"utf-8\"", "=\"utf8\""];
        let mut rest = spellings.iter().filter_map(|spelling| rest.strip_prefix(spelling)).map(str::trim_start);
        rest.any(|rest| rest.is_empty() || rest.starts_with(';'))
    })
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, UnreadableMessage> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(UnreadableMessage::Header);
    }
    value.map(|value| value.to_str().map_err(|_| UnreadableMessage::Header)).transpose()
}
