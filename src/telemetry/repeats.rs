//! Repeated log lines are limited: a fault that strikes a thousand times a second is said a few times a minute, and how
//! often it was left out.
//!
//! Two bounds, both a minute: lines that are equal in all but their time, and lines of one place in the code. What answers
//! an operator's own doing (a reload, a patch) is always said, and so is `debug` and `trace`: who asks for those wants all.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How long counts last.
const WINDOW: Duration = Duration::from_secs(60);
/// Equal lines in a window.
const EQUAL: u32 = 5;
/// Lines of one place in the code in a window.
const OF_ONE_PLACE: u32 = 200;
/// Lines and places that are known at once; beyond them all are forgotten, and said anew.
const KNOWN: usize = 4_096;
/// The modules that say what became of what an operator did.
const ANSWERS: [&str; 2] = ["tidegate::cli", "tidegate::admin"];

static LEFT_OUT: LazyLock<Counter> = LazyLock::new(Counter::default);

/// How many lines were left out in this process.
pub(super) fn left_out() -> Counter {
    LEFT_OUT.clone()
}

/// What is done with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// It is written, after so many like it were not.
    Said {
        left_out: u64,
    },
    LeftOut,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    said: u32,
    left_out: u64,
}

/// Which lines were written of late.
#[derive(Debug, Default)]
struct Repeats(HashMap<u64, Count>);

impl Repeats {
    fn judge(&mut self, line: u64, place: u64, now: Instant) -> Judgement {
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        let of_place = self.count(place, OF_ONE_PLACE, now);
        let equal = self.count(line, EQUAL, now);
        match (of_place, equal) {
            (Judgement::Said { left_out: some }, Judgement::Said { left_out: more }) => {
                Judgement::Said { left_out: some + more }
            }
            _ => Judgement::LeftOut,
        }
    }

    fn count(&mut self, key: u64, most: u32, now: Instant) -> Judgement {
        let count = self.0.entry(key).or_insert(Count { since: now, said: 0, left_out: 0 });
        let mut left_out = 0;
        if now.saturating_duration_since(count.since) >= WINDOW {
            left_out = count.left_out;
            *count = Count { since: now, said: 0, left_out: 0 };
        }
        if count.said >= most {
            count.left_out += 1;
            return Judgement::LeftOut;
        }
        count.said += 1;
        Judgement::Said { left_out }
    }
}

/// Writes lines as `inner` does, but not too often.
pub(super) struct Sparing<F> {
    inner: F,
    json: bool,
    repeats: Mutex<Repeats>,
}

impl<F> Sparing<F> {
    /// `json`: whether `inner` writes JSON.
    pub(super) fn new(inner: F, json: bool) -> Self {
        Self { inner, json, repeats: Mutex::default() }
    }

    fn judge(&self, event: &Event<'_>) -> Judgement {
        let metadata = event.metadata();
        let answers = ANSWERS.iter().any(|module| metadata.target().starts_with(module));
        if answers || *metadata.level() > Level::INFO {
            return Judgement::Said { left_out: 0 };
        }
        let mut hasher = DefaultHasher::new();
        metadata.callsite().hash(&mut hasher);
        let place = hasher.finish();
        let mut fields = Fields(hasher);
        event.record(&mut fields);
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.judge(fields.0.finish(), place, Instant::now())
    }

    fn confess(&self, left_out: u64, writer: &mut Writer<'_>) -> std::fmt::Result {
        const SAYS: &str = "lines like the next were left out in the last minutes";
        match self.json {
            true => writeln!(writer, r#"{{"level":"WARN","message":"{SAYS}","left_out":{left_out}}}"#),
            false => writeln!(writer, " WARN {left_out} {SAYS}"),
        }
    }
}

struct Fields(DefaultHasher);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        field.name().hash(&mut self.0);
        format!("{value:?}").hash(&mut self.0);
    }
}

impl<S, N, F> FormatEvent<S, N> for Sparing<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        match self.judge(event) {
            Judgement::LeftOut => {
                LEFT_OUT.inc();
                Ok(())
            }
            Judgement::Said { left_out } => {
                if left_out > 0 {
                    self.confess(left_out, &mut to)?;
                }
                self.inner.format_event(context, to, event)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Judgement = Judgement::Said { left_out: 0 };

    #[test]
    fn equal_lines_are_said_a_few_times_a_minute_and_then_how_many_were_not() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let judged: Vec<_> = (0..EQUAL + 3).map(|_| repeats.judge(1, 100, begin)).collect();
        assert!(judged[..EQUAL as usize].iter().all(|judgement| *judgement == SAID));
        assert!(judged[EQUAL as usize..].iter().all(|judgement| *judgement == Judgement::LeftOut));
        assert_eq!(repeats.judge(2, 100, begin), SAID, "another line of the same place");
        assert_eq!(repeats.judge(1, 100, begin + WINDOW), Judgement::Said { left_out: 3 });
        assert_eq!(repeats.judge(1, 100, begin + WINDOW), SAID, "once");
    }

    #[test]
    fn a_place_is_limited_whatever_it_says_and_memory_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let said = (1_000..3_000).filter(|line| repeats.judge(*line, 7, now) == SAID).count();
        assert_eq!(said, OF_ONE_PLACE as usize);
        for line in 0..100_000 {
            repeats.judge(line, line + 1_000_000, now);
        }
        assert!(repeats.0.len() <= KNOWN + 1);
    }

    #[test]
    fn a_log_leaves_out_what_repeats_and_nothing_else() {
        let log = crate::telemetry::captured::Log::default();
        let format = tracing_subscriber::fmt::format().json().flatten_event(true);
        let subscriber = tracing_subscriber::fmt().json().event_format(Sparing::new(format, true));
        let subscriber = subscriber.with_max_level(Level::DEBUG).with_writer(log.clone()).finish();
        let before = left_out().get();
        tracing::subscriber::with_default(subscriber, || {
            for nth in 0..100 {
                tracing::warn!(route = "chat/fcm", "it fails");
                tracing::debug!("whoever asks for it wants all");
                tracing::error!(target: "tidegate::cli::reload", "an answer to what an operator did");
                tracing::info!(nth, "each is another");
            }
        });
        let text = log.text();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
        assert_eq!(count("it fails"), EQUAL as usize);
        assert_eq!((count("whoever asks for it wants all"), count("each is another")), (100, 100));
        assert_eq!(count("an answer to what an operator did"), 100);
        assert_eq!(left_out().get() - before, 100 - u64::from(EQUAL));
    }

    #[test]
    fn what_was_left_out_is_confessed_as_a_line_of_its_own() {
        let sparing = |json| Sparing::new((), json);
        let mut text = String::new();
        sparing(true).confess(7, &mut Writer::new(&mut text)).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["left_out"], &line["level"]), (&serde_json::json!(7), &serde_json::json!("WARN")));
        let mut text = String::new();
        sparing(false).confess(7, &mut Writer::new(&mut text)).unwrap();
        assert_eq!(text, " WARN 7 lines like the next were left out in the last minutes\n");
    }
}
