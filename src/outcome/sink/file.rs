//! Events appended to a file, one JSON object a line, synced to disk before their jobs are acked.
//!
//! The file is opened anew for each batch, so that a log rotation by rename needs no signal. A batch that could not be
//! written whole is cut off again before it is tried anew: no half line stays.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Event, Sink, Trouble, Troubles};

/// An NDJSON file.
#[derive(Debug, Clone)]
pub struct FileSink {
    path: PathBuf,
    troubles: Troubles,
}

impl FileSink {
    /// A sink that appends to `path`; missing folders are made with the first batch.
    #[must_use]
    pub const fn new(path: PathBuf, troubles: Troubles) -> Self {
        Self { path, troubles }
    }
}

impl Sink for FileSink {
    fn name(&self) -> &'static str {
        "file"
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        let mut lines = Vec::with_capacity(events.iter().map(|event| event.json.len() + 1).sum());
        for event in events {
            lines.extend_from_slice(&event.json);
            lines.push(b'\n');
        }
        let lines = bytes::Bytes::from(lines);
        Box::pin(async move {
            let mut trouble = Trouble::new(self.name(), &self.troubles, Duration::from_secs(10));
            loop {
                let (path, lines) = (self.path.clone(), lines.clone());
                let written = tokio::task::spawn_blocking(move || append(&path, &lines)).await;
                match written.expect("appending does not panic") {
                    Ok(()) => return trouble.over(),
                    Err(error) => trouble.wait(&format!("{}: {error}", self.path.display())).await,
                }
            }
        })
    }
}

fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    // For its owner only: there are whole device addresses in it.
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    if end == 0
        && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
    {
        // A new file's name is durable when its folder is.
        File::open(folder)?.sync_all()?;
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        undo(&file, end);
    }
    written
}

/// Cuts off what a failed write left. If even that fails, the next batch starts within a broken line; readers of NDJSON
/// skip such a line, and its events follow whole.
fn undo(file: &File, end: u64) {
    let _ = file.set_len(end);
}
