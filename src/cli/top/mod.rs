//! `tidegate top`: what goes on, in a terminal.
//!
//! It follows the stream that the dashboard follows. On a terminal it draws a screen each second; elsewhere it writes lines
//! that a script can take apart; `--once` writes one picture and ends.

mod line;
mod picture;
mod plain;
mod screen;
mod shown;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use self::screen::Screen;
use self::shown::{Hello, Shown};
use super::live::{Event, Events, NoEvents};
use super::reach::{Reach, Reached};
use super::{Exit, Signals, fail, print, runtime, tell};

/// Between two tries to reach an instance that was there before.
const AGAIN: Duration = Duration::from_secs(1);
/// `--once` waits so long for an instance to have measured its first second.
const FIRST_SECOND: Duration = Duration::from_secs(3);

/// Watch a running instance: what it sends, what waits, what each route does and why not. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate top\n  tidegate top --url http://127.0.0.1:8080 --once\n  tidegate top --json | jq .second.delivered"
)]
pub(super) struct Top {
    #[command(flatten)]
    reach: Reach,
    /// Print one picture and end.
    #[arg(long)]
    once: bool,
    /// A JSON object each second: `{"status": …, "second": …}`.
    #[arg(long)]
    json: bool,
}

/// How it shows.
enum Face {
    Screen(Screen),
    Lines,
    Json,
}

impl Top {
    pub(super) fn run(self) -> Exit {
        runtime().block_on(self.watch()).unwrap_or_else(|exit| exit)
    }

    async fn watch(self) -> Result<Exit, Exit> {
        let door = self.reach.find()?;
        let mut signals = Signals::listen().map_err(|error| fail(Exit::Unavailable, error))?;
        let watched = async { if self.once { self.look(&door).await } else { self.follow(&door).await } };
        tokio::select! {
            watched = watched => watched,
            () = signals.any() => Ok(Exit::Done),
        }
    }

    async fn look(&self, door: &Reached) -> Result<Exit, Exit> {
        let mut events = connect(door).await.map_err(|error| fail(Exit::Unavailable, error))?;
        let mut shown = Shown::default();
        let seen = async {
            while shown.status.is_none() || shown.second.is_none() {
                take(&mut shown, events.next().await?)?;
            }
            Ok::<(), NoEvents>(())
        };
        // One that has just started has measured nothing yet; it is shown without.
        if let Ok(Err(error)) = tokio::time::timeout(FIRST_SECOND, seen).await {
            return Err(fail(Exit::Unavailable, error));
        }
        Ok(print(if self.json { shown.json().to_string() } else { picture::picture(&shown, line::PLAIN).join("\n") }))
    }

    /// Shows each second. An instance that goes away is waited for, if it was there once.
    async fn follow(&self, door: &Reached) -> Result<Exit, Exit> {
        let mut events = connect(door).await.map_err(|error| fail(Exit::Unavailable, error))?;
        let mut face = match std::io::stdout().is_terminal() {
            _ if self.json => Face::Json,
            true => Face::Screen(Screen::open()),
            false => Face::Lines,
        };
        let mut shown = Shown::default();
        loop {
            let lost = match follow(&mut events, &mut shown, &mut face).await {
                Ok(exit) => return Ok(exit),
                Err(NoEvents::Refused(why)) => {
                    drop(face);
                    return Err(fail(Exit::Unavailable, why));
                }
                Err(NoEvents::Gone(why)) => why,
            };
            match &mut face {
                Face::Screen(screen) => screen.lost(&shown, &lost),
                Face::Lines | Face::Json => tell(format_args!("{lost}; trying again")),
            }
            events = loop {
                tokio::time::sleep(AGAIN).await;
                if let Ok(events) = connect(door).await {
                    break events;
                }
            };
        }
    }
}

async fn connect(door: &Reached) -> Result<Events, NoEvents> {
    Events::connect(door, "/v1/stream", &[]).await
}

/// Shows what comes, until nobody reads it any more.
async fn follow(events: &mut Events, shown: &mut Shown, face: &mut Face) -> Result<Exit, NoEvents> {
    loop {
        let event = events.next().await?;
        let second = event.name == "second";
        take(shown, event)?;
        let exit = match face {
            Face::Screen(screen) => screen.draw(shown),
            Face::Lines if second => print(plain::lines(shown)),
            Face::Json if second => print(shown.json()),
            Face::Lines | Face::Json => Exit::Done,
        };
        if !matches!(exit, Exit::Done) {
            return Ok(exit);
        }
    }
}

fn take(shown: &mut Shown, event: Event) -> Result<(), NoEvents> {
    let taken = match event.name.as_str() {
        "hello" => serde_json::from_str(&event.data).map(|hello: Hello| shown.greet(hello)),
        "second" => serde_json::from_str(&event.data).map(|second| shown.second(second)),
        "status" => serde_json::from_str(&event.data).map(|status| shown.status(status)),
        _ => Ok(()),
    };
    taken.map_err(|error| {
        NoEvents::Refused(format!("what it sends is not understood, is it of another version? {error}"))
    })
}

#[cfg(test)]
mod tests;
