//! Tidegate: push delivery under pressure.

pub mod admin;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dispatch;
pub mod flow;
pub mod http2;
pub mod job;
pub mod outcome;
pub mod pipeline;
pub mod provider;
pub mod simulator;
pub mod source;
pub mod stage;
pub mod telemetry;
pub mod verdict;
