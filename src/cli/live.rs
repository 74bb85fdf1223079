//! The events of a running instance, as its door sends them (server-sent events; see `admin`).

use std::time::Duration;

use bytes::{Buf, BytesMut};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;

use super::reach::Reached;
use crate::provider::web::{self, root_cause};

/// Without a byte for so long, an instance is gone: each stream says something every five seconds at least.
const SILENCE: Duration = Duration::from_secs(15);
/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// One event is no larger than this, in bytes: the greeting has the last ten minutes in it, 2 MiB at most, and the status.
const LARGEST: usize = 16 << 20;

/// Why there are no events, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoEvents {
    /// The door says no; asking again would not help.
    Refused(String),
    /// Nobody answers, or no longer.
    Gone(String),
}

impl std::fmt::Display for NoEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (NoEvents::Refused(why) | NoEvents::Gone(why)) = self;
        f.write_str(why)
    }
}

/// Events, one after the other.
pub(super) struct Events {
    response: Response,
    buffer: BytesMut,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

impl Events {
    /// Asks for those at `path`, with a query.
    pub(super) async fn connect(door: &Reached, path: &str, query: &[(&str, &str)]) -> Result<Self, NoEvents> {
        let client = web::client(None)
            .map_err(|error| NoEvents::Refused(error.to_string()))?
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| NoEvents::Refused(error.to_string()))?;
        let mut url = door.url.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = client.get(url);
        if let Some(token) = &door.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let gone =
            |error: reqwest::Error| NoEvents::Gone(format!("{} does not answer: {}", door.url, root_cause(&error)));
        let response = request.send().await.map_err(gone)?;
        match response.status() {
            StatusCode::OK => Ok(Self { response, buffer: BytesMut::new() }),
            status => Err(refusal(door, status, response).await),
        }
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, NoEvents> {
        loop {
            while let Some(text) = split(&mut self.buffer) {
                // What has no name is a sign of life.
                if let Some(event) = read(&text) {
                    return Ok(event);
                }
            }
            if self.buffer.len() > LARGEST {
                return Err(NoEvents::Refused("what it sends are no events of ours".to_owned()));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Err(NoEvents::Gone("it has ended".to_owned())),
                Err(error) => return Err(NoEvents::Gone(format!("the connection is lost: {}", root_cause(&error)))),
            }
        }
    }
}

/// Takes one whole event from the front.
fn split(buffer: &mut BytesMut) -> Option<String> {
    let end = buffer.windows(2).position(|two| two == b"\n\n")?;
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.advance(end + 2);
    Some(text)
}

fn read(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Some(Event { name: field("event: ")?, data: field("data: ")? })
}

async fn refusal(door: &Reached, status: StatusCode, response: Response) -> NoEvents {
    let problem = response.json::<serde_json::Value>().await.unwrap_or_default();
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let remedy = match status {
        StatusCode::UNAUTHORIZED => "name the file with one: --token-file".to_owned(),
        StatusCode::NOT_FOUND => "is it Tidegate, and not an older one?".to_owned(),
        _ => word("detail"),
    };
    let what = format!("{} answers {status}: {}; {remedy}", door.url, word("title"));
    if status == StatusCode::SERVICE_UNAVAILABLE { NoEvents::Gone(what) } else { NoEvents::Refused(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_come_in_pieces() {
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in [": hi\n\nevent: sec", "ond\ndata: {\"a\":1}\n", "\nevent: status\ndata: {}\n\nevent: x"] {
            buffer.extend_from_slice(piece.as_bytes());
            while let Some(text) = split(&mut buffer) {
                found.extend(read(&text));
            }
        }
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        assert_eq!(found, [event("second", "{\"a\":1}"), event("status", "{}")]);
    }
}
