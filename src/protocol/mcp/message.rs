//! Reads JSON-RPC so that no server behind can understand it differently: a member that appears twice, or in another spelling that
//! some JSON readers take for the same, makes a message unreadable.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Call, Named, UnreadableMessage, named};

/// The most messages of a batch (2025-03-26) that are looked at.
const MAX_BATCH: usize = 64;

/// A body of one POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// One message; `None` for a response, which calls nothing.
    Single(Option<Call>),
    /// Several (2025-03-26).
    Batch(Vec<Call>),
}

impl Message {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, UnreadableMessage> {
        // All of it: the parser would not look at what it skips, and decoders differ in how much a broken character takes with it.
        let body = std::str::from_utf8(body).map_err(|_| UnreadableMessage::Body)?;
        if body.trim_ascii_start().starts_with('[') {
            let Batch(calls) = serde_json::from_str(body).map_err(|_| UnreadableMessage::Body)?;
            return Ok(Self::Batch(calls));
        }
        let Rpc(call) = serde_json::from_str(body).map_err(|_| UnreadableMessage::Body)?;
        Ok(Self::Single(call))
    }

    /// Everything that it calls.
    pub fn calls(&self) -> &[Call] {
        match self {
            Self::Single(call) => call.as_slice(),
            Self::Batch(calls) => calls,
        }
    }
}

struct Batch(Vec<Call>);

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> Visitor<'de> for Messages {
            type Value = Batch;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch of messages")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Batch, A::Error> {
                let (mut calls, mut count) = (Vec::new(), 0);
                while let Some(Rpc(call)) = sequence.next_element()? {
                    count += 1;
                    if count > MAX_BATCH {
                        return Err(de::Error::custom("too many messages"));
                    }
                    calls.extend(call);
                }
                if count == 0 { Err(de::Error::custom("no message")) } else { Ok(Batch(calls)) }
            }
        }
        deserializer.deserialize_seq(Messages)
    }
}

/// A text that ends here for readers in C.
const NUL: char = '\0';

/// A member of an object, which must not appear under another spelling: some readers ignore case, as Unicode or Java folds it, and
/// some what follows a NUL.
fn is_member(key: &str, name: &'static str) -> Result<bool, &'static str> {
    if key == name {
        return Ok(true);
    }
    let folded = key.chars().flat_map(char::to_lowercase).filter(|c| *c != '\u{307}').map(|c| match c {
        '\u{17f}' => 's',
        '\u{131}' => 'i',
        c => c,
    });
    let is_other = key.contains(NUL) || folded.eq(name.chars().flat_map(char::to_lowercase));
    if is_other { Err("a member in another spelling") } else { Ok(false) }
}

/// Sets a member once.
fn once<T, E: de::Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(E::custom("a member appears twice")) } else { Ok(()) }
}

struct Rpc(Option<Call>);

impl<'de> Deserialize<'de> for Rpc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Rpc;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rpc, A::Error> {
                let (mut method, mut params) = (None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if is_member(&key, "method").map_err(de::Error::custom)? {
                        once(&mut method, map.next_value::<String>()?)?;
                    } else if is_member(&key, "params").map_err(de::Error::custom)? {
                        once(&mut params, map.next_value::<Params>()?)?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let Some(method) = method else { return Ok(Rpc(None)) };
                if method.contains(NUL) {
                    return Err(de::Error::custom("a method that ends in two places"));
                }
                let params = params.unwrap_or_default();
                let text = |member: Option<Member>| match member {
                    Some(Member::Text(text)) if !text.contains(NUL) => Ok(Some(text)),
                    Some(Member::Text(_) | Member::Other) | None => Err(de::Error::custom("a name that is no text")),
                };
                let name = match named(&method) {
                    Named::ByName => text(params.name)?,
                    Named::ByUri => text(params.uri)?,
                    Named::ByTaskId => text(params.task_id)?,
                    Named::Not => None,
                };
                Ok(Rpc(Some(Call { method, name })))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[derive(Default)]
struct Params {
    name: Option<Member>,
    uri: Option<Member>,
    task_id: Option<Member>,
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Params;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut params = Params::default();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if is_member(&key, "name").map_err(de::Error::custom)? {
                        once(&mut params.name, map.next_value()?)?;
                    } else if is_member(&key, "uri").map_err(de::Error::custom)? {
                        once(&mut params.uri, map.next_value()?)?;
                    } else if is_member(&key, "taskId").map_err(de::Error::custom)? {
                        once(&mut params.task_id, map.next_value()?)?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(params)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A value of which only a text means something.
enum Member {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Other(IgnoredAny),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => Self::Text(text),
            Either::Other(_) => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::MirroredHeaders, *};

    fn call(method: &str, name: Option<&str>) -> Call {
        Call { method: method.into(), name: name.map(str::to_owned) }
    }

    fn single(body: &str) -> Result<Option<Call>, UnreadableMessage> {
        match Message::parse(body.as_bytes())? {
            Message::Single(call) => Ok(call),
            Message::Batch(_) => panic!("a batch"),
        }
    }

    #[test]
    fn a_call_is_named_by_the_member_that_its_method_has() {
        for (body, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","uri":"b"}}"#,
                ("tools/call", Some("a")),
            ),
            (
                r#"{"method":"resources/read","params":{"name":"a","uri":"file:///b"}}"#,
                ("resources/read", Some("file:///b")),
            ),
            (r#"{"method":"tasks/get","params":{"taskId":"t"}}"#, ("tasks/get", Some("t"))),
            (r#"{"params":{"name":{"x":1}},"method":"tools/list"}"#, ("tools/list", None)),
            (r#"{"method":"ping"}"#, ("ping", None)),
        ] {
            assert_eq!(single(body), Ok(Some(call(expected.0, expected.1))), "{body}");
        }
        assert_eq!(single(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Ok(None));
    }

    #[test]
    fn a_message_that_could_be_read_in_two_ways_is_not_read_at_all() {
        for bad in [
            r#"{"method":"tools/list","method":"tools/call"}"#,
            r#"{"method":"tools/list","Method":"tools/call"}"#,
            r#"{"method":"tools/list","m\u0065thod":"tools/call"}"#,
            r#"{"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}"#,
            "{\"method\":\"tools/call\",\"params\":{\"name\":\"a\"},\"param\u{17f}\":{\"name\":\"b\"}}",
            "{\"method\":\"tasks/get\",\"params\":{\"taskId\":\"a\",\"tas\u{212a}Id\":\"b\"}}",
            r#"{"method":"tools/call","params":["a"]}"#,
            r#"{"method":"tools/call","params":{"name":["a"]}}"#,
            r#"{"method":"tools/call"}"#,
            r#"{"method":1}"#,
            r#"{"method":"ping"} {"method":"tools/call"}"#,
            "",
            "[]",
            "null",
            "\u{feff}{\"method\":\"ping\"}",
        ] {
            assert_eq!(Message::parse(bad.as_bytes()), Err(UnreadableMessage::Body), "{bad}");
        }
    }

    #[test]
    fn every_call_of_a_batch_is_seen() {
        let body = r#" [{"method":"ping"},{"result":{}},{"method":"tools/call","params":{"name":"a"}}]"#;
        let message = Message::parse(body.as_bytes()).unwrap();
        assert_eq!(message.calls(), [call("ping", None), call("tools/call", Some("a"))]);
        assert_eq!(
            MirroredHeaders { method: Some("tools/call"), name: Some("a") }.compare(&message),
            Err(UnreadableMessage::Mismatch)
        );
        let long = format!("[{}]", vec![r#"{"method":"ping"}"#; MAX_BATCH + 1].join(","));
        assert_eq!(Message::parse(long.as_bytes()), Err(UnreadableMessage::Body));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_of_messages_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&body);
        }
    }
}
