//! `tidegate serve`: why it does not start, and what does not end it. It needs no broker to be up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use tidegate::job::Lane;
use tidegate::simulator::SimulatorSettings;
use tidegate::spool::{Spool, SpoolSettings};

use super::command::{Running, run, tidegate};
use super::support::until;
use super::support::world::{Served, World, jobs};

const MINUTE: Duration = Duration::from_secs(60);

/// Nobody listens on port 1; that is waited out, not given up.
fn configure(folder: &Path, http: &str) {
    let text = format!("[http]\n{http}\n[source.amqp]\nuri = \"amqp://guest:guest@127.0.0.1:1/%2f\"\n");
    std::fs::write(folder.join("tidegate.toml"), text).unwrap();
}

const SERVE: [&str; 3] = ["serve", "--config", "tidegate.toml"];

#[test]
fn a_port_in_use_is_69() {
    let folder = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    configure(folder.path(), &format!("listen = \"{address}\""));
    let ran = run(folder.path(), &SERVE);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains(&format!("http.listen = \"{address}\"")), "{}", ran.err);
}

#[test]
fn a_spool_in_use_is_69_and_a_foreign_one_78() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = Spool::open(&SpoolSettings { path: path.clone(), ..SpoolSettings::default() }).unwrap();
    let text = "[http]\nlisten = \"127.0.0.1:0\"\n[source.spool]\npath = \"spool\"\n";
    std::fs::write(folder.path().join("tidegate.toml"), text).unwrap();
    let ran = run(folder.path(), &SERVE);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains("is in use by another process; end it"), "{}", ran.err);
    drop(spool);
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("spool.db"), vec![b'x'; 5_000]).unwrap();
    std::fs::write(folder.path().join("tidegate.toml"), text.replace("\"spool\"", "\"other\"")).unwrap();
    let ran = run(folder.path(), &SERVE);
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("is no spool of Tidegate's"), "{}", ran.err);
}

#[test]
fn a_door_that_stands_open_to_the_network_is_78() {
    let folder = tempdir().unwrap();
    configure(folder.path(), "listen = \"0.0.0.0:0\"");
    let ran = run(folder.path(), &SERVE);
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("tokens") && ran.err.contains("tidegate.toml:2"), "{}", ran.err);
}

/// A line a push would be ten thousand a second.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_counted_and_not_logged() {
    const JOBS: usize = 400;
    for level in ["info", "debug"] {
        let world = World::start(SimulatorSettings::default()).await;
        let config = world.config("");
        world.publish(Lane::Normal, jobs(JOBS)).await;
        let env = if level == "debug" { vec![("TIDEGATE_LOG", "debug")] } else { Vec::new() };
        let mut served = Served::start_with(&config, &env).await;
        until("all are delivered", 2 * MINUTE, || async {
            let ledger = world.simulator.ledger().await;
            (ledger.apns.accepted + ledger.fcm.accepted >= JOBS as u64).then_some(())
        })
        .await;
        served.terminate();
        assert_eq!(served.ended(MINUTE).await, 0);
        let log = served.log();
        assert!(log.len() < JOBS / 4, "{} lines at {level}:\n{}", log.len(), log[..JOBS / 4].join("\n"));
        if level == "info" {
            let troubles: Vec<_> = log.iter().filter(|line| !line.contains("\"INFO\"")).collect();
            assert!(troubles.is_empty(), "a good day has no warnings and no errors: {troubles:#?}");
        }
    }
}

/// A terminal that closes, and a log that nobody reads any more, are no reasons to end.
#[test]
fn it_outlives_sighup_and_the_reader_of_its_log() {
    let folder = tempdir().unwrap();
    configure(folder.path(), "listen = \"127.0.0.1:0\"");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = tidegate(folder.path(), &SERVE);
    let mut running = Running::start(command.stderr(writer));
    drop(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    lines.find(|line| line.contains("tidegate is up")).expect("it starts");
    running.signal("HUP");
    lines.find(|line| line.contains("SIGHUP")).expect("it says that it has reloaded");
    assert!(running.child.try_wait().unwrap().is_none());
    drop(lines);
    // Each is logged, to nobody.
    running.signal("HUP");
    running.signal("HUP");
    running.signal("TERM");
    assert_eq!(running.ended().code, Some(0));
}
