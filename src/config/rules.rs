//! What the keys of a table must be to one another.

use super::report::Report;
use super::section::join;
use super::table::{Rule, Table};
use super::tree::Member;
use super::walk::Frame;

/// Reports what of `table`'s rules the written `members` break.
pub(super) fn check(table: &'static Table, frame: &Frame, members: &[Member], report: &mut Report) {
    let mut written = Written { frame, members, report };
    for rule in table.rules {
        match rule {
            Rule::Something(what) => written.something(what),
            Rule::Together(keys) => written.together(keys),
            Rule::OneOf(groups) => written.one_of(groups),
        }
    }
}

struct Written<'a> {
    frame: &'a Frame,
    members: &'a [Member],
    report: &'a mut Report,
}

impl<'a> Written<'a> {
    fn has(&self, name: &str) -> Option<&'a Member> {
        self.members.iter().find(|member| member.name == name)
    }

    fn something(&mut self, what: &str) {
        if self.members.is_empty() {
            let remedy = format!("add {}", what.replace("<app>", &self.frame.name));
            self.report.error(&self.frame.path, self.frame.span.as_ref(), "is empty", remedy);
        }
    }

    /// Reports those of `keys` that are missing while others of them are there.
    fn together(&mut self, keys: &[&str]) {
        let Some(there) = keys.iter().find_map(|key| self.has(key)) else { return };
        for key in keys.iter().filter(|key| !self.members.iter().any(|member| member.name == **key)) {
            let remedy = format!("add {key} to [{}], or leave {} out", self.frame.path, there.name);
            let message = format!("is missing, but {} is there", there.name);
            self.report.error(&join(&self.frame.path, key), Some(&there.name_span), message, remedy);
        }
    }

    fn one_of(&mut self, groups: &[&[&str]]) {
        let begun = groups.iter().filter_map(|group| {
            let first = group.iter().find_map(|key| self.has(key))?;
            Some((group, first))
        });
        let begun: Vec<_> = begun.collect();
        let ways = groups.iter().map(|group| group.join(" + ")).collect::<Vec<_>>().join(", or ");
        match begun[..] {
            [] => {
                let span = self.frame.span.as_ref();
                self.report.error(&self.frame.path, span, "has no credential", format!("add {ways}"));
            }
            [(group, _)] => self.together(group),
            [(_, one), (_, other), ..] => {
                let message = format!("contradicts {}: there must be one credential", one.name);
                let path = join(&self.frame.path, &other.name);
                self.report.error(&path, Some(&other.name_span), message, format!("keep either {ways}"));
            }
        }
    }
}
