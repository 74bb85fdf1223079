//! What we encrypt, others decrypt: two public libraries for other languages, none of which knows of us.
//!
//! `tests/run` puts them into `target/oracles`; `TIDEGATE_ORACLES` names another folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::elliptic_curve::sec1::ToSec1Point;
use tidegate::job::Subscription;
use tidegate::provider::webpush::encrypt;

/// Messages of all sizes: each size at least twice.
const MESSAGES: usize = 10_000;
/// The largest plaintext.
const LARGEST: usize = 3993;

fn oracles() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracles");
    std::env::var_os("TIDEGATE_ORACLES").map_or(here, PathBuf::from)
}

/// Ten thousand messages, each for another browser, as the oracles read them.
fn messages() -> String {
    let (mut lines, mut spent) = (String::new(), Duration::ZERO);
    for nth in 0..MESSAGES {
        let mut private = [0; 32];
        // Below the curve's order, and not nought.
        private.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
        (private[0], private[31]) = (private[0] & 0x7f, private[31] | 1);
        let key = p256::SecretKey::from_slice(&private).unwrap();
        let auth: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let subscription = Subscription {
            endpoint: "https://web.push.apple.com/x".into(),
            p256dh: URL_SAFE_NO_PAD.encode(key.public_key().to_sec1_point(false).as_bytes()).into(),
            auth: URL_SAFE_NO_PAD.encode(auth).into(),
        };
        let size = nth % (LARGEST + 1);
        // Noughts at the end, and twos, are what a delimiter could be mistaken for.
        let mut plain: Vec<u8> = (0..size).map(|_| fastrand::u8(..)).collect();
        if let Some(last) = plain.last_mut().filter(|_| nth % 3 == 0) {
            *last = [0, 2, 1][nth % 9 / 3];
        }
        let padded = if nth % 2 == 0 { size } else { size + fastrand::usize(0..500) };
        let begun = Instant::now();
        let body = encrypt(&plain, padded, &subscription).unwrap();
        spent += begun.elapsed();
        assert!(body.len() <= 4096, "{size}");
        let hex = private.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let (body, plain, auth) = (STANDARD.encode(body), STANDARD.encode(plain), &subscription.auth);
        writeln!(lines, r#"{{"private":"{hex}","auth":"{auth}","body":"{body}","plain":"{plain}"}}"#).unwrap();
    }
    println!("{:?} to encrypt one", spent / MESSAGES as u32);
    lines
}

fn decrypted_by(command: &mut Command, lines: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says nothing before it has read everything, so nothing can block.
    let written = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && written.is_ok(), "{errors}; is the oracle there? `bash tests/run` installs it");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn ten_thousand_messages_of_all_sizes_are_decrypted_by_two_libraries_that_are_none_of_ours() {
    let lines = messages();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles");
    let mut python = Command::new("python3");
    python.arg(scripts.join("decrypt.py")).env("PYTHONPATH", oracles().join("python"));
    assert_eq!(decrypted_by(&mut python, &lines), MESSAGES.to_string());
    // Modules are looked for beside the script.
    let script = oracles().join("decrypt.mjs");
    std::fs::copy(scripts.join("decrypt.mjs"), &script).unwrap();
    let mut node = Command::new("node");
    node.arg(script);
    assert_eq!(decrypted_by(&mut node, &lines), MESSAGES.to_string());
}
