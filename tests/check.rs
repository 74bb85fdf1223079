//! `tidegate check` finds what would go wrong: each finding says where, what and what to do; what is all right is not
//! doubted.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod configuration;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use configuration::Credentials;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use tidegate::config;
use tidegate::source::amqp::{AmqpSettings, PrivateBroker, declare};

/// The app `chat` with both routes, to the providers themselves; `{}`: further keys of each.
fn both(apns: &str, fcm: &str) -> String {
    format!(
        "[apps.chat.apns]\ntopic = \"a.b\"\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"\n{apns}\n\
         [apps.chat.fcm]\nservice_account_file = \"good.json\"\n{fcm}\n"
    )
}

const SPOOL: &str = "[source.spool]\npath = \"spool\"\n";
const BROKER: &str = "[source.amqp]\nuri = \"amqp://guest:guest@127.0.0.1/%2f\"\n";

/// A configuration, and what must be found: the key, parts of what is said, a part of the remedy.
struct Finding {
    text: String,
    key: &'static str,
    says: &'static [&'static str],
    remedy: &'static str,
}

fn finding(text: String, key: &'static str, says: &'static [&'static str], remedy: &'static str) -> Finding {
    Finding { text, key, says, remedy }
}

fn findings() -> Vec<Finding> {
    let certificate = |name: &str| {
        format!(
            "{SPOOL}[apps.chat.apns]\ntopic = \"a.b\"\ncertificate_file = \"{name}.pem\"\nprivate_key_file = \"{name}.key\"\n"
        )
    };
    vec![
        finding(
            format!("{SPOOL}{}", both("", "").replace("good.p8", "open.p8")),
            "apps.chat.apns.key_file",
            &["every user of this machine may read the file"],
            "chmod 600",
        ),
        finding(
            format!("{SPOOL}{}", both("", "").replace("good.p8", "AuthKey_ZZZ999ZZZ9.p8")),
            "apps.chat.apns.key_id",
            &["\"ABC123DEFG\"", "\"ZZZ999ZZZ9\""],
            "by both",
        ),
        finding(certificate("soon"), "apps.chat.apns.certificate_file", &["ends in 9 days"], "without a restart"),
        finding(certificate("later"), "apps.chat.apns.certificate_file", &["not in force before"], "renew it"),
        finding(
            format!("{SPOOL}[providers.apns]\nca_file = \"ended.pem\"\n{}", both("", "")),
            "providers.apns.ca_file",
            &["trusts a certificate that ended"],
            "take it out",
        ),
        finding(
            format!("{SPOOL}{}", both("", "rate = \"700000/min\"")),
            "apps.chat.fcm.rate",
            &["chat-1234", "600000/min"],
            "at most 600000/min together",
        ),
        finding(
            format!("{SPOOL}[providers.fcm]\nrate = \"unlimited\"\n{}", both("", "")),
            "providers.fcm.rate",
            &["is more than the project"],
            "at most 600000/min together",
        ),
        finding(
            format!(
                "{SPOOL}{}[apps.shop.fcm]\nservice_account_file = \"good.json\"\nrate = \"400000/min\"\n",
                both("", "rate = \"400000/min\"")
            ),
            "apps.shop.fcm.rate",
            &["apps.chat.fcm, apps.shop.fcm", "800000/min together"],
            "at most 600000/min together",
        ),
        finding(
            format!("{BROKER}max_prefetch = 100\n{}", both("", "")),
            "source.amqp.max_prefetch",
            &["3 queues", "can't feed apps.chat.fcm.rate = \"600000/min\"", "1000 in flight"],
            "set max_prefetch = 334",
        ),
        finding(
            format!(
                "{BROKER}{}[apps.chat.fcm.concurrency]\nmax = 7000\n",
                both("connections = 64", "connections = 128")
            ),
            "source.amqp.max_prefetch",
            &["can't feed apps.chat.fcm.concurrency.max = 7000"],
            "name more queues",
        ),
        finding(
            format!("{SPOOL}{}[apps.chat.fcm.concurrency]\nmax = 4000\n", both("", "")),
            "apps.chat.fcm.concurrency.max",
            &["32 connections have 100 streams each"],
            "set connections = 40",
        ),
        finding(
            format!("{SPOOL}{}[apps.chat.fcm.concurrency]\nmin = 500\n", both("", "connections = 4")),
            "apps.chat.fcm.concurrency.min",
            &["can't be reached"],
            "min to at most 400",
        ),
        finding(
            format!("{SPOOL}{}", both("", "rate = \"300000/min\"\nconnections = 2")),
            "apps.chat.fcm.rate",
            &["can't be reached", "200 in flight", "2000 pushes a second"],
            "raise connections",
        ),
        finding(
            format!("[limits]\ndrain_timeout = \"5s\"\n{SPOOL}{}", both("", "")),
            "limits.drain_timeout",
            &["gives up requests that may take 20s"],
            "at least as long",
        ),
        finding(
            format!("{SPOOL}{}", both("default_ttl = \"10s\"", "")),
            "apps.chat.apns.default_ttl",
            &["over before its first request is given up"],
            "shorten request_timeout",
        ),
        finding(
            format!("{SPOOL}[lanes.low]\non_overload = \"shed_oldest\"\nmax_age = \"2d\"\n{}", both("", "")),
            "lanes.low.max_age",
            &["expire before they are so old"],
            "shorten max_age",
        ),
    ]
}

fn credentials() -> Credentials {
    let credentials = Credentials::new();
    credentials.write("AuthKey_ZZZ999ZZZ9.p8", std::fs::read(credentials.path().join("good.p8")).unwrap());
    let day = 24 * 3_600_i64;
    let now = std::time::SystemTime::now();
    let at = |seconds: i64| {
        let span = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - span } else { now + span }
    };
    for (name, begins, ends) in [("soon", -day, 9 * day + 3_600), ("later", 2 * day, 400 * day)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["tidegate.test".to_owned()]).unwrap();
        params.not_before = at(begins).into();
        params.not_after = at(ends).into();
        credentials.write(&format!("{name}.pem"), params.self_signed(&key).unwrap().pem());
        credentials.write(&format!("{name}.key"), key.serialize_pem());
    }
    credentials
}

#[test]
fn each_finding_says_where_what_and_what_to_do() {
    let credentials = credentials();
    for Finding { text, key, says, remedy } in findings() {
        let loaded = config::parse(&text, "tidegate.toml", credentials.path(), std::iter::empty());
        let warnings = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).warnings;
        let [found] = &warnings[..] else { panic!("one thing is wrong with it: {warnings:#?}\n{text}") };
        assert_eq!(found.key, key, "{found}\n{text}");
        for part in says {
            assert!(found.message.contains(part), "{part}: {found}");
        }
        assert!(found.remedy.contains(remedy), "{remedy}: {found}");
        if key != "source.amqp.max_prefetch" || text.contains("max_prefetch") {
            assert!(found.place.is_some(), "it is known where that was written: {found}");
        }
    }
}

/// What has a reason is not doubted: other hosts have other limits, and nobody wrote the defaults.
#[test]
fn what_is_all_right_is_not_doubted() {
    let credentials = credentials();
    let written = "request_timeout = \"20s\"\n[apps.chat.fcm.concurrency]\nmax = 8000\n";
    let simulated = "endpoint = \"https://localhost:2197\"\nrate = \"unlimited\"\nconnections = 1";
    for text in [
        format!("{SPOOL}{}", both("", "")),
        format!("{BROKER}{}", both("", "")),
        format!("{SPOOL}{}", both(simulated, simulated)),
        // Defaults, written out.
        format!("[limits]\ndrain_timeout = \"30s\"\n{BROKER}max_prefetch = 2000\n{}", both("", written)),
        format!("{BROKER}max_prefetch = 400\n{}", both("", "")),
        format!("{SPOOL}{}", both("", "rate = \"600000/min\"\nconnections = 20")),
        format!("{SPOOL}[lanes.low]\non_overload = \"shed_oldest\"\nmax_age = \"1h\"\n{}", both("", "")),
        format!("[limits]\ndrain_timeout = \"20s\"\n{SPOOL}{}", both("default_ttl = \"0s\"", "")),
        format!(
            "{SPOOL}{}",
            both("", "").replace("good.p8", "AuthKey_ZZZ999ZZZ9.p8").replace("ABC123DEFG", "ZZZ999ZZZ9")
        ),
    ] {
        let loaded = config::parse(&text, "tidegate.toml", credentials.path(), std::iter::empty()).unwrap();
        assert!(loaded.warnings.is_empty(), "{:#?}\n{text}", loaded.warnings);
    }
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn check(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let ran = command.args(["check", "--config", "tidegate.toml"]).args(args).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
}

#[test]
fn a_warning_is_told_and_strict_makes_an_error_of_it() {
    let credentials = credentials();
    let finding = findings().swap_remove(0);
    credentials.write("tidegate.toml", finding.text);
    let ran = check(credentials.path(), &[]);
    assert_eq!((ran.code, &*ran.out), (Some(0), "tidegate.toml: good\n"));
    assert!(ran.err.contains("tidegate.toml:5:12") && ran.err.contains("= help: chmod 600"), "{}", ran.err);
    let strict = check(credentials.path(), &["--strict"]);
    assert_eq!((strict.code, &*strict.out, strict.err), (Some(78), "", ran.err));
}

/// The errors, which end in 78 without any flag: a key that can't be read, one that is another certificate's, an end.
#[test]
fn credentials_that_can_not_work_are_errors() {
    let credentials = credentials();
    let certificate = |pem: &str, key: &str| {
        format!(
            "{SPOOL}[apps.chat.apns]\ntopic = \"a.b\"\ncertificate_file = \"{pem}\"\nprivate_key_file = \"{key}\"\n"
        )
    };
    for (text, says, help) in [
        (
            certificate("good.pem", "other.key"),
            "private_key_file = \"other.key\": is not the key of the certificate",
            "was made for",
        ),
        (certificate("ended.pem", "good.key"), "ended.pem holds a certificate that ended", "renew it"),
        (certificate("good.pem", "nowhere.key"), "nowhere.key doesn't exist", "relative names"),
        (certificate("good.pem", "."), "is not a regular file", "name a file"),
    ] {
        credentials.write("tidegate.toml", &text);
        let ran = check(credentials.path(), &[]);
        assert_eq!((ran.code, &*ran.out), (Some(78), ""), "{text}");
        assert!(ran.err.contains(says) && ran.err.contains(help), "{says}, {help}: {}", ran.err);
        assert!(ran.err.contains("tidegate.toml:"), "{}", ran.err);
    }
}

/// The broker is asked, told nothing, and nothing is made there.
#[tokio::test(flavor = "multi_thread")]
async fn online_finds_what_differs_at_the_broker() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let broker = PrivateBroker::start().await.expect("a private RabbitMQ starts");
    let folder = tempfile::tempdir().unwrap();
    let configure = |more: &str| {
        let text = format!("[source.amqp]\nuri = \"{}\"\n{more}\n", broker.uri());
        std::fs::write(folder.path().join("tidegate.toml"), text).unwrap();
    };
    configure("");
    // Nothing is there: that is what serve is for.
    let ran = check(folder.path(), &["--online"]);
    assert_eq!((ran.code, &*ran.out), (Some(0), "tidegate.toml: good\n"), "{}", ran.err);
    let connection = lapin::Connection::connect(&broker.uri(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let seen = channel.queue_declare("tidegate.jobs.high".into(), passive, FieldTable::default()).await;
    assert!(seen.is_err(), "check made a queue");

    let settings = AmqpSettings { uri: broker.uri().into(), ..AmqpSettings::default() };
    declare(&settings).await.unwrap();
    let ran = check(folder.path(), &["--online"]);
    assert_eq!((ran.code, &*ran.out), (Some(0), "tidegate.toml: good\n"), "{}", ran.err);

    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete("tidegate.jobs.high".into(), QueueDeleteOptions::default()).await.unwrap();
    let mut other = FieldTable::default();
    other.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("tidegate.jobs.high".into(), durable, other).await.unwrap();
    let ran = check(folder.path(), &["--online"]);
    assert_eq!((ran.code, &*ran.out), (Some(78), ""));
    for part in [
        "error: source.amqp: queue \"tidegate.jobs.high\" exists with a different",
        "= help: Delete it (when it is empty)",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);

    configure("declare = false\n[[source.amqp.queues]]\nname = \"theirs\"");
    let ran = check(folder.path(), &["--online"]);
    assert_eq!(ran.code, Some(78));
    assert!(
        ran.err.contains("queue \"theirs\" is missing at the broker")
            && ran.err.contains("= help: source.amqp.queues names it"),
        "{}",
        ran.err
    );

    std::fs::write(
        folder.path().join("tidegate.toml"),
        "[source.amqp]\nuri = \"amqp://guest:hunter2@127.0.0.1:1/%2f\"\n",
    )
    .unwrap();
    let ran = check(folder.path(), &["--online"]);
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("= help:") && !ran.err.contains("hunter2"), "{}", ran.err);
}
