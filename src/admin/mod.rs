//! The operator's HTTP door.

mod settings;

pub use settings::HttpSettings;
