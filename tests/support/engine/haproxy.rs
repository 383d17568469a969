//! A load balancer in front of several instances, which knows of their health only what `/readyz` says.

use std::{fmt::Write, fs, net::SocketAddr};

use tempfile::TempDir;

use super::{Process, Program, installed};
use crate::support::{own_address, until};

/// Which instance gave an answer: `0`, `1`, ..
pub(crate) const INSTANCE: &str = "x-instance";

/// It deals requests out in turn, and tells each instance the address of the client (`X-Forwarded-For`). A request goes to one
/// instance only: if that one is gone, the answer is a 502 or 503 of the load balancer, until it has noticed.
#[derive(Debug)]
pub(crate) struct Haproxy {
    _process: Process,
    _room: TempDir,
    /// Where it tells what it thinks of the instances.
    statistics: SocketAddr,
    http: reqwest::Client,
}

impl Haproxy {
    /// Starts one at this address, and waits until it has asked each instance how it is.
    pub(crate) async fn start(address: SocketAddr, instances: &[SocketAddr]) -> Self {
        let statistics = own_address();
        let mut settings = format!(
            "global\n nbthread 1\n maxconn 1000\n\
             defaults\n mode http\n timeout connect 2s\n timeout client 60s\n timeout server 60s\n retries 0\n\
             listen statistics\n bind {statistics}\n stats enable\n stats uri /\n\
             listen gateward\n bind {address}\n balance roundrobin\n option forwardfor\n http-reuse never\n\
             option httpchk GET /readyz\n http-check expect status 200\n\
             http-response set-header {INSTANCE} %[srv_name]\n\
             default-server check inter 100ms fall 1 rise 1\n"
        );
        for (number, instance) in instances.iter().enumerate() {
            writeln!(settings, " server {number} {instance}").unwrap();
        }
        let room = tempfile::Builder::new().prefix("gateward-haproxy-").tempdir().unwrap();
        let file = room.path().join("haproxy.cfg");
        fs::write(&file, settings).unwrap();
        let process = Process::start(Program {
            path: installed("GATEWARD_TEST_HAPROXY"),
            arguments: vec!["-db".to_owned(), "-f".to_owned(), file.to_str().unwrap().to_owned()],
            user: None,
            ready: None,
            stop: "TERM",
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let haproxy = Self { _process: process, _room: room, statistics, http };
        until("the load balancer has seen every instance", async || {
            haproxy
                .instances()
                .await
                .is_some_and(|seen| seen.len() == instances.len() && seen.iter().all(|s| s.checked))
        })
        .await;
        haproxy
    }

    /// Waits until an instance gets requests.
    pub(crate) async fn until_in(&self, instance: usize) {
        until("the instance gets requests", async || self.is_in(instance).await == Some(true)).await;
    }

    /// Waits until an instance gets no requests any more.
    pub(crate) async fn until_out(&self, instance: usize) {
        until("the instance gets no requests", async || self.is_in(instance).await == Some(false)).await;
    }

    async fn is_in(&self, instance: usize) -> Option<bool> {
        Some(self.instances().await?.get(instance)?.up)
    }

    /// `None` while it does not listen yet.
    async fn instances(&self) -> Option<Vec<Seen>> {
        let answer = self.http.get(format!("http://{}/;csv", self.statistics)).send().await.ok()?;
        let table = answer.text().await.ok()?;
        let (head, rows) = table.strip_prefix("# ")?.split_once('\n')?;
        let column = |row: &str, name: &str| {
            let at = head.split(',').position(|column| column == name).expect("a column of that name");
            row.split(',').nth(at).unwrap_or_default().to_owned()
        };
        let servers = rows
            .lines()
            .filter(|row| column(row, "pxname") == "gateward" && column(row, "svname").parse::<usize>().is_ok());
        let seen =
            |row| Seen { up: column(row, "status") == "UP", checked: !column(row, "check_status").ends_with("INI") };
        Some(servers.map(seen).collect())
    }
}

/// An instance as the load balancer sees it.
struct Seen {
    up: bool,
    /// At least once.
    checked: bool,
}
