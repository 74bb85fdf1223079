//! `GET /v1/stream` and `GET /v1/tap`: server-sent events (HTML, section 9.2).
//!
//! | event | data | of |
//! | --- | --- | --- |
//! | `hello` | `{"status": …, "history": […]}`, first | stream |
//! | `second` | the numbers of one second | stream |
//! | `status` | as `/v1/status` | stream |
//! | `outcomes` | a list of outcomes, targets as hashes | tap |
//! | `lost` | `{"outcomes": n}`: so many went by, asked for or not, because the client was too slow | tap |

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::history::History;
use super::{Live, json};
use crate::door::Problem;
use crate::outcome::{Listener, Overheard};

/// A tap that has nothing to say says so this often, so that both ends see whether the other is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Answers with what was, and then with what goes on.
///
/// # Errors
/// Too many look on already.
pub(in crate::admin) fn stream(live: &Live) -> Result<Response, Problem> {
    let seat = Live::seat(&live.seats)?;
    let (past, seen) = live.history.borrow().after(0);
    let mut hello = BytesMut::new();
    hello.put_slice(b"{\"status\":");
    hello.put_slice(&json(&live.view.status()));
    hello.put_slice(b",\"history\":[");
    for (nth, second) in past.iter().enumerate() {
        hello.put_slice(if nth > 0 { b"," } else { b"" });
        hello.put_slice(second);
    }
    hello.put_slice(b"]}");
    let mut status = live.status.subscribe();
    status.borrow_and_update();
    let mut history = live.history.clone();
    history.mark_unchanged();
    let onlooker =
        Onlooker { first: Some(event("hello", &hello)), seen, history, status, stop: live.stop.clone(), _seat: seat };
    Ok(events(stream::unfold(onlooker, |mut onlooker| async move { Some((onlooker.next().await?, onlooker)) })))
}

/// One who looks on.
struct Onlooker {
    first: Option<Bytes>,
    /// Seconds that ever were, as far as they were sent.
    seen: u64,
    history: watch::Receiver<History>,
    status: watch::Receiver<Bytes>,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
}

impl Onlooker {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            () = self.stop.cancelled() => None,
            Ok(()) = self.history.changed() => {
                let (new, seen) = self.history.borrow_and_update().after(self.seen);
                self.seen = seen;
                Some(new.iter().flat_map(|second| event("second", second)).collect())
            }
            Ok(()) = self.status.changed() => Some(event("status", &self.status.borrow_and_update())),
            else => None,
        }
    }
}

/// Answers with the outcomes that `query` asks for, as they come.
///
/// # Errors
/// What is wrong with the query; too many listen already.
pub(in crate::admin) fn tap(live: &Live, query: &str) -> Result<Response, Problem> {
    let filter = Filter::read(query)?;
    let seat = Live::seat(&live.taps)?;
    let eavesdropper =
        Eavesdropper { filter, listener: live.view.tap.listen(), greeted: false, stop: live.stop.clone(), _seat: seat };
    Ok(events(stream::unfold(eavesdropper, |mut tap| async move { Some((tap.next().await?, tap)) })))
}

/// One who listens.
struct Eavesdropper {
    filter: Filter,
    listener: Listener,
    greeted: bool,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
}

impl Eavesdropper {
    async fn next(&mut self) -> Option<Bytes> {
        // Who waits for the first outcome knows by this that it will be heard.
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(b": listening\n\n"));
        }
        let sign_of_life = tokio::time::sleep(SIGN_OF_LIFE);
        tokio::pin!(sign_of_life);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = &mut sign_of_life => return Some(Bytes::from_static(b":\n\n")),
                overheard = self.listener.next() => {
                    let text = self.tell(&overheard?);
                    if !text.is_empty() {
                        return Some(text);
                    }
                }
            }
        }
    }

    fn tell(&self, overheard: &Overheard) -> Bytes {
        let mut text = BytesMut::new();
        if overheard.lost > 0 {
            text.extend(event("lost", &json(&serde_json::json!({"outcomes": overheard.lost}))));
        }
        let outcomes: Vec<_> =
            overheard.outcomes().iter().filter(|heard| self.filter.takes(heard)).map(super::filter::Line::of).collect();
        if !outcomes.is_empty() {
            text.extend(event("outcomes", &json(&outcomes)));
        }
        text.freeze()
    }
}

/// One event. JSON has no line feed in it.
fn event(name: &str, data: &[u8]) -> Bytes {
    let mut text = BytesMut::with_capacity(name.len() + data.len() + 16);
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        text.put_slice(part);
    }
    text.freeze()
}

fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Asks proxies not to hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = futures::StreamExt::map(events, Ok::<_, Infallible>);
    (headers, Body::from_stream(events)).into_response()
}
