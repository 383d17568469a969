//! Every endpoint is driven, rightly and wrongly, with the most talkative log there is; then the log is searched for every secret
//! that occurred.

use crate::{
    story::tell,
    support::{Options, Server, oauth::Wire},
};

#[tokio::test]
async fn no_log_at_any_level_holds_a_secret() {
    let mut server = Server::start(Options::new().set("GATEWARD_LOG__FILTER", "trace"));
    let wire = Wire::to(&server);
    let secrets = tell(&server, &wire).await;
    // To its last line.
    server.terminate();
    assert!(server.wait().success());
    let log = server.log();
    for told in ["DEBUG", "INFO", "refused", "method=POST path=/oauth/token\n"] {
        assert!(log.contains(told), "the log is less talkative than this test thinks: no {told}");
    }
    // `{:?}` of bytes, and percent-encoding, spell letters and digits as they are.
    for secret in &secrets {
        if let Some(line) = log.lines().find(|line| line.contains(secret.as_str())) {
            panic!("`{secret}` is in the log: {line}");
        }
    }
    let printed = server.stdout();
    for secret in secrets.iter().filter(|secret| *secret != server.password()) {
        assert!(!printed.contains(secret.as_str()), "`{secret}` is in what was printed");
    }
}
