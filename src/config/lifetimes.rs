//! `[lifetimes]`.

use super::reader::Reader;
use crate::domain::{account::SessionLifetime, policy::Lifetimes};

pub(super) fn read(section: Reader<'_>) -> Option<Lifetimes> {
    let year = 366 * 24 * 3600;
    // RFC 6749 4.1.2: at most ten minutes is recommended.
    let code = section.duration("code", 5, 600);
    let refresh = section.duration("refresh", 60, 10 * year);
    let refresh_reuse_window = section.duration("refresh_reuse_window", 0, 3600);
    let idle = section.duration("session_idle", 60, year);
    let absolute = section.duration("session_absolute", 60, year);
    let interaction = section.duration("interaction", 30, 3600);
    let secret_overlap = section.duration("secret_overlap", 0, year);
    let assertion = section.duration("assertion", 10, 24 * 3600);
    if let (Some(idle), Some(absolute)) = (idle, absolute)
        && idle > absolute
    {
        section.fail("session_idle", "must not be longer than session_absolute");
        return None;
    }
    if let (Some(window), Some(refresh)) = (refresh_reuse_window, refresh)
        && window > refresh
    {
        section.fail("refresh_reuse_window", "must not be longer than refresh");
        return None;
    }
    Some(Lifetimes {
        code: code?,
        refresh: refresh?,
        refresh_reuse_window: refresh_reuse_window?,
        session: SessionLifetime { idle: idle?, absolute: absolute? },
        interaction: interaction?,
        secret_overlap: secret_overlap?,
        assertion: assertion?,
    })
}
