//! A headless Chromium with a fresh profile, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    ops::Deref,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    error::CmdError,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::LocalSet;
use url::{ParseError, Url};

use crate::support::{DEADLINE, until};

/// Runs a story in a browser of its own, and closes the browser whatever happens.
pub(crate) async fn browse<F: Future<Output = ()> + 'static>(story: impl FnOnce(Browser) -> F) {
    let driver = Driver::start();
    let browser = driver.browser().await;
    let client = browser.client.clone();
    let told = LocalSet::new().run_until(async { tokio::task::spawn_local(story(browser)).await }).await;
    // The driver is killed in any case; this ends Chromium politely.
    let _ = client.close().await;
    drop(driver);
    if let Err(panic) = told {
        std::panic::resume_unwind(panic.into_panic());
    }
}

struct Driver {
    process: Child,
    port: u16,
    chromium: PathBuf,
    profile: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "tests/run says in the environment what it has installed")]
fn program(variable: &str, default: &str) -> PathBuf {
    let path = PathBuf::from(std::env::var(variable).unwrap_or_else(|_| default.to_owned()));
    assert!(path.is_file(), "{} is missing: run tests/run, or set {variable}", path.display());
    path
}

impl Driver {
    fn start() -> Self {
        let chromium = program("GATEWARD_TEST_CHROMIUM", "/usr/bin/chromium");
        let mut process = Command::new(program("GATEWARD_TEST_CHROMEDRIVER", "/usr/bin/chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own, so that no child of it outlives the test.
            .process_group(0)
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split("started successfully on port ").nth(1)?.trim_end_matches('.').parse().ok());
        std::thread::spawn(move || lines.count());
        let profile = tempfile::Builder::new().prefix("gateward-chromium-").tempdir().unwrap();
        Self { process, port: port.expect("chromedriver says its port"), chromium, profile }
    }

    async fn browser(&self) -> Browser {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let capabilities = json!({
            "goog:chromeOptions": {
                "binary": self.chromium,
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--window-size=1200,900", profile,
                ],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("Chromium starts");
        Browser { client }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-KILL").arg("--").arg(format!("-{}", self.process.id())).status();
        let _ = self.process.wait();
    }
}

/// A command of chromedriver beyond the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// One window with its history.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Browser {
    /// Waits until the page has this heading: a click may still be on its way.
    pub(crate) async fn shows(&self, heading: &str) {
        let reason = format!("a page with the heading `{heading}`");
        until(&reason, async || self.heading().await.is_ok_and(|found| found == heading)).await;
    }

    async fn heading(&self) -> Result<String, CmdError> {
        self.client.find(Locator::Css("h1")).await?.text().await
    }

    pub(crate) async fn element(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(DEADLINE).for_element(Locator::Css(css)).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("no {css}: {error}\n{}", self.text().await),
        }
    }

    /// What a human sees.
    pub(crate) async fn text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await.unwrap();
        body.text().await.unwrap_or_default()
    }

    pub(crate) async fn click(&self, css: &str) {
        self.element(css).await.click().await.unwrap();
    }

    pub(crate) async fn log_in(&self, username: &str, password: &str) {
        let name = self.element("#username").await;
        name.clear().await.unwrap();
        name.send_keys(username).await.unwrap();
        self.element("#password").await.send_keys(password).await.unwrap();
        self.click("form.fields button").await;
    }

    pub(crate) async fn approve(&self) {
        self.click("button[value=approve]").await;
    }

    pub(crate) async fn script(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// A method of the DevTools protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let body = json!({"cmd": method, "params": parameters});
        self.client.issue_cmd(Extension { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// What the console of the developer tools says.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Extension { path: "se/log", body: json!({"type": "browser"}) }).await;
        let entries = entries.unwrap();
        let entries = entries.as_array().expect("a list").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn colour_scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// The whole page, under target/screenshots.
    pub(crate) async fn picture(&self, name: &str) {
        let taken = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let png = STANDARD.decode(taken["data"].as_str().expect("a picture")).unwrap();
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), png).unwrap();
    }
}
