//! `tidegate vapid-keys`: the key by which push services know an app.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::{Exit, fail, print, tell};
use crate::provider::webpush;

/// Make a VAPID key for Web Push, and print its public half, with which pages subscribe.
///
/// A key that is there already is never overwritten: a browser's subscription is bound to the key that it was made with.
/// Its public half is printed then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate vapid-keys\n  tidegate vapid-keys --out secrets/shop-vapid.pem")]
pub(super) struct VapidKeys {
    /// Where the private key is, or is written for its owner's eyes only.
    #[arg(long, value_name = "FILE", default_value = "vapid.pem")]
    out: PathBuf,
}

impl VapidKeys {
    pub(super) fn run(self) -> Exit {
        let shown = self.out.display();
        let (key, made) = match read_or_make(&self.out) {
            Ok(found) => found,
            Err(error) => return fail(Exit::Io, format_args!("{shown}: {error}")),
        };
        match webpush::check_key(&key) {
            Ok(public) => {
                let what = if made { "a new key is in" } else { "the key was there already:" };
                tell(format_args!(
                    "{what} {shown} (key_file of [apps.<app>.webpush]); keep it secret, and keep it: subscriptions are bound to it.\n\
                     Its public half, for pushManager.subscribe({{applicationServerKey: …}}):"
                ));
                print(public)
            }
            Err(error) => fail(Exit::Config, format_args!("{shown} is there already, and is left alone: {error}")),
        }
    }
}

/// The key, and whether it is new.
fn read_or_make(path: &Path) -> std::io::Result<(SecretString, bool)> {
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match open {
        Ok(mut file) => {
            let key = webpush::new_key();
            file.write_all(key.expose_secret().as_bytes()).and_then(|()| file.sync_all())?;
            Ok((key, true))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok((SecretString::from(std::fs::read_to_string(path)?), false))
        }
        Err(error) => Err(error),
    }
}
