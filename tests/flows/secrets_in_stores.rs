//! Whoever steals a store gets nothing that could be used: not from its dump, and not from its files.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use gateward::testing::browser::ScriptedBrowser;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::{
    story::tell,
    support::{
        Options, Server,
        engine::{installed, postgres::Postgres, redis::Redis},
        life::{Life, OPAQUE},
        oauth::{Identity, Wire},
    },
};

/// A name that is no secret, and is stored as it is.
const MARKER: &str = "planted-in-the-store";

/// How the private key of ES256 begins that nobody has sealed (PKCS#8, RFC 5208; the curve is that of RFC 5480).
const UNSEALED_KEY: [u8; 27] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];

/// A piece of a store, and what it is.
type Piece = (String, Vec<u8>);

/// What must not be found, in every form in which it could be used.
struct Search {
    /// By their first bytes.
    needles: HashMap<[u8; 8], Vec<(Vec<u8>, String)>>,
    starts: Vec<bool>,
}

impl Search {
    fn new() -> Self {
        Self { needles: HashMap::new(), starts: vec![false; 1 << 16] }
    }

    fn needle(&mut self, bytes: &[u8], what: &str) {
        let Some(first) = bytes.first_chunk::<8>() else { panic!("{what}: too short to be told from chance") };
        self.starts[usize::from(u16::from_be_bytes([first[0], first[1]]))] = true;
        self.needles.entry(*first).or_default().push((bytes.to_vec(), what.to_owned()));
    }

    /// These bytes as they are, and as text that stands for them, alone or inside of other text.
    fn bytes(&mut self, bytes: &[u8], what: &str) {
        self.needle(bytes, what);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.needle(hex.as_bytes(), &format!("{what}, in hex"));
        self.needle(hex.to_uppercase().as_bytes(), &format!("{what}, in hex"));
        // Base64 of something longer spells them in one of three ways; the letters at the ends also depend on the neighbours.
        for before in 0..3 {
            let padded: Vec<u8> = [vec![0; before], bytes.to_vec()].concat();
            let whole = padded.len() / 3 * 4;
            for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
                let inner = &text[(before * 8).div_ceil(6)..whole];
                self.needle(inner.as_bytes(), &format!("{what}, in base64"));
            }
        }
    }

    /// A secret as a client has it: the text, and what is inside of it.
    fn secret(&mut self, secret: &str) {
        let text = secret.strip_prefix("gw_").and_then(|rest| rest.split_once('_')).map_or(secret, |(_, body)| body);
        // Whoever has the random part can work out the checksum behind it.
        let random = if text != secret && text.len() == 50 { &text[..44] } else { text };
        self.bytes(random.as_bytes(), secret);
        if let Ok(inside) = URL_SAFE_NO_PAD.decode(text)
            && inside.len() >= 16
        {
            self.bytes(&inside, &format!("what is inside of {secret}"));
        }
    }

    /// What is found, and where.
    fn find(&self, pieces: &[Piece]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (piece, bytes) in pieces {
            for (at, window) in bytes.windows(8).enumerate() {
                if !self.starts[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                    continue;
                }
                for (needle, what) in self.needles.get(window).into_iter().flatten() {
                    if bytes[at..].starts_with(needle) {
                        found.insert(format!("{what}: in {piece}"));
                    }
                }
            }
        }
        found
    }
}

/// Tells a story in which everything occurs, on this store. Returns the secrets, and some that must be there as digests.
async fn secrets_of_a_run(server: &mut Server) -> (BTreeSet<String>, Vec<String>) {
    let wire = Wire::to(server);
    let mut secrets = tell(server, &wire).await;
    let mut secret = |secret: &str| {
        secrets.insert(secret.to_owned());
        secret.to_owned()
    };

    // What the story leaves out: opaque tokens, and passwords that are changed.
    let opaque = Wire { resource: OPAQUE.to_owned(), ..wire.clone() };
    let client = wire.register(MARKER).await;
    let mut browser = ScriptedBrowser::new().unwrap();
    let (code, pkce) = opaque.code(&mut browser, &client, server.password()).await;
    secret(&pkce.verifier);
    let first = opaque.redeem(&client, &code, &pkce).await;
    let second = opaque.refresh(&client, &first.text("refresh_token")).await;
    let [refresh, access] = ["refresh_token", "access_token"].map(|member| secret(&second.text(member)));
    secret(&first.text("refresh_token"));
    secret(&first.text("access_token"));
    let kept = vec![secret(&code), refresh, access];
    let worker = server.create_client(&["--grant", "client_credentials", "--scope", "mcp:read"]);
    let Identity { id, secret: old } = &worker;
    secret(old.as_deref().expect("a secret"));
    let rotated = server.run_json(&["client", "rotate-secret", id, "--overlap", "1h", "--json"]);
    let rotated = secret(rotated["client_secret"].as_str().expect("a secret"));
    let worker = Identity { id: id.clone(), secret: Some(rotated) };
    let fields = [("grant_type", "client_credentials"), ("resource", OPAQUE)];
    let of_worker = secret(&opaque.post("/oauth/token", &worker, &fields).await.text("access_token"));
    assert_eq!(wire.revoke(&worker, &of_worker).await.status, 200);
    browser.cookies().values().for_each(|cookie| drop(secret(cookie)));

    let password = secret("a password that was chosen anew");
    let changed = server.run_with_input(&["user", "set-password", "admin", "--password-stdin"], &password);
    assert!(changed.status.success(), "{changed:?}");
    let mut another = ScriptedBrowser::new().unwrap();
    let (code, _) = wire.code(&mut another, &client, &password).await;
    secret(&code);
    another.cookies().values().for_each(|cookie| drop(secret(cookie)));

    let in_files = ["master.key", "worker.secret"].map(|name| fs::read_to_string(server.data().join(name)).unwrap());
    for line in in_files.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('#')) {
        secret(line.trim());
        // The master key says what it is.
        if let Some((_, key)) = line.trim().rsplit_once(':') {
            secret(key);
        }
    }
    server.terminate();
    assert!(server.wait().success());
    (secrets, kept)
}

/// No secret is in any piece; and what is known to be there is found, in each of those named.
fn holds_no_secret(pieces: &[Piece], secrets: &BTreeSet<String>, kept: &[String], whole: &[&str]) {
    let mut search = Search::new();
    search.bytes(&UNSEALED_KEY, "a private key");
    secrets.iter().for_each(|secret| search.secret(secret));
    assert_eq!(search.find(pieces), BTreeSet::new());

    for name in whole {
        let piece: Vec<Piece> = pieces.iter().filter(|(found, _)| found == name).cloned().collect();
        assert_eq!(piece.len(), 1, "{name}");
        for known in kept {
            let mut search = Search::new();
            search.bytes(&Sha256::digest(known), "the digest");
            assert!(!search.find(&piece).is_empty(), "the digest of {known} is not found in {name}");
        }
        let mut search = Search::new();
        search.bytes(MARKER.as_bytes(), MARKER);
        assert!(!search.find(&piece).is_empty(), "the marker is not found in {name}");
    }
    // And in the forms in which nothing should be.
    for form in [URL_SAFE_NO_PAD.encode(format!("ab{MARKER}c")), STANDARD_NO_PAD.encode(format!("a{MARKER}"))] {
        let mut search = Search::new();
        search.secret(MARKER);
        assert!(!search.find(&[("a form".to_owned(), form.into_bytes())]).is_empty());
    }
}

/// Every file below a directory.
fn files(directory: &Path, pieces: &mut Vec<Piece>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, pieces);
        } else {
            pieces.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// Every value of every table: what a file spreads over several pages is whole here.
async fn sqlite_values(file: &Path) -> Vec<u8> {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let columns = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&mut connection).await.unwrap();
    let mut values = Vec::new();
    for (table, column) in columns {
        let select = AssertSqlSafe(format!("SELECT CAST(\"{column}\" AS BLOB) FROM \"{table}\""));
        let found: Vec<Option<Vec<u8>>> = sqlx::query_scalar(select).fetch_all(&mut connection).await.unwrap();
        for value in found.into_iter().flatten() {
            values.extend(value);
            values.push(b'\n');
        }
    }
    connection.close().await.unwrap();
    values
}

#[tokio::test]
async fn sqlite_holds_no_secret() {
    let mut server = Server::start(Life::options(Options::new()));
    let (secrets, kept) = secrets_of_a_run(&mut server).await;
    let file = server.data().join("gateward.db");
    let mut pieces = vec![("values".to_owned(), sqlite_values(&file).await)];
    files(&server.data(), &mut pieces);
    // These two are what must be kept elsewhere, and a convenience of development.
    pieces.retain(|(name, _)| !name.ends_with("master.key") && !name.ends_with("worker.secret"));
    holds_no_secret(&pieces, &secrets, &kept, &["values", &file.display().to_string()]);
}

#[tokio::test]
async fn postgres_holds_no_secret() {
    let mut postgres = Postgres::start();
    let mut server = Server::start(Life::options(Options::new()).with_store(&postgres.url()));
    let (secrets, kept) = secrets_of_a_run(&mut server).await;
    let mut dump = Command::new(installed("GATEWARD_TEST_POSTGRES_BIN").join("pg_dump"));
    let dump = dump.arg("--inserts").arg(postgres.url()).stdin(Stdio::null()).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let mut pieces = vec![("dump".to_owned(), dump.stdout), ("log".to_owned(), postgres.log().into_bytes())];
    postgres.stop();
    // The tables, and the log from which others would replicate them.
    for directory in ["base", "pg_wal"] {
        files(&postgres.data().join(directory), &mut pieces);
    }
    holds_no_secret(&pieces, &secrets, &kept, &["dump"]);
}

/// Every key with its value, of whatever type.
fn redis_values(redis: &Redis) -> Vec<u8> {
    let mut values = String::new();
    for key in redis.command(&["--scan"]).unwrap().lines() {
        let read: &[&str] = match redis.command(&["TYPE", key]).unwrap().as_str() {
            "string" => &["GET", key],
            "hash" => &["HGETALL", key],
            "list" => &["LRANGE", key, "0", "-1"],
            "set" => &["SMEMBERS", key],
            "zset" => &["ZRANGE", key, "0", "-1", "WITHSCORES"],
            "stream" => &["XRANGE", key, "-", "+"],
            other => panic!("{key} is a {other}"),
        };
        values += &format!("{key}\n{}\n", redis.command(read).unwrap());
    }
    values.into_bytes()
}

#[tokio::test]
async fn redis_holds_no_secret() {
    let redis = Redis::start();
    let mut server = Server::start(Life::options(Options::new()).with_store(&redis.url()));
    let (secrets, kept) = secrets_of_a_run(&mut server).await;
    let mut pieces = vec![("values".to_owned(), redis_values(&redis))];
    // The snapshot as it is, too; a compressed one would hide what is in it.
    for command in [&["CONFIG", "SET", "rdbcompression", "no"][..], &["SAVE"]] {
        assert_eq!(redis.command(command).unwrap(), "OK");
    }
    files(redis.data(), &mut pieces);
    let file = |name: &str| pieces.iter().map(|(path, _)| path.clone()).find(|path| path.ends_with(name)).unwrap();
    let (snapshot, appended) = (file("dump.rdb"), file(".incr.aof"));
    holds_no_secret(&pieces, &secrets, &kept, &["values", &snapshot, &appended]);
}
