//! `tidegate tap`: outcomes as they come.

use std::borrow::Cow;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Deserialize;

use super::live::{Events, NoEvents};
use super::print::clean;
use super::reach::Reach;
use super::{Exit, Signals, fail, print, runtime, tell};
use crate::job::{FcmTarget, Provider, Target};
use crate::outcome::OutcomeKind;

/// Follow outcomes as they come: which push ended how, and why. All of them, also those that no sink is told of. Devices are
/// shown as the hash that logs have. Who reads too slowly loses lines, and is told how many.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate tap --outcome rejected\n  tidegate tap --app chat --provider fcm --limit 20\n  tidegate tap --target 9f86d081 --json | jq .reason"
)]
pub(super) struct Tap {
    #[command(flatten)]
    reach: Reach,
    /// Of this app.
    #[arg(long)]
    app: Option<String>,
    /// Of this provider.
    #[arg(long, value_parser = PossibleValuesParser::new(Provider::ALL.map(Provider::as_str)))]
    provider: Option<String>,
    /// That ended so.
    #[arg(long, value_parser = PossibleValuesParser::new(OutcomeKind::ALL.map(OutcomeKind::as_str)))]
    outcome: Option<String>,
    /// To this device: its hash of eight hexadecimal characters, or its whole token, which is not sent.
    #[arg(long, value_name = "HASH|TOKEN")]
    target: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// An outcome, as the door tells it.
#[derive(Debug, Deserialize)]
struct Heard<'h> {
    at: Cow<'h, str>,
    app: Cow<'h, str>,
    provider: Cow<'h, str>,
    lane: Cow<'h, str>,
    outcome: Cow<'h, str>,
    #[serde(default)]
    reason: Option<Cow<'h, str>>,
    #[serde(default)]
    status: Option<u16>,
    attempts: u8,
    took_ms: u64,
    job: Cow<'h, str>,
    target: Cow<'h, str>,
}

impl Tap {
    pub(super) fn run(self) -> Exit {
        runtime().block_on(self.follow()).unwrap_or_else(|exit| exit)
    }

    async fn follow(self) -> Result<Exit, Exit> {
        let door = self.reach.find()?;
        let mut signals = Signals::listen().map_err(|error| fail(Exit::Unavailable, error))?;
        let query = self.query();
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let lost = |error: NoEvents| fail(Exit::Unavailable, error);
        let mut events = tokio::select! {
            events = Events::connect(&door, "/v1/tap", &query) => events.map_err(lost)?,
            () = signals.any() => return Ok(Exit::Done),
        };
        tell(format_args!("listening at {}", door.url));
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let event = tokio::select! {
                event = events.next() => event.map_err(lost)?,
                () = signals.any() => return Ok(Exit::Done),
            };
            match event.name.as_str() {
                "outcomes" => left -= self.show(&event.data, left)?,
                "lost" => {
                    tell(format_args!("{} outcomes went by unseen: too many for this reader", count(&event.data)))
                }
                _ => {}
            }
        }
        Ok(Exit::Done)
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.app.clone().map(|app| ("app", app)));
        query.extend(self.provider.clone().map(|provider| ("provider", provider)));
        query.extend(self.outcome.clone().map(|outcome| ("outcome", outcome)));
        query.extend(self.target.as_deref().map(|target| ("target", hash(target))));
        query
    }

    /// Prints those of one event, `most` of them; how many they were.
    fn show(&self, data: &str, most: u64) -> Result<u64, Exit> {
        let wrong = |error: serde_json::Error| fail(Exit::Unavailable, format_args!("these are no outcomes: {error}"));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let lines: Vec<String> = if self.json {
            let outcomes: Vec<&serde_json::value::RawValue> = serde_json::from_str(data).map_err(wrong)?;
            outcomes.into_iter().take(most).map(|outcome| outcome.get().to_owned()).collect()
        } else {
            let outcomes: Vec<Heard<'_>> = serde_json::from_str(data).map_err(wrong)?;
            outcomes.iter().take(most).map(line).collect()
        };
        match print(lines.join("\n")) {
            Exit::Done => Ok(lines.len() as u64),
            exit => Err(exit),
        }
    }
}

fn count(data: &str) -> u64 {
    let lost: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    lost["outcomes"].as_u64().unwrap_or_default()
}

/// A hash as it is; of a token its hash, which is the same for all providers.
fn hash(target: &str) -> String {
    if target.len() == 8 && target.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return target.to_owned();
    }
    Target::Fcm(FcmTarget::Token(target.into())).hash().to_string()
}

fn line(heard: &Heard<'_>) -> String {
    let Heard { at, app, provider, lane, outcome, attempts, took_ms, job, target, .. } = heard;
    let time = at.get(11..23).unwrap_or(at);
    let route = format!("{app}/{provider}");
    let mut line =
        format!("{time}  {outcome:<12}  {route:<16}  {lane:<6}  {target}  {took_ms:>7} ms  {attempts}x  {job}");
    if let Some(reason) = &heard.reason {
        line.push_str(&format!("  {reason}"));
    }
    if let Some(status) = heard.status.filter(|status| *status != 200) {
        line.push_str(&format!(" ({status})"));
    }
    clean(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_sent_only_its_hash() {
        assert_eq!(hash("9f86d081"), "9f86d081");
        let apns = "5F3A0D7C1B2E4F6A8C9D0E1F2A3B4C5D6E7F8091A2B3C4D5E6F708192A3B4C5D";
        assert_eq!(hash(apns), Target::Apns(apns.into()).hash().to_string());
        assert_eq!(hash("dXyz:APA91b"), Target::Fcm(FcmTarget::Token("dXyz:APA91b".into())).hash().to_string());
    }

    #[test]
    fn a_line_says_it_all_and_steers_no_terminal() {
        let json = r#"{"at":"2026-11-25T10:34:05.123Z","app":"chat","provider":"fcm","lane":"high","outcome":"rejected",
            "reason":"INVALID\u001b[2J","status":400,"attempts":2,"took_ms":45,"job":"j-1","target":"9f86d081"}"#;
        let line = line(&serde_json::from_str(json).unwrap());
        for part in ["10:34:05.123", "rejected", "chat/fcm", "9f86d081", "45 ms", "2x", "j-1", "INVALID", "(400)"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains('\u{1b}'));
    }
}
