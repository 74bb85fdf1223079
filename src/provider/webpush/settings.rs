//! `[apps.<app>.webpush]`.

use secrecy::SecretString;

use super::address::Network;
use super::endpoint::Services;

/// One app's Web Push route.
#[derive(Debug, Clone)]
pub struct WebpushSettings {
    /// The VAPID key: PEM (PKCS #8, P-256), or the private key alone in base64url.
    pub key: SecretString,
    /// Whom a push service can turn to: `mailto:…` or `https://…`.
    pub subject: String,
    /// Further roots of trust (PEM) beside the system's.
    pub extra_roots: Option<String>,
    /// Which push services may be spoken to.
    pub services: Services,
    /// Networks that are not global and may be dialled nevertheless.
    pub private_networks: Vec<Network>,
    /// How much of a message's length is hidden.
    pub padding: Padding,
}

/// How much of a message's length shows in its ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// All of it.
    None,
    /// Only its class: filled up to 256, 512, 1,024, 2,048, 3,072 or 3,993 bytes.
    Classes,
    /// Nothing: every message has 3,993 bytes.
    Full,
}

impl Padding {
    /// All of them.
    pub const ALL: [Padding; 3] = [Padding::None, Padding::Classes, Padding::Full];

    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Padding::None => "none",
            Padding::Classes => "classes",
            Padding::Full => "full",
        }
    }

    /// To how many bytes a plaintext of `length` is filled up; more than fit are cut by the encryption.
    pub(super) fn padded(self, length: usize) -> usize {
        const CLASSES: [usize; 5] = [256, 512, 1024, 2048, 3072];
        match self {
            Padding::None => length,
            Padding::Classes => CLASSES.into_iter().find(|class| length <= *class).unwrap_or(usize::MAX),
            Padding::Full => usize::MAX,
        }
    }
}
