//! Where the gateway takes requests, and where it sends them: no two servers in one place, and no circle.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::reader::Reader;
use crate::domain::{
    guarded::GuardedResource,
    issuer::Issuer,
    request_path::{PathPrefix, RequestPath},
    resource::ResourceUri,
};

/// Paths of this server at the root of its host; the issuer's own path is before none of them.
const AT_ROOT: [&str; 3] = ["/livez", "/readyz", WELL_KNOWN];
/// Paths of this server below the issuer.
const BELOW_ISSUER: [&str; 2] = ["/oauth", WELL_KNOWN];
/// RFC 8615. On the host of an MCP server, the gateway publishes the metadata of the resource here (RFC 9728 3).
const WELL_KNOWN: &str = "/.well-known";

/// What a request to a resource looks like: its `Host` and its path. The scheme is not among it: behind a reverse proxy that
/// terminates TLS nobody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    host: String,
    path: PathPrefix,
}

impl Front {
    /// Where requests to a resource arrive.
    ///
    /// # Errors
    ///
    /// Why none can arrive there.
    pub(super) fn of(uri: &ResourceUri) -> Result<Self, String> {
        let url = Url::parse(uri.canonical()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some((url, host)) = url.and_then(|url| host(&url).map(|host| (url, host))) else {
            return Err(format!("needs a resource that can be called: {uri} is neither http nor https"));
        };
        if url.query().is_some() || has_user(&url) {
            return Err(format!("needs a resource that is told by its path: {uri} has a query or a user"));
        }
        let path = PathPrefix::parse(url.path()).map_err(|error| format!("needs another uri than {uri}: {error}"))?;
        Ok(Self { host, path })
    }

    /// The path, and what lies below it.
    pub(super) fn path(&self) -> &PathPrefix {
        &self.path
    }

    /// Whether the endpoints of this server and the MCP server leave each other alone.
    ///
    /// # Errors
    ///
    /// What they would share.
    pub(super) fn check_apart_from(&self, issuer: &Issuer) -> Result<(), String> {
        let same_host =
            Url::parse(issuer.as_str()).ok().and_then(|url| host(&url)).is_some_and(|host| host == self.host);
        let at_root = AT_ROOT.iter().map(|path| (*path).to_owned());
        let below_issuer = BELOW_ISSUER.iter().map(|path| format!("{}{path}", issuer.path()));
        let mut own = at_root.chain(below_issuer).filter(|path| same_host || path == WELL_KNOWN);
        let shared = own.find(|path| {
            // An issuer whose path can be read in two ways is taken to be everywhere on its host.
            let Ok(own) = PathPrefix::parse(path) else { return same_host };
            is_below(&self.path, &own) || (same_host && is_below(&own, &self.path))
        });
        match shared {
            Some(path) => Err(format!(
                "the resource is at {} of {}, which shares {path} with this server itself: give it a path of its own, such as \
                 /mcp",
                self.path, self.host
            )),
            None => Ok(()),
        }
    }

    /// Whether a request for `url` arrives here.
    fn takes(&self, url: &Url) -> bool {
        host(url).is_some_and(|host| host == self.host)
            && RequestPath::parse(url.path()).is_ok_and(|path| path.is_below(&self.path))
    }
}

/// The host, with the port if it is not the default one of the scheme: what a `Host` header says.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether everything below `inner` is also below `outer`.
pub(super) fn is_below(inner: &PathPrefix, outer: &PathPrefix) -> bool {
    RequestPath::parse(&inner.to_string()).is_ok_and(|inner| inner.is_below(outer))
}

/// Reads the URL of a server behind. It is not repeated in the message: it may hold a password.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    const NO_URL: &str = "must be the URL of an MCP server, such as http://127.0.0.1:8000/mcp";
    // The parser tolerates what others would read differently: white space, backslashes, a missing `//`.
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && text.contains("://");
    let url = Url::parse(text).ok().filter(|url| plain && url.has_host()).ok_or(NO_URL)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be http or https");
    }
    if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
        return Err("must not have a query, a fragment or a user");
    }
    Ok(url)
}

/// Whether a request for `url` arrives at the address that this server listens on.
pub(super) fn reaches(url: &Url, listen: SocketAddr) -> bool {
    let here = listen.ip().to_canonical();
    let own = |address: IpAddr| {
        let address = address.to_canonical();
        // Connecting to 0.0.0.0 reaches this machine, as loopback does.
        let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        address == here || (local(address) && here.is_unspecified()) || (address.is_unspecified() && here.is_loopback())
    };
    url.port_or_known_default() == Some(listen.port())
        && match url.host() {
            Some(Host::Ipv4(address)) => own(address.into()),
            Some(Host::Ipv6(address)) => own(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                (name == "localhost" || name.ends_with(".localhost")) && (here.is_loopback() || here.is_unspecified())
            }
            None => false,
        }
}

/// Looks at all resources with a server behind, each beside the others.
pub(super) fn check_all(tables: &[Reader<'_>], guarded: &[GuardedResource]) -> Option<()> {
    let fronts: Vec<Option<Front>> =
        guarded.iter().map(|guarded| guarded.upstream.as_ref().and_then(|_| Front::of(&guarded.uri).ok())).collect();
    let mut sound = Some(());
    for (at, (table, guarded_here)) in tables.iter().zip(guarded).enumerate() {
        let mut fail = |message: String| {
            table.fail("upstream", message);
            sound = None;
        };
        // Names that differ by a slash at the end or by an escape are different resources in one place.
        let earlier = guarded.iter().zip(&fronts).take(at);
        if let Some(front) = &fronts[at]
            && let Some((twin, _)) = earlier.into_iter().find(|(_, other)| other.as_ref() == Some(front))
        {
            fail(format!("requests to {} and to {} look the same", guarded_here.uri, twin.uri));
        }
        if let Some(upstream) = &guarded_here.upstream
            && let Some(front) = fronts.iter().flatten().find(|front| front.takes(upstream))
        {
            fail(format!(
                "leads back to this server, as gateway of {}{}: requests would go in circles",
                front.host, front.path
            ));
        }
    }
    sound
}
