//! What is measured: the program itself, `gateward serve`, with a configuration of its own and one core.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use gateward::{
    http::path,
    testing::{
        browser::{ScriptedBrowser, Step},
        server::{CHALLENGE, ISSUER, OPAQUE_RESOURCE, Parameters, REDIRECT, RESOURCE},
    },
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    cores,
    generator::{CONNECTIONS, Connection, Expected, Figure, exhaust, now},
    talk::{Authorize, Codes, boxes},
};

/// How long it may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The public client of a human.
pub(crate) const APP: &str = "app";

/// Other resources than those of the tests, for other algorithms than ES256.
pub(crate) const EDDSA_RESOURCE: &str = "https://eddsa.example.com/mcp";
pub(crate) const RS256_RESOURCE: &str = "https://rs256.example.com/mcp";

const USERNAME: &str = "ada";

/// In `[stores]`: a server that remembers all that it issues. There are more codes beforehand than it would remember by itself.
pub(crate) const REMEMBERS: &str = "issued_copies = 300000\n";

/// One that looks up what is presented, as it does with what another instance issued.
pub(crate) const FORGETS: &str = "issued_copies = 0\n";

/// Where the families are kept.
pub(crate) struct Place {
    pub(crate) url: String,
    /// Tokens somewhere else.
    pub(crate) tokens: Option<String>,
    /// More of `[stores]`.
    pub(crate) settings: &'static str,
    /// Where the master key lies, for a store that is opened more than once; else in a directory that goes with the program.
    pub(crate) data: Option<PathBuf>,
}

impl Place {
    /// Everything at one URL.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned(), tokens: None, settings: REMEMBERS, data: None }
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Everything that it writes, and its configuration.
    _directory: TempDir,
}

impl Program {
    /// Starts it with everything at that place and with `more` in its configuration, or says why it did not start.
    pub(crate) fn start(place: &Place, more: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateward.toml");
        std::fs::write(&file, configuration(place, more)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateward"));
        command.arg("--config").arg(&file).arg("serve").current_dir(directory.path());
        command.env_clear().env("LOAD_PASSWORD", secret_of(USERNAME));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cores::on(cores::working(), || command.spawn()).unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let log = std::thread::spawn(move || {
            let mut first = String::new();
            // Kept open to the end: a program that cannot write its log would be another one.
            while errors.read_line(&mut first).is_ok_and(|count| count > 0) {
                first.truncate(4096);
            }
            first
        });
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut said = output.lines().map_while(Result::ok);
        let address = said.find_map(|line| line.strip_prefix("listening on ")?.split(' ').next()?.parse().ok());
        let Some(address) = address else {
            child.wait().unwrap();
            return Err(log.join().unwrap().lines().next_back().unwrap_or("it ended").to_owned());
        };
        std::thread::spawn(move || said.for_each(drop));
        Ok(Self { address, child, _directory: directory })
    }

    /// Seconds of its core that it has used so far.
    pub(crate) fn used(&self) -> Duration {
        used(&format!("/proc/{}/stat", self.child.id()))
    }

    /// Bytes of memory that it has now.
    pub(crate) fn resident(&self) -> u64 {
        resident(self.child.id())
    }

    /// Logs the human in, lets them agree, and hands out so many codes to the same browser; how fast that went.
    pub(crate) fn codes(&self, load: &Runtime, count: usize) -> (Codes, Figure) {
        let query = Parameters::from([
            ("response_type", "code"),
            ("client_id", APP),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("scope", "mcp:read"),
        ]);
        let target = format!("{}?{}", path::AUTHORIZE, query.encode());
        let cookies = load.block_on(self.agree(&target));
        let request = format!("GET {target} HTTP/1.1\r\nhost: {}\r\ncookie: {cookies}\r\n\r\n", self.address);
        let codes = Codes::default();
        let share = |connection: usize| count / CONNECTIONS + usize::from(connection < count % CONNECTIONS);
        let talks = (0..CONNECTIONS).map(|at| Authorize::new(request.clone().into_bytes(), share(at), &codes));
        let expected = Expected { status: "HTTP/1.1 303 ", marker: "code=" };
        let figure = load.block_on(exhaust(self.address, expected, boxes(talks)));
        (codes, figure)
    }

    async fn agree(&self, target: &str) -> String {
        let mut browser = ScriptedBrowser::new().unwrap();
        let page = browser.open(&format!("http://{}{target}", self.address)).await.and_then(Step::page).unwrap();
        match browser.log_in(&page, USERNAME, &secret_of(USERNAME)).await.unwrap() {
            Step::Page(consent) => drop(browser.approve(&consent).await.and_then(Step::client).unwrap()),
            Step::Client(_) => {}
        }
        let pairs: Vec<String> = browser.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// The answers to some requests, one after the other.
    pub(crate) fn each_once(&self, load: &Runtime, requests: Vec<Vec<u8>>, expected: Expected) -> Vec<String> {
        load.block_on(async {
            let mut connection = Connection::open(self.address).await;
            let mut answers = Vec::new();
            for request in requests {
                answers.push(connection.exchange(&request, expected).await.to_owned());
            }
            answers
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // In order, so that what it does at its end is done.
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let start = now();
        while told.as_ref().is_ok_and(|status| status.success()) && start.elapsed() < PATIENCE {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::yield_now();
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Bytes of memory that a process has now.
pub(crate) fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// The time that a process has worked, from its `stat` file.
fn used(file: &str) -> Duration {
    let stat = std::fs::read_to_string(file).unwrap();
    // The second field may have spaces in it; the 14th and the 15th are user and system time in hundredths of a second.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks = rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

/// The `Authorization` header of one of the confidential clients: `worker`, `mcp`, `eddsa` and `files`.
pub(crate) fn basic(client: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{}", secret_of(client))))
}

/// Good for the time of a measurement.
pub(crate) fn secret_of(name: &str) -> String {
    format!("the long enough secret of {name} in a bench")
}

/// What differs from the defaults: four resources, one for each form of tokens that is measured, clients and a human. A client that
/// an operator declares and that is called back over https is not asked for twice, so codes can be had as fast as the server gives them.
///
/// `more` is said of the resource with ES256 and of the one with opaque tokens.
fn configuration(place: &Place, more: &str) -> String {
    let mut text = format!("mode = \"development\"\nissuer = \"{ISSUER}\"\n");
    let mut line = |line: &str| writeln!(text, "{line}").unwrap();
    if let Some(data) = &place.data {
        line(&format!("data_directory = \"{}\"", data.display()));
    }
    line("[server]\nlisten = [\"127.0.0.1:0\"]\n[stores]");
    line(&format!("url = \"{}\"", place.url));
    if let Some(tokens) = &place.tokens {
        line(&format!("tokens = \"{tokens}\""));
    }
    line(place.settings);
    let resources = [
        (RESOURCE, "algorithm = \"ES256\"", more),
        (OPAQUE_RESOURCE, "token_format = \"opaque\"", more),
        (EDDSA_RESOURCE, "algorithm = \"EdDSA\"", ""),
        (RS256_RESOURCE, "algorithm = \"RS256\"", ""),
    ];
    for (uri, format, more) in resources {
        line(&format!("[[resources]]\nuri = \"{uri}\"\n{format}\n{SCOPES}\n{more}"));
    }
    line(&format!("[[clients]]\nclient_id = \"{APP}\"\nredirect_uris = [\"{REDIRECT}\"]"));
    line("grant_types = [\"authorization_code\", \"refresh_token\"]");
    line(&format!("[[clients]]\nclient_id = \"worker\"\nsecret = \"{}\"", digest_of("worker")));
    line("grant_types = [\"client_credentials\"]\nscope = \"mcp:read\"");
    for (id, resource) in [("mcp", RESOURCE), ("files", OPAQUE_RESOURCE), ("eddsa", EDDSA_RESOURCE)] {
        line(&format!("[[clients]]\nclient_id = \"{id}\"\nsecret = \"{}\"", digest_of(id)));
        line(&format!("resources = [\"{resource}\"]\nmay_introspect = true"));
    }
    line(&format!("[[users]]\nusername = \"{USERNAME}\"\npassword = \"env:LOAD_PASSWORD\""));
    text
}

/// A client secret as a configuration file has it.
pub(crate) fn digest_of(client: &str) -> String {
    let digest = Sha256::digest(secret_of(client));
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Of every resource.
const SCOPES: &str =
    "scopes = [{ name = \"mcp:read\", description = \"Read\" }, { name = \"mcp:execute\", description = \"Act\" }]";
