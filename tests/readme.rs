//! Every example of README is what the schemas and the code say it is, and what README names is there.

use std::path::Path;

use serde_json::Value;
use tidegate::job::{Defaults, decode};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("it can be read")
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = read("README.md");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn accepts(schema: &Value, instance: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    validator.validate(instance).map_err(|error| format!("{error} in {instance}"))
}

#[test]
fn json_examples_follow_the_schemas() {
    let mut jobs = 0;
    for block in blocks("json") {
        let example: Value = serde_json::from_str(&block).expect("the example is JSON");
        match example.as_array() {
            Some(outcomes) => {
                for outcome in outcomes {
                    accepts(&tidegate::outcome::schema(), outcome).expect("an outcome");
                }
            }
            None => {
                jobs += 1;
                accepts(&tidegate::job::schema(), &example).expect("a job");
                decode(block.as_bytes(), Defaults::default()).map_err(|error| error.detail).expect("a job");
            }
        }
    }
    assert!(jobs > 0);
}

/// The jobs of the shell examples, one a line.
#[test]
fn jobs_in_shell_examples_are_jobs() {
    let mut jobs = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()).filter(|line| line.starts_with('{')) {
        jobs += 1;
        decode(line.as_bytes(), Defaults::default()).unwrap_or_else(|error| panic!("{}: {line}", error.detail));
    }
    assert!(jobs > 0);
}

#[test]
fn toml_examples_are_configurations() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let text = format!("[source.amqp]\nuri = \"amqp://127.0.0.1\"\n{block}");
        tidegate::config::parse(&text, "README.md", Path::new("."), std::iter::empty())
            .unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// "Each promise has a test that bears its name": it is in the file that the row names.
#[test]
fn each_promise_is_shown_by_the_test_that_is_named() {
    let text = read("README.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [number, _, shown] = cells[..] else { return None };
        Some((number.trim().parse::<usize>().ok()?, shown.to_owned()))
    });
    let mut promised = 0;
    for (number, shown) in rows {
        promised += 1;
        assert_eq!(number, promised, "one row for each promise, in order");
        let file = shown.split('`').nth(1).expect("a file is named");
        let name = format!("fn promise_{number:02}_");
        assert!(read(file).lines().any(|line| line.contains(&name)), "{file} has no {name}…");
    }
    assert_eq!(promised, 12);
}

/// Files of this repository, examples and benches.
#[test]
fn what_readme_names_is_there() {
    let text = read("README.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = || text.split(|c: char| c.is_whitespace() || "`()|,;".contains(c));
    let mut named = 0;
    for word in words().filter(|word| ["tests/", "src/", "config/"].iter().any(|folder| word.starts_with(folder))) {
        named += 1;
        assert!(root.join(word).exists(), "{word}");
    }
    for (flag, folder) in [("--example", "examples"), ("--bench", "benches")] {
        for (_, name) in words().zip(words().skip(1)).filter(|(word, _)| *word == flag) {
            named += 1;
            assert!(root.join(folder).join(name).with_extension("rs").exists(), "{flag} {name}");
        }
    }
    assert!(named > 20, "{named}");
}

/// The jobs within the Python, Node and Go examples: JSON, or nearly.
#[test]
fn jobs_in_foreign_examples_are_jobs() {
    let go = &blocks("go")[0];
    let go = go.split('`').nth(1).expect("the Go example has its job in backquotes").to_owned();
    let python = &blocks("python")[0];
    let python =
        python.lines().find_map(|line| line.strip_prefix("job = ")).expect("the Python example has a job").to_owned();
    let node = &blocks("js")[0];
    let node = node.lines().find_map(|line| line.strip_prefix("const job = ")).expect("the Node example has a job");
    let mut node = node.trim_end_matches(';').to_owned();
    for key in ["app", "to", "fcm", "notification", "title", "body"] {
        node = node
            .replace(&format!("{{ {key}:"), &format!("{{ \"{key}\":"))
            .replace(&format!(", {key}:"), &format!(", \"{key}\":"));
    }
    for (language, job) in [("Go", go), ("Python", python), ("Node", node)] {
        let job =
            decode(job.as_bytes(), Defaults::default()).unwrap_or_else(|error| panic!("{language}: {}", error.detail));
        assert_eq!(&*job.app, "chat", "{language}");
    }
}
