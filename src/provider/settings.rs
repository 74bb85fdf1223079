//! What a provider's client needs to know; credentials come as the text of their files.

use ring::digest::{Context, SHA256};
use secrecy::ExposeSecret;

use super::apns::{ApnsCredential, ApnsSettings};
use super::fcm::{FcmSettings, ServiceAccount};
use super::webpush::WebpushSettings;

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
    /// Web Push.
    Webpush(WebpushSettings),
}

/// A digest of all that a provider's client is made of, what its credential's files hold included. Two that are the same
/// need no other client; it tells nothing of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl ProviderSettings {
    /// See [`Fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut print = Print(Context::new(&SHA256));
        match self {
            ProviderSettings::Apns(ApnsSettings { endpoint, topic, credential }) => {
                print.part("apns").endpoint(endpoint).part(topic);
                match credential {
                    ApnsCredential::Token { key_pem, key_id, team_id } => {
                        print.part("token").part(key_pem.expose_secret()).part(key_id).part(team_id)
                    }
                    ApnsCredential::Certificate { chain_pem, key_pem } => {
                        print.part("certificate").part(chain_pem).part(key_pem.expose_secret())
                    }
                };
            }
            ProviderSettings::Fcm(FcmSettings { endpoint, account }) => {
                let ServiceAccount { project_id, client_email, private_key_id, private_key, token_uri } = account;
                print.part("fcm").endpoint(endpoint).part(project_id).part(client_email);
                print.optional(private_key_id.as_deref()).part(private_key.expose_secret()).part(token_uri);
            }
            ProviderSettings::Webpush(settings) => {
                let WebpushSettings { key, subject, extra_roots, services, private_networks, padding } = settings;
                print.part("webpush").part(key.expose_secret()).part(subject).optional(extra_roots.as_deref());
                print.part(padding.as_str());
                for service in services.further() {
                    print.part(&service);
                }
                print.part("private networks");
                for network in private_networks {
                    print.part(&network.to_string());
                }
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(print.0.finish().as_ref());
        Fingerprint(digest)
    }
}

/// Texts, each with its length before it: no two series of them look the same.
struct Print(Context);

impl Print {
    fn part(&mut self, text: &str) -> &mut Self {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        self.part(if text.is_some() { "some" } else { "none" }).part(text.unwrap_or_default())
    }

    fn endpoint(&mut self, endpoint: &Endpoint) -> &mut Self {
        let Endpoint { host, port, extra_roots } = endpoint;
        self.part(host).part(&port.to_string()).optional(extra_roots.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apns(topic: &str, key: &str, host: &str, extra_roots: Option<&str>) -> Fingerprint {
        let endpoint = Endpoint { host: host.into(), port: 443, extra_roots: extra_roots.map(Into::into) };
        let credential =
            ApnsCredential::Token { key_pem: key.into(), key_id: "KEYKEYKEYA".into(), team_id: "TEAMTEAM01".into() };
        ProviderSettings::Apns(ApnsSettings { endpoint, topic: topic.into(), credential }).fingerprint()
    }

    #[test]
    fn whatever_a_client_is_made_of_shows_in_its_fingerprint() {
        let one = apns("a.topic", "a key", "localhost", None);
        assert_eq!(one, apns("a.topic", "a key", "localhost", None));
        let others = [
            apns("b.topic", "a key", "localhost", None),
            apns("a.topic", "another key", "localhost", None),
            apns("a.topic", "a key", "127.0.0.1", None),
            apns("a.topic", "a key", "localhost", Some("")),
            apns("a.topica", " key", "localhost", None),
        ];
        assert!(others.iter().all(|other| *other != one), "{others:?}");
        assert!(!format!("{one:?}").contains("key"));
    }
}
