//! What the engines do by themselves, without this server: the limit that its figures are compared with.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use gateward::{adapter::signing_key::SigningKey, protocol::jose::Algorithm};
use sha2::{Digest, Sha256};
use sqlx::{
    ConnectOptions, Connection, Executor, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    cores,
    generator::{CONNECTIONS, now},
};

/// As many as the server's pool has, unless its URL says otherwise.
pub(crate) const POSTGRES_CONNECTIONS: usize = 16;

/// How long a program may take beyond what it was told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// ES256 signatures per second, on one core.
pub(crate) fn signatures(window: Duration) -> f64 {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    // As many bytes as a token's header and claims have.
    let message = [b'x'; 420];
    cores::on(cores::working(), || {
        let start = now();
        let mut count = 0u32;
        while start.elapsed() < window {
            std::hint::black_box(key.sign(&message).unwrap());
            count += 1;
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    })
}

/// Rows per second that one SQLite connection inserts, `batch` of them in each transaction, each with an fsync.
pub(crate) fn sqlite(directory: &Path, batch: u32, window: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(directory.join(format!("limit-{batch}.db")))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.unwrap();
        connection.execute("CREATE TABLE probe (key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID").await.unwrap();
        let start = now();
        let mut count = 0;
        while start.elapsed() < window {
            insert(&mut connection, count..count + batch).await;
            count += batch;
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        connection.close().await.unwrap();
        rate
    })
}

async fn insert(connection: &mut SqliteConnection, numbers: std::ops::Range<u32>) {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for number in numbers {
        let key = Sha256::digest(number.to_be_bytes()).to_vec();
        sqlx::query("INSERT INTO probe (key) VALUES (?)").bind(key).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// Transactions per second of one `INSERT` of 32 bytes each, as `pgbench` counts them.
pub(crate) fn postgres(url: &str, window: Duration) -> Result<f64, String> {
    psql(url, "CREATE TABLE probe (key bytea PRIMARY KEY)")?;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("insert.sql");
    std::fs::write(&script, "INSERT INTO probe VALUES (sha256(uuid_send(gen_random_uuid())))").unwrap();
    let seconds = window.as_secs().max(1).to_string();
    let clients = POSTGRES_CONNECTIONS.to_string();
    let mut pgbench = Command::new("pgbench");
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    pgbench.args(["--client", &clients, "--time", &seconds, "--file"]).arg(&script).arg(url);
    let said = output(&mut pgbench, window)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench said {said}"))
}

/// What makes a commit last there.
pub(crate) fn postgres_settings(url: &str) -> Result<String, String> {
    let setting = "current_setting('fsync') || ', synchronous_commit ' || current_setting('synchronous_commit')";
    psql(url, &format!("SELECT 'fsync ' || {setting}"))
}

/// One statement.
pub(crate) fn psql(url: &str, statement: &str) -> Result<String, String> {
    psql_within(url, statement, Duration::ZERO)
}

/// Statements that take about as long as that.
pub(crate) fn psql_within(url: &str, statement: &str, time: Duration) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--command"]);
    psql.args([statement, url]).env("PGCONNECT_TIMEOUT", "5");
    output(&mut psql, time).map(|said| said.trim().to_owned())
}

/// `SET`s of 32 bytes per second over as many connections as the load has, as `redis-benchmark` counts them.
pub(crate) fn redis(url: &str, prefix: &str, window: Duration) -> Result<f64, String> {
    // It takes a count, not a time: a short run says how many fit into the window.
    let short = redis_benchmark(url, prefix, 2_000, window)?;
    let fitting = (short * window.as_secs_f64()).clamp(2_000.0, 2_000_000.0);
    redis_benchmark(url, prefix, fitting as u32, window)
}

fn redis_benchmark(url: &str, prefix: &str, count: u32, window: Duration) -> Result<f64, String> {
    let (clients, count, key) = (CONNECTIONS.to_string(), count.to_string(), format!("{prefix}__rand_int__"));
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["-u", url, "-c", &clients, "-n", &count, "-r", "1000000000", "--csv"]);
    benchmark.args(["SET", &key, &"x".repeat(32)]);
    let said = output(&mut benchmark, window)?;
    let fields = said.lines().last().into_iter().flat_map(|line| line.split("\",\""));
    let rate = fields.map(|field| field.trim_matches('"')).nth(1).and_then(|field| field.parse().ok());
    rate.ok_or_else(|| format!("redis-benchmark said {said}"))
}

/// What makes a write last there.
pub(crate) fn redis_settings(url: &str) -> Result<String, String> {
    let said = redis_cli(url, &["CONFIG", "GET", "append*"])?;
    let words: Vec<&str> = said.lines().collect();
    let wanted = words.chunks(2).filter(|pair| matches!(pair, ["appendonly" | "appendfsync", _]));
    Ok(wanted.map(|pair| pair.join(" ")).collect::<Vec<_>>().join(", "))
}

/// Removes every key that starts with `prefix`.
pub(crate) fn redis_forget(url: &str, prefix: &str) -> Result<(), String> {
    let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end";
    redis_cli(url, &["EVAL", script, "0", &format!("{prefix}*")]).map(drop)
}

fn redis_cli(url: &str, words: &[&str]) -> Result<String, String> {
    let mut cli = Command::new("redis-cli");
    cli.args(["--no-auth-warning", "-e", "-u", url]).args(words);
    output(&mut cli, Duration::ZERO)
}

/// What a program prints, if it is there and succeeds in time.
fn output(command: &mut Command, window: Duration) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("{name}: {error}"))?;
    let mut stdout = child.stdout.take().expect("a pipe");
    let (tell, heard) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        // Nobody listens any more if it took too long.
        let _ = tell.send(read);
    });
    let said = heard.recv_timeout(window + PATIENCE);
    if said.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    let said = said.map_err(|_| format!("{name} took too long"))?.map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(said) } else { Err(format!("{name} failed: {status}")) }
}
