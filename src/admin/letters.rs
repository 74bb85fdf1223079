//! `GET /v1/dead` and `POST /v1/dead/replay`: the spool's dead letters, for the dashboard.
//!
//! ```json
//! {"spool": {"letters": 12, "reasons": [{"reason": "…", "app": "chat", "letters": 12, "oldest": "…", "newest": "…"}]}}
//! {"reason": "attempts_exhausted", "app": "chat", "rate": "100/s"}
//! ```
//!
//! A broker's dead letters can't be counted by reason without taking them all from the queue, so they are left to
//! `tidegate dead`, as are showing and dropping. No body, id or device is told here.

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::door::Problem;
use crate::flow::Rate;
use crate::pipeline::View;
use crate::spool::{DeadLetters, Filter, ReasonLetters, Which};

/// Far more than a request can need; in bytes.
pub(super) const LARGEST: usize = 4_096;
/// Reasons told, at most: the most frequent.
const REASONS: usize = 50;
/// Letters sent again, if the request does not say how fast.
const RATE: &str = "100/s";

/// The spool's letters. Cheap to clone.
#[derive(Clone)]
pub(super) struct Letters {
    spool: Option<Arc<Path>>,
    amqp: bool,
    /// One look, or replay, at a time: they read the whole table.
    turn: Arc<Semaphore>,
}

impl Letters {
    pub(super) fn of(view: &View) -> Self {
        Self { spool: view.letters.clone(), amqp: view.has_broker(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// How many there are, by reason and app.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) async fn count(&self) -> Result<Value, Problem> {
        let Some(spool) = self.spool.clone() else { return Ok(json!({"spool": null, "amqp": self.amqp})) };
        let reasons = self.ask(move || open(&spool)?.count(REASONS)).await?;
        let letters: u64 = reasons.iter().map(|reason: &ReasonLetters| reason.letters).sum();
        Ok(json!({"spool": {"letters": letters, "reasons": reasons}, "amqp": self.amqp}))
    }

    /// Sends those again that the body names.
    ///
    /// # Errors
    /// What is wrong with the body; there is no spool; the store can't be written to.
    pub(super) async fn replay(&self, body: &[u8]) -> Result<Value, Problem> {
        let (filter, rate) = read(body)?;
        let spool = self.spool.clone().ok_or_else(|| {
            let title = "there is no spool, and so no dead letters of one";
            Problem::new(StatusCode::NOT_FOUND, title, "for a broker's use `tidegate dead replay --source amqp`")
        })?;
        let rate_asked = rate.map(|rate| rate.per_second());
        let (reason, app) = (filter.reason.clone(), filter.app.clone());
        let replayed = self.ask(move || open(&spool)?.replay(&Which::Matching(filter), rate_asked)).await?;
        tracing::info!(?reason, ?app, replayed, "dead letters replayed by an operator");
        Ok(json!({"replayed": replayed, "rate": Rate::write(rate)}))
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.turn.acquire().await.expect("it is never closed");
        let failed = |what: String| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what, "see the log, and `tidegate dead list`")
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }
}

fn open(spool: &Path) -> Result<DeadLetters, String> {
    DeadLetters::open(spool).map_err(|error| error.to_string())
}

/// Reads a replay's body: which letters, and how many a second.
fn read(body: &[u8]) -> Result<(Filter, Option<Rate>), Problem> {
    let remedy = "send a JSON object with reason, and if you like app and rate";
    let bad = |what: String| Problem::new(StatusCode::BAD_REQUEST, format!("the body is no replay: {what}"), remedy);
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(bad("it is no object".to_owned())),
        Err(error) => return Err(bad(error.to_string())),
    };
    let mut filter = Filter::default();
    let mut rate = RATE.to_owned();
    for (name, value) in &fields {
        let Some(text) = value.as_str() else {
            return Err(Problem::of_field(name, format!("{name} = {value} is no text"), remedy));
        };
        match name.as_str() {
            "reason" => filter.reason = Some(text.to_owned()),
            "app" => filter.app = Some(text.to_owned()),
            "rate" => rate = text.to_owned(),
            _ => return Err(Problem::of_field(name, format!("there is no field {name:?}"), remedy)),
        }
    }
    if filter.reason.is_none() {
        return Err(Problem::of_field("reason", "the reason is missing", remedy));
    }
    let read = Rate::read(&rate).map_err(|what| {
        Problem::of_field("rate", format!("rate = {rate:?}: {what}"), "write it like \"100/s\", or \"unlimited\"")
    });
    Ok((filter, read?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_read_strictly() {
        let (filter, rate) = read(br#"{"reason":"failed","app":"chat"}"#).expect("it is good");
        assert_eq!((filter.reason.as_deref(), filter.app.as_deref()), (Some("failed"), Some("chat")));
        assert_eq!(Rate::write(rate), "100/s");
        assert_eq!(read(br#"{"reason":"failed","rate":"unlimited"}"#).expect("it is good").1, None);
        for wrong in ["", "[]", "{}", r#"{"app":"chat"}"#, r#"{"reason":1}"#, r#"{"reason":"x","id":"y"}"#] {
            assert_eq!(read(wrong.as_bytes()).expect_err(wrong).status, StatusCode::BAD_REQUEST);
        }
        let problem = read(br#"{"reason":"x","rate":"0/s"}"#).expect_err("no rate");
        assert_eq!(problem.field.as_deref(), Some("rate"));
    }
}
