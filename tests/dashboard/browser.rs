//! Chromium, driven over the WebDriver protocol (W3C) by chromedriver; both are Debian's.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Long beyond what a loaded machine needs for one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// One window of a browser of its own.
pub(crate) struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it, with an empty profile.
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: apt-get install chromium chromium-driver");
        let lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let port = lines.into_iter().find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = tempfile::tempdir().expect("a folder");
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let base = format!("http://127.0.0.1:{}", port.expect("chromedriver says its port"));
        let mut browser = Self { driver, client, session: base, _profile: profile };
        let options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                format!("--user-data-dir={}", browser._profile.path().display()),
            ]
        });
        let wanted =
            json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}});
        let session = browser.ask(Method::POST, "/session", json!({"capabilities": {"alwaysMatch": wanted}})).await;
        let id = session["sessionId"].as_str().expect("a session begins");
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.body(body.to_string());
        }
        let answer: Value = request.send().await.expect("chromedriver answers").json().await.expect("JSON");
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }

    /// A command of the browser's own protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask(Method::POST, "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({"url": url})).await;
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", json!({"script": script, "args": []})).await
    }

    /// The text of the first element that matches, as it is seen.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = self.run(&format!("return document.querySelector({selector:?})?.innerText ?? ''")).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.ask(Method::POST, "/element", json!({"using": "css selector", "value": selector})).await;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str().map(str::to_owned));
        id.expect("an element has an id")
    }

    /// Clicks as a hand does: it must be there, visible, and nothing may lie on it.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Empties a field and types.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/clear"), json!({})).await;
        self.ask(Method::POST, &format!("/element/{element}/value"), json!({"text": text})).await;
    }

    /// As wide and high a window, in this colour scheme.
    pub(crate) async fn view(&self, width: u32, height: u32, scheme: &str) {
        let phone = width < 500;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", scheme).await;
    }

    /// A picture of the whole page, under target/screens/.
    pub(crate) async fn screenshot(&self, name: &str) -> PathBuf {
        let size = self.run("return [innerWidth, document.documentElement.scrollHeight]").await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in target").join("screens");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png.expect("base64")).expect("the picture is written");
        path
    }

    /// What stands in the console above the level of a remark, since the last time.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("a list").iter();
        let bad = entries.filter(|entry| !matches!(entry["level"].as_str(), Some("DEBUG" | "INFO")));
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses of all requests that the page at `url` made since the last time; the browser's own pages make others.
    pub(crate) async fn requests(&self, url: &str) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", json!({"type": "performance"})).await;
        let entries = log.as_array().expect("a list").iter();
        let events = entries.filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let ours = sent.map(|event| event["message"]["params"].clone()).filter(|sent| sent["documentURL"] == url);
        ours.filter_map(|sent| sent["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        self.ask(Method::DELETE, "", Value::Null).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its browser ends with it, also where a test has failed.
        let _ = Command::new("kill").arg(self.driver.id().to_string()).status();
        let _ = self.driver.wait();
    }
}
