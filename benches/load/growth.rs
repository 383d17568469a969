//! Whether a full store is slower than an empty one: every row on a Postgres that holds more and more.
//!
//! ```text
//! cargo bench --features testing --bench load -- growth
//! ```
//!
//! What fills it is written past the server, in the form that the server gives it: for each ten tokens there is a client that has
//! registered itself; half of the
//! tokens are refresh tokens with a grant each, the other half opaque access tokens. Nothing of it is asked for: the requests are for tokens
//! of their own, in between. Clients are read for each request, as their copies would hide what reading one costs.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::{
    engine,
    generator::{Timing, now},
    place::Database,
    program::{Place, Program},
    rows,
    table::{Column, Growth},
};

/// How many tokens there are at each step.
const STEPS: [(u64, &str); 3] = [(1_000, "10^3 tokens"), (100_000, "10^5 tokens"), (10_000_000, "10^7 tokens")];

const LONGEST_FILLING: Duration = Duration::from_secs(1200);

/// Measures every row at every step.
pub(crate) fn measure(load: &Runtime, timing: Timing) -> Result<Growth, String> {
    let database = Database::create()?;
    let data = tempfile::tempdir().unwrap();
    let settings = "client_copies = \"0s\"\naccount_copies = \"0s\"\nissued_copies = 0\n";
    let place = Place { settings, data: Some(data.path().to_owned()), ..Place::at(database.url()) };
    // Once, for the schema and whom the requests are about.
    drop(Program::start(&place, "")?);
    let (mut columns, mut there) = (Vec::new(), 0);
    for (count, name) in STEPS {
        let start = now();
        for statement in [&*fill(there, count), "VACUUM ANALYZE"] {
            engine::psql_within(database.url(), statement, LONGEST_FILLING)?;
        }
        eprintln!("{name}, filled in {:?}", start.elapsed());
        there = count;
        let program = Program::start(&place, "")?;
        let figures = Ok(rows::program(&program, load, timing));
        let size = engine::psql(database.url(), "SELECT pg_size_pretty(pg_database_size(current_database()))")?;
        let settings = Some(format!("{size} of database, {} MiB of server", program.resident() >> 20));
        columns.push(Column { name, figures, limits: vec![], settings });
    }
    Ok(Growth { timing, columns })
}

/// What is missing between so many tokens and so many. Whoever writes past the server need not wait for the disk.
fn fill(from: u64, to: u64) -> String {
    let numbers = |each: u64| format!("generate_series({}::bigint, {}) AS n", from / each, to / each - 1);
    let (clients, pairs) = (numbers(10), numbers(2));
    let ends = "extract(epoch FROM now())::bigint + 604800 + n % 100000";
    let begins = "extract(epoch FROM now())::bigint - n % 3600";
    format!(
        "SET synchronous_commit = off;
         INSERT INTO clients (id, name, provenance, status, authentication, secrets, redirect_uris, grant_types, application_type,
                              scope, resources, may_introspect, created_at, last_used_at, version)
         SELECT 'filler-' || n, 'Filler', 'dynamic', status, authentication, secrets, redirect_uris, grant_types, application_type,
                scope, resources, may_introspect, created_at, {begins}, version FROM clients, {clients} WHERE id = 'app';
         INSERT INTO grants (id, client_id, user_id, scope, resources, auth_time, created_at, expires_at)
         SELECT md5(n::text), 'filler-' || n / 5, md5('user' || n / 20), 'mcp:read', '[\"https://mcp.example.com/mcp\"]',
                {begins}, {begins}, {ends} FROM {pairs};
         INSERT INTO refresh_tokens (digest, grant_id, issued_at, expires_at)
         SELECT sha256(int8send(n)), md5(n::text), {begins}, {ends} FROM {pairs};
         INSERT INTO access_tokens (digest, token_id, client_id, scope, audience, issued_at, expires_at)
         SELECT sha256(int8send(-n - 1)), md5('token' || n), 'filler-' || n / 5, 'mcp:read', 'https://files.example.com/',
                {begins}, {ends} FROM {pairs}"
    )
}
