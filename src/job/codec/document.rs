//! The first pass: JSON text into a tree that borrows it. Refuses a field twice, and depth.
//!
//! serde_json reads the text; what it lacks is a duplicate check and a path. Both live in the seed that builds the tree.
//! An error of ours can't travel inside serde_json's, so it is left beside it, in `fault`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::path::Path;
use super::{BadJob, show};

/// How deep objects and arrays may be nested, the job itself included. The deepest thing a provider documents is about
/// six deep; the bound keeps every recursion in here and behind it shallow.
pub(super) const MAX_DEPTH: usize = 32;

/// Up to this many fields, comparing each with each is quicker than hashing.
const FEW_FIELDS: usize = 16;

/// An object's fields, as they stand.
pub(super) type Object<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// A JSON value that borrows the text it was read from.
#[derive(Clone)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Object<'a>),
}

impl Node<'_> {
    /// The value, owned.
    pub(super) fn into_value(self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Number(number) => Value::Number(number),
            Node::Text(text) => Value::String(text.into_owned()),
            Node::Array(elements) => Value::Array(elements.into_iter().map(Node::into_value).collect()),
            Node::Object(fields) => Value::Object(into_map(fields)),
        }
    }

    /// What it is, without what it says.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::Text(_) => "a string",
            Node::Array(_) => "an array",
            Node::Object(_) => "an object",
        }
    }

    /// What it is and says, cut short.
    pub(super) fn shown(&self) -> String {
        match self {
            Node::Bool(value) => value.to_string(),
            Node::Number(number) => format!("the number {number}"),
            Node::Text(text) => format!("the string {}", show::text(text)),
            Node::Null | Node::Array(_) | Node::Object(_) => self.kind().to_owned(),
        }
    }
}

/// An object's fields, owned.
pub(super) fn into_map(fields: Object<'_>) -> Map<String, Value> {
    // One by one: collecting sorts a list of them first, which for the few fields that objects have takes twice as long.
    let mut map = Map::new();
    for (name, node) in fields {
        map.insert(name.into_owned(), node.into_value());
    }
    map
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Number(number) => number.serialize(serializer),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Array(elements) => serializer.collect_seq(elements),
            Node::Object(fields) => serializer.collect_map(fields.iter().map(|(name, node)| (name, node))),
        }
    }
}

/// Reads a whole document.
pub(super) fn parse(text: &str) -> Result<Node<'_>, BadJob> {
    let fault = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Seed { path: Path::Root, depth: 0, fault: &fault };
    let node = seed.deserialize(&mut reader).map_err(|error| fault.take().unwrap_or_else(|| not_json(text, &error)))?;
    reader.end().map_err(|error| {
        let detail = format!("goes on after the object's end, at line {} column {}", error.line(), error.column());
        BadJob::at(&Path::Root, "trailing_data", detail)
    })?;
    Ok(node)
}

fn not_json(text: &str, error: &serde_json::Error) -> BadJob {
    let detail = match text.starts_with('\u{feff}') {
        true => "starts with a byte order mark, must start with the object".to_owned(),
        false => format!("is not JSON: {error}"),
    };
    BadJob::at(&Path::Root, "not_json", detail)
}

#[derive(Clone, Copy)]
struct Seed<'p> {
    path: Path<'p>,
    depth: usize,
    fault: &'p RefCell<Option<BadJob>>,
}

impl<'p> Seed<'p> {
    fn below(&self, path: Path<'p>) -> Self {
        Self { path, depth: self.depth + 1, fault: self.fault }
    }

    fn fail<E: Error>(&self, path: &Path<'_>, reason: &'static str, detail: String) -> E {
        self.fault.replace(Some(BadJob::at(path, reason, detail)));
        E::custom(reason)
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        match self.depth < MAX_DEPTH {
            true => Ok(()),
            false => Err(self.fail(&self.path, "too_deep", format!("is nested deeper than {MAX_DEPTH} levels"))),
        }
    }
}

impl<'a> DeserializeSeed<'a> for Seed<'_> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Node<'a>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Seed<'_> {
    type Value = Node<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'a>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'a>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'a>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'a>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'a>, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Node<'a>, A::Error> {
        self.check_depth()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(self.below(self.path.element(elements.len())))? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Node<'a>, A::Error> {
        self.check_depth()?;
        let mut fields: Object<'a> = Vec::new();
        let mut many = HashSet::new();
        while let Some(name) = access.next_key_seed(Name)? {
            if is_known(&name, &fields, &mut many) {
                let detail = "stands twice in its object".to_owned();
                return Err(self.fail(&self.path.field(&name), "duplicate_field", detail));
            }
            let value = access.next_value_seed(self.below(self.path.field(&name)))?;
            fields.push((name, value));
        }
        Ok(Node::Object(fields))
    }
}

/// Whether the object has a field of that name already. `many` is filled once there are too many to compare with each.
fn is_known(name: &str, fields: &Object<'_>, many: &mut HashSet<Box<str>>) -> bool {
    if fields.len() < FEW_FIELDS {
        return fields.iter().any(|(known, _)| known == name);
    }
    if many.is_empty() {
        many.extend(fields.iter().map(|(known, _)| known.as_ref().into()));
    }
    !many.insert(name.into())
}

/// Reads a field's name.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Cow<'a, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
