//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::job::BadJob;

/// What is wrong with a request, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong, quoting key and value.
    pub title: String,
    /// The remedy.
    pub detail: String,
    /// The field of the body that is meant, as `concurrency.min`.
    pub field: Option<String>,
    /// The job that is meant, where it is one.
    pub job: Option<Box<(usize, BadJob)>>,
    /// When it may be better; rounded up to whole seconds.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        let (title, detail) = (title.into(), detail.into());
        Self { status, title, detail, field: None, job: None, retry_after: None }
    }

    /// One of the body's fields is wrong.
    #[must_use]
    pub fn of_field(field: &str, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, title, detail) }
    }

    /// One of the jobs, counted from 0, can't be read.
    #[must_use]
    pub fn of_job(index: usize, bad: BadJob) -> Self {
        let title = format!("job {index}: {bad}");
        let detail = "mend this job and send the request again; nothing of it was queued";
        Self { job: Some(Box::new((index, bad))), ..Self::new(StatusCode::BAD_REQUEST, title, detail) }
    }

    /// The same may go well later.
    #[must_use]
    pub fn later(status: StatusCode, title: impl Into<String>, after: Duration) -> Self {
        let detail = "send the same request again after the seconds in Retry-After";
        Self { retry_after: Some(after), ..Self::new(status, title, detail) }
    }
}

/// The most characters of a title: more are there only where it quotes what was sent.
const TITLE: usize = 400;
/// The most characters of a header's value that a problem quotes.
const QUOTED: usize = 80;

/// A header's value in quotes, cut where it is long.
pub(super) fn quoted(value: &HeaderValue) -> String {
    cut(format!("{value:?}"), QUOTED)
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = cut(self.title, TITLE);
        let mut body = json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail,
        });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        if let Some((index, bad)) = self.job.map(|job| *job) {
            body["index"] = index.into();
            body["path"] = bad.path.into();
            body["reason"] = bad.reason.into();
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
