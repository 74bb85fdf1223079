//! What is wrong with a configuration, said so that it can be mended at once: where, which key, which value, what to do.
//!
//! ```text
//! error: limits.memory = 256: a size needs its unit
//!  --> tidegate.toml:3:10
//!   |
//! 3 | memory = 256
//!   |          ^^^
//!   = help: write "256MiB"; the units are B, KiB, MiB, GiB, TiB
//! ```
//!
//! A problem never holds a secret: values of secret keys are left out, and lines are quoted with them covered.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can, but it is probably not what was meant.
    Warning,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// In a file, by its name.
    File(String),
    /// In an environment variable, by its name.
    Variable(String),
}

/// The place of a problem, and the line that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file or variable.
    pub written: Written,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, secrets covered.
    pub quote: String,
    /// Which characters of the quote are meant: the first, and how many.
    pub caret: (usize, usize),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key's whole path, such as `apps.chat.apns.key_id`; empty where no key is concerned.
    pub key: String,
    /// The value, unless it is secret or absent.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Where it is; `None` where nothing was written.
    pub place: Option<Place>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        writeln!(f, "{}", self.message)?;
        let margin = match &self.place {
            Some(place) => place.write(f)?,
            None => 1,
        };
        writeln!(f, "{:margin$} = help: {}", "", self.remedy)
    }
}

impl Place {
    /// Writes place, line and caret; returns the margin's width.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result<usize, fmt::Error> {
        let (number, at) = match &self.written {
            Written::File(name) => (self.line.to_string(), format!("{name}:{}:{}", self.line, self.column)),
            Written::Variable(name) => (String::new(), format!("environment variable {name}")),
        };
        let margin = number.len().max(1);
        let (before, width) = self.caret;
        writeln!(f, "{:margin$}--> {at}", "")?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number:margin$} | {}", self.quote)?;
        writeln!(f, "{:margin$} | {:before$}{}", "", "", "^".repeat(width))?;
        Ok(margin)
    }
}

/// Everything that is wrong, in the order of its places; at least one error, and the warnings too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let errors = self.errors();
        match self.0.len() - errors {
            0 => writeln!(f, "{}", count(errors, "error")),
            warnings => writeln!(f, "{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

impl std::error::Error for Problems {}
