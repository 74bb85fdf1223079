//! PromQL, as far as it takes to know which metrics and labels an expression asks for.

use std::collections::BTreeSet;

use super::exposed::Exposed;

/// What an expression asks for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Metrics, each with the labels that it is filtered by.
    pub(crate) metrics: Vec<(String, BTreeSet<String>)>,
    /// The labels of `by (…)`, and those that `label_values` lists.
    pub(crate) grouped: BTreeSet<String>,
}

/// Labels that the scrape adds.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

impl Asked {
    /// Whether all of it is there.
    pub(crate) fn check(&self, exposed: &Exposed) -> Result<(), String> {
        for (name, filters) in &self.metrics {
            if name == "up" {
                continue;
            }
            let family = exposed.family_of(name).ok_or_else(|| format!("{name} is not exposed"))?;
            let labels = &exposed.families[family].labels;
            if let Some(unknown) = filters.iter().find(|label| !is_there(labels, label)) {
                return Err(format!("{name} has no label {unknown}"));
            }
        }
        let all = self.labels_of_all(exposed);
        match self.grouped.iter().find(|label| *label != "le" && !all.contains(*label)) {
            Some(unknown) => Err(format!("there is no label {unknown}")),
            None if self.metrics.is_empty() => Err("nothing is asked for".to_owned()),
            None => Ok(()),
        }
    }

    /// The labels of all metrics that are asked for.
    pub(crate) fn labels_of_all(&self, exposed: &Exposed) -> BTreeSet<String> {
        let families = self.metrics.iter().filter_map(|(name, _)| exposed.family_of(name));
        let own = families.flat_map(|family| exposed.families[family].labels.iter().cloned());
        own.chain(OF_THE_SCRAPE.map(str::to_owned)).collect()
    }
}

fn is_there(labels: &BTreeSet<String>, label: &str) -> bool {
    labels.contains(label) || OF_THE_SCRAPE.contains(&label) || label == "le"
}

/// Reads an expression: names are metrics unless a bracket follows that makes them functions, or they are words of the
/// language.
pub(crate) fn read(expression: &str) -> Asked {
    let tokens = tokens(expression);
    let mut asked = Asked::default();
    let mut at = 0;
    while at < tokens.len() {
        let follows = |text: &str| tokens.get(at + 1).is_some_and(|token| token == text);
        match tokens[at].as_str() {
            "by" | "without" | "on" | "ignoring" if follows("(") => {
                let end = closing(&tokens, at + 1, ")");
                let names = tokens[at + 2..end].iter().filter(|token| is_name(token));
                asked.grouped.extend(names.cloned());
                at = end;
            }
            "label_values" => {
                let inner: Vec<&String> = tokens[at + 2..].iter().filter(|token| is_name(token)).collect();
                asked.metrics.push((inner[0].clone(), BTreeSet::from([inner[1].clone()])));
                return asked;
            }
            "and" | "or" | "unless" | "bool" | "offset" | "Inf" => {}
            // An aggregation may name its labels before its bracket.
            name if is_name(name) && !["(", "by", "without"].into_iter().any(follows) => {
                let mut filters = BTreeSet::new();
                if follows("{") {
                    let end = closing(&tokens, at + 1, "}");
                    filters.extend(tokens[at + 2..end].iter().filter(|token| is_name(token)).cloned());
                    at = end;
                }
                asked.metrics.push((name.to_owned(), filters));
            }
            "[" => at = closing(&tokens, at, "]"),
            _ => {}
        }
        at += 1;
    }
    asked
}

fn closing(tokens: &[String], from: usize, bracket: &str) -> usize {
    from + tokens[from..].iter().position(|token| token == bracket).expect("the bracket is closed")
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Names, and everything else sign by sign; texts and numbers are left out.
fn tokens(expression: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), expression);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => rest[1..].find('"').expect("a text ends") + 2,
            c if c.is_ascii_alphanumeric() || c == '_' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let token = &rest[..end];
        if !token.starts_with(|c: char| c == '"' || c.is_ascii_digit() || c.is_whitespace()) {
            tokens.push(token.to_owned());
        }
        rest = &rest[end..];
    }
    tokens
}

/// The labels that a text of an alert names: `{{ $labels.app }}`.
pub(crate) fn names_in_template(text: &str) -> Vec<String> {
    let names = text.split("$labels.").skip(1);
    names.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()).collect()
}
