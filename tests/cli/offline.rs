//! What needs neither broker nor provider.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::tempdir;

use super::command::{Ran, Running, run, tidegate};

const COMMANDS: [&str; 13] = [
    "top",
    "tap",
    "dead",
    "serve",
    "demo",
    "enqueue",
    "simulate",
    "check",
    "schema",
    "vapid-keys",
    "job",
    "completions",
    "man",
];

fn check(text: &str) -> Ran {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("tidegate.toml"), text).unwrap();
    run(folder.path(), &["check", "--config", "tidegate.toml", "--print"])
}

#[test]
fn every_help_shows_an_example_and_is_no_error() {
    let folder = tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for command in COMMANDS {
        assert!(help.out.contains(command), "--help names {command}");
        let help = run(folder.path(), &[command, "--help"]);
        assert_eq!((help.code, &*help.err), (Some(0), ""), "{command}");
        let example = help.out.split("Example").nth(1).unwrap_or_default();
        assert!(example.contains(&format!("tidegate {command}")), "{command} --help has an example:\n{}", help.out);
    }
    assert!(help.out.contains("Example"));
    assert_eq!(run(folder.path(), &["--version"]).out, format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_64_and_says_what_is_wrong() {
    let folder = tempdir().unwrap();
    for (args, says) in [
        (&[][..], "Usage: tidegate <COMMAND>"),
        (&["sreve"], "'sreve'"),
        (&["serve", "--cofnig", "x"], "'--cofnig'"),
        (&["schema"], "<OF>"),
        (&["schema", "jobs"], "job, outcome, config"),
        (&["demo", "--pushes", "0"], "1..=100000000"),
        (&["demo", "--targets-per-job", "1001"], "1..=1000"),
        (&["enqueue", "--lane", "urgent"], "high, normal or low"),
        (&["enqueue", "--prefix", "mine"], "--amqp-uri"),
    ] {
        let ran = run(folder.path(), args);
        assert_eq!((ran.code, &*ran.out), (Some(64), ""), "{args:?}");
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
}

#[test]
fn check_says_good() {
    let ran = run(Path::new(env!("CARGO_MANIFEST_DIR")), &["check"]);
    assert_eq!((ran.code, &*ran.out), (Some(0), "config/tidegate.toml: good\n"), "{}", ran.err);
}

#[test]
fn check_names_file_line_key_and_remedy_of_each_problem() {
    let ran = check("[limits]\nmemory = 5\n\n[source.amqp]\nurl = \"amqp://ada:hunter2@rabbit/\"\n");
    assert_eq!((ran.code, &*ran.out), (Some(78), ""));
    for part in ["tidegate.toml:2:", "limits.memory", "MiB", "tidegate.toml:5:", "source.amqp.url", "uri"] {
        assert!(ran.err.contains(part), "{part} is in:\n{}", ran.err);
    }
    assert!(ran.err.contains("= help: "), "{}", ran.err);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    assert!(!ran.err.contains("error: error"), "{}", ran.err);
}

#[test]
fn a_missing_configuration_is_78_for_every_command_that_needs_one() {
    let folder = tempdir().unwrap();
    for command in ["check", "serve", "enqueue"] {
        let ran = run(folder.path(), &[command, "--config", "nowhere.toml"]);
        assert_eq!((ran.code, &*ran.out), (Some(78), ""), "{command}");
        assert!(ran.err.starts_with("error: nowhere.toml doesn't exist"), "{command}: {}", ran.err);
        assert!(ran.err.contains("--config FILE"), "{command}: {}", ran.err);
    }
}

#[test]
fn what_is_in_force_is_printed_without_its_secrets() {
    let text = "[http]\ntokens = [\"hunter2-token\"]\n[source.amqp]\nuri = \"amqp://ada:hunter2@localhost/%2f\"\nprefix = \"mine\"\n";
    let ran = check(text);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("prefix = \"mine\""), "{}", ran.out);
    assert!(!format!("{}{}", ran.out, ran.err).contains("hunter2"), "{}", ran.out);
    let effective = ran.out.parse::<toml::Table>().unwrap();
    assert!(effective["source"]["amqp"].get("uri").is_some(), "masked, and there");
}

fn schema(of: &str) -> Value {
    let ran = run(Path::new("/"), &["schema", of]);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    let schema = serde_json::from_str(&ran.out).unwrap();
    jsonschema::meta::validate(&schema).map_err(|error| error.to_string()).unwrap();
    schema
}

#[test]
fn schemas_are_schemas_and_accept_the_examples() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = readme.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    let (outcomes, jobs): (Vec<&Value>, Vec<&Value>) = examples.iter().partition(|example| example.is_array());
    assert!(!outcomes.is_empty() && !jobs.is_empty());
    for (of, examples) in [("job", jobs), ("outcome", outcomes)] {
        let validator = jsonschema::validator_for(&schema(of)).unwrap();
        for example in
            examples.iter().flat_map(|example| example.as_array().map_or(vec![*example], |all| all.iter().collect()))
        {
            assert!(validator.is_valid(example), "{of}: {example}");
        }
        assert!(!validator.is_valid(&serde_json::json!({"colour": "red"})), "{of} is not just anything");
    }
    let validator = jsonschema::validator_for(&schema("config")).unwrap();
    for name in ["config/tidegate.toml", "config/production.toml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let document = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert!(validator.is_valid(&document), "{name}");
    }
    assert!(!validator.is_valid(&serde_json::json!({"htpp": {}})));
}

/// `tidegate schema job | head -1`, without the race: nobody reads from the beginning.
#[test]
fn nobody_reads_and_nothing_panics() {
    for args in [&["schema", "config"][..], &["--help"], &["check", "--print"]] {
        let mut command = tidegate(Path::new(env!("CARGO_MANIFEST_DIR")), args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Running::start(command.stdout(writer)).ended();
        assert_eq!(ran.code, Some(0), "{args:?}");
        assert!(!ran.err.contains("panicked") && !ran.err.contains("error"), "{args:?}: {}", ran.err);
    }
}

#[test]
fn errors_that_nobody_reads_are_errors_and_no_panic() {
    let mut command = tidegate(Path::new("/"), &["check", "--config", "nowhere.toml"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(Running::start(command.stderr(writer)).ended().code, Some(78));
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = Running::start(tidegate(Path::new("/"), &["schema", "job"]).stdout(Stdio::from(full))).ended();
    assert_eq!(ran.code, Some(74));
    assert!(ran.err.starts_with("error: standard output: "), "{}", ran.err);
}

/// A key that is there is never overwritten: subscriptions are bound to it.
#[test]
fn vapid_keys_makes_a_key_once_and_then_shows_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let path = folder.path().join("vapid.pem");
    let first = run(folder.path(), &["vapid-keys"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    // 65 bytes in base64url, the first of which is 4, and nothing else.
    assert!(first.out.starts_with('B') && first.out.trim_end().len() == 87, "{}", first.out);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!first.out.contains(&text) && !first.err.contains("PRIVATE"), "{}", first.err);
    let second = run(folder.path(), &["vapid-keys", "--out", "vapid.pem"]);
    assert_eq!((second.code, &second.out), (Some(0), &first.out));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let config = "[source.spool]\n[apps.web.webpush]\nkey_file = \"vapid.pem\"\nsubject = \"mailto:ops@example.com\"\n";
    std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
    let checked = run(folder.path(), &["check", "--config", "tidegate.toml"]);
    assert_eq!((checked.code, &*checked.err), (Some(0), ""));

    std::fs::write(&path, "CANARY").unwrap();
    let third = run(folder.path(), &["vapid-keys"]);
    assert_eq!((third.code, &*third.out), (Some(78), ""));
    assert!(!third.err.contains("CANARY"), "{}", third.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "CANARY");
}
