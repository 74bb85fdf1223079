//! A deterministic world: models of callers, broker and providers around the machines that decide, on virtual time, from
//! one seed. Each file of `tests/scenarios` is a scenario with the intervals that it must meet; the laws of conservation
//! are checked after every event (`world/laws.rs`): nothing lost, nothing settled twice, bounds kept,
//! nothing late, no route's or app's push in another's hands, no rate passed in any window.
//!
//! `TIDEGATE_SEED=7` runs that seed alone, `TIDEGATE_SEEDS=1000` so many. With `TIDEGATE_FIGURES=1` every figure is
//! printed, whether it holds or not; a run that fails leaves its trace, a line a second, in the target's `tmp/world`.

#![allow(unreachable_pub, missing_docs, reason = "a test's own modules")]

#[path = "world/broker.rs"]
mod broker;
#[path = "world/laws.rs"]
mod laws;
#[path = "world/ledger.rs"]
mod ledger;
#[path = "world/measure.rs"]
mod measure;
#[path = "world/provider.rs"]
mod provider;
#[path = "world/route.rs"]
mod route;
#[path = "world/run.rs"]
mod run;
#[path = "world/scenario.rs"]
mod scenario;
#[path = "world/trace.rs"]
mod trace;
#[path = "world/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Write;

use ledger::Ledger;
use measure::{Measure, Part};
use scenario::Scenario;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// Runs a scenario with all its seeds.
fn holds(name: &str) {
    let scenario = scenario::read(name);
    let seeds = match number("TIDEGATE_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("TIDEGATE_SEEDS").unwrap_or(scenario.seeds),
    };
    for seed in seeds {
        let ledger = run::run(&scenario, seed);
        let misses = misses(&scenario, &ledger, seed);
        if !misses.is_empty() {
            let trace = trace::write(name, seed, &scenario, &ledger);
            panic!(
                "scenario {name} ({}), seed {seed}:\n{misses}trace: {}\nagain: TIDEGATE_SEED={seed} cargo nextest run --test world {name}",
                scenario.shows,
                trace.display()
            );
        }
    }
}

/// What does not hold, a line each.
fn misses(scenario: &Scenario, ledger: &Ledger, seed: u64) -> String {
    let mut misses = String::new();
    for law in &ledger.broken {
        let _ = writeln!(misses, "  broken: {law}");
    }
    if !ledger.broken.is_empty() {
        return misses;
    }
    let mut look = |span: &str, part: &Part<'_>, expect: &BTreeMap<Measure, [f64; 2]>| {
        for (measure, [least, most]) in expect {
            let figure = part.figure(*measure);
            if std::env::var_os("TIDEGATE_FIGURES").is_some() {
                println!("{seed:>4} {span}: {measure:?} = {figure:.4} in [{least}, {most}]");
            }
            if !(*least..=*most).contains(&figure) {
                let _ = writeln!(misses, "  {span}: {measure:?} is {figure:.4}, not in [{least}, {most}]");
            }
        }
    };
    look("all", &Part::new(scenario, ledger, None), &scenario.expect);
    for (name, span) in &scenario.span {
        look(name, &Part::new(scenario, ledger, Some(span)), &span.expect);
    }
    misses
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                holds(stringify!($name));
            }
        )*
        const SCENARIOS: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios![
    brown_out_refusing,
    brown_out_wide,
    brown_out_little,
    overload_refusing,
    overload_levels,
    throttled_devices,
    refused_streams,
    broken_credential,
    brown_out_slow,
    burst,
    collapse_storm,
    crash,
    cut,
    dead_tokens,
    deadlines,
    diurnal,
    fan_out,
    flash_crowd,
    knee,
    knee_8,
    knee_32,
    lane_shares,
    low_flood,
    mass_death,
    noisy_app,
    outage,
    overload,
    quota_window,
    rate_exact,
    retry_after,
    shed_newest,
    shed_oldest,
    steady,
    stream_limit,
    stuck_route,
];

#[test]
fn every_scenario_is_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the scenarios are there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path.file_stem().expect("it has a name").to_string_lossy().into_owned());
        }
    }
    files.sort();
    let mut known = SCENARIOS.to_vec();
    known.sort_unstable();
    assert_eq!(files, known);
}

/// The same seed, the same world: to the last attempt.
#[test]
fn a_seed_replays() {
    let scenario = scenario::read("steady");
    let story = |seed| {
        let ledger = run::run(&scenario, seed);
        let attempts: Vec<_> =
            ledger.attempts.iter().map(|attempt| (attempt.push, attempt.at, attempt.answer)).collect();
        let outcomes: Vec<_> = ledger.records.iter().map(|record| record.outcome).collect();
        (attempts, outcomes)
    };
    assert!(story(7) == story(7), "two runs of one seed differ");
    assert!(story(7) != story(8), "two seeds are one");
}
