//! Jobs that share a request, and what is written into them. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::lines::Letter;
use crate::job::{Lane, MAX_JOB_BYTES};

/// Jobs of a request, at most: a request that must be sent again is soon sent again.
pub(super) const MOST_JOBS: usize = 500;

/// Bytes of a request, at most, unless one job alone has more: a quarter of what the door takes.
const MOST_BYTES: usize = 4 << 20;

/// Jobs that go together, in the order of their lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    letters: Vec<Letter>,
    bytes: usize,
}

impl Batch {
    /// Takes a letter in, or gives it back if there is no room for it.
    pub(super) fn push(&mut self, letter: Letter) -> Option<Letter> {
        let bytes = letter.body.len() + 1;
        let fits = self.letters.is_empty() || (!self.is_full() && self.bytes + bytes <= MOST_BYTES);
        if !fits {
            return Some(letter);
        }
        self.bytes += bytes;
        self.letters.push(letter);
        None
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whether it has as many jobs as it may have.
    pub(super) fn is_full(&self) -> bool {
        self.letters.len() >= MOST_JOBS
    }

    /// The first and the last line.
    pub(super) fn lines(&self) -> Option<(usize, usize)> {
        Some((self.letters.first()?.line, self.letters.last()?.line))
    }

    /// One job a line.
    pub(super) fn body(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.bytes);
        for letter in &self.letters {
            body.extend_from_slice(&letter.body);
            body.push(b'\n');
        }
        body.into()
    }

    /// Takes the job at a place out; its line. `None`: there is none.
    pub(super) fn remove(&mut self, index: usize) -> Option<usize> {
        if index >= self.letters.len() {
            return None;
        }
        let letter = self.letters.remove(index);
        self.bytes -= letter.body.len() + 1;
        Some(letter.line)
    }

    /// The second half of its jobs, taken out; at least one stays.
    pub(super) fn split(&mut self) -> Self {
        let letters = self.letters.split_off(self.letters.len().div_ceil(2));
        let bytes = letters.iter().map(|letter| letter.body.len() + 1).sum();
        self.bytes -= bytes;
        Self { letters, bytes }
    }
}

/// The job with its id, and its lane if that is not the one a door assumes, in the body. All else is as it came.
///
/// A job that has no room left for its id goes without: then the door makes one, and a repeated request is a second job.
pub(super) fn complete(letter: &Letter) -> Bytes {
    let id = (!letter.named).then(|| format!("{:?}", letter.id));
    let lane = (!letter.laned && letter.lane != Lane::Normal).then(|| format!("\"{}\"", letter.lane));
    let written: Vec<(&str, String)> =
        [("id", id), ("priority", lane)].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    if written.is_empty() {
        return letter.body.clone();
    }
    let body = without_nulls(&letter.body, &written).map_or_else(|| letter.body.clone(), Bytes::from);
    let at = body.iter().position(|byte| *byte == b'{').expect("a job was read, so it is an object") + 1;
    let mut completed = body[..at].to_vec();
    for (name, value) in written {
        completed.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
    }
    completed.extend_from_slice(&body[at..]);
    if completed.len() > MAX_JOB_BYTES { letter.body.clone() } else { completed.into() }
}

/// The body without those of the fields that are to be written; they may stand in it as `null`. `None`: they don't.
fn without_nulls(body: &[u8], written: &[(&str, String)]) -> Option<Vec<u8>> {
    if !body.windows(4).any(|bytes| bytes == b"null") {
        return None;
    }
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let before = fields.len();
    fields.retain(|name, _| written.iter().all(|(written, _)| name != written));
    (fields.len() < before).then(|| serde_json::to_vec(&fields).expect("what was JSON is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Defaults, decode};

    fn letter(line: usize, body: &str) -> Letter {
        Letter {
            line,
            id: "made".to_owned(),
            named: false,
            app: "chat".to_owned(),
            lane: Lane::Low,
            laned: false,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn a_job_without_id_and_lane_gets_them_and_keeps_the_rest() {
        let body = r#" { "app":"chat", "to":[{"fcm":"x"}],"data":{"k":"1e400","n":"é"},"fcm":{"big":12345678901234567890123} }"#;
        let completed = complete(&letter(1, body));
        let rest = body.trim_start().strip_prefix('{').unwrap();
        assert_eq!(completed, format!(" {{\"id\":\"made\",\"priority\":\"low\",{rest}"));
        let named = Letter { named: true, lane: Lane::Normal, ..letter(1, body) };
        assert_eq!(complete(&named), body, "nothing to write, nothing touched");
    }

    #[test]
    fn a_null_is_replaced_and_not_doubled() {
        let body = r#"{"\u0069d":null,"app":"chat","priority":null,"to":[{"fcm":"x"}],"data":{"k":"v"},"ttl":null}"#;
        let completed = complete(&letter(1, body));
        let job = decode(&completed, Defaults::default()).expect("it can be read");
        assert_eq!((&*job.id, job.priority), ("made", Some(Lane::Low)));
    }

    #[test]
    fn a_job_as_large_as_may_be_goes_as_it_came() {
        let frame = r#"{"app":"chat","to":[{"fcm":"x"}],"data":{"k":""}}"#;
        let body = frame.replace("\"\"", &format!("\"{}\"", "v".repeat(MAX_JOB_BYTES - frame.len())));
        assert_eq!(complete(&letter(1, &body)), body);
    }

    #[test]
    fn a_batch_is_full_by_jobs_or_by_bytes_and_takes_one_job_of_any_size() {
        let mut batch = Batch::default();
        for line in 1..=MOST_JOBS {
            assert!(batch.push(letter(line, "{}")).is_none());
        }
        assert!(batch.is_full() && batch.push(letter(501, "{}")).is_some());
        let large = "x".repeat(MOST_BYTES / 2);
        let mut batch = Batch::default();
        assert!(batch.push(letter(1, &large)).is_none());
        let back = batch.push(letter(2, &large)).expect("the two line ends are too many");
        assert_eq!((back.line, batch.len()), (2, 1));
        assert!(Batch::default().push(letter(1, &"x".repeat(2 * MOST_BYTES))).is_none());
    }

    #[test]
    fn places_in_a_batch_are_lines_of_the_file() {
        let mut batch = Batch::default();
        for line in [3, 4, 7, 9, 10] {
            assert!(batch.push(letter(line, &format!("{{{line}}}"))).is_none());
        }
        assert_eq!((batch.remove(2), batch.remove(4), batch.lines()), (Some(7), None, Some((3, 10))));
        assert_eq!(batch.body(), "{3}\n{4}\n{9}\n{10}\n");
        let second = batch.split();
        assert_eq!((batch.lines(), second.lines()), (Some((3, 4)), Some((9, 10))));
        assert_eq!((batch.bytes, second.bytes), (8, 9));
    }
}
