//! Every example of README and `config/` is what the schemas and the code say it is.

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
