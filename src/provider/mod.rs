//! The providers' protocols.

pub mod apns;
pub mod fcm;
pub mod http2;
mod settings;

pub use settings::{Endpoint, ProviderSettings};
