//! A directory with every credential that the tests' configurations name, made afresh.

#![expect(clippy::unwrap_used, reason = "a test that can't make its files has failed")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use serde_json::json;

/// Stands in every secret of the tests; it must never be seen in what is printed.
pub(crate) const CANARY: &str = "hunter2-canary";

/// A key made for these tests only. Nothing trusts it.
const THROWAWAY_RSA_KEY: &str = include_str!("../keys/throwaway-rsa-2048.pem");

/// The directory; it is gone when this is dropped.
pub(crate) struct Credentials {
    directory: tempfile::TempDir,
}

impl Credentials {
    pub(crate) fn new() -> Self {
        let made = Self { directory: tempfile::tempdir().unwrap() };
        made.apns();
        made.certificates();
        made.accounts();
        made.secrets();
        made
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.mode(name, 0o600);
        path
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn apns(&self) {
        let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        self.write("good.p8", p256.serialize_pem());
        self.write("open.p8", p256.serialize_pem());
        self.mode("open.p8", 0o644);
        self.write("p384.p8", p384.serialize_pem());
        self.write("rsa.p8", THROWAWAY_RSA_KEY);
        self.write("text.p8", format!("no key, but {CANARY}"));
        self.write("binary.p8", [0xff, 0x30, 0x82]);
        self.write("huge.p8", vec![b'a'; (4 << 20) + 1]);
    }

    fn certificates(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["tidegate.test".to_owned()]).unwrap();
        self.write("good.pem", params.clone().self_signed(&key).unwrap().pem());
        self.write("good.key", key.serialize_pem());
        self.write("other.key", KeyPair::generate().unwrap().serialize_pem());
        self.write(
            "encrypted.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        self.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let mut old = params;
        old.not_before = rcgen::date_time_ymd(2019, 1, 1);
        old.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.write("ended.pem", old.self_signed(&key).unwrap().pem());
    }

    fn accounts(&self) {
        let good = json!({
            "type": "service_account",
            "project_id": "chat-1234",
            "private_key_id": "0123456789abcdef",
            "private_key": THROWAWAY_RSA_KEY,
            "client_email": "push@chat-1234.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        let changed = |change: &[(&str, Option<serde_json::Value>)]| {
            let mut account = good.as_object().unwrap().clone();
            for (field, value) in change {
                match value {
                    Some(value) => account.insert((*field).to_owned(), value.clone()),
                    None => account.remove(*field),
                };
            }
            serde_json::to_string_pretty(&account).unwrap()
        };
        self.write("good.json", good.to_string());
        self.write("lacking.json", changed(&[("project_id", None), ("client_email", None)]));
        self.write("user.json", changed(&[("type", Some(json!("authorized_user")))]));
        self.write("no-key.json", changed(&[("private_key", Some(json!(CANARY)))]));
        self.write("number.json", changed(&[("private_key", Some(json!(20_011_202)))]));
        self.write("http.json", changed(&[("token_uri", Some(json!("http://oauth2.googleapis.com/token")))]));
        self.write("cut.json", format!("{{\"private_key\": \"{CANARY}"));
        self.write("list.json", "[]");
    }

    fn secrets(&self) {
        self.write("token", format!("{CANARY}\n"));
        self.write("empty", "\n");
        self.write("two-lines", format!("{CANARY}\n{CANARY}\n"));
        self.write("amqp-uri", format!("amqps://ada:{CANARY}@rabbit.example/%2f\n"));
    }
}
