//! Threads for deliveries: a current-thread runtime each.
//!
//! A route's delivery and all its connections live on one thread. Sending a push then wakes no other core and takes no
//! lock that anybody else holds: measured, half the CPU of a work-stealing runtime. Routes are dealt out in turn.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads. Dropped, they end, and with them whatever still runs on them.
pub(super) struct Threads {
    handles: Vec<Handle>,
    next: usize,
    _alive: Vec<oneshot::Sender<()>>,
}

impl Threads {
    /// Starts `count` (at least 1) threads.
    pub(super) fn start(count: usize) -> std::io::Result<Self> {
        let mut threads = Self { handles: Vec::new(), next: 0, _alive: Vec::new() };
        for nth in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (alive, ended) = oneshot::channel::<()>();
            threads.handles.push(runtime.handle().clone());
            threads._alive.push(alive);
            let name = format!("delivery-{nth}");
            std::thread::Builder::new().name(name).spawn(move || {
                // An error is how the drop of `alive` is seen: the end.
                let _ = runtime.block_on(ended);
            })?;
        }
        Ok(threads)
    }

    /// The next thread's runtime.
    pub(super) fn next(&mut self) -> &Handle {
        let nth = self.next % self.handles.len();
        self.next += 1;
        &self.handles[nth]
    }
}
