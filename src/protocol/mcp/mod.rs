//! What an MCP message says that may decide who is allowed to send it: its method, and the name of what it is about.
//!
//! Since 2026-07-28 clients mirror both in headers (Streamable HTTP, "Request Metadata"); before, only the JSON-RPC body says
//! so. Who trusts only one of the two must know that whoever is behind compares them.

mod message;

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

pub use self::message::Message;

/// The header that mirrors `method`.
pub const METHOD_HEADER: &str = "mcp-method";
/// The header that mirrors `params.name` or `params.uri`.
pub const NAME_HEADER: &str = "mcp-name";
/// The header that names the protocol version.
pub const VERSION_HEADER: &str = "mcp-protocol-version";
/// The first version whose servers compare the headers with the body.
const MIRRORED_SINCE: &str = "2026-07-28";

/// Whether servers of this version refuse headers that contradict the body. Versions are dates.
pub fn is_mirrored(version: &str) -> bool {
    let is_date = version.len() == 10
        && version.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    is_date && version >= MIRRORED_SINCE
}

/// One request or notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// For instance `tools/call`.
    pub method: String,
    /// The tool, the prompt, the URI of the resource or the task; `None` for methods that are about nothing of that kind.
    pub name: Option<String>,
}

/// Which member of `params` names what a method is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    ByName,
    ByUri,
    ByTaskId,
    Not,
}

fn named(method: &str) -> Named {
    match method {
        "tools/call" | "prompts/get" => Named::ByName,
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Named::ByUri,
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => Named::ByTaskId,
        _ => Named::Not,
    }
}

/// Why a message cannot be read, or contradicts its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnreadableMessage {
    /// Not JSON, not JSON-RPC, or open to several readings.
    #[error("the body is not one JSON-RPC message that can be read in only one way")]
    Body,
    /// A header that is not what the specification says it is.
    #[error("Mcp-Method, Mcp-Name or MCP-Protocol-Version is missing, malformed, or there twice")]
    Header,
    /// A header that says something else than the body.
    #[error("Mcp-Method or Mcp-Name does not match the body")]
    Mismatch,
}

/// The two headers as they stand; `None` if they are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MirroredHeaders<'a> {
    pub method: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl MirroredHeaders<'_> {
    /// What the headers say, for whoever trusts the server behind to compare them with the body; `None` without `Mcp-Method`.
    pub fn call(&self) -> Result<Option<Call>, UnreadableMessage> {
        let Some(method) = self.method else { return Ok(None) };
        let name = self.name.map(decode).transpose()?;
        match (named(method), name) {
            (Named::Not, _) => Ok(Some(Call { method: method.to_owned(), name: None })),
            // Required, of methods that have one.
            (Named::ByTaskId, name) => Ok(Some(Call { method: method.to_owned(), name: name.map(Cow::into_owned) })),
            (Named::ByName | Named::ByUri, Some(name)) => {
                Ok(Some(Call { method: method.to_owned(), name: Some(name.into_owned()) }))
            }
            (Named::ByName | Named::ByUri, None) => Err(UnreadableMessage::Header),
        }
    }

    /// Compares what is there with what the body says. Older clients send neither header.
    pub fn compare(&self, message: &Message) -> Result<(), UnreadableMessage> {
        if self.method.is_none() && self.name.is_none() {
            return Ok(());
        }
        let Message::Single(call) = message else { return Err(UnreadableMessage::Mismatch) };
        let Some(call) = call else {
            // A response has no method: neither can its headers.
            return Err(UnreadableMessage::Mismatch);
        };
        if self.method.is_some_and(|method| method != call.method) {
            return Err(UnreadableMessage::Mismatch);
        }
        match (self.name.map(decode).transpose()?, &call.name) {
            (Some(header), Some(body)) if header == body.as_str() => Ok(()),
            (None, _) => Ok(()),
            (Some(_), _) => Err(UnreadableMessage::Mismatch),
        }
    }
}

/// A header value as the client meant it: text that is not plain travels as `=?base64?..?=`.
fn decode(value: &str) -> Result<Cow<'_, str>, UnreadableMessage> {
    const START: &str = "=?base64?";
    let Some(encoded) = value.strip_prefix(START).and_then(|rest| rest.strip_suffix("?=")) else {
        // Almost one: some would take it for a name, and some for what is encoded in it.
        let start = value.get(..START.len()).filter(|_| value.ends_with("?="));
        let is_almost = start.is_some_and(|start| start.eq_ignore_ascii_case(START));
        return if is_almost { Err(UnreadableMessage::Header) } else { Ok(Cow::Borrowed(value)) };
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| UnreadableMessage::Header)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| UnreadableMessage::Header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(method: &str, name: Option<&str>) -> Call {
        Call { method: method.into(), name: name.map(str::to_owned) }
    }

    fn headers<'a>(method: &'a str, name: &'a str) -> MirroredHeaders<'a> {
        MirroredHeaders { method: Some(method), name: Some(name) }
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let message = Message::parse(br#"{"method":"tools/call","params":{"name":"caf\u00e9"}}"#).unwrap();
        assert_eq!(headers("tools/call", "=?base64?Y2Fmw6k=?=").compare(&message), Ok(()));
        assert_eq!(MirroredHeaders::default().compare(&message), Ok(()));
        for wrong in
            [headers("tools/list", "=?base64?Y2Fmw6k=?="), headers("tools/call", "cafe"), headers("Tools/call", "x")]
        {
            assert_eq!(wrong.compare(&message), Err(UnreadableMessage::Mismatch));
        }
        assert_eq!(headers("tools/call", "=?base64?!?=").compare(&message), Err(UnreadableMessage::Header));
        for almost in
            ["=?BASE64?Y2Fmw6k=?=", "=?Base64?Y2Fmw6k=?=", "=?base64?=", "=?base64?Y2Fmw6k?=", "=?base64?Y2Fmw6l=?="]
        {
            assert_eq!(headers("tools/call", almost).compare(&message), Err(UnreadableMessage::Header), "{almost}");
        }
        let response = Message::parse(br#"{"id":1,"result":{}}"#).unwrap();
        assert_eq!(headers("ping", "x").compare(&response), Err(UnreadableMessage::Mismatch));
    }

    #[test]
    fn headers_alone_name_a_call() {
        assert_eq!(headers("tools/call", "=?base64?Y2Fmw6k=?=").call(), Ok(Some(call("tools/call", Some("café")))));
        assert_eq!(headers("tools/list", "x").call(), Ok(Some(call("tools/list", None))));
        assert_eq!(MirroredHeaders::default().call(), Ok(None));
        let nameless = MirroredHeaders { method: Some("tools/call"), name: None };
        assert_eq!(nameless.call(), Err(UnreadableMessage::Header));
    }

    #[test]
    fn headers_count_since_2026_07_28() {
        assert!(is_mirrored("2026-07-28") && is_mirrored("2027-01-01"));
        for old in ["2025-11-25", "", "draft", "9", "2026-07-2x", "zzzz-zz-zz"] {
            assert!(!is_mirrored(old), "{old}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_it_was_written(name in "\\PC{0,40}") {
            let body = serde_json::json!({"method": "tools/call", "params": {"name": name}}).to_string();
            let message = Message::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(message.calls(), [call("tools/call", Some(&name))]);
            let encoded = format!("=?base64?{}?=", STANDARD.encode(&name));
            prop_assert_eq!(headers("tools/call", &encoded).compare(&message), Ok(()));
        }
    }
}
