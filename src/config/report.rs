//! Gathers problems while the configuration is read, and renders them once it is known what must be covered.

use super::mask;
use super::problem::{Place, Problem, Severity, Written};
use super::tree::{Node, Source, Span};

/// The problems so far.
#[derive(Default)]
pub(super) struct Report {
    drafts: Vec<Draft>,
}

/// A problem whose place is not yet rendered.
pub(super) struct Draft {
    pub severity: Severity,
    pub key: String,
    pub value: Option<String>,
    pub message: String,
    pub remedy: String,
    pub span: Option<Span>,
}

impl Report {
    /// Notes an error; returns its draft, so that a value can be added.
    pub(super) fn error(
        &mut self,
        key: &str,
        span: Option<&Span>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Draft {
        self.note(Severity::Error, key, span, message.into(), remedy.into())
    }

    /// Notes a warning.
    pub(super) fn warning(
        &mut self,
        key: &str,
        span: Option<&Span>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Draft {
        self.note(Severity::Warning, key, span, message.into(), remedy.into())
    }

    fn note(
        &mut self,
        severity: Severity,
        key: &str,
        span: Option<&Span>,
        message: String,
        remedy: String,
    ) -> &mut Draft {
        let draft = Draft { severity, key: key.to_owned(), value: None, message, remedy, span: span.cloned() };
        self.drafts.push(draft);
        self.drafts.last_mut().expect("one was just pushed")
    }

    /// Renders all, in the order of their places: without one first, then the file's, then the environment's.
    pub(super) fn finish(self, sources: &[Source], covered: &[Span]) -> Vec<Problem> {
        let mut drafts = self.drafts;
        drafts.sort_by_key(|draft| draft.span.as_ref().map(|span| (span.source, span.range.start)));
        let mut problems: Vec<Problem> = Vec::new();
        for problem in drafts.into_iter().map(|draft| draft.render(sources, covered)) {
            // What several routes inherit is looked at for each of them, and told once.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }
}

impl Draft {
    /// Adds the value, as one would write it. Not for secrets.
    pub(super) fn value(&mut self, value: impl Into<String>) {
        self.value = Some(value.into());
    }

    /// Adds the value of `node` unless it is covered.
    pub(super) fn shown(&mut self, node: &Node, covered: &[Span]) {
        if !covered.contains(&node.span) {
            self.value(node.shown());
        }
    }

    fn render(self, sources: &[Source], covered: &[Span]) -> Problem {
        let Self { severity, key, value, message, remedy, span } = self;
        // A file's name may hold anything, and what is printed must not move the cursor.
        let plain = |text: String| text.chars().map(mask::plain).collect();
        let (message, remedy) = (plain(message), plain(remedy));
        let place = span.map(|span| place(&span, &sources[span.source], covered));
        Problem { severity, key, value, message, remedy, place }
    }
}

/// Finds line and column of `span` and quotes the line.
pub(super) fn place(span: &Span, source: &Source, covered: &[Span]) -> Place {
    let text = source.text();
    let start = floor(text, span.range.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let written = match source {
        Source::File { name, .. } => Written::File(name.clone()),
        Source::Variable { name, .. } => Written::Variable(name.clone()),
    };
    let (quote, caret) = mask::quote(text, line_start, span, covered);
    Place {
        written,
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        quote,
        caret,
    }
}

/// The nearest character's start at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
