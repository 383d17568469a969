//! `[audit]`.

use std::time::Duration;

use super::reader::Reader;
use crate::domain::audit::Action;

/// What nobody did wrong, and machines do all the time: only this may be left out.
const ROUTINE: &[Action] =
    &[Action::TokenClientCredentials, Action::TokenRefresh, Action::TokenCode, Action::TokenRevoke];

/// What is kept of what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How long.
    pub retention: Duration,
    /// What is not recorded when it succeeds.
    pub leave_out: Vec<Action>,
    /// What this instance is called in the trail; `None`: the host's name and the port.
    pub instance: Option<String>,
}

impl Audit {
    pub(super) fn read(section: Reader<'_>) -> Option<Self> {
        let retention = section.duration("retention", 24 * 3600, 10 * 366 * 24 * 3600);
        let leave_out = section.each("leave_out", |word| {
            ROUTINE.iter().find(|action| action.as_str() == word).copied().ok_or_else(|| {
                let words: Vec<&str> = ROUTINE.iter().map(|action| action.as_str()).collect();
                format!("\"{word}\" cannot be left out; only {} can", words.join(", "))
            })
        });
        let instance = section.optional("instance", |text| {
            let fits = text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits { Ok(text.to_owned()) } else { Err("must be at most 100 printable characters without spaces") }
        });
        Some(Self { retention: retention?, leave_out: leave_out?, instance: instance? })
    }
}
