//! A client of server-sent events.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;

/// Long beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Events {
    response: Response,
    text: String,
}

/// A request of this path, with headers.
pub(crate) async fn ask(address: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::builder().no_proxy().build().unwrap().get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

impl Events {
    pub(crate) async fn open(address: &str, path: &str) -> Self {
        let response = ask(address, path, &[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's name and data; `None` when the stream ends. A sign of life has an empty name.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event comes in time")
    }

    /// The data of the next event of this name.
    pub(crate) async fn next_of(&mut self, name: &str) -> Value {
        loop {
            let (event, data) = self.next().await.expect("the stream goes on");
            if event == name {
                return data;
            }
        }
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let name = field("event: ").unwrap_or_default();
                let data = field("data: ").map(|data| serde_json::from_str(&data).expect("data is JSON"));
                self.text = rest.to_owned();
                return Some((name, data.unwrap_or_default()));
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).expect("our events are ASCII"));
        }
    }
}
