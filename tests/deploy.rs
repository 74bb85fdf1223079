//! What stands under `config/deploy` is what it claims: the unit is one, the manifests fit together and to the
//! program's own configuration, routes and times.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

#[expect(dead_code, reason = "tests/metrics.rs uses the rest")]
#[path = "metrics/exposed.rs"]
mod exposed;

#[expect(dead_code, reason = "tests/metrics.rs uses the rest")]
#[path = "metrics/query.rs"]
mod query;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tidegate::config::{self, Loaded};
use tidegate::simulator::{self, SimulatorSettings};

/// After the drain's deadline: retries, outcomes and acks of what had ended by then, and the end of the connections.
const LAST_WORDS: Duration = Duration::from_secs(16);

const MANIFESTS: [&str; 5] =
    ["configuration.yaml", "deployment.yaml", "autoscaling.yaml", "monitoring.yaml", "spool.yaml"];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy").join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text_of(&format!("kubernetes/{name}")))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn all() -> Vec<Value> {
    MANIFESTS.iter().flat_map(|name| documents(name)).collect()
}

fn find<'v>(all: &'v [Value], kind: &str, name: &str) -> &'v Value {
    let found = all.iter().find(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The pod templates, each with the name of its configuration.
fn pods(all: &[Value]) -> [(&Value, &str); 2] {
    let deployment = find(all, "Deployment", "tidegate");
    let set = find(all, "StatefulSet", "tidegate-spool");
    [(&deployment["spec"]["template"], "tidegate"), (&set["spec"]["template"], "tidegate-spool")]
}

/// A folder with the secrets that the manifests mount.
fn secrets() -> TempDir {
    let folder = tempdir().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let simulator = simulator::start(SimulatorSettings::default()).unwrap();
    simulator.write_credentials(folder.path()).unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let key = names.into_iter().find(|path| path.extension().is_some_and(|end| end == "p8")).unwrap();
    std::fs::copy(key, folder.path().join("chat.p8")).unwrap();
    std::fs::copy(folder.path().join("service-account.json"), folder.path().join("chat-service-account.json")).unwrap();
    for (name, text) in [("door-token", "open"), ("amqp-uri", "amqps://u:p@rabbit/%2f"), ("outcomes-token", "told")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A ConfigMap's configuration, its secrets taken from `folder`.
fn configuration(all: &[Value], name: &str, folder: &Path) -> Loaded {
    let text = find(all, "ConfigMap", name)["data"]["tidegate.toml"].as_str().unwrap();
    let text = text.replace("/etc/tidegate/secrets", folder.to_str().unwrap());
    config::parse(&text, name, folder, std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn manifests_are_objects_and_the_list_of_them_is_complete() {
    for document in all() {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            assert!(document.pointer(field).is_some_and(Value::is_string), "{field} in {document}");
        }
    }
    let listed = &documents("kustomization.yaml")[0]["resources"];
    let listed: Vec<&str> = listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(listed, MANIFESTS[..4]);
    let folder = std::fs::read_dir(deploy("kubernetes")).unwrap();
    assert_eq!(folder.count(), MANIFESTS.len() + 1, "a manifest that no test reads");
}

#[test]
fn pods_mount_what_their_configuration_names_and_listen_where_they_are_asked() {
    let (all, secrets) = (all(), secrets());
    for (pod, name) in pods(&all) {
        let settings = configuration(&all, name, secrets.path()).settings;
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["ports"][0]["containerPort"], settings.http.listen.port());
        assert!(settings.http.listen.ip().is_unspecified(), "a pod is reached from outside");
        for probe in ["livenessProbe", "readinessProbe"] {
            let path = container[probe]["httpGet"]["path"].as_str().unwrap();
            assert_eq!(path, if probe == "livenessProbe" { "/livez" } else { "/readyz" });
            assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"]);
        }
        let sources = pod["spec"]["volumes"][0]["projected"]["sources"].as_array().unwrap();
        assert_eq!(sources[0]["configMap"]["name"], name);
        let mounted: Vec<&str> = sources[1]["secret"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["path"].as_str().unwrap())
            .collect();
        let text = find(&all, "ConfigMap", name)["data"]["tidegate.toml"].as_str().unwrap();
        let named = text.split("/etc/tidegate/").skip(1).map(|rest| rest.split('"').next().unwrap());
        for file in named {
            assert!(mounted.contains(&file), "{name} names {file}, which is not mounted");
        }
        assert_eq!(text.matches("/etc/tidegate/").count(), mounted.len(), "{name}");
        let service = find(&all, "Service", name);
        assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], container["ports"][0]["name"]);
        if let Some(spool) = settings.spool {
            let state = container["volumeMounts"][1]["mountPath"].as_str().unwrap();
            assert!(spool.path.starts_with(state), "the spool is on the claim");
        }
    }
}

#[test]
fn a_pod_is_given_the_time_that_its_drain_takes() {
    let (all, secrets) = (all(), secrets());
    for (pod, name) in pods(&all) {
        let settings = configuration(&all, name, secrets.path()).settings;
        let grace = Duration::from_secs(pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap());
        let before = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
        assert_eq!(before > 0, settings.spool.is_some(), "callers come to the one with the spool");
        let needed = Duration::from_secs(before) + settings.limits.drain_timeout + LAST_WORDS;
        assert!(grace > needed, "{name}: {grace:?}, {needed:?}");
    }
}

#[test]
fn pods_have_no_rights_and_the_scraper_has_the_doors_token() {
    let all = all();
    for (pod, name) in pods(&all) {
        let (pod, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        assert_eq!(pod["volumes"][0]["projected"]["defaultMode"], 0o440, "nobody else reads a secret");
    }
    let endpoint = &find(&all, "PodMonitor", "tidegate")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["authorization"]["credentials"]["key"], "door-token");
    assert_eq!(endpoint["path"], "/metrics");
}

#[test]
fn pods_are_added_by_the_age_of_what_waits_and_stay_within_the_quota() {
    let (all, secrets) = (all(), secrets());
    let scaled = &find(&all, "ScaledObject", "tidegate")["spec"];
    assert_eq!(scaled["scaleTargetRef"]["name"], "tidegate");
    let exposed = exposed::Exposed::parse(&exposed::everything());
    for trigger in scaled["triggers"].as_array().unwrap() {
        let asked = query::read(trigger["metadata"]["query"].as_str().unwrap());
        asked.check(&exposed).unwrap();
        assert!(asked.metrics.iter().any(|(name, _)| name == "tidegate_oldest_waiting_seconds"));
    }
    let settings = configuration(&all, "tidegate", secrets.path()).settings;
    let (.., limits) = settings.apps[0].routes.iter().find(|(provider, ..)| provider.as_str() == "fcm").unwrap();
    let most = scaled["maxReplicaCount"].as_f64().unwrap();
    assert!(limits.rate.unwrap().per_second() * most <= 10_000.0, "600,000 a minute");
}

/// systemd's own opinion, of the unit with our binary in it.
#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let unit = text_of("systemd/tidegate.service");
    for line in ["Type=notify", "WatchdogSec=30s", "SuccessExitStatus=75", "RestartPreventExitStatus=64 78"] {
        assert!(unit.lines().any(|own| own == line), "{line}");
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("tidegate.service");
    std::fs::write(&path, unit.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"))).unwrap();
    let analyze = |args: &[&str]| {
        let ran = Command::new("systemd-analyze").args(args).arg(&path).output().expect("systemd-analyze is there");
        (ran.status.success(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    };
    let (good, said) = analyze(&["verify", "--man=no"]);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("tidegate")).collect();
    assert!(good && ours.is_empty(), "{said}");
    // From 0 (safe) to 100.
    let (good, said) = analyze(&["security", "--no-pager", "--offline=yes", "--threshold=15"]);
    assert!(good, "{said}");
}

/// What the image runs is a command of ours, as a user without rights, on a base without a shell.
#[test]
fn the_image_runs_what_is_there() {
    let text = text_of("Dockerfile").replace("\\\n", " ");
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let of = |word: &str| lines.iter().filter(|(first, _)| *first == word).map(|(_, rest)| *rest).collect::<Vec<_>>();
    let (from, user) = (of("FROM"), of("USER"));
    assert!(from[1].contains("distroless") && from[1].ends_with(":nonroot"), "{from:?}");
    assert_eq!(user, ["65532:65532"]);
    let rust = format!("rust:{}-bookworm AS build", env!("CARGO_PKG_RUST_VERSION"));
    assert_eq!(from[0], rust, "Cargo.toml's rust-version");
    let command: Vec<String> = serde_json::from_str(of("CMD")[0]).unwrap();
    let config = of("COPY").into_iter().find_map(|copy| copy.strip_prefix("config/tidegate.toml ")).unwrap();
    assert_eq!(command, ["serve", "--config", config]);
    assert!(of("COPY").iter().any(|copy| copy.contains("--chown=65532:65532") && copy.ends_with("/var/lib/tidegate")));
    let check: Vec<String> = serde_json::from_str(of("RUN").last().unwrap()).unwrap();
    assert_eq!(check, ["/usr/bin/tidegate", "check", "--config", config]);
}
