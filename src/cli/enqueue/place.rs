//! Where the jobs go: to the door or the broker that a flag names, else to the configuration's source.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use super::{Exit, fail, tell};
use crate::cli::reach::token;
use crate::cli::serve::DEFAULT_CONFIG;
use crate::cli::source::Source;
use crate::config;
use crate::pipeline::{HttpSettings, Settings};
use crate::source::amqp::AmqpSettings;

/// Where jobs are sent.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The spool's door; unless given, the configuration's.
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with = "amqp_uri")]
    url: Option<Url>,
    /// The file with the door's bearer token; unless given, the first of the configuration's http.tokens, if the door is the
    /// configuration's.
    #[arg(long, value_name = "FILE", conflicts_with = "amqp_uri")]
    token_file: Option<PathBuf>,
    /// The broker; unless given, the configuration's.
    #[arg(long, value_name = "URI")]
    amqp_uri: Option<String>,
    /// The prefix of exchange names, with `--amqp-uri`.
    #[arg(long, default_value = "tidegate", requires = "amqp_uri")]
    prefix: String,
    /// The configuration file that names door or broker.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Which of the configuration's sources, where there are two.
    #[arg(long, value_enum)]
    source: Option<Source>,
}

/// A door.
#[derive(Debug)]
pub(super) struct Door {
    /// Where jobs are posted.
    pub(super) jobs: Url,
    pub(super) token: Option<SecretString>,
}

/// Where they go.
pub(super) enum To {
    Door(Door),
    Broker(AmqpSettings),
}

/// Reads a door's address.
pub(in crate::cli) fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write http://127.0.0.1:8080"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or password in it would be shown in messages; give a token with --token-file".to_owned());
    }
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("write http://… or https://…".to_owned()),
    }
}

impl Place {
    /// Finds it; what is wrong was told.
    pub(super) fn find(&self) -> Result<To, Exit> {
        if let Some(uri) = &self.amqp_uri {
            return Ok(To::Broker(AmqpSettings {
                uri: uri.as_str().into(),
                prefix: self.prefix.clone(),
                ..AmqpSettings::default()
            }));
        }
        if let Some(url) = &self.url {
            return Ok(To::Door(Door { jobs: jobs(url.clone()), token: self.token()? }));
        }
        let loaded = config::load(&self.config, std::env::vars()).map_err(|problems| {
            tell(problems);
            tell("or name a door with --url, or a broker with --amqp-uri");
            Exit::Config
        })?;
        self.configured(loaded.settings)
    }

    fn configured(&self, Settings { http, amqp, spool, .. }: Settings) -> Result<To, Exit> {
        let spool = spool.is_some() && self.source != Some(Source::Amqp);
        match (spool, amqp.filter(|_| self.source != Some(Source::Spool))) {
            (true, Some(_)) => {
                Err(fail(Exit::Usage, "the configuration has two sources: choose with --source spool or --source amqp"))
            }
            (true, None) => {
                let token = self.token()?.or_else(|| http.tokens.first().cloned());
                let url = listening(&http).map_err(|error| fail(Exit::Config, error))?;
                Ok(To::Door(Door { jobs: jobs(url), token }))
            }
            (false, Some(settings)) => Ok(To::Broker(settings)),
            (false, None) => {
                let none = "the configuration has no such source; name a door with --url, or a broker with --amqp-uri";
                Err(fail(Exit::Config, none))
            }
        }
    }

    fn token(&self) -> Result<Option<SecretString>, Exit> {
        self.token_file.as_deref().map(token).transpose()
    }
}

/// Where a door takes jobs.
fn jobs(mut url: Url) -> Url {
    let path = format!("{}/v1/jobs", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Where the configuration's door is reached from this machine.
pub(in crate::cli) fn listening(http: &HttpSettings) -> Result<Url, String> {
    if http.listen.port() == 0 {
        return Err("http.listen has port 0, so the door may be anywhere; name it with --url".to_owned());
    }
    let ip = match http.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, http.listen.port());
    Ok(format!("http://{address}").parse().expect("an address is a URL's host and port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_posted_below_the_doors_address() {
        let posted = |text: &str| url(text).map(|url| jobs(url).to_string());
        assert_eq!(posted("http://127.0.0.1:8080").as_deref(), Ok("http://127.0.0.1:8080/v1/jobs"));
        assert!(posted("https://me:secret@push.example").is_err_and(|why| !why.contains("secret")));
        assert_eq!(posted("https://push.example/gate/").as_deref(), Ok("https://push.example/gate/v1/jobs"));
        for wrong in ["127.0.0.1:8080", "ftp://host/", "http://", ""] {
            assert!(posted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_door_on_all_addresses_is_reached_on_loopback() {
        let reached = |listen: &str| {
            let http = HttpSettings { listen: listen.parse().unwrap(), tokens: Vec::new(), rate: None };
            listening(&http).map(|url| url.to_string())
        };
        assert_eq!(reached("0.0.0.0:80").as_deref(), Ok("http://127.0.0.1/"));
        assert_eq!(reached("[::]:8080").as_deref(), Ok("http://[::1]:8080/"));
        assert_eq!(reached("10.0.0.7:8080").as_deref(), Ok("http://10.0.0.7:8080/"));
        assert!(reached("127.0.0.1:0").is_err());
    }
}
