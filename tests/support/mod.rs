//! What the integration tests share.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

pub mod broker;
pub mod corpus;
pub mod relay;
pub mod source;
pub mod world;

use std::future::Future;
use std::time::{Duration, Instant};

/// Waits until `condition` gives something; fails with `what` after `deadline`.
pub async fn until<F, T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let give_up = Instant::now() + deadline;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < give_up, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same within 30 s.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, condition: impl FnMut() -> F) -> T {
    until(what, Duration::from_secs(30), condition).await
}
