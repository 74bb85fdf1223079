//! APNs, the HTTP/2 provider API (PROVIDERS: Apple, "Sending notification requests to APNs").

mod payload;
mod settings;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by the provider's Protocol, which the credentials' branch brings")
)]
pub(in crate::provider) mod verdict;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by the provider's Protocol, which the credentials' branch brings")
)]
mod wire;

pub use settings::{ApnsCredential, ApnsSettings};
