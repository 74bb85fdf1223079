//! Jobs out of lines, read by a thread of its own: standard input may be a pipe that stays open for hours.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::job::{self, BadJob, Defaults, Lane, MAX_JOB_BYTES};

/// Lines read ahead of what is being sent; at most 1 MiB each.
const AHEAD: usize = 64;

/// One job that can be sent.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) line: usize,
    pub(super) id: String,
    /// Whether the id stands in the body.
    pub(super) named: bool,
    pub(super) app: String,
    pub(super) lane: Lane,
    /// Whether the lane stands in the body.
    pub(super) laned: bool,
    pub(super) body: Bytes,
}

/// What a line gave.
#[derive(Debug)]
pub(super) enum Line {
    Job(Letter),
    /// The line's number, and what is wrong with it.
    Bad(usize, BadJob),
    /// The input can't be read on.
    Broken(io::Error),
}

/// Opens a file, or standard input for `-`, and reads its jobs; empty lines are passed over. `lane` is that of jobs
/// without a priority.
pub(super) fn read(file: &str, lane: Lane) -> io::Result<mpsc::Receiver<Line>> {
    let input: Box<dyn Read + Send> = match file {
        "-" => Box::new(io::stdin()),
        path => Box::new(std::fs::File::open(path)?),
    };
    let (lines, received) = mpsc::channel(AHEAD);
    // Not one of the runtime's threads: a read of a quiet pipe must not hold up the process's end.
    std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        for line in Lines::of(BufReader::new(input), lane) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(received)
}

struct Lines<R> {
    input: R,
    lane: Lane,
    number: usize,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn of(input: R, lane: Lane) -> Self {
        Self { input, lane, number: 0, ended: false }
    }

    /// The next line without its end; `None`: there is no further one. A line that is too long is cut, and its rest
    /// passed over: no line is held whose end may never come.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = MAX_JOB_BYTES as u64 + 2;
        if (&mut self.input).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == limit {
            self.input.skip_until(b'\n')?;
        }
        Ok(Some(line))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while !self.ended {
            let body = match self.line() {
                Ok(Some(body)) => body,
                Ok(None) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Line::Broken(error));
                }
            };
            self.number += 1;
            if !body.iter().all(u8::is_ascii_whitespace) {
                return Some(letter(self.number, body, self.lane));
            }
        }
        None
    }
}

fn letter(line: usize, body: Vec<u8>, lane: Lane) -> Line {
    let ours = uuid::Uuid::now_v7().to_string();
    match job::decode(&body, Defaults { id: Some(&ours), app: None }) {
        Ok(job) => Line::Job(Letter {
            line,
            named: *job.id != ours,
            id: job.id.into(),
            app: job.app.into(),
            lane: job.priority.unwrap_or(lane),
            laned: job.priority.is_some(),
            body: body.into(),
        }),
        Err(bad) => Line::Bad(line, bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"a","app":"chat","to":[{"fcm":"x"}],"data":{"k":"v"}}"#;

    fn lines(text: impl AsRef<[u8]>) -> Vec<Line> {
        Lines::of(BufReader::new(text.as_ref()), Lane::Low).collect()
    }

    #[test]
    fn empty_lines_count_and_are_passed_over() {
        let urgent = GOOD.replace("\"id\":\"a\"", "\"id\":\"b\",\"priority\":\"high\"");
        let read = lines(format!("\n{GOOD}\r\n  \n{{}}\n{urgent}"));
        let [Line::Job(first), Line::Bad(4, bad), Line::Job(last)] = &read[..] else { panic!("{read:?}") };
        assert_eq!((first.line, first.lane, &*first.id), (2, Lane::Low, "a"));
        assert_eq!(bad.path, "app");
        assert_eq!((last.line, last.lane, &*last.id), (5, Lane::High, "b"));
        assert_eq!(last.body, urgent);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_bad_line() {
        let long = "x".repeat(3 * MAX_JOB_BYTES);
        let read = lines(format!("{long}\n{GOOD}\n"));
        let [Line::Bad(1, bad), Line::Job(good)] = &read[..] else { panic!("{} lines", read.len()) };
        assert_eq!((bad.reason, good.line), ("too_large", 2));
        let largest = GOOD.replace("\"v\"", &format!("\"{}\"", "v".repeat(MAX_JOB_BYTES - GOOD.len() + 1)));
        assert_eq!(largest.len(), MAX_JOB_BYTES);
        assert!(matches!(&lines(format!("{largest}\n"))[..], [Line::Job(_)]));
    }
}
