//! Good configurations: what they mean, what the environment changes, what is printed, what the schema accepts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;

use std::path::Path;
use std::time::Duration;

use configuration::{CANARY, Credentials};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use tidegate::config::{self, Loaded, Severity};
use tidegate::dispatch::LaneSettings;
use tidegate::job::{Lane, Provider};
use tidegate::outcome::OutcomeKind;
use tidegate::provider::ProviderSettings;
use tidegate::provider::apns::ApnsCredential;

const DEFAULT: &str = include_str!("../config/tidegate.toml");
const PRODUCTION: &str = include_str!("../config/production.toml");

fn parse_with(text: &str, base_dir: &Path, env: &[(&str, &str)]) -> Loaded {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::parse(text, "tidegate.toml", base_dir, env).unwrap_or_else(|problems| panic!("{problems}"))
}

fn parse(text: &str, credentials: &Credentials) -> Loaded {
    parse_with(text, credentials.path(), &[])
}

/// The production configuration, its files moved to a directory that has them.
fn production(credentials: &Credentials) -> String {
    for (from, to) in [
        ("token", "secrets/door-token"),
        ("token", "secrets/outcomes-token"),
        ("amqp-uri", "secrets/amqp-uri"),
        ("good.pem", "amqp-ca.pem"),
        ("good.pem", "amqp-client.pem"),
        ("good.key", "secrets/amqp-client.key"),
        ("good.p8", "secrets/AuthKey_ABC123DEFG.p8"),
        ("good.json", "secrets/chat-service-account.json"),
        ("good.pem", "shop-push.pem"),
        ("good.key", "secrets/shop-push.key"),
        ("good.json", "secrets/shop-service-account.json"),
    ] {
        let text = std::fs::read(credentials.path().join(from)).unwrap();
        credentials.write(to, text);
    }
    PRODUCTION.replace("/etc/tidegate", credentials.path().to_str().unwrap())
}

#[test]
fn the_shipped_default_says_what_holds_without_it() {
    let credentials = Credentials::new();
    let shipped = parse(DEFAULT, &credentials);
    let bare = parse("[source.spool]", &credentials);
    assert_eq!(format!("{:#?}", shipped.settings), format!("{:#?}", bare.settings));
    let (before, rest) = DEFAULT.split_once("# [source.amqp]").expect("the broker's table is there, marked out");
    let (broker, after) = rest.split_once("# For amqps://").expect("its last lines are for TLS");
    let with_broker = parse(&format!("{before}[source.amqp]{}#{after}", broker.replace("\n# ", "\n")), &credentials);
    let bare = "[source.spool]\n[source.amqp]\nuri = \"amqp://guest:guest@127.0.0.1:5672/%2f\"";
    assert_eq!(format!("{:#?}", with_broker.settings), format!("{:#?}", parse(bare, &credentials).settings));
    let warnings: Vec<&str> = shipped.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(warnings, ["apps"], "it runs as it is, and tells that no app is there");
}

#[test]
fn the_shipped_default_names_every_key() {
    let credentials = Credentials::new();
    let complete = "[source.amqp]\nuri = \"amqp://localhost/%2f\"\n[outcomes.webhook]\nurl = \"https://example.com\"\n\
        [apps.chat.apns]\ntopic = \"a.b\"\ncertificate_file = \"good.pem\"\nprivate_key_file = \"good.key\"\n\
        [apps.chat.fcm]\nservice_account_file = \"good.json\"\n[[source.amqp.queues]]\nname = \"push\"\n";
    let effective = config::print_effective(&parse(complete, &credentials));
    for line in effective.lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
        let name = line.trim_start_matches("# ").split([' ', ':']).next().unwrap();
        let named = DEFAULT.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
        assert!(named || name == "certificate_file" || name == "private_key_file", "{name} is not in tidegate.toml");
    }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let settings = parse("", &Credentials::new()).settings;
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.limits.memory, 256 << 20);
    assert_eq!(settings.limits.drain_timeout, Duration::from_secs(30));
    assert!(settings.amqp.is_none() && !settings.outcomes.amqp);
    assert_eq!(settings.lanes, [16, 4, 1].map(LaneSettings::weighing));
    use OutcomeKind::*;
    assert_eq!(settings.outcomes.publish, [Unregistered, Rejected, Expired, Shed, Failed]);
}

#[test]
fn the_production_example_means_what_it_says() {
    let credentials = Credentials::new();
    let loaded = parse(&production(&credentials), &credentials);
    assert_eq!(loaded.warnings, []);
    let settings = loaded.settings;
    assert_eq!(settings.http.tokens[0].expose_secret(), CANARY);
    let amqp = settings.amqp.unwrap();
    assert!(amqp.uri.expose_secret().starts_with("amqps://ada:") && !amqp.declare);
    assert!(amqp.client_certificate.is_some() && amqp.extra_roots.is_some());
    assert_eq!((amqp.max_prefetch, amqp.max_deliveries, amqp.heartbeat), (1_000, 100, Duration::from_secs(30)));
    assert_eq!(settings.lanes[Lane::High.index()].weight, 32);
    assert_eq!(settings.outcomes.webhook.unwrap().token.unwrap().expose_secret(), CANARY);

    let [chat, shop] = &settings.apps[..] else { panic!("two apps") };
    let [
        (Provider::Apns, ProviderSettings::Apns(apns), limits),
        (Provider::Fcm, ProviderSettings::Fcm(fcm), fcm_limits),
    ] = &chat.routes[..]
    else {
        panic!("chat has two routes")
    };
    assert_eq!((apns.endpoint.host.as_str(), apns.endpoint.port), ("api.push.apple.com", 443));
    assert_eq!(apns.topic, "com.example.chat");
    assert!(matches!(&apns.credential, ApnsCredential::Token { key_id, .. } if key_id == "ABC123DEFG"));
    assert_eq!((limits.rate, limits.max_attempts, limits.connections), (None, 8, 64));
    assert_eq!(limits.default_ttl, Duration::from_secs(6 * 3600));
    assert_eq!(fcm.account.project_id, "chat-1234");
    assert_eq!(fcm_limits.rate.unwrap().per_second(), 500_000.0 / 60.0);
    assert_eq!(fcm_limits.burst, 500);

    let (_, ProviderSettings::Apns(apns), limits) = &shop.routes[0] else { panic!("shop's first route is APNs") };
    assert!(matches!(apns.credential, ApnsCredential::Certificate { .. }));
    assert_eq!((limits.rate.unwrap().cells.get(), limits.burst, limits.connections), (2_000, 200, 4));
    assert_eq!((limits.min_concurrency, limits.max_concurrency, limits.max_attempts), (1, 500, 8));
    assert_eq!(shop.routes[1].2.burst, 500, "what the provider's table says of burst is inherited with another rate");
}

#[test]
fn the_burst_is_what_the_rate_passes_in_a_tenth_of_a_second() {
    let credentials = Credentials::new();
    for (rate, burst) in [("600000/min", 1_000), ("5/s", 1), ("unlimited", 1), ("36000/h", 1), ("99/s", 9)] {
        let text = format!("[apps.a.fcm]\nservice_account_file = \"good.json\"\nrate = \"{rate}\"");
        assert_eq!(parse(&text, &credentials).settings.apps[0].routes[0].2.burst, burst, "{rate}");
    }
}

#[test]
fn endpoints_are_hosts_and_ports() {
    let credentials = Credentials::new();
    for (endpoint, host, port) in [
        ("https://api.push.apple.com", "api.push.apple.com", 443),
        ("https://127.0.0.1:8443/", "127.0.0.1", 8443),
        ("https://[::1]:8443", "::1", 8443),
        ("https://[::1]", "::1", 443),
    ] {
        let text = format!("[apps.a.fcm]\nservice_account_file = \"good.json\"\nendpoint = \"{endpoint}\"");
        let settings = parse(&text, &credentials).settings;
        let ProviderSettings::Fcm(fcm) = &settings.apps[0].routes[0].1 else { panic!("an FCM route") };
        assert_eq!((fcm.endpoint.host.as_str(), fcm.endpoint.port), (host, port));
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let credentials = Credentials::new();
    let text = "[lanes.high]\nweight = 2\n[apps.chat-eu.fcm]\nservice_account_file = \"good.json\"\n\
        [apps.chat-eu.apns]\ntopic = \"a.b\"\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"\n\
        [outcomes]\nwebhook = \"https://example.com/\"";
    let env = [
        ("TIDEGATE__SOURCE__AMQP__URI", "amqp://localhost/%2f"),
        ("TIDEGATE__source__amqp__declare", "false"),
        ("TIDEGATE__LANES__HIGH__WEIGHT", "7"),
        ("TIDEGATE__LIMITS__DRAIN_TIMEOUT", "5s"),
        ("TIDEGATE__HTTP__TOKENS", "[\"env:DOOR\"]"),
        ("TIDEGATE__OUTCOMES__PUBLISH", "[\"failed\"]"),
        ("TIDEGATE__OUTCOMES__WEBHOOK__TOKEN", "12345"),
        ("TIDEGATE__APPS__CHAT_EU__FCM__RATE", "5/s"),
        ("TIDEGATE__APPS__CHAT_EU__APNS__KEY_ID", "1234567890"),
        ("TIDEGATE__APPS__CHAT_EU__APNS__CONCURRENCY__MAX", "9"),
        ("TIDEGATE__SOURCE__AMQP__QUEUES", "[{ name = \"push\", lane = \"low\" }]"),
        ("TIDEGATE__LANES__LOW", "{ weight = 3 }"),
        ("DOOR", CANARY),
        ("TIDEGATE_LOG", "debug"),
    ];
    let settings = parse_with(text, credentials.path(), &env).settings;
    let amqp = settings.amqp.unwrap();
    assert_eq!((amqp.uri.expose_secret(), amqp.declare), ("amqp://localhost/%2f", false));
    assert_eq!((amqp.queues[0].name.as_str(), amqp.queues[0].lane), ("push", Lane::Low));
    assert_eq!((settings.lanes[0].weight, settings.lanes[2].weight), (7, 3));
    assert_eq!(settings.limits.drain_timeout, Duration::from_secs(5));
    assert_eq!(settings.http.tokens[0].expose_secret(), CANARY);
    assert_eq!(settings.outcomes.publish, [OutcomeKind::Failed]);
    let webhook = settings.outcomes.webhook.unwrap();
    assert_eq!(webhook.url.expose_secret(), "https://example.com/");
    assert_eq!(webhook.token.unwrap().expose_secret(), "12345");
    let [(_, ProviderSettings::Apns(apns), apns_limits), (_, _, fcm_limits)] = &settings.apps[0].routes[..] else {
        panic!("two routes")
    };
    assert!(matches!(&apns.credential, ApnsCredential::Token { key_id, .. } if key_id == "1234567890"));
    assert_eq!(apns_limits.max_concurrency, 9);
    assert_eq!(fcm_limits.rate.unwrap().cells.get(), 5);
}

#[test]
fn what_is_printed_is_toml_that_means_the_same() {
    let credentials = Credentials::new();
    let plain = "[source.amqp]\nuri = \"env:URI\"\nheartbeat = \"90s\"\n[[source.amqp.queues]]\nname = \"push\"\n\
        lane = \"low\"\n[lanes.low]\nmax_waiting = 5000\n[providers.fcm]\nrate = \"100/s\"\n\
        [apps.chat.fcm]\nservice_account_file = \"good.json\"\n[apps.chat.fcm.concurrency]\nmax = 3\n";
    let env = [("URI", "amqp://localhost/%2f"), ("TIDEGATE__LIMITS__MEMORY", "64MiB")];
    let loaded = parse_with(plain, credentials.path(), &env);
    let printed = config::print_effective(&loaded);
    for line in [
        "uri = \"<secret>\"  # tidegate.toml:2",
        "memory = \"64MiB\"  # env TIDEGATE__LIMITS__MEMORY",
        "drain_timeout = \"30s\"  # default",
        "rate = \"100/s\"  # tidegate.toml:10 (providers.fcm.rate)",
        "max = 3  # tidegate.toml:14",
        "[[source.amqp.queues]]",
        "# burst: what the rate passes in 100 ms, at least 1",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no line {line} in\n{printed}");
    }
    let again = parse_with(&printed.replace("<secret>", "env:URI"), credentials.path(), &env[..1]);
    assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings));
    assert!(schema_accepts(&printed));
}

#[test]
fn no_secret_is_printed() {
    let credentials = Credentials::new();
    let inline = format!(
        "[http]\ntokens = [\"{CANARY}\"]\n[source.amqp]\nuri = \"amqp://ada:{CANARY}@rabbit.example/\"\n\
        [outcomes.webhook]\nurl = \"https://example.com/?key={CANARY}\"\ntoken = \"{CANARY}\""
    );
    for text in [production(&credentials), inline] {
        let loaded = parse(&text, &credentials);
        let warnings: String = loaded.warnings.iter().map(ToString::to_string).collect();
        for said in [config::print_effective(&loaded), format!("{loaded:?}"), format!("{loaded:#?}"), warnings] {
            assert!(!said.contains(CANARY), "{said}");
            assert!(!said.contains("PRIVATE KEY-----"), "{said}");
        }
    }
}

#[test]
fn doubtful_things_are_warned_of() {
    let credentials = Credentials::new();
    let text = "[outcomes]\namqp = false\n[lanes.low]\nmax_age = \"1min\"\n[source.amqp]\nuri = \"amqp://ada:pw@rabbit.example/\"\n[apps.chat.apns]\ntopic = \"a.b\"\n\
        key_file = \"open.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"";
    let warned = parse(text, &credentials).warnings;
    let said: Vec<&str> = warned.iter().map(|warning| warning.message.as_str()).collect();
    assert!(warned.iter().all(|warning| warning.severity == Severity::Warning));
    assert_eq!(
        said,
        [
            "outcomes are told to nobody",
            "has no effect while on_overload is \"wait\"",
            "names the virtual host \"\"",
            "password and jobs cross the network in the clear",
            "every user of this machine may read the file"
        ]
    );
    let nothing = parse("", &credentials).warnings;
    assert_eq!(nothing.iter().map(|warning| warning.key.as_str()).collect::<Vec<_>>(), ["source", "apps"]);
}

#[test]
fn a_file_is_loaded_and_its_directory_is_where_names_count_from() {
    let credentials = Credentials::new();
    let path = credentials.write("etc/tidegate.toml", "[apps.chat.fcm]\nservice_account_file = \"../good.json\"");
    let loaded = config::load(&path, std::iter::empty()).unwrap();
    assert_eq!(loaded.settings.apps[0].name, "chat");
    let missing = config::load(&credentials.path().join("none.toml"), std::iter::empty()).unwrap_err().to_string();
    assert!(missing.contains("none.toml doesn't exist") && missing.contains("--config FILE"), "{missing}");
}

/// A key of the schema: the variable that sets it, and another value than its default.
fn keys(schema: &serde_json::Value, name: &str, found: &mut Vec<(String, serde_json::Value)>) {
    let schema = schema.get("anyOf").map_or(schema, |ways| &ways[1]);
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            keys(inner, &format!("{name}__{}", key.to_uppercase()), found);
        }
    } else if schema["additionalProperties"].is_object() {
        for app in ["CHAT", "SHOP"] {
            keys(&schema["additionalProperties"], &format!("{name}__{app}"), found);
        }
    } else if schema["items"]["type"] != "object" {
        found.push((name.to_owned(), schema.clone()));
    }
}

/// A good value that is not the one in force.
fn another(name: &str, schema: &serde_json::Value) -> String {
    let key = name.rsplit("__").next().unwrap();
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match (schema["type"].as_str().unwrap(), key) {
        ("boolean", _) => (schema["default"] != true).to_string(),
        ("integer", _) => (schema["minimum"].as_u64().unwrap() + 2).to_string(),
        ("array", "TOKENS") => "[\"another\"]".to_owned(),
        ("array", "HOSTS") => "[\"push.example.com\"]".to_owned(),
        ("array", "PRIVATE_NETWORKS") => "[\"10.1.2.0/24\"]".to_owned(),
        ("array", _) => "[]".to_owned(),
        (_, "MEMORY" | "MAX_BYTES" | "MIN_FREE") => "123MiB".to_owned(),
        (_, "RATE") => "1234/min".to_owned(),
        (_, "LISTEN") => "127.0.0.1:1".to_owned(),
        (_, "ENDPOINT") => "https://elsewhere.example".to_owned(),
        (_, "CA_FILE") => "another.pem".to_owned(),
        (_, "FILE") => "outcomes.ndjson".to_owned(),
        (_, "SERVICE_ACCOUNT_FILE") => "another.json".to_owned(),
        (_, "SUBJECT") => "https://example.com/push".to_owned(),
        (_, "PADDING") => "full".to_owned(),
        (_, "KEY_ID" | "TEAM_ID") => "ANOTHER789".to_owned(),
        (_, "ON_OVERLOAD") => "shed_oldest".to_owned(),
        _ if pattern.contains("(ms|") => "7s".to_owned(),
        _ => "another".to_owned(),
    }
}

#[test]
fn every_key_has_an_effect() {
    let credentials = Credentials::new();
    let another_root = std::fs::read_to_string(credentials.path().join("good.pem")).unwrap().repeat(2);
    credentials.write("another.pem", another_root);
    let account = std::fs::read_to_string(credentials.path().join("good.json")).unwrap();
    credentials.write("another.json", account.replace("\"chat-1234\"", "\"another\""));
    let text = "[source.spool]\n[source.amqp]\nuri = \"amqps://localhost/%2f\"\n[outcomes]\namqp = true\n[outcomes.webhook]\n\
        url = \"https://example.com\"\n\
        [apps.chat.apns]\ntopic = \"a.b\"\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"\n\
        [apps.chat.fcm]\nservice_account_file = \"good.json\"\n\
        [apps.chat.webpush]\nkey_file = \"good.p8\"\nsubject = \"mailto:ops@example.com\"\n\
        [apps.shop.apns]\ntopic = \"a.b\"\ncertificate_file = \"good.pem\"\nprivate_key_file = \"good.key\"\n\
        [lanes]\nhigh.max_age = \"1min\"\nnormal.max_age = \"1min\"\nlow.max_age = \"1min\"\n";
    let before = format!("{:?}", parse(text, &credentials).settings);
    let mut found = Vec::new();
    keys(&config::schema(), "TIDEGATE", &mut found);
    let mut tried = 0;
    for (name, schema) in found {
        // Secrets don't show, credentials have tests of their own, and the shop has no FCM and no key.
        let hidden = ["URI", "URL", "KEY_FILE", "CERTIFICATE_FILE", "PRIVATE_KEY_FILE"];
        if hidden.iter().any(|key| name.ends_with(&format!("__{key}"))) || name.contains("__SHOP__") {
            continue;
        }
        let value = another(&name, &schema);
        let value = if name.ends_with("OUTCOMES__AMQP") { "false".to_owned() } else { value };
        let after = format!("{:?}", parse_with(text, credentials.path(), &[(&name, &value)]).settings);
        assert_ne!(before, after, "{name}={value} changes nothing");
        tried += 1;
    }
    assert!(tried > 50, "only {tried} keys tried");
}

fn schema_accepts(text: &str) -> bool {
    let schema = jsonschema::validator_for(&config::schema()).expect("the schema is one");
    let document: serde_json::Value = toml::from_str(text).unwrap();
    schema.is_valid(&document)
}

#[test]
fn the_schema_accepts_the_shipped_files() {
    assert!(schema_accepts(DEFAULT));
    assert!(schema_accepts(PRODUCTION));
    assert!(schema_accepts(""));
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    for text in [
        "[limits]\nmemory = 256",
        "[limits]\nmemory = \"256MB\"",
        "[limits]\nmemroy = \"256MiB\"",
        "[http]\nrate = \"5\"",
        "[http]\nlisten = \"localhost:80\"",
        "[source.spool]\npath = 5",
        "[source.amqp]",
        "[source.amqp]\nuri = \"amqp://localhost\"\nmax_prefetch = 2001",
        "[source.amqp]\nuri = \"amqp://localhost\"\ncertificate_file = \"a\"",
        "[outcomes]\npublish = [\"sent\"]",
        "[outcomes]\nwebhook = 5",
        "[lanes.high]\nweight = 0",
        "[lanes.urgent]",
        "[providers.fcm]\nrate = \"0/s\"",
        "[providers.apns]\nendpoint = \"http://x\"",
        "[apps.chat]",
        "[apps.\"a.b\".fcm]\nservice_account_file = \"a\"",
        "[apps.chat.fcm]",
        "[apps.chat.apns]\ntopic = \"a.b\"",
        "[apps.chat.apns]\ntopic = \"a.b\"\nkey_file = \"a\"",
        "[apps.chat.apns]\ntopic = \"a\"\nkey_file = \"a\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"\ncertificate_file = \"a\"",
        "[apps.chat.apns]\ntopic = \"a\"\nkey_file = \"a\"\nkey_id = \"short\"\nteam_id = \"TEAM123456\"",
    ] {
        assert!(!schema_accepts(text), "{text}");
        let read = config::parse(text, "t", Path::new(""), std::iter::empty());
        assert!(read.is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(at in 0..DEFAULT.len(), length in 0usize..40, put in ".{0,12}") {
        let start = (0..=at).rev().find(|at| DEFAULT.is_char_boundary(*at)).unwrap();
        let end = (start + length..).find(|at| DEFAULT.is_char_boundary(*at) || *at >= DEFAULT.len()).unwrap();
        let text = format!("{}{put}{}", &DEFAULT[..start], DEFAULT.get(end..).unwrap_or_default());
        if let Err(problems) = config::parse(&text, "t", Path::new("/nowhere"), std::iter::empty()) {
            prop_assert!(problems.errors() > 0);
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn no_broken_line_tells_a_secret(at in 0usize..60, put in "[\"'\\[\\]{}=#\\\\\n ]{1,3}") {
        let text = format!("[source.amqp]\nuri = \"amqp://ada:{CANARY}@rabbit.example/%2f\"\nprefix = \"x\"\n");
        // Never within the secret itself: half of it is not it any more.
        let secret = text.find(CANARY).unwrap();
        let at = if at > secret && at < secret + CANARY.len() { secret } else { at };
        let text = format!("{}{put}{}", &text[..at], &text[at..]);
        if let Err(problems) = config::parse(&text, "t", Path::new("/nowhere"), std::iter::empty()) {
            prop_assert!(!problems.to_string().contains(CANARY), "{}", problems);
        }
    }
}

/// What a reload would change, and what of it takes a restart.
#[test]
fn what_a_running_pipeline_cannot_take_on_is_named() {
    let credentials = Credentials::new();
    let chat = "[apps.chat.apns]\nkey_file = \"good.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"TEAM123456\"\ntopic = \"com.example.chat\"\n";
    let source = "[source.amqp]\nuri = \"file:amqp-uri\"\n";
    let before = parse(&format!("{source}{chat}"), &credentials);
    let changes = |text: &str| config::needs_restart(&before, &parse(text, &credentials));
    let none: [&str; 0] = [];
    assert_eq!(changes(&format!("# a comment\n{source}{chat}")), none);
    let live = format!(
        "{source}[limits]\ndrain_timeout = \"1s\"\n[lanes.low]\nweight = 2\nmax_age = \"10s\"\non_overload = \"shed_oldest\"\n\
         [providers.apns]\nrate = \"5/s\"\n{chat}burst = 7\nmax_attempts = 2\nconcurrency = {{ max = 9 }}\n"
    );
    assert_eq!(changes(&live), none);
    let inherited = format!("{source}[providers.apns]\nconnections = 3\n{chat}");
    assert_eq!(changes(&inherited), none);
    assert_eq!(changes(&format!("{source}{chat}connections = 3\ndefault_ttl = \"1h\"\n")), none);
    let shop = "[apps.shop.fcm]\nservice_account_file = \"good.json\"\nrate = \"1/s\"\n";
    assert_eq!(changes(&format!("{source}{chat}{shop}")), none);
    assert_eq!(changes(source), none);
    assert_eq!(changes(&format!("{source}[limits]\nmemory = \"300MiB\"\n{chat}")), ["limits.memory"]);
    assert_eq!(
        changes(&format!("{source}prefix = \"other\"\n[http]\nlisten = \"127.0.0.1:1\"\n{chat}")),
        ["http.listen", "source.amqp.prefix"]
    );
    // What a file holds counts, by whatever name.
    credentials.write("amqp-uri", "amqp://guest:other@127.0.0.1:5672/%2f");
    let renewed = std::fs::read(credentials.path().join("open.p8")).unwrap();
    credentials.write("renewed.p8", renewed);
    assert_eq!(changes(&format!("{source}{chat}").replace("good.p8", "renewed.p8")), ["source.amqp.uri"]);
    assert!(!format!("{before:?}").contains(CANARY));
}
