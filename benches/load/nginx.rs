//! nginx for the time of a measurement, with one worker.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{generator::now, variable};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx in front of an upstream: plain, and asking gateward about each request. Dropping it ends it.
pub(crate) struct Nginx {
    pub(crate) plain: SocketAddr,
    pub(crate) asking: SocketAddr,
    pub(crate) version: String,
    directory: tempfile::TempDir,
    master: Child,
}

impl Nginx {
    /// Starts one on the core of the calling thread, or says why not.
    pub(crate) fn start(upstream: SocketAddr, gateward: SocketAddr) -> Result<Self, String> {
        let shown = Command::new(program()).arg("-v").output().map_err(|error| format!("{}: {error}", program()))?;
        let version = String::from_utf8_lossy(&shown.stderr).trim().trim_start_matches("nginx version: ").to_owned();
        let directory = tempfile::tempdir().unwrap();
        let (plain, asking) = (free_address(), free_address());
        std::fs::write(directory.path().join("nginx.conf"), configuration(plain, asking, upstream, gateward)).unwrap();
        let master = nginx(directory.path()).args(["-g", "daemon off;"]).spawn().map_err(|error| error.to_string())?;
        let nginx = Self { plain, asking, version, directory, master };
        let start = now();
        while TcpStream::connect(asking).is_err() {
            if start.elapsed() > PATIENCE {
                return Err(format!("{} does not listen", program()));
            }
            std::thread::yield_now();
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let told = nginx(self.directory.path()).args(["-s", "stop"]).status();
        if told.is_ok_and(|status| status.success()) {
            self.master.wait().unwrap();
        } else {
            eprintln!("nginx is left behind: {}", self.master.id());
        }
    }
}

fn program() -> String {
    variable("GATEWARD_TEST_NGINX").unwrap_or_else(|| "nginx".to_owned())
}

fn nginx(directory: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr"]).stdin(Stdio::null());
    command
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Connections stay open on both sides, nothing is logged, and the upstream hears the identity instead of the token, as from the
/// gateway.
fn configuration(plain: SocketAddr, asking: SocketAddr, upstream: SocketAddr, gateward: SocketAddr) -> String {
    format!(
        r#"
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    proxy_http_version 1.1;
    upstream behind {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
    upstream gateward {{ server {gateward}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen {plain};
        location / {{
            proxy_set_header Connection "";
            proxy_pass http://behind;
        }}
    }}
    server {{
        listen {asking};
        location / {{
            auth_request /.forward-auth;
            auth_request_set $subject $upstream_http_x_gateward_subject;
            auth_request_set $client $upstream_http_x_gateward_client;
            auth_request_set $scope $upstream_http_x_gateward_scope;
            proxy_set_header X-Gateward-Subject $subject;
            proxy_set_header X-Gateward-Client $client;
            proxy_set_header X-Gateward-Scope $scope;
            proxy_set_header Authorization "";
            proxy_set_header Connection "";
            proxy_pass http://behind;
        }}
        location = /.forward-auth {{
            internal;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header Host localhost:3000;
            proxy_set_header X-Forwarded-Method $request_method;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Uri $request_uri;
            proxy_pass http://gateward/oauth/forward-auth;
        }}
    }}
}}
"#
    )
}
