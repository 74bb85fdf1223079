//! Walks what was written along the table of keys: unknown keys, types, ranges, what is missing, what contradicts.

use std::collections::BTreeMap;

use super::keys::ROOT;
use super::nearest::nearest;
use super::report::Report;
use super::section::{Child, Entry, Section, elsewhere, join};
use super::table::{Absent, Key, Kind, Rule, Shape, Table, is_app_name};
use super::tree::{Member, Node, Raw, Span};
use super::value;

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
struct Frame {
    path: String,
    name: String,
    span: Option<Span>,
}

impl Walk<'_> {
    fn section(&mut self, table: &'static Table, frame: Frame, node: Option<&Node>, base: Option<&Section>) -> Section {
        let bare;
        let members = match node.map(|node| (node, &node.raw)) {
            None => &[][..],
            Some((_, Raw::Table(members))) => members,
            Some((node, _)) => match table.shorthand {
                Some(name) => {
                    let name_span = node.span.clone();
                    bare = [Member { name: name.to_owned(), name_span, node: node.clone() }];
                    &bare[..]
                }
                None => {
                    self.wrong(&frame.path, node, "a table");
                    &[][..]
                }
            },
        };
        self.unknown(table, &frame.path, members);
        let inherited = table.inherits.and_then(|path| self.finished.get(path)).cloned();
        let base = base.or(inherited.as_ref());
        let children = table
            .all()
            .filter(|key| !matches!(key.shape, Shape::Later))
            .map(|key| {
                let member = members.iter().find(|member| member.name == key.name);
                (key.name, self.child(key, &frame, member, base))
            })
            .collect();
        if node.is_none_or(|node| table.shorthand.is_some() || matches!(node.raw, Raw::Table(_))) {
            self.rules(table, &frame, members);
        }
        let section = Section { path: frame.path, name: frame.name, children };
        self.finished.insert(section.path.clone(), section.clone());
        section
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
                let name = path.rsplit('.').next().unwrap_or_default();
                let remedy = match parent.path.rsplit_once('[') {
                    None => format!("add {name} to [{}]", parent.path),
                    Some((rows, _)) => format!("add {name} to this [[{rows}]]"),
                };
                self.report.error(&path, parent.span.as_ref(), "is missing", remedy);
            }
            return Entry { path, default, value: fallback, span: None, refused: false };
        };
        let read = value::read(kind, node);
        let refused = read.is_err();
        let value = match read {
            Ok(value) => Some(value),
            Err(flaws) => {
                for flaw in flaws {
                    let span = flaw.span.as_ref().unwrap_or(&node.span);
                    let draft = self.report.error(&path, Some(span), flaw.message, flaw.remedy);
                    if flaw.span.is_none() && !kind.is_secret() {
                        draft.shown(node, self.covered);
                    }
                }
                fallback
            }
        };
        Entry { path, default, value, span: Some(node.span.clone()), refused }
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

    fn rules(&mut self, table: &'static Table, frame: &Frame, members: &[Member]) {
        let written = |name: &str| members.iter().find(|member| member.name == name);
        for rule in table.rules {
            match rule {
                Rule::Something(what) if members.is_empty() => {
                    self.report.error(
                        &frame.path,
                        frame.span.as_ref(),
                        "is empty",
                        format!("add {}", what.replace("<app>", &frame.name)),
                    );
                }
                Rule::Something(_) => {}
                Rule::Together(keys) => self.together(keys, frame, written),
                Rule::OneOf(groups) => self.one_of(groups, frame, written),
            }
        }
    }

    /// Reports those of `keys` that are missing while others of them are there.
    fn together<'m>(&mut self, keys: &[&str], frame: &Frame, written: impl Fn(&str) -> Option<&'m Member>) {
        let Some(there) = keys.iter().find_map(|key| written(key)) else { return };
        for key in keys.iter().filter(|key| written(key).is_none()) {
            let remedy = format!("add {key} to [{}], or leave {} out", frame.path, there.name);
            let message = format!("is missing, but {} is there", there.name);
            self.report.error(&join(&frame.path, key), Some(&there.name_span), message, remedy);
        }
    }

    fn one_of<'m>(&mut self, groups: &[&[&str]], frame: &Frame, written: impl Fn(&str) -> Option<&'m Member>) {
        let first = |group: &[&str]| group.iter().find_map(|key| written(key));
        let begun: Vec<_> = groups.iter().filter(|group| first(group).is_some()).collect();
        let ways = groups.iter().map(|group| group.join(" + ")).collect::<Vec<_>>().join(", or ");
        match begun[..] {
            [] => {
                self.report.error(&frame.path, frame.span.as_ref(), "has no credential", format!("add {ways}"));
            }
            [group] => self.together(group, frame, written),
            [one, other, ..] => {
                let (one, other) = (first(one).expect("begun"), first(other).expect("begun"));
                let message = format!("contradicts {}: there must be one credential", one.name);
                let path = join(&frame.path, &other.name);
                self.report.error(&path, Some(&other.name_span), message, format!("keep either {ways}"));
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
