//! Builds the pipeline from its settings, supervises it, drains it.

mod settings;

pub use settings::{AppSettings, LimitSettings, Settings};
