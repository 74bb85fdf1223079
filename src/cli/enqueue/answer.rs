//! What a door's answer means for the jobs of its request (SPEC.md, section 5). Pure.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

/// How long to wait where an answer says "later" and not when.
const LATER: Duration = Duration::from_secs(1);
/// No answer is obeyed for longer at a time: whoever said "in a day" may have been mended since.
const LONGEST: Duration = Duration::from_mins(5);

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// They are on disk; so many of them had been before.
    Taken { duplicates: usize },
    /// The job at this place is wrong, and nothing was taken: the others may be sent again without it.
    Bad { index: usize, what: String },
    /// Too much for one request, in the door's words.
    TooLarge(String),
    /// Later: no room now.
    Wait { after: Duration, why: String },
    /// It failed for now, and nobody said for how long.
    Failed(String),
    /// It will not be taken, whatever is done.
    Refused(String),
}

/// A problem of the door's (RFC 9457), as far as it is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    index: Option<usize>,
    path: String,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Accepted {
    accepted: Option<usize>,
    duplicates: usize,
}

/// Reads the answer to a request with so many jobs. `retry_after` is the header's text.
pub(super) fn read(jobs: usize, status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> Answer {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let said = match problem.title.as_str() {
        "" => format!("the door answered {status}"),
        title => format!("{title} ({})", status.as_u16()),
    };
    let after = retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    match status.as_u16() {
        200 | 202 => {
            let Accepted { accepted, duplicates } = serde_json::from_slice(body).unwrap_or_default();
            if accepted == Some(jobs) && duplicates <= jobs {
                return Answer::Taken { duplicates };
            }
            Answer::Refused(format!(
                "something answered {status}, but not that it accepted {jobs} jobs: is that Tidegate's door?"
            ))
        }
        400 => match problem.index {
            Some(index) => Answer::Bad { index, what: what(&problem) },
            None => Answer::Refused(with(said, &problem.detail)),
        },
        413 => Answer::TooLarge(said),
        429 | 503 | 507 => Answer::Wait { after: after.unwrap_or(LATER).min(LONGEST), why: said },
        401 => Answer::Refused(format!(
            "{said}: the door takes no job without one of its http.tokens; give it with --token-file"
        )),
        408 | 500..=599 => Answer::Failed(said),
        _ => Answer::Refused(with(said, &problem.detail)),
    }
}

/// As the same fault is told where it is found here.
fn what(problem: &Problem) -> String {
    let Problem { title, path, reason, .. } = problem;
    let told = title.split_once(": ").map_or(title.as_str(), |(_, told)| told);
    if told.is_empty() { format!("{reason}: {path}") } else { told.to_owned() }
}

fn with(said: String, detail: &str) -> String {
    if detail.is_empty() { said } else { format!("{said}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        super::read(3, StatusCode::from_u16(status).unwrap(), retry_after, body.as_bytes())
    }

    #[test]
    fn only_who_says_that_all_were_accepted_has_taken_them() {
        assert_eq!(read(202, None, r#"{"accepted":3,"ids":[],"duplicates":2}"#), Answer::Taken { duplicates: 2 });
        assert_eq!(read(202, None, r#"{"accepted":3,"ids":[]}"#), Answer::Taken { duplicates: 0 });
        for other in ["", "<html>", "{}", r#"{"accepted":2}"#, r#"{"accepted":3,"duplicates":4}"#, "[]"] {
            assert!(matches!(read(200, None, other), Answer::Refused(why) if why.contains("is that Tidegate's door?")));
        }
    }

    #[test]
    fn each_of_the_doors_answers_has_its_consequence() {
        let bad = r#"{"title":"job 7: unknown_app: app \"x\" is not configured","index":7,"path":"app","reason":"unknown_app"}"#;
        let what = "unknown_app: app \"x\" is not configured".to_owned();
        assert_eq!(read(400, None, bad), Answer::Bad { index: 7, what });
        assert!(matches!(read(400, None, r#"{"title":"no job"}"#), Answer::Refused(_)));
        assert!(matches!(read(401, None, ""), Answer::Refused(why) if why.contains("--token-file")));
        let foreign = r#"{"title":"a web page sent this","detail":"call the door directly"}"#;
        assert!(
            matches!(read(403, None, foreign), Answer::Refused(why) if why.contains("directly") && !why.contains("token"))
        );
        assert!(
            matches!(read(404, None, r#"{"title":"no spool","detail":"add it"}"#), Answer::Refused(why) if why.contains("add it"))
        );
        assert!(matches!(read(413, None, ""), Answer::TooLarge(_)));
        for status in [408, 500, 502] {
            assert!(matches!(read(status, None, "<html>"), Answer::Failed(_)), "{status}");
        }
    }

    #[test]
    fn later_is_when_the_door_says_within_reason() {
        let after = |status, header| match read(status, header, "{}") {
            Answer::Wait { after, .. } => after.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!((after(429, Some("7")), after(503, None), after(507, Some("soon"))), (7, 1, 1));
        assert_eq!(after(429, Some("86400")), 300);
    }
}
