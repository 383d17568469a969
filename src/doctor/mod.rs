//! Checks a running deployment from the outside, as mainstream MCP clients would: `gateward doctor`.
//!
//! ```text
//! URL -> which is it? -> MCP server:           transport, mcp (challenge, metadata)
//!                            | authorization_servers
//!                            v
//!                        authorization server: transport, discovery, issuer, metadata, keys, cors,
//!                                              registration, token, authorize
//! ```
//!
//! - Each check is data ([`Check`]) beside the code that makes it: what holds, what breaks if it does not, what helps. A test breaks each of
//!   them by itself.
//! - Nothing here knows gateward: other vendors' servers are examined in the same way. What is optional and missing is a warning.
//! - The server may be hostile. Time, sizes and the number of requests are bounded, redirects are not followed, documents cannot send requests
//!   to places that the operator did not mean (`probe::Reach`), and what is said is escaped before it is shown.
//! - Test clients are registered, and deleted at the end (RFC 7592), unless [`Options::read_only`] says not to. Requests with wrong credentials
//!   are sent in any case: that is how errors are seen.

mod authorize;
mod challenge;
mod check;
mod clients;
mod cors;
mod discovery;
mod keys;
mod mcp;
mod mcp_metadata;
mod metadata;
mod probe;
mod registration;
mod report;
mod text;
mod token;
mod transport;

use std::time::Duration;

use url::Url;

use self::{
    challenge::Challenge,
    check::{OF_AUTHORIZATION_SERVERS, OF_MCP_SERVERS},
    discovery::{Found, Metadata, forms, look},
    mcp_metadata::Guarded,
    probe::{Probe, Reach},
};
pub use self::{
    check::{Check, Verdict, checks},
    clients::INSPECTOR,
    report::{Finding, Kind, Report, Section, Summary},
    text::text,
};
use crate::port::clock::Clock;

/// How to examine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Register nothing.
    pub read_only: bool,
    /// The page in whose name scripts are tried, in the form of an `Origin` header.
    pub origin: String,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How long all of it may take; deleting test clients comes on top.
    pub total: Duration,
    /// Certificates of authorities to trust beside those that the machine trusts, in PEM.
    pub authorities: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_only: false,
            origin: INSPECTOR.to_owned(),
            timeout: Duration::from_secs(10),
            total: Duration::from_secs(180),
            authorities: None,
        }
    }
}

/// What to examine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    /// `None`: find out.
    pub kind: Option<Kind>,
    /// Of an authorization server: the MCP servers that tokens are for, as far as they are known.
    pub resources: Vec<String>,
    /// An MCP server that may be elsewhere, or not running.
    pub optional: bool,
}

impl Target {
    /// Whatever is at a URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), kind: None, resources: Vec::new(), optional: false }
    }
}

/// Why nothing could be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// A target that cannot be asked.
    #[error("{0:?} is no http or https URL without a user, a query and a fragment")]
    Url(String),
    /// Not PEM, or nothing that TLS can use.
    #[error("the authorities cannot be read, or TLS cannot be set up")]
    Tls(#[from] reqwest::Error),
}

/// What every check works with.
struct Context<'a> {
    probe: Probe,
    /// Trusts the machine's authorities only; `None` if the other one does too.
    without_authorities: Option<Probe>,
    options: &'a Options,
    clock: &'a dyn Clock,
    reach: Reach,
}

impl Context<'_> {
    /// An endpoint that may be asked, or why not.
    fn endpoint(&self, metadata: &Metadata, member: &str) -> Result<String, String> {
        let url = metadata.text(member).ok_or_else(|| format!("there is no {member}"))?;
        match self.reach.permit(url) {
            Ok(_) => Ok(url.to_owned()),
            Err(_) => Err(format!("{member} is no place to ask")),
        }
    }
}

/// Examines targets, one after the other. An authorization server that several of them name is examined once.
///
/// # Errors
///
/// A target that is no URL, or authorities that are none. Whatever is wrong with what is examined is in the report.
pub async fn examine(targets: &[Target], options: &Options, clock: &dyn Clock) -> Result<Report, DoctorError> {
    let authorities = match &options.authorities {
        Some(pem) => reqwest::Certificate::from_pem_bundle(pem)?,
        None => Vec::new(),
    };
    let probe = Probe::new(&authorities, options.timeout, options.total)?;
    let plain = Probe::new(&[], options.timeout, options.total)?;
    let (mut sections, mut examined) = (Vec::new(), Vec::new());
    for target in targets {
        let url = parse(&target.url)?;
        let context = Context {
            probe: probe.clone(),
            without_authorities: (!authorities.is_empty()).then(|| plain.clone()),
            options,
            clock,
            reach: Reach::from(&url),
        };
        let kind = match target.kind {
            Some(kind) => kind,
            None => find_out(&context, &target.url, &url).await,
        };
        match kind {
            Kind::AuthorizationServer => {
                examined.push(target.url.clone());
                sections.push(authorization_server(&context, &target.url, false, &target.resources).await);
            }
            Kind::McpServer => {
                let (section, guarded) = mcp_server(&context, target, &url).await;
                sections.push(section);
                let resources: Vec<String> = guarded.resource.into_iter().collect();
                for issuer in guarded.authorization_servers {
                    if !examined.contains(&issuer) {
                        sections.push(authorization_server(&context, &issuer, true, &resources).await);
                        examined.push(issuer);
                    }
                }
            }
        }
    }
    Ok(Report::new(sections))
}

fn parse(text: &str) -> Result<Url, DoctorError> {
    let invalid = || DoctorError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| invalid())?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && is_plain { Ok(url) } else { Err(invalid()) }
}

/// What is at a URL: an authorization server if it says so of this very URL, an MCP server if it asks for a token or describes itself, and
/// otherwise whatever it seems to be meant to be.
async fn find_out(context: &Context<'_>, text: &str, url: &Url) -> Kind {
    let mut seems_one = false;
    for form in forms(url) {
        if let Found::Document(document, _) = look(context, &form.url).await {
            let issuer = document.get("issuer").and_then(serde_json::Value::as_str).unwrap_or_default();
            if issuer.trim_end_matches('/') == text.trim_end_matches('/') {
                return Kind::AuthorizationServer;
            }
            seems_one = true;
        }
    }
    let answer = mcp::knock(context, text, None, None).await;
    let challenges = |answer: &probe::Answer| answer.status == 401 && Challenge::of(&answer.headers).is_some();
    if answer.as_ref().is_ok_and(challenges) {
        return Kind::McpServer;
    }
    if let Some(place) = mcp_metadata::places(url).first()
        && let Found::Document(document, _) = look(context, place).await
        && document.contains_key("resource")
    {
        return Kind::McpServer;
    }
    // A server that answers the first message of a client is one, although it asks for nothing.
    let speaks = |answer: &probe::Answer| {
        answer.is_success()
            && (answer.media_type() == "text/event-stream"
                || answer.json().is_some_and(|body| body.contains_key("jsonrpc")))
    };
    if !seems_one && answer.as_ref().is_ok_and(speaks) { Kind::McpServer } else { Kind::AuthorizationServer }
}

async fn mcp_server(context: &Context<'_>, target: &Target, url: &Url) -> (Section, Guarded) {
    let mut section = Section::new(Kind::McpServer, &target.url);
    if target.optional {
        // A resource need not be a place, and its server need not run.
        let why = match mcp::knock(context, &target.url, None, None).await {
            Err(reason) if !reason.is_certificate => Some(format!("it is not reached from here: {reason}")),
            Ok(answer) if answer.status == 404 => Some("there is nothing at its URL (404)".to_owned()),
            Ok(_) | Err(_) => None,
        };
        if let Some(why) = why {
            section.skip_rest(&OF_MCP_SERVERS.concat(), &why);
            return (section, Guarded::default());
        }
    }
    let guarded = if transport::examine(context, &mut section, url).await {
        let pointer = mcp::examine(context, &mut section, &target.url).await;
        mcp_metadata::examine(context, &mut section, &target.url, url, pointer.as_deref()).await
    } else {
        Guarded::default()
    };
    section.skip_rest(&OF_MCP_SERVERS.concat(), "the server cannot be reached");
    (section, guarded)
}

/// `named`: its URL stands in a document, so that every byte of it counts.
async fn authorization_server(context: &Context<'_>, issuer: &str, named: bool, resources: &[String]) -> Section {
    let mut section = Section::new(Kind::AuthorizationServer, issuer);
    let why = consult(context, &mut section, issuer, named, resources).await;
    section.skip_rest(&OF_AUTHORIZATION_SERVERS.concat(), why);
    section
}

/// Gives the reason for which whatever it did not look at was left out.
async fn consult(
    context: &Context<'_>,
    section: &mut Section,
    issuer: &str,
    named: bool,
    resources: &[String],
) -> &'static str {
    const UNREACHED: &str = "the server cannot be reached";
    let Ok(url) = Url::parse(issuer) else { return UNREACHED };
    if !transport::examine(context, section, &url).await {
        return UNREACHED;
    }
    let Some(metadata) = discovery::examine(context, section, issuer, &url, named).await else {
        return "there is no metadata";
    };
    metadata::examine(context, section, &metadata);
    keys::examine(context, section, &metadata).await;
    cors::examine(context, section, &metadata).await;
    let clients = registration::examine(context, section, &metadata).await;
    token::examine(context, section, &metadata, &clients).await;
    authorize::examine(context, section, &metadata, &clients, resources).await;
    registration::clean_up(context, section, clients).await;
    "there was nothing to look at"
}
