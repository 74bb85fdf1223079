//! The spool against a model of it, and each promise by itself. A crash is the end of all handles without
//! [`Writer::close`]: what `kill -9` leaves of a process, for whatever was committed before.

mod find;
mod golden;
mod letters;
mod model;
mod store;

use std::time::Duration;

use tempfile::TempDir;

use super::*;

const A_LONG_TIME: Duration = Duration::from_secs(3600);

fn settings(directory: &TempDir) -> SpoolSettings {
    SpoolSettings { path: directory.path().join("spool"), min_free: 0, ..SpoolSettings::default() }
}

fn open(directory: &TempDir) -> Spool {
    open_with(&settings(directory))
}

/// A writer's thread that was abandoned needs a moment to let go of the lock.
fn open_with(settings: &SpoolSettings) -> Spool {
    let give_up = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Spool::open(settings) {
            Err(OpenError::InUse(_)) if std::time::Instant::now() < give_up => std::thread::yield_now(),
            opened => return opened.expect("the spool opens"),
        }
    }
}

fn job(app: &str, id: &str) -> NewJob {
    let body = format!("{{\"id\":\"{id}\",\"app\":\"{app}\"}}");
    NewJob {
        id: id.into(),
        named: true,
        app: app.into(),
        lane: Lane::Normal,
        providers: Providers::default().with(Provider::Apns),
        pushes: 3,
        accepted_at: UnixMillis::now(),
        deadline: None,
        body: body.into(),
    }
}

/// All that can be read now, strand by strand.
fn read_all(reader: &mut Reader) -> Vec<Stored> {
    let mut all = Vec::new();
    for strand in reader.strands().expect("the store can be read") {
        loop {
            let some = reader.next(strand.id, 7, usize::MAX).expect("the store can be read");
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
    }
    all
}

fn ids(jobs: &[Stored]) -> Vec<&str> {
    jobs.iter().map(|job| &*job.id).collect()
}

/// Reads until something comes.
async fn read_next(spool: &mut Spool) -> Vec<Stored> {
    let mut arrivals = spool.writer.arrivals();
    loop {
        let read = read_all(&mut spool.reader);
        if !read.is_empty() {
            return read;
        }
        let arrived = tokio::time::timeout(Duration::from_secs(10), arrivals.changed()).await;
        arrived.expect("something comes in time").expect("the writer lives");
    }
}
