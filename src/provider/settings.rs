//! What a provider's client needs to know; credentials come as the text of their files.

use super::apns::ApnsSettings;
use super::fcm::FcmSettings;

/// Where a provider's door is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address, as TLS checks it.
    pub host: String,
    /// TCP port; 443 unless the URL says otherwise.
    pub port: u16,
    /// Further roots of trust (PEM) beside the system's, for the provider's and its token endpoint's TLS.
    pub extra_roots: Option<String>,
}

/// One route's provider, endpoint and credential.
#[derive(Debug, Clone)]
pub enum ProviderSettings {
    /// APNs.
    Apns(ApnsSettings),
    /// FCM.
    Fcm(FcmSettings),
}
