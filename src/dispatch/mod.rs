//! Lanes: what waits, and who goes next.

mod settings;

pub use settings::LaneSettings;
