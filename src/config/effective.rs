//! Prints the configuration in force, with the origin of every value.

use super::problem::Written;
use super::report::place;
use super::section::{Child, Entry, Section, join};
use super::table::Absent;
use super::tree::Source;

/// The configuration as TOML.
pub(super) fn print(root: &Section, sources: &[Source]) -> String {
    let mut printer = Printer { sources, out: String::new() };
    printer.section(root, &Heading::None);
    printer.out.trim_start().to_owned()
}

struct Printer<'a> {
    sources: &'a [Source],
    out: String,
}

enum Heading {
    None,
    Table(String),
    Row(String),
}

impl Heading {
    fn path(&self) -> &str {
        match self {
            Heading::None => "",
            Heading::Table(path) | Heading::Row(path) => path,
        }
    }
}

impl Printer<'_> {
    fn section(&mut self, section: &Section, heading: &Heading) {
        let has_values = section.children.iter().any(|(_, child)| matches!(child, Child::Value(_)));
        let heading_line = match heading {
            Heading::Row(path) => format!("\n[[{path}]]\n"),
            Heading::Table(path) if has_values => format!("\n[{path}]\n"),
            _ => String::new(),
        };
        self.out.push_str(&heading_line);
        for (name, child) in &section.children {
            if let Child::Value(entry) = child {
                self.value(name, entry, section);
            }
        }
        for (name, child) in &section.children {
            let path = join(heading.path(), name);
            match child {
                Child::Value(_) | Child::Section(None) => {}
                Child::Section(Some(inner)) => self.section(inner, &Heading::Table(path)),
                Child::Named(inner) => {
                    inner.iter().for_each(|inner| self.section(inner, &Heading::Table(join(&path, &inner.name))));
                }
                Child::Rows(inner) => inner.iter().for_each(|inner| self.section(inner, &Heading::Row(path.clone()))),
            }
        }
    }

    fn value(&mut self, name: &str, entry: &Entry, section: &Section) {
        let line = match (&entry.value, entry.default) {
            (Some(value), _) => format!("{name} = {}  # {}\n", value.toml(), self.origin(entry, section)),
            (None, Absent::Derived(what)) => format!("# {name}: {what}\n"),
            (None, _) => format!("# {name} is not set\n"),
        };
        self.out.push_str(&line);
    }

    /// Where the value comes from.
    fn origin(&self, entry: &Entry, section: &Section) -> String {
        let Some(span) = &entry.span else { return "default".to_owned() };
        let place = place(span, &self.sources[span.source], &[]);
        let at = match place.written {
            Written::File(name) => format!("{name}:{}", place.line),
            Written::Variable(name) => format!("env {name}"),
        };
        if section.owns(entry) { at } else { format!("{at} ({})", entry.path) }
    }
}
