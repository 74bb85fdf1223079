//! Lays the environment over the file: `TIDEGATE__SOURCE__AMQP__URI=…` stands for `uri` in `[source.amqp]`.
//!
//! Two underscores part the names, which match whatever their case; in an app's name `_` also stands for `-`. A value
//! is read as TOML where that gives what the key wants (`5`, `true`, `["a"]`), else it is a string as it stands. What
//! is laid over is checked like what the file says.

use super::keys::ROOT;
use super::nearest::nearest;
use super::report::Report;
use super::table::{Shape, Table};
use super::tree::{self, Member, Node, Raw, Source, Span};
use super::value;

/// What a variable's name starts with.
pub(super) const PREFIX: &str = "TIDEGATE__";

/// Lays `variables` over `root`. Returns what of unknown variables must be covered.
pub(super) fn lay<'e>(
    root: &mut Node,
    variables: impl Iterator<Item = (&'e String, &'e String)>,
    sources: &mut Vec<Source>,
    report: &mut Report,
) -> Vec<Span> {
    let mut covered = Vec::new();
    for (name, value) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        let text = format!("{name}={value}");
        let variable = Variable { name, text: &text, source: sources.len() };
        let segments: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        if let Err(unknown) = variable.lay(&ROOT, root, &segments) {
            report.error(name, Some(&variable.name_span()), unknown.message, unknown.remedy);
            covered.push(variable.value_span());
        }
        sources.push(Source::Variable { name: name.clone(), text });
    }
    covered
}

struct Variable<'a> {
    name: &'a str,
    text: &'a str,
    source: usize,
}

struct Unknown {
    message: String,
    remedy: String,
}

impl Variable<'_> {
    fn name_span(&self) -> Span {
        Span { source: self.source, range: 0..self.name.len() }
    }

    fn value_span(&self) -> Span {
        Span { source: self.source, range: self.name.len() + 1..self.text.len() }
    }

    fn value(&self, wanted: impl Fn(&Raw) -> bool) -> Node {
        tree::variable(self.text, self.name.len() + 1, self.source, wanted)
    }

    /// Sets what `segments` name within `table`, which `node` is.
    fn lay(&self, table: &'static Table, node: &mut Node, segments: &[&str]) -> Result<(), Unknown> {
        let (segment, rest) = segments.split_first().expect("a split has at least one part");
        let Some(key) = table.all().find(|key| key.name.eq_ignore_ascii_case(segment)) else {
            return Err(self.unknown(segment, segments, table.names().collect()));
        };
        let Some(members) = self.members(node, table.shorthand) else { return Ok(()) };
        match (&key.shape, rest) {
            (Shape::Later, _) => self.set(members, key.name, self.value(|_| false)),
            (Shape::Value(kind, _), []) => self.set(members, key.name, self.value(|raw| value::wants(*kind, raw))),
            (Shape::Table(_) | Shape::Named(_), []) => {
                self.set(members, key.name, self.value(|raw| matches!(raw, Raw::Table(_))));
            }
            (Shape::Rows(_), []) => self.set(members, key.name, self.value(|raw| matches!(raw, Raw::List(_)))),
            (Shape::Table(inner), rest) => return self.lay(inner, self.child(members, key.name), rest),
            (Shape::Named(inner), rest) => return self.lay_named(inner, self.child(members, key.name), rest),
            (Shape::Value(..) | Shape::Rows(_), _) => {
                let shorter = self.name.len() - rest.iter().map(|part| part.len() + 2).sum::<usize>();
                let remedy = format!("{} is the key", &self.name[..shorter]);
                return Err(Unknown { message: "there is nothing below that key".to_owned(), remedy });
            }
        }
        Ok(())
    }

    /// Sets what stands below a name of the operator's choice.
    fn lay_named(&self, table: &'static Table, node: &mut Node, segments: &[&str]) -> Result<(), Unknown> {
        let (segment, rest) = segments.split_first().expect("there is a rest");
        let Raw::Table(members) = &mut node.raw else { return Ok(()) };
        let same = |name: &str| name.replace('-', "_").eq_ignore_ascii_case(&segment.replace('-', "_"));
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let fitting: Vec<&String> = names.iter().filter(|name| same(name)).collect();
        match (&fitting[..], rest) {
            ([], _) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let near = nearest(segment, names.iter().copied());
                let remedy = match (near, names.is_empty()) {
                    (Some(near), _) => format!("did you mean {}?", self.respelt(segment, segments, near)),
                    (None, false) => format!("the apps are {}", names.join(", ")),
                    (None, true) => "an app must stand in the file; there is none".to_owned(),
                };
                Err(Unknown { message: format!("no app is called {segment}"), remedy })
            }
            ([_, _, ..], _) => Err(Unknown {
                message: format!("more than one app is called {segment}"),
                remedy: "set it in the file".to_owned(),
            }),
            ([name], []) => {
                self.set(members, name, self.value(|raw| matches!(raw, Raw::Table(_))));
                Ok(())
            }
            ([name], rest) => self.lay(table, self.child(members, name), rest),
        }
    }

    /// The members of `node`. A bare value that stands for a table becomes that table; another one (`None`) is left to
    /// be refused as what it is.
    fn members<'n>(&self, node: &'n mut Node, shorthand: Option<&str>) -> Option<&'n mut Vec<Member>> {
        if let (false, Some(name)) = (matches!(node.raw, Raw::Table(_)), shorthand) {
            let name_span = node.span.clone();
            let bare = Member { name: name.to_owned(), name_span: name_span.clone(), node: node.clone() };
            *node = Node { raw: Raw::Table(vec![bare]), span: name_span };
        }
        match &mut node.raw {
            Raw::Table(members) => Some(members),
            _ => None,
        }
    }

    fn set(&self, members: &mut Vec<Member>, name: &str, node: Node) {
        members.retain(|member| member.name != name);
        members.push(Member { name: name.to_owned(), name_span: self.name_span(), node });
    }

    fn child<'n>(&self, members: &'n mut Vec<Member>, name: &str) -> &'n mut Node {
        let at = members.iter().position(|member| member.name == name).unwrap_or_else(|| {
            let node = Node { raw: Raw::Table(Vec::new()), span: self.value_span() };
            members.push(Member { name: name.to_owned(), name_span: self.name_span(), node });
            members.len() - 1
        });
        &mut members[at].node
    }

    fn unknown(&self, segment: &str, segments: &[&str], known: Vec<&str>) -> Unknown {
        let remedy = match nearest(segment, known.iter().copied()) {
            Some(near) => format!("did you mean {}?", self.respelt(segment, segments, near)),
            None => format!("known there: {}", known.join(", ").to_uppercase()),
        };
        Unknown { message: format!("there is no key {}", segment.to_lowercase()), remedy }
    }

    /// The variable's name with `segment` (the first of `segments`, its last parts) replaced.
    fn respelt(&self, segment: &str, segments: &[&str], near: &str) -> String {
        let tail = segments.join("__").len();
        let (before, tail) = self.name.split_at(self.name.len() - tail);
        format!("{before}{}{}", near.to_uppercase().replace('-', "_"), &tail[segment.len()..])
    }
}
