//! README's operator chapter: its commands run as they stand there, against an instance that delivers.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use tidegate::simulator::SimulatorSettings;

use support::eventually;
use support::world::{Served, Station};

/// Lines that need root, a service manager, an image builder or a cluster, or never end.
const NOT_HERE: [&str; 5] = ["install", "systemctl", "docker", "kubectl", "prometheus"];

/// The commands of the chapter.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let chapter = readme.split("## Operating it\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let blocks = chapter.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_commands_do_what_they_say() {
    let station = Station::start(SimulatorSettings::default());
    let root = station.folder.path().join("root");
    for folder in ["etc/tidegate", "etc/bash_completion.d"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tidegate.toml");
    // As it stands there, but for an app: that nobody has one is doubted.
    let mut text = std::fs::read_to_string(shipped).unwrap();
    text += "\n[apps.chat.fcm]\nservice_account_file = \"account.json\"\n";
    std::fs::write(root.join("etc/tidegate/tidegate.toml"), text).unwrap();
    let account = root.join("etc/tidegate/account.json");
    std::fs::copy(station.folder.path().join("service-account.json"), &account).unwrap();
    std::fs::set_permissions(&account, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let served = Served::start(&station.config("", "", "")).await;
    let job = r#"{"id":"01J9ZK8Q5V3T","app":"chat","to":[{"fcm":"token"}],"notification":{"title":"hi"}}"#;
    assert_eq!(served.post([(String::new(), job.into())]).await.0, 202);
    eventually("it is delivered", || async { (served.status().await["outcomes"]["delivered"] == 1).then_some(()) })
        .await;

    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let (mut ran, mut outputs) = (0, String::new());
    for command in commands() {
        let first = command.split(' ').next().unwrap();
        if NOT_HERE.contains(&first) {
            continue;
        }
        assert!(["tidegate", "curl", "promtool"].contains(&first), "neither run nor known: {command}");
        let here = command
            .replace("127.0.0.1:8080", served.address())
            .replace(" /etc/", &format!(" {}/etc/", root.display()))
            .replace(" /usr/", &format!(" {}/usr/", root.display()))
            .replace("curl -s ", "curl -s --fail --noproxy '*' ");
        let script = format!("set -euo pipefail; {here}");
        let ended = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let mut shell = Command::new("bash");
                shell.args(["-c", &script]).env("PATH", path).stdin(Stdio::null());
                shell.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
            }
        });
        let ended = ended.await.unwrap();
        let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(ended.status.success(), "{command}\n{said}");
        outputs += &said;
        ran += 1;
    }
    assert!(ran >= 12, "{ran}");
    for part in ["tidegate.toml: good", "01J9ZK8Q5V3T: 1 push delivered", "\"ready\":true", "\"rate\":\"200000/min\""] {
        assert!(outputs.contains(part), "{part} is in\n{outputs}");
    }
    assert!(root.join("usr/local/share/man/man1/tidegate-serve.1").exists());
    assert!(root.join("etc/bash_completion.d/tidegate").exists());
}

/// Metrics that the chapter names are those that are shown.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_in_the_chapter_exist() {
    let station = Station::start(SimulatorSettings::default());
    let served = Served::start(&station.config("", "", "")).await;
    let shown = eventually("routes are shown", || async {
        let text = served.get("/metrics").await.1;
        text.contains("tidegate_in_flight{").then_some(text)
    })
    .await;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let words = readme.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let mut named: Vec<&str> =
        words.filter(|word| word.starts_with("tidegate_") || word.starts_with("process_")).collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 15, "{named:?}");
    // Those appear with their first sample.
    let later =
        ["tidegate_pushes_total", "tidegate_push_seconds", "tidegate_attempt_seconds", "tidegate_retries_total"];
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics.rs")).unwrap();
    for name in named {
        let there = shown.contains(&format!("# TYPE {name} ")) || (later.contains(&name) && source.contains(name));
        assert!(there, "{name} is not shown");
    }
}
