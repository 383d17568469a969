//! What kind of server this is, and whether it keeps what it is given.

use std::{collections::HashMap, sync::Arc};

use ::redis::{Cmd, Value, cmd};

use super::{link::Standalone, unusable};
use crate::store::OpenError;

/// Script flags came with it; without them a script could stop in the middle.
const OLDEST: u32 = 7;

/// Whether the server is part of a cluster. Refuses one that is too old, and warns about one that may forget.
pub(super) async fn survey(server: &Arc<Standalone>) -> Result<bool, OpenError> {
    // All of it: an old server knows no list of sections, and is to be told what is wrong with it.
    let info = ask(server, cmd("INFO")).await.map_err(unusable)?;
    let text: String = ::redis::from_redis_value(info).map_err(unusable)?;
    let field = |name: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    let version = field("redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(unusable(format!("it is Redis {version}, and {OLDEST} or later (or Valkey) is needed")));
    }
    if field("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
        tracing::warn!(
            policy = field("maxmemory_policy"),
            "Redis may evict what was revoked or spent: set maxmemory-policy noeviction"
        );
    }
    if field("aof_enabled") != Some("1") {
        match settings(server).await {
            Some(settings) if settings.get("save").is_some_and(String::is_empty) => tracing::warn!(
                "Redis keeps nothing on disk, so a restart undoes revocations: set appendonly yes and appendfsync always"
            ),
            Some(_) => tracing::warn!(
                "Redis keeps snapshots only, so a crash undoes the last minutes: set appendonly yes and appendfsync always"
            ),
            None => tracing::warn!(
                "Redis has no append-only file and does not say whether it keeps snapshots: see that it has appendonly yes"
            ),
        }
    }
    Ok(field("cluster_enabled") == Some("1"))
}

/// `None` where asking is forbidden, as it is at many hosts.
async fn settings(server: &Arc<Standalone>) -> Option<HashMap<String, String>> {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg("save");
    ::redis::from_redis_value(ask(server, get).await.ok()?).ok()
}

async fn ask(server: &Arc<Standalone>, command: Cmd) -> ::redis::RedisResult<Value> {
    let answers = server.send_in_time(&[command]).await?;
    answers.into_iter().next().unwrap_or(Value::Nil).extract_error()
}
