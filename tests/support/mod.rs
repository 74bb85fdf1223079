//! What the integration tests share.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

pub mod broker;
pub mod relay;
pub mod source;

use std::future::Future;
use std::time::{Duration, Instant};

/// Waits until `condition` gives something; fails with `what` after 30 s.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited 30 s in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
