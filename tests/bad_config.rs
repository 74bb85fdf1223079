//! Every bad configuration gets its exact message, and no message tells a secret.
//!
//! The corpus stands in `tests/corpus/config/*.txt`, one file a topic, each case with its text, its environment and
//! all that is said of it. `BLESS=1` writes what is said now into the corpus, to be read before it is committed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;

use std::fmt::Write;
use std::path::PathBuf;

use configuration::{CANARY, Credentials};
use tidegate::config::{self, Problems, Severity};

/// One bad configuration.
#[derive(Default)]
struct Case {
    name: String,
    text: String,
    env: String,
    says: String,
}

/// `=== name`, the text, `--- env` and variables, `--- says` and what is said.
fn cases(corpus: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut part = 0;
    for line in corpus.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            part = 0;
        } else if line == "--- env" {
            part = 1;
        } else if line == "--- says" {
            part = 2;
        } else if let Some(case) = cases.last_mut() {
            let text = [&mut case.text, &mut case.env, &mut case.says].into_iter().nth(part).unwrap();
            writeln!(text, "{line}").unwrap();
        }
    }
    cases
}

fn write(cases: &[Case]) -> String {
    let mut corpus = String::new();
    for Case { name, text, env, says } in cases {
        write!(corpus, "=== {name}\n{text}").unwrap();
        if !env.is_empty() {
            write!(corpus, "--- env\n{env}").unwrap();
        }
        write!(corpus, "--- says\n{says}").unwrap();
    }
    corpus
}

fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn problems(case: &Case, credentials: &Credentials) -> Problems {
    let text = case.text.replace("CANARY", CANARY);
    let env = case.env.replace("CANARY", CANARY);
    match config::parse(&text, "tidegate.toml", credentials.path(), variables(&env)) {
        Err(problems) => problems,
        Ok(_) => panic!("{} was taken for a good configuration", case.name),
    }
}

fn corpus() -> Vec<(PathBuf, Vec<Case>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), cases(&std::fs::read_to_string(path).unwrap()))).collect()
}

#[test]
fn every_bad_configuration_gets_its_exact_message() {
    let credentials = Credentials::new();
    let bless = std::env::var_os("BLESS").is_some();
    let (mut count, mut wrong) = (0, String::new());
    for (path, mut cases) in corpus() {
        for case in &mut cases {
            let said = problems(case, &credentials).to_string();
            let said = said.replace(credentials.path().to_str().unwrap(), "<dir>");
            let said = said.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
            if said.trim_end() != case.says.trim_end() {
                write!(wrong, "{}: {}\n{said}\ninstead of\n\n{}\n", path.display(), case.name, case.says).unwrap();
            }
            case.says = said + "\n";
            count += 1;
        }
        if bless {
            std::fs::write(path, write(&cases)).unwrap();
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
    assert!(count >= 60, "the corpus has shrunk to {count} cases");
}

#[test]
fn no_problem_tells_a_secret() {
    let credentials = Credentials::new();
    let mut with_secret = 0;
    for case in corpus().into_iter().flat_map(|(_, cases)| cases) {
        let problems = problems(&case, &credentials);
        with_secret += usize::from((case.text.clone() + &case.env).contains("CANARY"));
        for said in [problems.to_string(), format!("{problems:?}"), format!("{problems:#?}")] {
            assert!(!said.contains(CANARY), "{}: {said}", case.name);
            assert!(!said.contains("PRIVATE KEY-----"), "{}: {said}", case.name);
        }
    }
    assert!(with_secret >= 15, "only {with_secret} cases have a secret to tell");
}

#[test]
fn every_problem_has_a_message_and_a_remedy_and_a_place_that_exists() {
    let credentials = Credentials::new();
    for case in corpus().into_iter().flat_map(|(_, cases)| cases) {
        let problems = problems(&case, &credentials);
        assert!(problems.errors() > 0, "{}", case.name);
        for problem in &problems.0 {
            assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{}: {problem:?}", case.name);
            let Some(place) = &problem.place else { continue };
            let (before, width) = place.caret;
            assert!(place.line >= 1 && place.column >= 1 && width >= 1, "{}: {problem:?}", case.name);
            assert!(before <= place.quote.chars().count(), "{}: {problem:?}", case.name);
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let credentials = Credentials::new();
    let everything = r#"
        nonsense = 1
        [http]
        listen = "0.0.0.0:80"
        [limits]
        memory = 5
        drain_timeout = "forever"
        [source.amqp]
        uri = "nowhere"
        max_prefetch = 0
        [outcomes]
        publish = ["sent"]
        [lanes.low]
        weight = 0
        [providers.fcm]
        rate = "0/s"
        [apps.a.apns]
        key_id = "short"
        [apps.b]
    "#;
    let problems = config::parse(everything, "t", credentials.path(), std::iter::empty()).unwrap_err();
    let keys: Vec<&str> = problems.0.iter().filter(|p| p.severity == Severity::Error).map(|p| p.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "nonsense",
            "http.listen",
            "limits.memory",
            "limits.drain_timeout",
            "source.amqp.uri",
            "source.amqp.max_prefetch",
            "outcomes.publish",
            "lanes.low.weight",
            "providers.fcm.rate",
            "apps.a.apns.topic",
            "apps.a.apns.key_file",
            "apps.a.apns.team_id",
            "apps.a.apns.key_id",
            "apps.b",
        ]
    );
}
