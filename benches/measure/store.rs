//! A spool on a real disk (the target directory's), emptied as the source empties it.

use tempfile::TempDir;
use tidegate::spool::{Reader, Spool, SpoolSettings, Writer};
use tokio::runtime::Runtime;

/// Jobs read at once, as the source does.
pub(crate) const READ: usize = 1_000;

/// The spool, and the runtime that its users run on.
pub(crate) struct Store {
    pub(crate) runtime: Runtime,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    #[allow(dead_code, reason = "goes with the store; one of the benches looks into it")]
    pub(crate) directory: TempDir,
}

impl Store {
    pub(crate) fn open() -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let path = directory.path().join("spool");
        let Spool { writer, reader } =
            Spool::open(&SpoolSettings { path, ..SpoolSettings::default() }).expect("the spool opens");
        Self { runtime: Runtime::new().expect("a runtime"), writer, reader, directory }
    }

    /// Reads and settles so many.
    pub(crate) fn take(&mut self, mut jobs: u64) {
        let mut arrivals = self.writer.arrivals();
        while jobs > 0 {
            arrivals.mark_unchanged();
            let mut found = 0;
            for strand in self.reader.strands().expect("the store can be read") {
                let read = self.reader.next(strand.id, READ, usize::MAX).expect("the store can be read");
                found += read.len() as u64;
                self.writer.settle(read.iter().map(|job| job.key).collect());
            }
            jobs -= found;
            if found == 0 {
                self.runtime.block_on(arrivals.changed()).expect("the writer lives");
            }
        }
    }

    /// Until nothing is owed any more: a put that comes after what is settled is on disk when that is.
    pub(crate) fn rest(&self) {
        self.runtime.block_on(self.writer.put(Vec::new())).expect("it is taken");
    }
}
