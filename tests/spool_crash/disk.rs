//! A disk that loses power: of what was written since a file was last synced, it keeps nothing, or the first writes
//! and a part of the next, or whichever it likes. See `tests/data/power_loss.c`, which notes the writes down.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes that a disk writes wholly or not at all.
const SECTOR: usize = 512;

/// Compiles a shim of `tests/data`; it is a library to be preloaded.
pub(crate) fn build(name: &str, directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension("c");
    let library = directory.join(name).with_extension("so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success(), "the C compiler, `cc`, is needed");
    library
}

/// What is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// Everything that was not synced.
    All,
    /// What follows some point; the write at that point is torn.
    Torn,
    /// Whatever: each write by itself is kept, torn or lost.
    Some,
}

pub(crate) struct PowerLoss {
    shim: PathBuf,
    directory: PathBuf,
    log: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Write,
    Truncate,
    Sync,
    Create,
    Unlink,
}

struct Change {
    kind: Kind,
    path: PathBuf,
    at: u64,
    size_before: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl PowerLoss {
    pub(crate) fn new(shim: &Path, directory: &Path, log: PathBuf) -> Self {
        Self { shim: shim.to_owned(), directory: directory.to_owned(), log }
    }

    pub(crate) fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.shim);
        command.env("POWER_LOSS_DIRECTORY", &self.directory).env("POWER_LOSS_LOG", &self.log);
    }

    /// Puts the files to what a loss of power leaves. Without `syncs` as if none had ever been synced.
    pub(crate) fn lose(&self, loss: Loss, syncs: bool, random: &mut fastrand::Rng) {
        let changes = parse(&fs::read(&self.log).unwrap_or_default());
        let unsynced = unsynced(&changes, syncs);
        unsynced.iter().rev().for_each(|change| change.undo());
        match loss {
            Loss::All => {}
            Loss::Torn if unsynced.is_empty() => {}
            Loss::Torn => {
                let (kept, lost) = unsynced.split_at(random.usize(..unsynced.len()));
                kept.iter().for_each(|change| change.redo(usize::MAX));
                lost[0].redo(random.usize(..=lost[0].new.len()) / SECTOR * SECTOR);
            }
            Loss::Some => {
                let same_size = |change: &&&Change| matches!(change.kind, Kind::Write);
                for change in unsynced.iter().filter(same_size) {
                    match random.u8(..4) {
                        0 => change.redo(random.usize(..=change.new.len()) / SECTOR * SECTOR),
                        1 => {}
                        _ => change.redo(usize::MAX),
                    }
                }
            }
        }
        // Memory of processes, in a file.
        let _ = fs::remove_file(self.directory.join("spool.db-shm"));
    }
}

/// The changes that no sync of their file (or, of names, of the directory) followed.
fn unsynced(changes: &[Change], syncs: bool) -> Vec<&Change> {
    let mut synced: BTreeMap<&Path, usize> = BTreeMap::new();
    if syncs {
        let all = changes.iter().enumerate().filter(|(_, change)| change.kind == Kind::Sync);
        synced.extend(all.map(|(nth, change)| (&*change.path, nth)));
    }
    let is_synced = |nth: usize, change: &Change| {
        let by = match change.kind {
            Kind::Create | Kind::Unlink => change.path.parent().unwrap(),
            _ => &change.path,
        };
        synced.get(by).is_some_and(|sync| *sync > nth)
    };
    let real = changes.iter().enumerate().filter(|(_, change)| change.kind != Kind::Sync);
    real.filter(|(nth, change)| !is_synced(*nth, change)).map(|(_, change)| change).collect()
}

impl Change {
    fn undo(&self) {
        match self.kind {
            Kind::Write | Kind::Truncate => {
                // A file that was made and whose name is lost has nothing to undo.
                let Ok(file) = File::options().write(true).open(&self.path) else { return };
                file.write_all_at(&self.old, self.at).unwrap();
                file.set_len(self.size_before).unwrap();
            }
            Kind::Create => drop(fs::remove_file(&self.path)),
            Kind::Unlink => {
                let _ = fs::remove_file(&self.path);
                fs::hard_link(self.kept(), &self.path).unwrap();
            }
            Kind::Sync => {}
        }
    }

    /// Does it again, a write as far as so many bytes.
    fn redo(&self, bytes: usize) {
        match self.kind {
            Kind::Write => {
                let Ok(file) = File::options().write(true).open(&self.path) else { return };
                file.write_all_at(&self.new[..bytes.min(self.new.len())], self.at).unwrap();
            }
            Kind::Truncate => {
                if let Ok(file) = File::options().write(true).open(&self.path) {
                    file.set_len(self.at).unwrap();
                }
            }
            Kind::Create => drop(File::options().create(true).append(true).open(&self.path).unwrap()),
            Kind::Unlink => fs::remove_file(&self.path).unwrap(),
            Kind::Sync => {}
        }
    }

    fn kept(&self) -> PathBuf {
        PathBuf::from(String::from_utf8(self.new.clone()).unwrap())
    }
}

/// The log; a record that has no end is of something that did not happen.
fn parse(mut log: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(change) = record(&mut log) {
        changes.push(change);
    }
    changes
}

fn record(log: &mut &[u8]) -> Option<Change> {
    let kind = match number::<4>(log)? {
        1 => Kind::Write,
        2 => Kind::Truncate,
        3 => Kind::Sync,
        4 => Kind::Create,
        5 => Kind::Unlink,
        other => panic!("what is {other}?"),
    };
    let (path, at, size_before) = (number::<4>(log)?, number::<8>(log)?, number::<8>(log)?);
    let (old, new) = (number::<4>(log)?, number::<4>(log)?);
    let path = String::from_utf8(bytes(log, path)?).unwrap().into();
    Some(Change { kind, path, at, size_before, old: bytes(log, old)?, new: bytes(log, new)? })
}

fn number<const LEN: usize>(log: &mut &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    number[..LEN].copy_from_slice(&bytes(log, LEN as u64)?);
    Some(u64::from_le_bytes(number))
}

fn bytes(log: &mut &[u8], count: u64) -> Option<Vec<u8>> {
    let (bytes, rest) = log.split_at_checked(usize::try_from(count).unwrap())?;
    *log = rest;
    Some(bytes.to_vec())
}
