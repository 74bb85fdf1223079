//! FCM, HTTP v1 (Firebase reference, `projects.messages:send`).

mod settings;

pub use settings::{FcmSettings, ServiceAccount};
