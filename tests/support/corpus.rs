//! Jobs that can't be read, with what is said of each: `tests/corpus/bad_jobs.txt`.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

use tidegate::job::BadJob;

const CORPUS: &str = include_str!("../corpus/bad_jobs.txt");
/// What `{…,` stands for.
pub const GOOD: &str = r#"{"app":"chat","to":[{"apns":"5f3a"}],"notification":{"body":"hi"},"#;

pub struct Case {
    /// What is said of it.
    pub wanted: BadJob,
    pub body: Vec<u8>,
}

/// All cases.
pub fn corpus() -> Vec<Case> {
    let blocks = CORPUS.split("\n\n").map(str::trim_start);
    blocks.filter(|block| !block.is_empty() && !block.starts_with('#')).map(case).collect()
}

fn case(block: &str) -> Case {
    let (head, rest) = block.split_once('\n').expect("a detail after the reason");
    let (detail, body) = rest.split_once('\n').expect("a body after the detail");
    let (reason, path) = head.split_once(' ').expect("a path after the reason");
    let path = if path == "-" { String::new() } else { path.to_owned() };
    let wanted = BadJob { reason: reason.to_owned().leak(), path, detail: detail.to_owned() };
    Case { wanted, body: expand(body.trim_end_matches('\n')) }
}

/// Writes out what a body stands for.
pub fn expand(body: &str) -> Vec<u8> {
    let mut text = body.replace("{…,", GOOD);
    while let Some((before, rest)) = text.split_once('⟪') {
        let (repeated, after) = rest.split_once('⟫').expect("an end of what is repeated");
        let (count, repeated) = repeated.split_once(' ').expect("how often");
        text = format!("{before}{}{after}", repeated.repeat(count.parse().expect("a number")));
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).expect("two hexadecimal digits"));
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
