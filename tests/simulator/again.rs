//! A simulator that was started before: whoever trusted it, trusts it again; and its configuration's example.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::tempdir;
use tidegate::simulator::{
    CredentialState, Latency, OnExcess, PROJECT, SimulatorSettings, TokenFault, start, start_again,
};

use super::client::{Client, TOKEN, jwt, now, tls};

fn settings() -> SimulatorSettings {
    SimulatorSettings::default()
}

#[tokio::test]
async fn who_trusted_it_trusts_it_again() {
    let folder = tempdir().unwrap();
    let before = start(settings()).unwrap();
    before.write_credentials(folder.path()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    let after = start_again(settings(), folder.path()).unwrap();
    assert_eq!(before.ca_pem(), after.ca_pem());
    // The roots, keys and certificate of before, at the door of after.
    let token = jwt(&before.apns_credential(), now());
    let client = Client::to(after.apns_address(), tls(&before, &[b"h2"], None)).await;
    assert_eq!(client.push(&token, TOKEN, &[]).await.unwrap().status, 200);
    let certificate = tls(&before, &[b"h2"], Some(&before.apns_certificate()));
    let client = Client::to(after.apns_address(), certificate).await;
    let headers = [("authorization", ""), ("apns-topic", tidegate::simulator::TOPIC)];
    assert_eq!(client.push("", TOKEN, &headers).await.unwrap().status, 200);
    let (was, is) = (before.service_account(PROJECT), after.service_account(PROJECT));
    assert_eq!((was.client_email, was.private_key_id), (is.client_email, is.private_key_id));

    // What it writes then is what was there: it may be started any number of times.
    let again = tempdir().unwrap();
    after.write_credentials(again.path()).unwrap();
    for name in ["ca.pem", "ca-key.pem", "AuthKey_SIMKEYAAAA.p8", "client.pem", "client-key.pem"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read(folder.path()), read(again.path()), "{name}");
    }
    before.shutdown().await;
    after.shutdown().await;
}

/// Half of what was kept is nothing, and another authority's key is no key.
#[tokio::test]
async fn what_is_not_all_there_is_made_anew() {
    let first = start(settings()).unwrap();
    let stranger = tempdir().unwrap();
    start(settings()).unwrap().write_credentials(stranger.path()).unwrap();
    for name in ["ca.pem", "ca-key.pem", "AuthKey_SIMKEYAAAA.p8", "client.pem", "client-key.pem"] {
        for damage in ["missing", "unreadable", "another's"] {
            let folder = tempdir().unwrap();
            first.write_credentials(folder.path()).unwrap();
            let path = folder.path().join(name);
            match damage {
                "missing" => std::fs::remove_file(&path).unwrap(),
                "unreadable" => std::fs::write(&path, "-----BEGIN NONSENSE-----").unwrap(),
                // Only the authority's certificate and key must belong together; any APNs key is as good.
                _ if name.starts_with("ca") => drop(std::fs::copy(stranger.path().join(name), &path).unwrap()),
                _ => continue,
            }
            let again = start_again(settings(), folder.path()).unwrap();
            assert_ne!(again.ca_pem(), first.ca_pem(), "{name} {damage}");
            let client = Client::apns(&again).await;
            let token = jwt(&again.apns_credential(), now());
            assert_eq!(client.push(&token, TOKEN, &[]).await.unwrap().status, 200, "{name} {damage}");
            again.shutdown().await;
        }
    }
}

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/simulator.toml")).unwrap()
}

/// As it stands it has no fault, and what it says to be the defaults are.
#[test]
fn the_example_is_the_default() {
    let read: SimulatorSettings = toml::from_str(&example()).unwrap();
    assert_eq!(read, settings());
}

/// With every commented key in force it is read too, and every fault is there.
#[test]
fn every_fault_of_the_example_can_be_had() {
    let text: String =
        example().lines().map(|line| format!("{}\n", line.strip_prefix("#~ ").unwrap_or(line))).collect();
    let read: SimulatorSettings = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    for faults in [&read.apns.faults, &read.fcm.faults] {
        assert_ne!(faults.latency, Latency::default());
        assert!(faults.slow.is_some() && faults.reset.is_some() && faults.goaway.is_some() && faults.quota.is_some());
        assert!(faults.throttle.is_some() && faults.server_error.is_some() && faults.never_answer > 0.0);
        assert!(!faults.stalls.is_empty() && !faults.silences.is_empty() && !faults.refusals.is_empty());
        assert!(!faults.stream_limits.is_empty() && faults.dead_tokens.share > 0.0);
        assert!(!faults.dead_tokens.prefixes.is_empty() && !faults.dead_tokens.tokens.is_empty());
        assert_ne!(faults.credentials, CredentialState::AsTheyAre);
    }
    assert_ne!(read.fcm.faults.token_endpoint, TokenFault::None);
    assert_eq!((read.apns.on_excess, read.fcm.on_excess), (OnExcess::Refuse, OnExcess::Refuse));
}
