//! `tidegate dead`: the jobs, and parts of jobs, that no retry could help, for whoever mends the cause.
//!
//! ```text
//! list, show    what is there, and why; changes nothing
//! replay        the cause is mended: send them once more
//! drop          nobody wants them any more
//! ```
//!
//! Both sources answer to the same words: a [`Filter`] says which letters, a [`Row`](row::Row) what is told of one. They differ
//! in how a letter is reached: a broker's queue must be walked through, a spool can be asked. No device address is shown
//! but by `show --full`.

mod amqp;
mod filter;
mod place;
mod row;
mod shown;
mod spool;

use clap::{Args, Subcommand};

use self::filter::{Filter, Pick};
use self::place::Place;
use self::row::{Row, print_rows};
use super::{Exit, Signals, fail, print, runtime, tell};
use crate::flow::Rate;

/// How far `list` and `show` look into a broker's queue unless told otherwise: it holds what was looked at.
const SCAN: u64 = 100_000;

/// Look after dead letters: the jobs, or parts of jobs, that no retry can help, each kept with its reason.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate dead list --config config/production.toml\n  tidegate dead list --amqp-uri amqp://guest:guest@127.0.0.1:5672/%2f --reason unknown_app\n  tidegate dead replay --spool var/spool --app chat --rate 100/s\n  tidegate dead drop --spool var/spool --reason not_json"
)]
pub(super) struct Dead {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them: the oldest first, and at the end how many for which reason.
    List(List),
    /// Show one whole: its headers, and its body with the addresses shortened.
    Show(Show),
    /// Send them once more, after the cause is mended.
    Replay(Replay),
    /// Throw them away.
    Drop(Drop),
}

/// Lists dead letters. A broker can't be looked into without taking: each letter is taken, looked at, and given back
/// where it was when the list ends. Its delivery count grows by one with that; one that has been given back five times is
/// put at the queue's end as new instead, so that no list pushes a letter over a delivery limit.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate dead list\n  tidegate dead list --app chat --reason attempts_exhausted --limit 20\n  tidegate dead list --json | jq -r .id"
)]
struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: Filter,
    /// Letters listed of each source, at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Letters of a broker's queue that are looked at, at most; unacknowledged meanwhile.
    #[arg(long, value_name = "N", default_value_t = SCAN, value_parser = clap::value_parser!(u64).range(1..))]
    scan: u64,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
}

/// Shows the dead letters of one job. Of a broker's it is found as `list` finds it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate dead show 01J9ZK8Q5V3T\n  tidegate dead show --spool var/spool --n 17\n  tidegate dead show 01J9ZK8Q5V3T --full"
)]
struct Show {
    #[command(flatten)]
    place: Place,
    /// The job's id.
    #[arg(value_name = "ID", required_unless_present = "n")]
    id: Option<String>,
    /// The letter's number in the spool, instead of the job's id.
    #[arg(long, value_name = "N", conflicts_with = "id")]
    n: Option<i64>,
    /// The body as it came, whole device addresses included.
    #[arg(long)]
    full: bool,
    /// Letters of a broker's queue that are looked at, at most; unacknowledged meanwhile.
    #[arg(long, value_name = "N", default_value_t = SCAN, value_parser = clap::value_parser!(u64).range(1..))]
    scan: u64,
}

/// Sends dead letters once more: to the queue, or lane, that they came by. Attempts and ttl begin anew, as if the job was
/// accepted now; the caller's own deadline stays, so what is beyond it ends as expired. The part of a job that was
/// dead is sent, not the rest. At least once: a letter leaves the dead ones only when its copy is safe; killed in between,
/// a few are sent again by the next replay.
///
/// In a broker's queue what does not match is held until the end and given back where it was; of more than 100,000 such
/// letters those beyond go to the queue's end instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate dead replay --app chat --reason unknown_app\n  tidegate dead replay --id 01J9ZK8Q5V3T --id 01J9ZK8Q5V4A\n  tidegate dead replay --source amqp --all --rate 1000/s"
)]
struct Replay {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pick: Pick,
    /// Letters sent, at most so many in a time; `unlimited` for as fast as they go.
    #[arg(long, value_name = "RATE", default_value = "100/s", value_parser = rate)]
    rate: Limit,
}

/// Throws dead letters away, for good.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate dead drop --reason not_json\n  tidegate dead drop --spool var/spool --n 17\n  tidegate dead drop --source amqp --all"
)]
struct Drop {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pick: Pick,
}

/// A rate, or none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<Rate>);

fn rate(text: &str) -> Result<Limit, String> {
    Rate::read(text).map(Limit).map_err(|wrong| format!("{wrong}; write it as 100/s, 600/min, or unlimited"))
}

impl Dead {
    pub(super) fn run(self) -> Exit {
        let done = match self.what {
            What::List(list) => list.run(),
            What::Show(show) => show.run(),
            What::Replay(replay) => replay.run(),
            What::Drop(drop) => drop.run(),
        };
        done.unwrap_or_else(|exit| exit)
    }
}

/// An error that was told already.
type Told<T> = Result<T, Exit>;

impl List {
    fn run(self) -> Told<Exit> {
        let places = self.place.find()?;
        let (mut rows, mut more) = (Vec::new(), Vec::new());
        if let Some(spool) = &places.spool {
            let listed = spool::list(spool, &self.filter, self.limit)?;
            rows.extend(listed.rows);
            more.extend(listed.more);
        }
        if let Some(settings) = places.amqp.as_ref().filter(|_| self.filter.n.is_empty()) {
            let listed = runtime().block_on(amqp::list(settings, &self.filter, self.limit, self.scan));
            let listed = listed.map_err(|error| fail(Exit::Unavailable, error))?;
            rows.extend(listed.rows);
            more.extend(listed.more);
        }
        let printed = print_rows(&rows, self.json, places.both());
        for more in more {
            tell(more);
        }
        Ok(printed)
    }
}

/// What a source has to list.
struct Listed {
    rows: Vec<Row>,
    /// What was left out, in words.
    more: Option<String>,
}

impl Show {
    fn run(self) -> Told<Exit> {
        let places = self.place.find()?;
        let mut found = Vec::new();
        if let Some(spool) = &places.spool {
            found.extend(spool::show(spool, self.id.as_deref(), self.n, self.full)?);
        }
        if let (Some(settings), Some(id)) = (&places.amqp, &self.id) {
            let shown = runtime().block_on(amqp::show(settings, id, self.full, self.scan));
            found.extend(shown.map_err(|error| fail(Exit::Unavailable, error))?);
        }
        if found.is_empty() {
            let number = self.n.unwrap_or_default();
            let what = self.id.map_or_else(|| format!("of number {number}"), |id| format!("with id {id:?}"));
            return Err(fail(Exit::Data, format_args!("there is no dead letter {what}")));
        }
        Ok(print(found.join("\n\n")))
    }
}

impl Replay {
    fn run(self) -> Told<Exit> {
        let Limit(rate) = self.rate;
        self.pick.check("replay")?;
        match self.place.find()?.only("replay")? {
            place::One::Spool(path) => {
                let count = spool::replay(&path, &self.pick.filter, rate)?;
                let pace = rate.map(|rate| format!(", to be sent at {}", Rate::write(Some(rate)))).unwrap_or_default();
                Ok(print(format_args!("{count} dead letters replayed{pace}")))
            }
            place::One::Amqp(settings) => {
                self.pick.filter.not_by_number()?;
                runtime().block_on(async { amqp::replay(&settings, &self.pick.filter, rate, signals()?).await })
            }
        }
    }
}

impl Drop {
    fn run(self) -> Told<Exit> {
        self.pick.check("drop")?;
        match self.place.find()?.only("drop")? {
            place::One::Spool(path) => {
                let count = spool::drop(&path, &self.pick.filter)?;
                Ok(print(format_args!("{count} dead letters dropped")))
            }
            place::One::Amqp(settings) => {
                self.pick.filter.not_by_number()?;
                runtime().block_on(async { amqp::drop(&settings, &self.pick.filter, signals()?).await })
            }
        }
    }
}

fn signals() -> Told<Signals> {
    Signals::listen().map_err(|error| fail(Exit::Unavailable, error))
}
