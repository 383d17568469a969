//! Where events go.

use crate::domain::audit::Event;

/// Takes note of what happened. Never waits, never fails, and costs the caller next to nothing: what becomes of an event that
/// cannot be kept is for the implementation to state.
pub trait AuditTrail: Send + Sync {
    /// Takes an event.
    fn record(&self, event: Event);
}
