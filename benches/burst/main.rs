//! Bursts, measured: `cargo bench --bench burst`, with `-- --quick` in seconds.
//!
//! ```text
//! this program ──jobs──▶ broker or spool ──▶ tidegate serve ──TLS, HTTP/2──▶ tidegate simulate
//!                                                  ▲ looked at ten times a second: /v1/status, /metrics, /proc
//! ```
//!
//! Each box is a process of its own, so each has its own bill of CPU. A scenario starts from nothing and ends with
//! everything ended; pipeline and provider must agree on what was delivered. In the same run, on the same machine: what
//! `h2load` takes to send the same requests to the same simulator (the yardstick of the ratios), and what a broker takes
//! for a consumer that does nothing else. The table goes to standard output, `results.json` and `burst.svg` to
//! `target/burst/`.
//!
//! `--pushes N` sets the size of the largest burst of one target a job (1,000,000), `--only a,b` plays these scenarios
//! alone, `--peers` plays the same for programs in other languages too (`benches/peers`).

#![allow(missing_docs, unreachable_pub, reason = "a measurement, no library")]

mod account;
mod amqp;
mod ground;
mod jobs;
mod numbers;
mod peers;
mod plot;
mod run;
mod scenarios;
mod table;
mod yardstick;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tidegate::source::amqp::PrivateBroker;
use tokio::runtime::Runtime;

use run::{Figures, Ground, Scenario, Source};
use scenarios::Size;
use table::Results;

/// What is asked for.
struct Options {
    quick: bool,
    pushes: u64,
    only: Vec<String>,
    peers: bool,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self { quick: false, pushes: 0, only: Vec::new(), peers: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo says so itself.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--peers" => options.peers = true,
                "--pushes" => {
                    let count = words.next().and_then(|count| count.replace('_', "").parse().ok());
                    options.pushes = count.ok_or("--pushes wants a number")?;
                }
                "--only" => {
                    let names = words.next().ok_or("--only wants names of scenarios")?;
                    options.only = names.split(',').map(ToOwned::to_owned).collect();
                }
                other => return Err(format!("{other}? There are --quick, --pushes N, --only a,b, --peers")),
            }
        }
        if options.pushes == 0 {
            options.pushes = if options.quick { 20_000 } else { 1_000_000 };
        }
        Ok(options)
    }

    fn wants(&self, key: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == key)
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(if self.quick { 3 } else { 15 })
    }
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    // Beside the build, as criterion's are.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../burst");
    let results = match play(&options, &target) {
        Ok(results) => results,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", table::render(&results));
    let written = fs::write(target.join("results.json"), table::json(&results))
        .and_then(|()| fs::write(target.join("burst.svg"), plot::render(&results.played)));
    match written {
        Ok(()) => println!("\nresults.json and burst.svg are in {}", target.display()),
        Err(error) => eprintln!("{}: {error}", target.display()),
    }
    if results.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(options: &Options, target: &Path) -> Result<Results, String> {
    fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    // On the disk of the build, not in memory: the spool's and the broker's syncs are part of what is measured.
    let folder = tempfile::TempDir::new_in(target).map_err(|error| error.to_string())?;
    let mut results = Results::default();
    let broker = match runtime.block_on(PrivateBroker::start()) {
        Ok(broker) => Some(broker),
        Err(error) => {
            results.missing.push(format!("RabbitMQ: {error}"));
            None
        }
    };
    let ground = Ground { runtime: &runtime, folder: folder.path(), broker: broker.as_ref() };

    measure_h2load(&ground, options, &mut results);
    if let Some(broker) = &broker {
        match yardstick::bare_consumer(&ground, broker, options.pushes / 4) {
            Ok(micros) => results.bare_consumer = Some(micros),
            Err(error) => results.missing.push(format!("bare consumer: {error}")),
        }
    }
    let size = Size { pushes: options.pushes, overload: options.seconds() };
    for scenario in scenarios::all(size).into_iter().filter(|scenario| options.wants(scenario.key)) {
        one(&ground, &scenario, &mut results);
    }
    if options.wants("half-load")
        && let Some(rate) = results.rate_of("amqp-live")
    {
        one(&ground, &scenarios::half_load(rate / 2.0, options.seconds()), &mut results);
    }
    if options.peers
        && let Some(broker) = &broker
    {
        for peer in peers::all() {
            let played = peer.and_then(|peer| {
                let pushes = (options.pushes * peer.permille / 1000).max(1_000);
                peer.play(&ground, broker, pushes).map_err(|error| format!("{}: {error}", peer.name))
            });
            match played {
                Ok(figures) => results.peers.push(figures),
                Err(error) => results.missing.push(error),
            }
        }
    }
    measure_h2load(&ground, options, &mut results);
    Ok(results)
}

fn measure_h2load(ground: &Ground<'_>, options: &Options, results: &mut Results) {
    match yardstick::h2load(ground, options.pushes / 2) {
        // A machine with other work makes it look worse than it is, never better.
        Ok(sends) if results.h2load.is_none_or(|known| sends.micros < known.micros) => results.h2load = Some(sends),
        Ok(_) => {}
        Err(error) => results.missing.push(format!("h2load: {error}")),
    }
}

fn one(ground: &Ground<'_>, scenario: &Scenario, results: &mut Results) {
    if scenario.source == Source::Broker && ground.broker.is_none() {
        results.missing.push(format!("{}: there is no broker", scenario.key));
        return;
    }
    match ground.play(scenario) {
        Ok(figures) => {
            eprintln!("{}", said(&figures));
            results.played.push(figures);
        }
        Err(error) => {
            eprintln!("{}: {error}", scenario.key);
            results.failed.push(format!("{}: {error}", scenario.key));
        }
    }
}

fn said(figures: &Figures) -> String {
    let (key, ended) = (figures.scenario.key, numbers::grouped(figures.ended));
    let micros = figures.micros(figures.cpu.pipeline);
    format!("{key}: {ended} in {:.1} s, {:.0}/s, {micros:.2} us a push", figures.took, figures.rate())
}
