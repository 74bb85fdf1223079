//! `/metrics` is what SPEC.md, section 8, names; what is made for it (dashboard, rules, alerts) asks only for what is
//! there, and Prometheus' own tool reads all of it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod support;

#[path = "metrics/exposed.rs"]
mod exposed;

#[path = "metrics/query.rs"]
mod query;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::simulator::SimulatorSettings;

use exposed::{Exposed, everything};
use query::{names_in_template, read};
use support::eventually;
use support::world::{Served, Station, jobs};

/// SPEC.md, section 8: what must be there, its kind, its labels.
const CONTRACT: &[(&str, &str, &[&str])] = &[
    ("tidegate_jobs_total", "counter", &["source", "lane", "result"]),
    ("tidegate_pushes_total", "counter", &["app", "provider", "lane", "outcome", "reason"]),
    ("tidegate_push_seconds", "histogram", &["provider", "lane"]),
    ("tidegate_attempt_seconds", "histogram", &["provider"]),
    ("tidegate_retries_total", "counter", &["provider", "reason"]),
    ("tidegate_waiting", "gauge", &["app", "provider", "lane"]),
    ("tidegate_oldest_waiting_seconds", "gauge", &["app", "provider", "lane"]),
    ("tidegate_in_flight", "gauge", &["app", "provider"]),
    ("tidegate_concurrency_limit", "gauge", &["app", "provider"]),
    ("tidegate_rate_limit", "gauge", &["app", "provider"]),
    ("tidegate_breaker_state", "gauge", &["app", "provider"]),
    ("tidegate_connections", "gauge", &["app", "provider"]),
    ("tidegate_demand", "gauge", &["source", "lane"]),
    ("tidegate_unsettled", "gauge", &["source", "lane"]),
    ("tidegate_credential_expiry_timestamp_seconds", "gauge", &["app", "provider"]),
];

/// What there is beyond the contract. A name that is on neither list is a mistake, or belongs here.
const BEYOND: &[&str] = &[
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "tidegate_build_info",
    "tidegate_config_reload_failed",
    "tidegate_config_reloads_total",
    "tidegate_log_lines_left_out_total",
    "tidegate_memory_held_bytes",
    "tidegate_memory_limit_bytes",
    "tidegate_outcome_events_total",
    "tidegate_outcome_events_unheard_total",
    "tidegate_ready",
    "tidegate_spool_dead_letters",
    "tidegate_spool_jobs",
    "tidegate_spool_later_jobs",
    "tidegate_spool_used_bytes",
];

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(root(name)).unwrap()
}

#[test]
fn what_is_exposed_is_what_the_contract_names() {
    let exposed = Exposed::parse(&everything());
    for (name, kind, labels) in CONTRACT {
        let family = exposed.families.get(*name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.kind, *kind, "{name}");
        let labels: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(family.labels, labels, "{name}");
    }
    let named: BTreeSet<&str> = CONTRACT.iter().map(|(name, ..)| *name).chain(BEYOND.iter().copied()).collect();
    let there: BTreeSet<&str> = exposed.families.keys().map(String::as_str).collect();
    assert_eq!(there, named);
}

#[test]
fn each_says_what_it_is_and_in_which_unit() {
    let exposed = Exposed::parse(&everything());
    for (name, family) in &exposed.families {
        assert!(family.help.len() > 8, "{name}: {:?}", family.help);
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let unit = ["seconds", "bytes"].into_iter().find(|unit| stem.ends_with(&format!("_{unit}")));
        assert_eq!(family.unit.as_deref(), unit, "{name}");
    }
}

/// The expressions of a file of rules, with the names that they record and the labels that their texts name.
fn rules(name: &str) -> Vec<(String, Option<String>, Vec<String>)> {
    let file: Value = serde_saphyr::from_str(&text_of(name)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let found: Vec<_> = rules
        .map(|rule| {
            let texts = rule["annotations"].as_object().into_iter().flat_map(|texts| texts.values());
            let labels = texts.flat_map(|text| names_in_template(text.as_str().unwrap())).collect();
            (rule["expr"].as_str().unwrap().to_owned(), rule["record"].as_str().map(str::to_owned), labels)
        })
        .collect();
    assert!(found.len() > 5, "{name}");
    found
}

/// All values of the key `expr` (and the variables' `definition`) below `value`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" || name == "definition" => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn rules_and_alerts_ask_for_what_is_there() {
    let mut exposed = Exposed::parse(&everything());
    for (expression, record, _) in rules("config/prometheus/rules.yml") {
        let asked = read(&expression);
        asked.check(&exposed).unwrap_or_else(|why| panic!("{why} in {expression}"));
        exposed.recorded(record.unwrap(), asked.grouped);
    }
    for (expression, _, labels) in rules("config/prometheus/alerts.yml") {
        let asked = read(&expression);
        asked.check(&exposed).unwrap_or_else(|why| panic!("{why} in {expression}"));
        for label in labels {
            let there = if asked.grouped.is_empty() { asked.labels_of_all(&exposed) } else { asked.grouped.clone() };
            assert!(there.contains(&label), "a text names {label}, which {expression} has not");
        }
    }
}

#[test]
fn the_dashboard_asks_for_what_is_there() {
    let dashboard: Value = serde_json::from_str(&text_of("config/grafana/tidegate.json")).unwrap();
    let exposed = Exposed::parse(&everything());
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 30, "{}", found.len());
    let mut asked_for = BTreeSet::new();
    for expression in found {
        let asked = read(&expression);
        asked.check(&exposed).unwrap_or_else(|why| panic!("{why} in {expression}"));
        asked_for.extend(asked.metrics.into_iter().map(|(name, _)| exposed.family_of(&name).unwrap().to_owned()));
    }
    // A metric of the contract that nobody sees is of no use.
    for (name, ..) in CONTRACT {
        assert!(asked_for.contains(*name), "no panel shows {name}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "panels have ids of their own");
}

/// The reader of expressions is no use if it overlooks mistakes.
#[test]
fn mistakes_in_expressions_are_found() {
    let exposed = Exposed::parse(&everything());
    for (wrong, says) in [
        ("rate(tidegate_pushs_total[1m])", "tidegate_pushs_total"),
        ("sum by (colour) (tidegate_waiting)", "colour"),
        ("tidegate_jobs_total{app=\"chat\"} > 1", "app"),
        ("tidegate_ready{instance=\"a\"} == 0 and tidegate:nothing:rate1m > 0", "tidegate:nothing:rate1m"),
        ("label_values(tidegate_ready, app)", "app"),
    ] {
        let why = read(wrong).check(&exposed).unwrap_err();
        assert!(why.contains(says), "{wrong}: {why}");
    }
    let good = "histogram_quantile(0.5, sum by (lane, le) (rate(tidegate_push_seconds_bucket{provider=~\"$p\"}[5m])))";
    assert_eq!(read(good).check(&exposed), Ok(()));
}

fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(root(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian's package prometheus) is there");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_accepts_rules_alerts_and_scrape_configuration_and_alerts_fire() {
    for args in [
        &["check", "rules", "config/prometheus/rules.yml", "config/prometheus/alerts.yml"][..],
        &["check", "config", "config/prometheus/prometheus.yml"],
        &["test", "rules", "tests/data/alerts_test.yml"],
    ] {
        let (good, said) = promtool(args, "");
        assert!(good && said.contains("SUCCESS"), "{args:?}: {said}");
    }
}

/// OpenMetrics text as `promtool tsdb create-blocks-from openmetrics` reads it: each sample needs a time.
fn with_times(page: &str) -> String {
    let line = |line: &str| match line.split_once(" # ") {
        _ if line.starts_with('#') => line.to_owned(),
        Some((sample, exemplar)) => format!("{sample} 1795600000 # {exemplar}"),
        None => format!("{line} 1795600000"),
    };
    page.lines().map(|text| line(text) + "\n").collect()
}

/// A real page, with pushes delivered, a rate without limit and exemplars, in both formats.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_what_a_running_instance_shows() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let traced = r#"{"app":"chat","to":[{"fcm":"token"}],"notification":{"title":"hi"},
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    let traced = ("traced".to_owned(), traced.replace('\n', "").into());
    let (status, answer) = served.post(jobs(40).chain([traced])).await;
    assert_eq!(status, 202, "{answer}");
    eventually("all are delivered", || async {
        let delivered = served.status().await["outcomes"]["delivered"] == 41;
        delivered.then_some(())
    })
    .await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = |accept: &'static str| {
        let request = client.get(format!("http://{}/metrics", served.address())).header("accept", accept);
        async {
            let answer = request.send().await.unwrap();
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            (kind, answer.text().await.unwrap())
        }
    };
    let (kind, classic) = page("*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let (good, said) = promtool(&["check", "metrics"], &classic);
    assert!(good && said.is_empty(), "{said}\n{classic}");

    let (kind, open) = page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"}"), "{open}");
    let (file, out) = (station.folder.path().join("page.txt"), station.folder.path().join("blocks"));
    std::fs::write(&file, with_times(&open)).unwrap();
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let (good, said) = promtool(&["tsdb", "create-blocks-from", "openmetrics", file, out], "");
    assert!(good, "{said}\n{open}");

    // What is shown is what is exposed, no more: nothing is registered on the way.
    let shown = Exposed::parse(&open);
    let known = Exposed::parse(&everything());
    for (name, family) in &shown.families {
        assert_eq!(known.families.get(name).map(|known| &known.kind), Some(&family.kind), "{name}");
    }
    for name in ["tidegate_pushes_total", "tidegate_waiting", "tidegate_in_flight", "tidegate_spool_used_bytes"] {
        assert!(shown.families.contains_key(name), "{name}");
    }
}
