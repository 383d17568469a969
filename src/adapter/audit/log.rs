//! The last resort: an entry as a line of the log.

use crate::domain::audit::Entry;

/// Writes down all that an entry says.
pub(super) fn write(entry: &Entry) {
    tracing::error!(
        target: "gateward::audit",
        id = entry.id.as_str(),
        at = entry.at.unix(),
        event = &*entry.event,
        outcome = &*entry.outcome,
        reason = entry.reason.as_deref(),
        client_id = entry.client_id.as_ref().map(|id| id.as_str()),
        user_id = entry.user_id.as_ref().map(|id| id.as_str()),
        grant_id = entry.grant_id.as_ref().map(|id| id.as_str()),
        token_id = entry.token_id.as_ref().map(|id| id.as_str()),
        key_id = entry.key_id.as_ref().map(|id| id.as_str()),
        address = entry.address.map(tracing::field::display),
        request_id = entry.request_id.as_deref(),
        attempt_id = entry.attempt_id.as_deref(),
        instance = &*entry.instance,
        times = entry.times,
        "the audit trail cannot keep this"
    );
}
