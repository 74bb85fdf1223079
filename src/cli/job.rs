//! `tidegate job ID`: asks a running instance what became of a job.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::enqueue::url;
use super::reach::{Reached, configured, token};
use super::serve::DEFAULT_CONFIG;
use super::{Exit, fail, print, runtime};
use crate::provider::web;

/// The answer comes within seconds, or those who could give it are held up.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Say what became of a job: what waits, what was sent, how each push ended and why.
///
/// Known are jobs in hand and in the spool, dead letters of the spool, and the last pushes that ended. Ends with 65 if nothing is known.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate job 01J9ZK8Q5V3T\n  tidegate job 01J9ZK8Q5V3T --url http://127.0.0.1:8080 --json"
)]
pub(super) struct Job {
    /// The job's id.
    id: String,
    /// The instance's door; unless given, the configuration's.
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<Url>,
    /// The file with the door's bearer token; unless given, the first of the configuration's http.tokens, if the door is the
    /// configuration's.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The configuration file that names the door.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print the answer as it came.
    #[arg(long)]
    json: bool,
}

impl Job {
    pub(super) fn run(self) -> Exit {
        let Reached { url, token } = match self.door() {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        let (status, body) = match runtime().block_on(ask(url, token, &self.id)) {
            Ok(answer) => answer,
            Err(error) => return fail(Exit::Unavailable, error),
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::OK if self.json => print(format_args!("{answer:#}")),
            StatusCode::OK => print(written(&answer)),
            other => {
                fail(if other == StatusCode::NOT_FOUND { Exit::Data } else { Exit::Unavailable }, said(other, &answer))
            }
        }
    }

    fn door(&self) -> Result<Reached, Exit> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        match &self.url {
            Some(url) => Ok(Reached { url: url.clone(), token }),
            None => configured(&self.config, token, "or name a running instance with --url"),
        }
    }
}

async fn ask(mut door: Url, token: Option<SecretString>, id: &str) -> Result<(StatusCode, Vec<u8>), String> {
    let host = door.origin().ascii_serialization();
    door.path_segments_mut().map_err(|()| "not a door's address")?.pop_if_empty().extend(["v1", "jobs", id]);
    let client = web::client(None).map_err(|error| error.to_string())?;
    let client = client.timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
    let mut request = client.get(door);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let lost = |error: reqwest::Error| format!("{host} does not answer: {error}; is tidegate serve running there?");
    let answer = request.send().await.map_err(lost)?;
    let status = answer.status();
    Ok((status, answer.bytes().await.map_err(lost)?.to_vec()))
}

/// A door's problem, in words.
fn said(status: StatusCode, problem: &Value) -> String {
    let title = problem["title"].as_str().map_or_else(|| format!("the door answered {status}"), str::to_owned);
    let detail = problem["detail"].as_str().unwrap_or_default();
    match status {
        StatusCode::UNAUTHORIZED => format!("{title}; give one of its http.tokens with --token-file"),
        _ if detail.is_empty() => title,
        _ => format!("{title}: {detail}"),
    }
}

/// The answer for people: where it stands, then a line for each push that ended.
fn written(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = vec![format!("{}: {}", text(&answer["id"]), text(&answer["says"]))];
    let (app, lane, accepted) = (text(&answer["app"]), text(&answer["lane"]), text(&answer["accepted_at"]));
    lines.push(format!("  app {app}, lane {lane}, accepted {accepted}"));
    for push in answer["ended"].as_array().into_iter().flatten() {
        let mut line = format!(
            "  {}  target {} ({})  {}",
            text(&push["at"]),
            push["target"],
            text(&push["provider"]),
            text(&push["outcome"])
        );
        for (name, label) in
            [("reason", "reason"), ("status", "status"), ("attempts", "attempts"), ("provider_id", "provider's id")]
        {
            if let Some(value) = push.get(name) {
                line += &format!("  {label} {}", text(value));
            }
        }
        lines.push(line);
    }
    if answer["cut_short"] == true {
        lines.push("  the spool is too deep to be looked through at once: there may be more".to_owned());
    }
    lines.join("\n")
}
