//! The spool's directory: the store, the lock, and how far was handed out.
//!
//! | file | what |
//! | --- | --- |
//! | `spool.db` (`-wal`, `-shm`) | the store; any SQLite shell opens it |
//! | `lock` | held by the process that serves; its content means nothing |
//! | `handed` | how far each strand was handed out: 16 bytes a strand; empty after a clean end |
//!
//! `handed` is written before jobs are handed out and never synced: it survives the end of the process, which is what it is
//! for (whose fault was the crash?), and not the end of the power, which no job brings about.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{OpenError, StrandId};

/// Bytes of one strand's place in `handed`.
const SLOT: usize = 16;

/// The store's file below a spool's directory.
pub(super) fn store(directory: &Path) -> PathBuf {
    directory.join("spool.db")
}

/// The directory, locked for this process until it is dropped.
pub(super) struct Directory {
    _lock: File,
    handed: File,
}

impl Directory {
    /// Makes what is missing, and locks.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let store = |what: &str, error: io::Error| OpenError::Store(path.to_owned(), format!("{what}: {error}"));
        if !path.is_dir() {
            make(path).map_err(|error| store("the directory can't be made", error))?;
        }
        // For nobody else, in a directory that was there before, too. SQLite gives its log the mode of the store.
        let options = || File::options().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let open = |name| options().open(path.join(name));
        let lock = open("lock").map_err(|error| store("can't be written to", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(store("can't be locked", error)),
        }
        let handed = open("handed").map_err(|error| store("can't be written to", error))?;
        // Made here for its mode; empty, it is a store that SQLite has not begun.
        open("spool.db").map_err(|error| store("can't be written to", error))?;
        Ok(Self { _lock: lock, handed })
    }

    /// How far each strand had been handed out when the last process ended without [`clean`](Self::clean).
    pub(super) fn suspects(&self) -> io::Result<Vec<(StrandId, Handed)>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &self.handed, &mut bytes)?;
        let slots = (0..).map(StrandId).zip(bytes.chunks_exact(SLOT));
        Ok(slots
            .map(|(id, slot)| (id, Handed::read(slot)))
            .filter(|(_, handed)| *handed != Handed::default())
            .collect())
    }

    /// A handle for the reader.
    pub(super) fn handed(&self) -> io::Result<HandedFile> {
        self.handed.try_clone().map(HandedFile)
    }

    /// Nothing is in hand any more.
    pub(super) fn clean(&self) -> io::Result<()> {
        self.handed.set_len(0)
    }
}

/// Makes it and what is missing above it, so that a loss of power does not take it away with all that will be in it.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.is_dir()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// The sequence numbers up to which a strand was handed out, in its front and in its back region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Handed {
    pub(super) front: i64,
    pub(super) back: i64,
}

impl Handed {
    fn read(slot: &[u8]) -> Self {
        let (front, back) = slot.split_at(SLOT / 2);
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("half a slot is 8 bytes"));
        Self { front: number(front), back: number(back) }
    }
}

/// Where the reader notes what it hands out.
pub(super) struct HandedFile(File);

impl HandedFile {
    pub(super) fn note(&self, strand: StrandId, handed: Handed) -> io::Result<()> {
        let mut slot = [0; SLOT];
        slot[..SLOT / 2].copy_from_slice(&handed.front.to_le_bytes());
        slot[SLOT / 2..].copy_from_slice(&handed.back.to_le_bytes());
        self.0.write_all_at(&slot, u64::from(strand.0) * SLOT as u64)
    }
}

/// Bytes that the file system of `path` has left for us.
pub(super) fn free(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Bytes of the store's write-ahead log.
pub(super) fn log_bytes(directory: &Path) -> u64 {
    fs::metadata(directory.join("spool.db-wal")).map_or(0, |file| file.len())
}
