//! Whose dead letters: those of the spool or broker that flags name, else those of the configuration's sources.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Told, fail, tell};
use crate::cli::serve::DEFAULT_CONFIG;
use crate::cli::source::Source;
use crate::config;
use crate::source::amqp::AmqpSettings;

/// Where the letters are.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The directory of a spool, whether a process serves it or not; unless given, the configuration's.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// The broker; unless given, the configuration's.
    #[arg(long, value_name = "URI")]
    amqp_uri: Option<String>,
    /// The prefix of queue names, with `--amqp-uri`.
    #[arg(long, default_value = "tidegate", requires = "amqp_uri")]
    prefix: String,
    /// The configuration file that names spool and broker.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Which source, where there are two.
    #[arg(long, value_enum)]
    source: Option<Source>,
}

/// Where they are: at least one of the two.
pub(super) struct Places {
    pub(super) spool: Option<PathBuf>,
    pub(super) amqp: Option<AmqpSettings>,
}

/// One of the two.
pub(super) enum One {
    Spool(PathBuf),
    Amqp(AmqpSettings),
}

impl Place {
    /// Finds them.
    pub(super) fn find(&self) -> Told<Places> {
        let named = self.spool.is_some() || self.amqp_uri.is_some();
        let mut places = if named { self.named() } else { self.configured()? };
        match self.source {
            Some(Source::Spool) => places.amqp = None,
            Some(Source::Amqp) => places.spool = None,
            None => {}
        }
        if places.spool.is_some() || places.amqp.is_some() {
            return Ok(places);
        }
        let exit = if named { Exit::Usage } else { Exit::Config };
        Err(fail(exit, "there is no such source: name one with --spool or --amqp-uri, or in the configuration"))
    }

    fn named(&self) -> Places {
        let amqp = self.amqp_uri.as_ref().map(|uri| AmqpSettings {
            uri: uri.as_str().into(),
            prefix: self.prefix.clone(),
            ..AmqpSettings::default()
        });
        Places { spool: self.spool.clone(), amqp }
    }

    fn configured(&self) -> Told<Places> {
        let loaded = config::load(&self.config, std::env::vars()).map_err(|problems| {
            tell(problems);
            tell("or name a spool with --spool, a broker with --amqp-uri");
            Exit::Config
        })?;
        Ok(Places { spool: loaded.settings.spool.map(|spool| spool.path), amqp: loaded.settings.amqp })
    }
}

impl Places {
    pub(super) fn both(&self) -> bool {
        self.spool.is_some() && self.amqp.is_some()
    }

    /// The one there is, for what must not be done to the wrong one.
    pub(super) fn only(self, what: &str) -> Told<One> {
        match self {
            Places { spool: Some(path), amqp: None } => Ok(One::Spool(path)),
            Places { spool: None, amqp: Some(settings) } => Ok(One::Amqp(settings)),
            _ => Err(fail(
                Exit::Usage,
                format_args!("there are two sources: {what} with --source spool or --source amqp"),
            )),
        }
    }
}
