//! What a crash leaves of the spool. A process puts, reads, settles, buries and says what it was promised; it is killed at a
//! random moment, or the power goes: then everything that it was promised must be there, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod disk;
mod full;
mod ledger;
mod life;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use disk::{Loss, PowerLoss};
use ledger::Ledger;

/// A directory on a disk: `/tmp` may be memory.
fn on_disk() -> (TempDir, PathBuf) {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().canonicalize().unwrap();
    (directory, path)
}

/// This binary once more, as the process that will die.
fn start(spool: &Path, seed: u64, power: Option<&PowerLoss>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_life_that_ends_well", "--nocapture", "--test-threads=1"]);
    command.env(life::SPOOL, spool).env(life::SEED, seed.to_string());
    if let Some(power) = power {
        power.watch(&mut command);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Lets it live for a moment (of which the first fifth of cases is spent before it has opened the spool), kills it, and returns
/// what it said.
fn kill(mut child: Child, random: &mut fastrand::Rng) -> String {
    let mut stdout = child.stdout.take().unwrap();
    let mut said = Vec::new();
    if random.u8(..5) > 0 {
        let mut byte = [0];
        while !said.windows(2).any(|pair| pair == b"|O") && stdout.read(&mut byte).unwrap() == 1 {
            said.push(byte[0]);
        }
    }
    let rest = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        rest
    });
    // Not to wait for something: the moment is what is random.
    std::thread::sleep(Duration::from_micros(random.u64(..60_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(rest.join().unwrap());
    String::from_utf8(said).unwrap()
}

fn seed() -> u64 {
    let seed = std::env::var("SPOOL_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SPOOL_CRASH_SEED={seed} makes the same choices again");
    seed
}

/// What the others start as a process of its own. Alone it is a short life with a clean end.
#[test]
fn a_life_that_ends_well() {
    if let (Ok(spool), Ok(seed)) = (std::env::var(life::SPOOL), std::env::var(life::SEED)) {
        // Now and then it ends well, and another one begins; until it is killed.
        let seed: u64 = seed.parse().unwrap();
        let mut say = life::to_stdout();
        (0..).for_each(|nth| life::live(Path::new(&spool), seed.wrapping_add(nth), 50, &mut say));
    }
    let (_directory, path) = on_disk();
    let mut said = String::new();
    life::live(&path.join("spool"), 7, 60, &mut |line| said.push_str(line));
    let mut ledger = Ledger::default();
    ledger.hear(&said);
    assert!(ledger.promises() > 100, "{said}");
    ledger.check(&path.join("spool"), false).unwrap();
}

#[test]
fn after_kill_9_at_any_moment_everything_acknowledged_is_there_and_nothing_settled() {
    const KILLS: usize = 200;
    let mut random = fastrand::Rng::with_seed(seed());
    let (_directory, path) = on_disk();
    let spool = path.join("spool");
    let mut ledger = Ledger::default();
    for nth in 0..KILLS {
        let said = kill(start(&spool, random.u64(..), None), &mut random);
        ledger.hear(&said);
        ledger.check(&spool, true).unwrap_or_else(|wrong| panic!("kill {nth}: {wrong}"));
    }
    assert!(ledger.promises() > 2_000, "too little happened: {}", ledger.promises());
    println!("{KILLS} kills: {ledger}");
}

/// Rounds of losing power; the ledger of what had been promised, or what was wrong.
fn lose_power(rounds: usize, syncs: bool) -> Result<Ledger, String> {
    let mut random = fastrand::Rng::with_seed(seed());
    let (_directory, path) = on_disk();
    let shim = disk::build("power_loss", &path);
    let spool = path.join("spool");
    let mut ledger = Ledger::default();
    for nth in 0..rounds {
        let power = PowerLoss::new(&shim, &spool, path.join(format!("writes.{nth}")));
        let said = kill(start(&spool, random.u64(..), Some(&power)), &mut random);
        let loss = match random.u8(..3) {
            0 => Loss::All,
            1 => Loss::Torn,
            _ => Loss::Some,
        };
        power.lose(loss, syncs, &mut random);
        ledger.hear(&said);
        ledger.check(&spool, false).map_err(|wrong| format!("loss {nth} ({loss:?}): {wrong}"))?;
    }
    println!("{rounds} losses of power: {ledger}");
    Ok(ledger)
}

#[test]
fn after_a_loss_of_power_everything_acknowledged_is_there_and_the_store_is_whole() {
    let ledger = lose_power(60, true).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(ledger.promises() > 500, "too little happened: {}", ledger.promises());
}

#[test]
fn a_full_disk_refuses_and_what_was_promised_is_kept_until_there_is_room() {
    if let (Ok(spool), Ok(full)) = (std::env::var(life::SPOOL), std::env::var(full::FULL)) {
        return full::live(Path::new(&spool), Path::new(&full));
    }
    let (_directory, path) = on_disk();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_full_disk_refuses_and_what_was_promised_is_kept_until_there_is_room", "--nocapture"]);
    command.env("LD_PRELOAD", disk::build("disk_full", &path)).env("DISK_FULL_DIRECTORY", path.join("spool"));
    command.env(life::SPOOL, path.join("spool")).env(full::FULL, path.join("is_full"));
    assert!(command.status().unwrap().success());
}

/// Else the test of a loss of power would prove nothing.
#[test]
fn were_syncs_to_do_nothing_the_loss_would_be_seen() {
    assert!(lose_power(20, false).is_err());
}
