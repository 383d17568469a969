//! Lua scripts: each is one step that nothing comes between.

use std::sync::OnceLock;

use ::redis::{Cmd, ToRedisArgs, cmd};

/// A script that the server keeps under its hash once it has seen it.
pub(super) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text, hash: OnceLock::new() }
    }

    /// A call with these keys, all of one slot, and no arguments yet.
    pub(super) fn call<const N: usize>(&'static self, keys: [&str; N]) -> Invocation {
        Invocation { script: self, keys: keys.map(str::to_owned).into(), arguments: Vec::new() }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| ::redis::Script::new(self.text).get_hash().to_owned())
    }
}

/// A [`Script`] from files of `lua/`, behind a line that tells the server what to expect of it. That line makes the server refuse
/// a script before it starts if it might not be able to finish it: without it, one that runs out of memory stops in the middle,
/// with half of its changes made. What makes room, or ends somebody's rights, says `allow-oom`.
macro_rules! script {
    ($flags:literal, $($file:literal),+) => {
        $crate::store::redis::script::Script::new(
            concat!("#!lua", $flags, "\n", $(include_str!(concat!("lua/", $file))),+)
        )
    };
}
pub(super) use script;

/// One call of a script.
pub(super) struct Invocation {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Invocation {
    #[must_use]
    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    #[must_use]
    pub(super) fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    /// What says where it runs.
    pub(super) fn slot(&self) -> &[u8] {
        self.keys.first().map_or(b"", String::as_bytes)
    }

    /// For a server that knows the script.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script.hash())
    }

    /// For a server that does not, e.g. after it was restarted; it does then.
    pub(super) fn in_full(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
