//! FCM, HTTP v1 (Firebase reference, `projects.messages:send`).

mod settings;
mod status;
mod template;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by the provider's Protocol, which the credentials' branch brings")
)]
mod verdict;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by the provider's Protocol, which the credentials' branch brings")
)]
mod wire;

pub use settings::{FcmSettings, ServiceAccount};
