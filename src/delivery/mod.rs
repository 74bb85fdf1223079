//! Delivery: one task per route.

mod settings;

pub use settings::RouteSettings;
