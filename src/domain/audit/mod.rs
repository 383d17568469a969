//! The audit trail: what happened that matters to whoever has to answer for this server later.
//!
//! Two types. An [`Event`] is what the server says happened, in words from closed lists (`words`). An [`Entry`] is what is kept
//! of it and read again, perhaps by an older version than the one that wrote it: its words are text.
//!
//! Nothing in here is a text that a stranger wrote. A client or a human is named only if this server knows them, so neither a
//! password in the field of the user name nor a secret in the place of a `client_id` gets into the trail.

mod entry;
mod event;
mod words;

pub use self::{
    entry::{Entry, EntryId, Filter, InvalidEntryId, Run},
    event::Event,
    words::{Action, Outcome, Reason},
};
