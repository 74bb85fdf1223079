//! Reads the files that a configuration names, and the secrets that it points to.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// The largest file that is read: ten times the largest bundle of root certificates that is in use.
const LARGEST_BYTES: u64 = 4 << 20;

/// Where relative names count from, and the environment that `env:` reads.
pub(super) struct Files<'a> {
    pub base_dir: &'a Path,
    pub variables: &'a BTreeMap<String, String>,
}

/// A file's text.
pub(super) struct Text {
    pub text: String,
    /// Whether every user of the machine may read it.
    pub world_readable: bool,
}

/// Why something can't be read, and what to do.
pub(super) type Trouble = (String, String);

impl Files<'_> {
    /// A name as the file system knows it.
    pub(super) fn resolve(&self, name: impl AsRef<Path>) -> PathBuf {
        self.base_dir.join(name)
    }

    /// Reads a text file.
    pub(super) fn read(&self, name: impl AsRef<Path>) -> Result<Text, Trouble> {
        let path = self.resolve(name);
        let trouble = |what: &str, remedy: &str| (format!("{} {what}", path.display()), remedy.to_owned());
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => trouble("doesn't exist", "relative names count from the configuration's directory"),
            ErrorKind::PermissionDenied => trouble("may not be read", "let the user that runs tidegate read it"),
            _ => trouble(&format!("can't be read: {error}"), "name a file that can"),
        };
        // Asked before it is opened: opening a named pipe would wait for its writer.
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(trouble("is not a regular file", "name a file"));
        }
        let file = File::open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST_BYTES {
            return Err(trouble("is larger than 4MiB", "name the right file"));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            trouble("is not a text file", "PEM or JSON is wanted; convert DER and PKCS #12 (.p12) files")
        })?;
        Ok(Text { text, world_readable: world_readable(&metadata) })
    }

    /// Follows `file:` and `env:`. The flag: whether it came from a file that everyone may read.
    pub(super) fn secret(&self, written: &SecretString) -> Result<(SecretString, bool), Trouble> {
        let text = written.expose_secret();
        if let Some(name) = text.strip_prefix("file:") {
            let file = self.read(name)?;
            let secret = file.text.trim_end_matches(['\n', '\r']);
            return match secret {
                "" => Err((format!("{} is empty", self.resolve(name).display()), "write the secret to it".to_owned())),
                secret => Ok((secret.into(), file.world_readable)),
            };
        }
        let Some(name) = text.strip_prefix("env:") else { return Ok((written.clone(), false)) };
        match self.variables.get(name).map(String::as_str) {
            None => Err((format!("environment variable {name} is not set"), "set it, or use file:/path".to_owned())),
            Some("") => Err((format!("environment variable {name} is empty"), "set it, or use file:/path".to_owned())),
            Some(secret) => Ok((secret.into(), false)),
        }
    }
}

#[cfg(unix)]
fn world_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn world_readable(_: &Metadata) -> bool {
    false
}
