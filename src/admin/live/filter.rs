//! Which outcomes a tap asks for, and how one is told.
//!
//! `?app=chat&provider=fcm&outcome=rejected&target=9f86d081`: all that is named must fit. A target is its hash, eight
//! hexadecimal characters as they stand in logs.

use serde::Serialize;

use crate::door::Problem;
use crate::job::{Provider, UnixMillis};
use crate::outcome::{Heard, OutcomeKind};

/// Which ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    app: Option<String>,
    provider: Option<Provider>,
    outcome: Option<OutcomeKind>,
    target: Option<String>,
}

impl Filter {
    /// Reads a query string.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let wrong = |name: &str, value: &str, remedy: &str| {
            Problem::of_field(name, format!("{name} = {value:?} is not what stands there"), remedy)
        };
        let url = reqwest::Url::parse(&format!("http://tap/?{query}"));
        let url = url.map_err(|_| wrong("query", query, "write ?app=chat&outcome=rejected"))?;
        let mut filter = Self::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "app" => filter.app = Some(value.into_owned()),
                "provider" => {
                    let known = Provider::ALL.into_iter().find(|known| known.as_str() == value);
                    let known = known.ok_or_else(|| wrong(&name, &value, "it is apns, fcm or webpush"))?;
                    filter.provider = Some(known);
                }
                "outcome" => {
                    let known = OutcomeKind::ALL.into_iter().find(|known| known.as_str() == value);
                    let remedy = "it is delivered, unregistered, rejected, expired, collapsed, shed or failed";
                    filter.outcome = Some(known.ok_or_else(|| wrong(&name, &value, remedy))?);
                }
                "target" => {
                    let hash = value.to_ascii_lowercase();
                    if hash.len() != 8 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return Err(wrong(
                            &name,
                            &value,
                            "it is a hash of eight hexadecimal characters, as logs have it",
                        ));
                    }
                    filter.target = Some(hash);
                }
                _ => {
                    let title = format!("there is no filter {name:?}");
                    return Err(Problem::of_field(&name, title, "the filters are app, provider, outcome and target"));
                }
            }
        }
        Ok(filter)
    }

    /// Whether this one is asked for.
    pub(super) fn takes(&self, heard: &Heard) -> bool {
        self.app.as_deref().is_none_or(|app| app == &*heard.app)
            && self.provider.is_none_or(|provider| provider == heard.provider)
            && self.outcome.is_none_or(|outcome| outcome == heard.outcome)
            && self.target.as_deref().is_none_or(|target| heard.target.to_string() == target)
    }
}

/// An outcome, as a tap tells it.
#[derive(Debug, Serialize)]
pub(super) struct Line<'h> {
    at: UnixMillis,
    app: &'h str,
    provider: &'static str,
    lane: &'static str,
    outcome: OutcomeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'h str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    attempts: u8,
    took_ms: u64,
    job: &'h str,
    /// The hash of the device's address.
    target: String,
}

impl<'h> Line<'h> {
    pub(super) fn of(heard: &'h Heard) -> Self {
        Self {
            at: heard.at,
            app: &heard.app,
            provider: heard.provider.as_str(),
            lane: heard.lane.as_str(),
            outcome: heard.outcome,
            reason: heard.reason.as_deref(),
            status: heard.status,
            attempts: heard.attempts,
            took_ms: u64::try_from(heard.took.as_millis()).unwrap_or(u64::MAX),
            job: &heard.job,
            target: heard.target.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let filter = Filter::read("app=my%20chat&provider=fcm&outcome=shed&target=9F86D081").expect("it is good");
        assert_eq!(
            filter,
            Filter {
                app: Some("my chat".to_owned()),
                provider: Some(Provider::Fcm),
                outcome: Some(OutcomeKind::Shed),
                target: Some("9f86d081".to_owned()),
            }
        );
        assert_eq!(Filter::read("").expect("it asks for all"), Filter::default());
        for (wrong, field) in
            [("provider=gcm", "provider"), ("outcome=lost", "outcome"), ("target=9f86", "target"), ("ap=chat", "ap")]
        {
            let problem = Filter::read(wrong).expect_err(wrong);
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (400, Some(field)));
        }
    }
}
