//! How a command reaches the door of a running instance: the one that a flag names, else the configuration's.

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use super::enqueue::{listening, url};
use super::serve::DEFAULT_CONFIG;
use super::{Exit, fail, tell};
use crate::config;

/// Where an instance is if nothing says otherwise: what `http.listen` is by default.
const DEFAULT_DOOR: &str = "http://127.0.0.1:8080";

/// Which instance.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Its door; unless given, the configuration's, and without one http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<Url>,
    /// The file with the door's bearer token; unless given, the first of the configuration's http.tokens, if the door is the
    /// configuration's.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The configuration file that names the door; config/tidegate.toml, if there is one.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
}

/// A door, and what it asks for.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) url: Url,
    pub(super) token: Option<SecretString>,
}

impl Reach {
    /// Finds it; what is wrong was told.
    pub(super) fn find(&self) -> Result<Reached, Exit> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        let default = Path::new(DEFAULT_CONFIG);
        let config = self.config.as_deref().or_else(|| default.is_file().then_some(default));
        match (&self.url, config) {
            (Some(url), _) => Ok(Reached { url: url.clone(), token }),
            (None, Some(config)) => configured(config, token, "or name a door with --url"),
            (None, None) => Ok(Reached { url: DEFAULT_DOOR.parse().expect("it is a URL"), token }),
        }
    }
}

/// The configuration's door, with `token` or else its first one. What is wrong was told, and `or` what else may be done.
pub(super) fn configured(config: &Path, token: Option<SecretString>, or: &str) -> Result<Reached, Exit> {
    let loaded = config::load(config, std::env::vars()).map_err(|problems| {
        tell(problems);
        tell(or);
        Exit::Config
    })?;
    let http = loaded.settings.http;
    let url = listening(&http).map_err(|error| fail(Exit::Config, error))?;
    Ok(Reached { url, token: token.or_else(|| http.tokens.first().cloned()) })
}

/// The token in a file.
pub(super) fn token(file: &Path) -> Result<SecretString, Exit> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| fail(Exit::Io, format_args!("{}: {error}", file.display())))?;
    Ok(text.trim().into())
}
