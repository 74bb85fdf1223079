//! APNs, the HTTP/2 provider API (PROVIDERS: Apple, "Sending notification requests to APNs").

mod settings;

pub use settings::{ApnsCredential, ApnsSettings};
