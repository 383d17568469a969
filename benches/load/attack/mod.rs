//! Honest traffic while somebody attacks.
//!
//! ```text
//! cargo bench --features testing --bench load -- attack
//! ```
//!
//! `gateward serve` in production mode, with the limits of `config/default.toml` and SQLite, has the first core for itself. The last one
//! is shared by two threads that talk to it: one is a worker and an MCP server ([`honest`]), each at an address of its own, who ask a
//! hundred times a second at fixed times, so that a late answer makes no later question; the other one is the attacker ([`floods`]), at a
//! third address, who does as much as it can. What is measured is how long the honest wait, from the moment at which they meant to ask,
//! and what becomes of the attacker.
//!
//! The attacker costs the generator's core more than the server's, and is slowed down by that; so is honest traffic, a little. `none` is
//! the same without an attacker.

mod floods;
mod honest;
mod server;
mod wire;

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, time::Duration};

use self::{
    floods::{FLOODS, Flood},
    honest::Waited,
    server::Server,
};
use crate::{
    cores,
    table::{count, line, millis},
};

/// How long each attack takes.
const WINDOW: Duration = Duration::from_secs(4);
/// Before it counts: connections are made, limits begin to hold.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where each of them sits.
const WORKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MCP_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// What became of what the attacker tried, by status; a connection that was closed without an answer is `closed`.
type Outcomes = BTreeMap<String, u64>;

struct Row {
    name: &'static str,
    waited: Waited,
    outcomes: Outcomes,
    /// Bytes of the server, at the end.
    resident: u64,
}

/// What was found, as a table.
pub(crate) struct Report {
    /// Bytes of the server, before anybody asked.
    resident: u64,
    rows: Vec<Row>,
}

/// Every attack, one after the other.
pub(crate) fn measure() -> Report {
    let server = cores::on(cores::working(), Server::start);
    let [patient, attacker] = [(); 2].map(|()| cores::pinned(cores::asking()));
    let resident = server.resident();
    let mut rows = Vec::new();
    for Flood { name, attack } in FLOODS {
        let end = WARM_UP + WINDOW;
        let attack = attacker.spawn(attack(server.address, end));
        let waited = patient.spawn(honest::ask(server.address, WARM_UP, end));
        let waited = patient.block_on(waited).expect("the honest live");
        let outcomes = attacker.block_on(attack).expect("the attacker lives");
        eprintln!("{name}: {} late or refused, {outcomes:?}", waited.errors);
        rows.push(Row { name, waited, outcomes, resident: server.resident() });
    }
    Report { resident, rows }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / (1024.0 * 1024.0));
        writeln!(
            f,
            "{WINDOW:?} each; honest: 100 tokens and 100 introspections a second; server: {} MiB before anybody asked.\n",
            mebibytes(self.resident)
        )?;
        let columns = ["honest p50 / p99, ms", "errors", "attacker's attempts/s", "what became of them", "server, MiB"];
        line(f, "attack", columns.map(str::to_owned).into_iter())?;
        line(f, "---", ["---:", "---:", "---:", "---", "---:"].map(str::to_owned).into_iter())?;
        for Row { name, waited, outcomes, resident } in &self.rows {
            let attempts: u64 = outcomes.values().sum();
            let share = |(what, many): (&String, &u64)| format!("{what}: {}", count(*many as f64));
            let cells = [
                format!("{} / {}", millis(waited.p50), millis(waited.p99)),
                waited.errors.to_string(),
                count(attempts as f64 / (WARM_UP + WINDOW).as_secs_f64()),
                outcomes.iter().map(share).collect::<Vec<_>>().join(", "),
                mebibytes(*resident),
            ];
            line(f, name, cells.into_iter())?;
        }
        Ok(())
    }
}
