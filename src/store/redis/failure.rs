//! What the failures of a Redis mean: whether the same call may work another time.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::port::store::StoreError;

/// Codes of the server after which the same call may work, once it, or its operator, has done something about it: it is busy with
/// a script, full, cannot write its disk, misses replicas, stopped being a master while a change waited for them, or does not let
/// us in.
const PASSING: &[&str] = &["BUSY", "OOM", "MISCONF", "NOREPLICAS", "UNBLOCKED", "UNKILLABLE", "NOAUTH", "WRONGPASS"];

impl From<RedisError> for StoreError {
    /// `Unavailable` if the same call may work another time; `Corrupt` if it cannot.
    fn from(error: RedisError) -> Self {
        if may_pass(&error) { Self::Unavailable(error.into()) } else { Self::Corrupt(error.to_string()) }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the crate may learn about more kinds, and unknown is not passing")]
fn may_pass(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::BusyLoading
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::NoPerm => true,
            // This one has no code of its own.
            ServerErrorKind::ResponseError => error.detail().is_some_and(|text| text.contains("max number of clients")),
            _ => false,
        },
        _ => error.code().is_some_and(|code| PASSING.contains(&code)),
    }
}

#[cfg(test)]
mod tests {
    use ::redis::parse_redis_value;

    use super::*;

    fn answered(text: &str) -> StoreError {
        let answer = parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        answer.extract_error().unwrap_err().into()
    }

    #[test]
    fn what_passes_is_unavailable() {
        for text in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down",
            "READONLY You can't write against a read only replica.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions",
            "ERR max number of clients reached",
        ] {
            assert!(matches!(answered(text), StoreError::Unavailable(_)), "{text}");
        }
        assert!(matches!(RedisError::from(std::io::Error::other("x")).into(), StoreError::Unavailable(_)));
    }

    #[test]
    fn what_stays_is_corrupt() {
        for text in ["WRONGTYPE Operation against a key", "ERR user_script:1: attempt to index nil", "CROSSSLOT Keys"] {
            assert!(matches!(answered(text), StoreError::Corrupt(_)), "{text}");
        }
    }
}
