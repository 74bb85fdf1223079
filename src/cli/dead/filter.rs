//! Which letters are meant.

use clap::Args;

use super::{Exit, Told, fail};

/// All letters that match everything that is said; nothing said: all.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filter {
    /// Of this app only.
    #[arg(long)]
    pub(super) app: Option<String>,
    /// Dead for this reason only: `unknown_app`, `attempts_exhausted`, `corrupt_record`, …
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Of the job with this id only; may be given more than once.
    #[arg(long, value_name = "ID")]
    pub(super) id: Vec<String>,
    /// With this number in the spool only; may be given more than once.
    #[arg(long, value_name = "N", conflicts_with_all = ["app", "reason", "id"])]
    pub(super) n: Vec<i64>,
}

/// The same where it can't be taken back.
#[derive(Debug, Args)]
pub(super) struct Pick {
    #[command(flatten)]
    pub(super) filter: Filter,
    /// All of them: needed where nothing else says which.
    #[arg(long)]
    all: bool,
}

impl Filter {
    /// Whether a letter with these matches.
    pub(super) fn takes(&self, id: Option<&str>, app: Option<&str>, reason: &str) -> bool {
        let is = |wanted: &Option<String>, there: Option<&str>| wanted.is_none() || wanted.as_deref() == there;
        let by_id = self.id.is_empty() || id.is_some_and(|id| self.id.iter().any(|wanted| wanted == id));
        by_id && is(&self.app, app) && is(&self.reason, Some(reason))
    }

    /// Nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.app.is_none() && self.reason.is_none() && self.id.is_empty() && self.n.is_empty()
    }

    /// A broker's letters have no numbers.
    pub(super) fn not_by_number(&self) -> Told<()> {
        if self.n.is_empty() {
            return Ok(());
        }
        Err(fail(Exit::Usage, "--n names letters of a spool; a broker's have no number, name the job with --id"))
    }
}

impl Pick {
    /// An order that says nothing is not one for everything.
    pub(super) fn check(&self, what: &str) -> Told<()> {
        if self.all || !self.filter.is_empty() {
            return Ok(());
        }
        let say = format!("say which with --app, --reason, --id or --n; or --all to {what} every dead letter");
        Err(fail(Exit::Usage, say))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_said_must_match() {
        let id = vec!["a".to_owned(), "b".to_owned()];
        let filter = Filter { app: Some("chat".to_owned()), id, ..Filter::default() };
        assert!(filter.takes(Some("b"), Some("chat"), "failed"));
        assert!(!filter.takes(Some("c"), Some("chat"), "failed"));
        assert!(!filter.takes(Some("a"), None, "failed"), "an app that can't be read is not this one");
        assert!(!filter.takes(None, Some("chat"), "failed"));
        assert!(Filter::default().takes(None, None, "x") && Filter::default().is_empty() && !filter.is_empty());
    }
}
