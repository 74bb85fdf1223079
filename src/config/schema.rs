//! The configuration's JSON Schema, for editors and for whoever generates configurations.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::table::{APP_NAME, Absent, Class, Key, Kind, Literal, Rule, Shape, Table};
use super::units::{PER, SIZE, TIME, alternatives};

/// The JSON Schema (draft 2020-12) of the configuration, written from the same table of keys that reads it.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(&ROOT, None);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Tidegate configuration");
    schema
}

/// `base`: the table whose values hold where this one says nothing.
fn table(table: &'static Table, base: Option<&str>) -> Value {
    let base = table.inherits.or(base);
    let keys = || table.all().filter(|key| !matches!(key.shape, Shape::Later));
    let properties: Map<String, Value> = keys().map(|key| (key.name.to_owned(), property(key, base))).collect();
    let required: Vec<&str> = keys().filter(|key| is_required(key)).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    for rule in table.rules {
        apply(rule, &mut schema);
    }
    match table.shorthand {
        None => schema,
        Some(name) => {
            let bare =
                table.key(name).map(|key| shape(&key.shape, base)).expect("a shorthand names a key of its table");
            json!({ "anyOf": [bare, schema] })
        }
    }
}

fn is_required(key: &Key) -> bool {
    matches!(key.shape, Shape::Value(_, Absent::Required))
}

fn apply(rule: &Rule, schema: &mut Value) {
    match rule {
        Rule::Something(_) => schema["minProperties"] = json!(1),
        Rule::Together(keys) => {
            let all = keys.iter().map(|key| (key.to_string(), json!(keys)));
            schema["dependentRequired"] = Value::Object(all.collect());
        }
        Rule::OneOf(groups) => {
            let ways = groups.iter().map(|group| {
                let others = groups.iter().filter(|other| *other != group).flat_map(|other| other.iter());
                let others: Vec<Value> = others.map(|key| json!({ "required": [key] })).collect();
                json!({ "required": group, "not": { "anyOf": others } })
            });
            schema["oneOf"] = ways.collect();
        }
    }
}

fn property(key: &'static Key, base: Option<&str>) -> Value {
    let mut schema = shape(&key.shape, base);
    let mut doc = key.doc.to_owned();
    if let Shape::Value(_, default) = &key.shape {
        match default {
            Absent::Is(literal) if base.is_none() => schema["default"] = json_of(*literal),
            Absent::Derived(what) if base.is_none() => doc = format!("{doc} Default: {what}."),
            Absent::Is(_) | Absent::Derived(_) => {
                doc = format!("{doc} Default: that of [{}].", base.unwrap_or_default());
            }
            Absent::Required | Absent::Unset => {}
        }
    }
    schema["description"] = json!(doc);
    schema
}

fn shape(shape: &'static Shape, base: Option<&str>) -> Value {
    match shape {
        Shape::Value(kind, _) => value(*kind),
        Shape::Table(inner) => table(inner, base),
        Shape::Named(inner) => json!({
            "type": "object",
            "propertyNames": { "pattern": APP_NAME },
            "additionalProperties": table(inner, base),
        }),
        Shape::Rows(inner) => json!({ "type": "array", "items": table(inner, base) }),
        Shape::Later => json!(false),
    }
}

fn value(kind: Kind) -> Value {
    let string = |pattern: String| json!({ "type": "string", "pattern": pattern });
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration { .. } => string(format!("^[0-9]+{}$", alternatives(TIME))),
        Kind::Size { .. } => string(format!("^[0-9]+{}$", alternatives(SIZE))),
        Kind::Rate => string(format!("^(unlimited|0*[1-9][0-9]*/{})$", alternatives(PER))),
        Kind::Text { min, max, class } => string(text(min, max, class)),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Choices(words) => {
            json!({ "type": "array", "items": { "type": "string", "enum": words }, "uniqueItems": true })
        }
        Kind::Address => string(r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$".to_owned()),
        Kind::Endpoint => string("^https://[^/?#@]+/?$".to_owned()),
        Kind::File | Kind::Secret => json!({ "type": "string", "minLength": 1 }),
        Kind::Services => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
        Kind::Networks => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9]+$" } })
        }
        Kind::Secrets => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
    }
}

fn text(min: usize, max: usize, class: Class) -> String {
    format!("^{}{{{min},{max}}}$", class.pattern())
}

fn json_of(literal: Literal) -> Value {
    match literal {
        Literal::Text(text) => json!(text),
        Literal::Whole(number) => json!(number),
        Literal::Flag(flag) => json!(flag),
        Literal::List(items) => json!(items),
    }
}
