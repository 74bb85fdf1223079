//! Reads `tests/corpus/bad_requests.txt`.

use crate::jobs::expand;
use crate::raw::job;

const CORPUS: &str = include_str!("../corpus/bad_requests.txt");

/// What the guarded door asks for.
pub(crate) const TOKEN: &str = "let-me-in";

/// What is answered besides the status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing; nor is there a status.
    Closed,
    /// Which job it is, and why.
    Job { index: u64, path: String, reason: String },
    /// Words of the title or the remedy.
    Words(Vec<String>),
}

/// A request that is refused.
pub(crate) struct Case {
    pub(crate) guarded: bool,
    pub(crate) status: u16,
    pub(crate) what: What,
    pub(crate) request: Vec<u8>,
}

/// All of them.
pub(crate) fn corpus() -> Vec<Case> {
    let comment = |line: &&str| !line.starts_with('#');
    let text: Vec<&str> = CORPUS.lines().filter(comment).collect();
    let text = text.join("\n");
    text.split("\n----")
        .map(|block| block.trim_start_matches('\n'))
        .filter(|block| !block.is_empty())
        .map(case)
        .collect()
}

fn case(block: &str) -> Case {
    let (first, request) = block.split_once('\n').expect("a request after what is answered");
    let (guarded, first) = match first.strip_prefix("guarded ") {
        Some(rest) => (true, rest),
        None => (false, first),
    };
    let (status, what) = first.split_once(' ').expect("what is answered after the status");
    let request = request.replace("〈job〉", &job("good"));
    let request = match request.strip_prefix("! ") {
        Some(raw) => as_it_stands(raw),
        None => completed(&request),
    };
    Case { guarded, status: status.parse().expect("a status"), what: read(what), request }
}

fn read(what: &str) -> What {
    let words: Vec<&str> = what.split(' ').collect();
    match words.as_slice() {
        ["closed"] => What::Closed,
        ["job", index, path, reason] => What::Job {
            index: index.parse().expect("an index"),
            path: if *path == "-" { String::new() } else { (*path).to_owned() },
            reason: (*reason).to_owned(),
        },
        _ => What::Words(what.split("; ").map(str::to_owned).collect()),
    }
}

/// CR LF for every line end; a request without a body ends with an empty line.
fn as_it_stands(text: &str) -> Vec<u8> {
    let end = if text.contains("\n\n") { "\r\n" } else { "\r\n\r\n" };
    [expand(&text.replace('\n', "\r\n")), end.into()].concat()
}

/// With the version, a host and the body's length.
fn completed(text: &str) -> Vec<u8> {
    let (head, body) = match text.split_once("\n\n") {
        Some((head, body)) => (head, Some(expand(body))),
        None => (text.trim_end(), None),
    };
    let (first, fields) = head.split_once('\n').unwrap_or((head, ""));
    let has = |name: &str| fields.lines().any(|line| line.starts_with(name));
    let mut lines = vec![format!("{first} HTTP/1.1")];
    if !has("host:") {
        lines.push("host: localhost".to_owned());
    }
    if let Some(body) = &body
        && !has("content-length:")
    {
        lines.push(format!("content-length: {}", body.len()));
    }
    lines.extend(fields.lines().map(str::to_owned));
    [expand(&lines.join("\r\n")), b"\r\n\r\n".to_vec(), body.unwrap_or_default()].concat()
}
