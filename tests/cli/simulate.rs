//! `tidegate simulate`: what it writes can be used, and it ends when told.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tempfile::tempdir;

use super::command::{Running, run, tidegate};

/// Starts it, and reads what it says.
fn simulate(folder: &Path) -> (Running, String) {
    let mut command = tidegate(folder, &["simulate", "--credentials", "here"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let running = Running::start(command.stdout(writer));
    // Its end of the pipe is in `command` too.
    drop(command);
    let mut said = String::new();
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        said += &format!("{line}\n");
        if line.contains("ctrl-c") {
            break;
        }
    }
    (running, said)
}

/// An outage can be practised: after it a pipeline finds whom it knew where it was.
#[test]
fn started_again_it_is_where_and_who_it_was() {
    let folder = tempdir().unwrap();
    let files = ["ca.pem", "AuthKey_SIMKEYAAAA.p8", "client.pem", "vapid.pem", "tidegate.toml"];
    let read = || files.map(|name| std::fs::read_to_string(folder.path().join("here").join(name)).unwrap());
    let (running, first) = simulate(folder.path());
    let before = read();
    running.signal("INT");
    running.ended();
    let (running, second) = simulate(folder.path());
    assert_eq!((first, &before), (second, &read()));
    assert!(before[4].contains("\"delivered\"") && before[4].contains("file = \"outcomes.ndjson\""), "{}", before[4]);

    // Somebody is there already: the same credentials, other ports.
    let (other, _) = simulate(folder.path());
    let after = read();
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[4], after[4]);
    for running in [running, other] {
        running.signal("INT");
        assert_eq!(running.ended().code, Some(0));
    }
}

#[test]
fn it_writes_what_check_accepts_and_ends_on_each_signal() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = tempdir().unwrap();
        let (running, said) = simulate(folder.path());
        for part in [
            "APNs    https://localhost:",
            "FCM     https://localhost:",
            "Web     mozilla: https://127.0.0.1:",
            "/ledger",
            "serve --config here/tidegate.toml",
            "tail -F here/outcomes.ndjson",
        ] {
            assert!(said.contains(part), "{part} is in:\n{said}");
        }
        let checked = run(folder.path(), &["check", "--config", "here/tidegate.toml"]);
        assert_eq!((checked.code, &*checked.err), (Some(0), ""));
        running.signal(signal);
        let ran = running.ended();
        assert_eq!(ran.code, Some(0), "SIG{signal}: {}", ran.err);
    }
}

#[test]
fn a_port_in_use_is_69_and_a_bad_configuration_78() {
    let folder = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (text, code, says) in [
        (format!("apns_port = {port}"), 69, format!("127.0.0.1:{port}")),
        ("apsn_port = 1".to_owned(), 78, "apsn_port".to_owned()),
    ] {
        std::fs::write(folder.path().join("simulator.toml"), text).unwrap();
        let ran = run(folder.path(), &["simulate", "--config", "simulator.toml"]);
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(ran.err.contains(&says), "{}", ran.err);
    }
}
