//! Walks what was written along the table of keys: unknown keys, types, ranges, what is missing, what contradicts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::keys::ROOT;
use super::nearest::nearest;
use super::report::Report;
use super::rules;
use super::section::{Child, Entry, Section, elsewhere, join};
use super::table::{Absent, Key, Kind, Shape, Table, is_app_name};
use super::tree::{Member, Node, Raw, Span};
use super::value::{self, Flaw};

/// Understands `root`, which was written, as the whole configuration.
pub(super) fn walk(root: &Node, report: &mut Report, covered: &[Span]) -> Section {
    let mut walk = Walk { report, covered, finished: BTreeMap::new() };
    let frame = Frame { path: String::new(), name: String::new(), span: None };
    walk.section(&ROOT, frame, Some(root), None)
}

struct Walk<'a> {
    report: &'a mut Report,
    covered: &'a [Span],
    /// The tables read so far, by path, for those that inherit.
    finished: BTreeMap<String, Section>,
}

/// A table that is about to be read: what it is called and where that stands.
pub(super) struct Frame {
    pub path: String,
    pub name: String,
    pub span: Option<Span>,
}

impl Walk<'_> {
    fn section(&mut self, table: &'static Table, frame: Frame, node: Option<&Node>, base: Option<&Section>) -> Section {
        let members = node.map_or(Some(Cow::default()), |node| self.members(table, &frame.path, node));
        if let Some(members) = &members {
            self.unknown(table, &frame.path, members);
            rules::check(table, &frame, members, self.report);
        }
        let members = members.unwrap_or_default();
        let inherited = table.inherits.and_then(|path| self.finished.get(path)).cloned();
        let base = base.or(inherited.as_ref());
        let keys = table.all().filter(|key| !matches!(key.shape, Shape::Later));
        let children = keys.map(|key| {
            let member = members.iter().find(|member| member.name == key.name);
            (key.name, self.child(key, &frame, member, base))
        });
        let section = Section { children: children.collect(), path: frame.path, name: frame.name };
        self.finished.insert(section.path.clone(), section.clone());
        section
    }

    /// The members of `node`, which should be `table`. A bare value may stand for a table; another one is refused.
    fn members<'n>(&mut self, table: &'static Table, path: &str, node: &'n Node) -> Option<Cow<'n, [Member]>> {
        match (&node.raw, table.shorthand) {
            (Raw::Table(members), _) => Some(Cow::Borrowed(members)),
            (_, Some(name)) => {
                let bare = Member { name: name.to_owned(), name_span: node.span.clone(), node: node.clone() };
                Some(Cow::Owned(vec![bare]))
            }
            (_, None) => {
                self.wrong(path, node, "a table");
                None
            }
        }
    }

    fn child(&mut self, key: &'static Key, parent: &Frame, member: Option<&Member>, base: Option<&Section>) -> Child {
        let path = join(&parent.path, key.name);
        let frame = Frame { path, name: key.name.to_owned(), span: member.map(|member| member.name_span.clone()) };
        match &key.shape {
            Shape::Value(kind, default) => {
                let base = base.and_then(|base| base.children.iter().find(|(name, _)| *name == key.name));
                match (member, base) {
                    (None, Some((_, Child::Value(inherited)))) => Child::Value(inherited.clone()),
                    _ => Child::Value(self.value(*kind, *default, frame.path, member, parent)),
                }
            }
            Shape::Table(table) => {
                let there = table.always || member.is_some();
                let base = base
                    .filter(|base| base.children.iter().any(|(name, _)| *name == key.name))
                    .and_then(|base| base.section(key.name));
                Child::Section(there.then(|| self.section(table, frame, member.map(|member| &member.node), base)))
            }
            Shape::Named(table) => Child::Named(self.named(table, &frame, member)),
            Shape::Rows(table) => Child::Rows(self.rows(table, &frame, member)),
            Shape::Later => unreachable!("keys of later versions are no children"),
        }
    }

    fn value(&mut self, kind: Kind, default: Absent, path: String, member: Option<&Member>, parent: &Frame) -> Entry {
        let fallback = match default {
            Absent::Is(literal) => Some(value::of_literal(kind, literal)),
            _ => None,
        };
        let Some(Member { node, .. }) = member else {
            if let Absent::Required = default {
                self.missing(&path, parent);
            }
            return Entry { path, default, value: fallback, span: None, refused: false };
        };
        let (value, refused) = match value::read(kind, node) {
            Ok(value) => (Some(value), false),
            Err(flaws) => {
                flaws.into_iter().for_each(|flaw| self.refuse(&path, kind, node, flaw));
                (fallback, true)
            }
        };
        Entry { path, default, value, span: Some(node.span.clone()), refused }
    }

    fn missing(&mut self, path: &str, parent: &Frame) {
        let name = path.rsplit('.').next().unwrap_or_default();
        let remedy = match parent.path.rsplit_once('[') {
            None => format!("add {name} to [{}]", parent.path),
            Some((rows, _)) => format!("add {name} to this [[{rows}]]"),
        };
        self.report.error(path, parent.span.as_ref(), "is missing", remedy);
    }

    fn refuse(&mut self, path: &str, kind: Kind, node: &Node, flaw: Flaw) {
        let span = flaw.span.as_ref().unwrap_or(&node.span);
        let draft = self.report.error(path, Some(span), flaw.message, flaw.remedy);
        if flaw.span.is_none() && !kind.is_secret() {
            draft.shown(node, self.covered);
        }
    }

    fn named(&mut self, table: &'static Table, parent: &Frame, member: Option<&Member>) -> Vec<Section> {
        let members = match member.map(|member| (&member.node, &member.node.raw)) {
            None => return Vec::new(),
            Some((_, Raw::Table(members))) => members,
            Some((node, _)) => {
                self.wrong(&parent.path, node, "a table");
                return Vec::new();
            }
        };
        let sections = members.iter().map(|member| {
            let path = join(&parent.path, &member.name);
            if !is_app_name(&member.name) {
                let remedy = "write 1 to 64 letters, digits, '_' and '-', a letter or digit first";
                self.report.error(&path, Some(&member.name_span), "an app can't be called so", remedy);
            }
            let frame = Frame { path, name: member.name.clone(), span: Some(member.name_span.clone()) };
            self.section(table, frame, Some(&member.node), None)
        });
        sections.collect()
    }

    fn rows(&mut self, table: &'static Table, parent: &Frame, member: Option<&Member>) -> Vec<Section> {
        let rows = match member.map(|member| (&member.node, &member.node.raw)) {
            None => return Vec::new(),
            Some((_, Raw::List(rows))) => rows,
            Some((node, _)) => {
                self.wrong(&parent.path, node, "a list of tables");
                return Vec::new();
            }
        };
        let sections = rows.iter().enumerate().map(|(index, row)| {
            let path = format!("{}[{index}]", parent.path);
            let frame = Frame { path, name: parent.name.clone(), span: Some(row.span.clone()) };
            self.section(table, frame, Some(row), None)
        });
        sections.collect()
    }

    fn wrong(&mut self, path: &str, node: &Node, expected: &str) {
        let remedy = match expected {
            "a table" => format!("write a table: [{path}]"),
            _ => format!("write [[{path}]] for each"),
        };
        let message = format!("expected {expected}, found {}", node.type_name());
        self.report.error(path, Some(&node.span), message, remedy);
    }

    fn unknown(&mut self, table: &'static Table, path: &str, members: &[Member]) {
        for Member { name, name_span, .. } in members {
            let whole = join(path, name);
            match table.key(name) {
                Some(Key { shape: Shape::Later, doc, .. }) => {
                    let message = format!("this version doesn't know it yet ({doc})");
                    self.report.error(&whole, Some(name_span), message, "leave it out: it would have no effect");
                }
                Some(_) => {}
                None => {
                    self.report.error(&whole, Some(name_span), "there is no such key", suggestion(table, path, name));
                }
            }
        }
    }
}

/// What to do about a key that isn't one.
fn suggestion(table: &'static Table, path: &str, name: &str) -> String {
    if let Some(near) = nearest(name, table.names()) {
        return format!("did you mean {near}?");
    }
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("in [{path}]") };
    let known = format!("known {place}: {}", table.names().collect::<Vec<_>>().join(", "));
    match elsewhere(&ROOT, "", name) {
        Some(there) => format!("did you mean {there}? ({known})"),
        None => known,
    }
}
