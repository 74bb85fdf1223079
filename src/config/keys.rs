//! Every key there is: its name, what may stand there, its default, and what it means.
//!
//! This is the only place that knows. The reader walks it, the nearest name is looked for in it, the JSON Schema is
//! written from it, `--print` follows its order. A key without an effect has no business here, except as
//! [`Later`](Shape::Later): an operator who writes it is told so instead of being left to believe that it works.

use super::table::{Absent, Class, Key, Kind, Literal, Rule, Shape, Table};
use crate::delivery::RouteSettings;
use crate::dispatch::OnOverload;
use crate::job::{Lane, MAX_TTL_SECONDS};
use crate::outcome::OutcomeKind;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const LANES: &[&str] = &[Lane::High.as_str(), Lane::Normal.as_str(), Lane::Low.as_str()];

const ON_OVERLOAD: &[&str] =
    &[OnOverload::Wait.as_str(), OnOverload::ShedOldest.as_str(), OnOverload::ShedNewest.as_str()];

const OUTCOMES: &[&str] = &[
    OutcomeKind::Delivered.as_str(),
    OutcomeKind::Unregistered.as_str(),
    OutcomeKind::Rejected.as_str(),
    OutcomeKind::Expired.as_str(),
    OutcomeKind::Collapsed.as_str(),
    OutcomeKind::Shed.as_str(),
    OutcomeKind::Failed.as_str(),
];

/// A table that is always there and has no further rules; others say in what they differ.
const PLAIN: Table = Table { keys: &[], always: true, shorthand: None, inherits: None, rules: &[] };

const fn key(name: &'static str, kind: Kind, default: Absent, doc: &'static str) -> Key {
    Key { name, shape: Shape::Value(kind, default), doc }
}

const fn table(name: &'static str, table: &'static Table, doc: &'static str) -> Key {
    Key { name, shape: Shape::Table(table), doc }
}

const fn later(name: &'static str, doc: &'static str) -> Key {
    Key { name, shape: Shape::Later, doc }
}

const fn text(default: &'static str) -> Absent {
    Absent::Is(Literal::Text(default))
}

const fn whole(default: u64) -> Absent {
    Absent::Is(Literal::Whole(default))
}

/// The whole configuration.
pub(super) static ROOT: Table = Table {
    keys: &[&[
        table("http", &HTTP, "The operator's door: health, metrics, dashboard."),
        table("limits", &LIMITS, "Bounds of the whole process."),
        table("source", &SOURCE, "Where jobs come from."),
        table("outcomes", &OUTCOMES_TABLE, "Which outcomes are told, and to whom."),
        table("lanes", &LANES_TABLE, "The classes in which pushes wait."),
        table("providers", &PROVIDERS, "Defaults for every app's routes."),
        Key { name: "apps", shape: Shape::Named(&APP), doc: "The apps, by the name that jobs give." },
    ]],
    ..PLAIN
};

static HTTP: Table = Table {
    keys: &[&[
        key(
            "listen",
            Kind::Address,
            text("127.0.0.1:8080"),
            "Address and port; one that is not loopback needs `tokens`.",
        ),
        key("tokens", Kind::Secrets, Absent::Is(Literal::List(&[])), "Bearer tokens; an empty list asks for none."),
        key(
            "rate",
            Kind::Rate,
            text("5000/s"),
            "Requests for `/v1/jobs`, of one token, or of one address where there are none.",
        ),
    ]],
    ..PLAIN
};

static LIMITS: Table = Table {
    keys: &[&[
        key("memory", Kind::Size { min: 16 * MIB, max: TIB }, text("256MiB"), "Of jobs held; windows are cut to fit."),
        key(
            "drain_timeout",
            Kind::Duration { min: 0, max: HOUR, grain: 1 },
            text("30s"),
            "How long SIGTERM lets what is in flight finish.",
        ),
    ]],
    ..PLAIN
};

static SOURCE: Table = Table {
    keys: &[&[
        table("amqp", &AMQP, "RabbitMQ; used if the table is there."),
        table("spool", &SPOOL, "The embedded durable queue, filled over HTTP; used if the table is there."),
    ]],
    ..PLAIN
};

static SPOOL: Table = Table {
    keys: &[&[
        key("path", Kind::File, text("var/spool"), "Its directory; made if it is missing."),
        key(
            "max_bytes",
            Kind::Size { min: MIB, max: 64 * TIB },
            text("8GiB"),
            "Bytes it may use; beyond them jobs are refused (429).",
        ),
        key(
            "min_free",
            Kind::Size { min: 0, max: TIB },
            text("256MiB"),
            "Bytes that its disk must have left; below them jobs are refused (507), and deliveries go on.",
        ),
        // Ids are kept in memory, 880,000 at most.
        key(
            "dedupe",
            Kind::Duration { min: 0, max: 24 * HOUR, grain: 1 },
            text("10min"),
            "For how long a job's id is known, so that it is not queued twice.",
        ),
        key(
            "max_deliveries",
            Kind::Whole { min: 1, max: 10_000 },
            whole(100),
            "A job that was in hand more often than this when the process died is a dead letter (poison).",
        ),
    ]],
    always: false,
    ..PLAIN
};

static AMQP: Table = Table {
    keys: &[&[
        key("uri", Kind::Secret, Absent::Required, "`amqp://` or `amqps://`, with user, password and virtual host."),
        key(
            "prefix",
            Kind::Text { min: 1, max: 64, class: Class::Name },
            text("tidegate"),
            "Starts every name of ours.",
        ),
        key(
            "declare",
            Kind::Flag,
            Absent::Is(Literal::Flag(true)),
            "Whether exchanges and queues are declared at start.",
        ),
        // Quorum queues cap a consumer's prefetch at 2,000.
        key("max_prefetch", Kind::Whole { min: 1, max: 2_000 }, whole(2_000), "Unsettled jobs per queue, at most."),
        // The queue's own x-delivery-limit is 200 and drops what passes it; ours must come well before.
        key(
            "max_deliveries",
            Kind::Whole { min: 1, max: 150 },
            whole(100),
            "A message redelivered more often is a dead letter (poison).",
        ),
        key("ca_file", Kind::File, Absent::Unset, "Further roots of trust for `amqps://`, PEM."),
        key("certificate_file", Kind::File, Absent::Unset, "A client certificate and its chain for `amqps://`, PEM."),
        key("private_key_file", Kind::File, Absent::Unset, "The client certificate's key, PEM."),
        // In the protocol it is a 16-bit number of seconds.
        key(
            "heartbeat",
            Kind::Duration { min: SECOND, max: 10 * MINUTE, grain: SECOND },
            text("30s"),
            "The heartbeat proposed to the broker.",
        ),
        Key {
            name: "queues",
            shape: Shape::Rows(&QUEUE),
            doc: "Queues of somebody else's making; none: ours, one per lane.",
        },
    ]],
    always: false,
    rules: &[Rule::Together(&["certificate_file", "private_key_file"])],
    ..PLAIN
};

static QUEUE: Table = Table {
    keys: &[&[
        // A name is a short string in AMQP: 255 bytes.
        key(
            "name",
            Kind::Text { min: 1, max: 255, class: Class::Visible },
            Absent::Required,
            "The queue's whole name.",
        ),
        key("lane", Kind::Choice(LANES), text("normal"), "The lane of its jobs that name no priority."),
        key(
            "app",
            Kind::Text { min: 1, max: 64, class: Class::Name },
            Absent::Unset,
            "The app of its jobs that name none.",
        ),
    ]],
    ..PLAIN
};

static OUTCOMES_TABLE: Table = Table {
    keys: &[&[
        key(
            "publish",
            Kind::Choices(OUTCOMES),
            Absent::Is(Literal::List(&["unregistered", "rejected", "expired", "shed", "failed"])),
            "The outcomes that are told.",
        ),
        key(
            "amqp",
            Kind::Flag,
            Absent::Derived("true where [source.amqp] is there"),
            "Tell the exchange `<prefix>.outcomes`.",
        ),
        key("file", Kind::File, Absent::Unset, "Append them to this file, as NDJSON."),
        table("webhook", &WEBHOOK, "POST them; a URL alone or a table."),
    ]],
    ..PLAIN
};

static WEBHOOK: Table = Table {
    keys: &[&[
        key("url", Kind::Secret, Absent::Required, "`https://…`, or `http://` on loopback."),
        key("token", Kind::Secret, Absent::Unset, "Sent as `authorization: Bearer …`."),
        key("ca_file", Kind::File, Absent::Unset, "Further roots of trust, PEM."),
    ]],
    always: false,
    shorthand: Some("url"),
    ..PLAIN
};

static LANES_TABLE: Table = Table {
    keys: &[&[
        table("high", &HIGH, "What a person waits for."),
        table("normal", &NORMAL, "Neither urgent nor bulk."),
        table("low", &LOW, "Bulk."),
    ]],
    ..PLAIN
};

static HIGH: Table = Table { keys: &[&[weight(16)], LANE], ..PLAIN };
static NORMAL: Table = Table { keys: &[&[weight(4)], LANE], ..PLAIN };
static LOW: Table = Table { keys: &[&[weight(1)], LANE], ..PLAIN };

const fn weight(default: u64) -> Key {
    key(
        "weight",
        Kind::Whole { min: 1, max: 10_000 },
        whole(default),
        "Share under contention, beside the other lanes'.",
    )
}

const LANE: &[Key] = &[
    // The largest job has 1,000 targets and must fit.
    key(
        "max_waiting",
        Kind::Whole { min: 1_000, max: 10_000_000 },
        whole(20_000),
        "Pushes waiting in memory, at most.",
    ),
    key(
        "max_age",
        Kind::Duration { min: 100, max: MAX_TTL_SECONDS as u64 * SECOND, grain: 1 },
        Absent::Unset,
        "Where the lane sheds: how old, from its acceptance, a push may get under overload.",
    ),
    key(
        "on_overload",
        Kind::Choice(ON_OVERLOAD),
        text("wait"),
        "Wait (back-pressure), or shed what is past `max_age`.",
    ),
];

static PROVIDERS: Table = Table {
    keys: &[&[
        table("apns", &PROVIDER_APNS, "Apple."),
        table("fcm", &PROVIDER_FCM, "Google."),
        later("webpush", "browsers"),
    ]],
    ..PLAIN
};

static PROVIDER_APNS: Table =
    Table { keys: &[&[endpoint("https://api.push.apple.com"), rate("unlimited")], ROUTE], ..PLAIN };
// 600,000 a minute is the quota that Google gives a project by default.
static PROVIDER_FCM: Table =
    Table { keys: &[&[endpoint("https://fcm.googleapis.com"), rate("600000/min")], ROUTE], ..PLAIN };

const fn endpoint(default: &'static str) -> Key {
    key("endpoint", Kind::Endpoint, text(default), "`https://host`, any port: also simulators and proxies.")
}

const fn rate(default: &'static str) -> Key {
    key("rate", Kind::Rate, text(default), "Pushes per time, or \"unlimited\".")
}

const ROUTE: &[Key] = &[
    key("ca_file", Kind::File, Absent::Unset, "Further roots of trust, token endpoints included, PEM."),
    key(
        "burst",
        Kind::Whole { min: 1, max: RouteSettings::MAX_BURST as u64 },
        Absent::Derived("what the rate passes in 100 ms, at least 1"),
        "Pushes that may go at once after a quiet time.",
    ),
    key("connections", Kind::Whole { min: 1, max: 1_024 }, whole(32), "At most; opened one at a time as demand asks."),
    key(
        "request_timeout",
        Kind::Duration { min: 50, max: 10 * MINUTE, grain: 1 },
        text("20s"),
        "From sending a request to its whole answer.",
    ),
    key("max_attempts", Kind::Whole { min: 1, max: 100 }, whole(5), "Attempts for one push, the first included."),
    key(
        "max_dead_percent",
        Kind::Whole { min: 1, max: 100 },
        whole(50),
        "Dead tokens among a minute's answers beyond which they are not believed: a wrong topic looks so. 100: always.",
    ),
    key(
        "default_ttl",
        Kind::Duration { min: 0, max: MAX_TTL_SECONDS as u64 * SECOND, grain: SECOND },
        text("24h"),
        "A push's time to live where its job names none.",
    ),
    table("concurrency", &CONCURRENCY, "Attempts in flight; adaptive, and bounded by the server's stream limit too."),
];

static CONCURRENCY: Table = Table {
    keys: &[&[
        key("min", Kind::Whole { min: 1, max: RouteSettings::MAX_CONCURRENCY as u64 }, whole(1), "At least."),
        key("max", Kind::Whole { min: 1, max: RouteSettings::MAX_CONCURRENCY as u64 }, whole(8_000), "At most."),
    ]],
    ..PLAIN
};

static APP: Table = Table {
    keys: &[&[
        table(
            "apns",
            &APP_APNS,
            "Its route to Apple. Every key of [providers.apns] may stand here too and holds for this route.",
        ),
        table(
            "fcm",
            &APP_FCM,
            "Its route to Google. Every key of [providers.fcm] may stand here too and holds for this route.",
        ),
        later("webpush", "browsers"),
    ]],
    always: false,
    rules: &[Rule::Something("a route: [apps.<app>.apns] or [apps.<app>.fcm]")],
    ..PLAIN
};

static APP_APNS: Table = Table {
    keys: &[APNS, &[endpoint("https://api.push.apple.com"), rate("unlimited")], ROUTE],
    always: false,
    inherits: Some("providers.apns"),
    rules: &[Rule::OneOf(&[&["key_file", "key_id", "team_id"], &["certificate_file", "private_key_file"]])],
    ..PLAIN
};

/// Apple's identifiers of keys and teams have ten characters.
const TEN: Kind = Kind::Text { min: 10, max: 10, class: Class::Alphanumeric };

const APNS: &[Key] = &[
    key("topic", Kind::Text { min: 1, max: 255, class: Class::Name }, Absent::Required, "The app's bundle id."),
    key("key_file", Kind::File, Absent::Unset, "The `.p8` key from Apple: PKCS #8, P-256, PEM."),
    key("key_id", TEN, Absent::Unset, "The key's id, ten characters."),
    key("team_id", TEN, Absent::Unset, "The team's id, ten characters."),
    key("certificate_file", Kind::File, Absent::Unset, "Instead of a key: a push certificate and its chain, PEM."),
    key("private_key_file", Kind::File, Absent::Unset, "The push certificate's key, PEM."),
];

static APP_FCM: Table = Table {
    keys: &[FCM, &[endpoint("https://fcm.googleapis.com"), rate("600000/min")], ROUTE],
    always: false,
    inherits: Some("providers.fcm"),
    ..PLAIN
};

const FCM: &[Key] =
    &[key("service_account_file", Kind::File, Absent::Required, "The service account's key file from Google, JSON.")];

/// Whether the keys called `name`, wherever in `table` they stand, are none of them secret; `None`: there is none.
pub(super) fn is_harmless(table: &'static Table, name: &str) -> Option<bool> {
    let here = table.all().filter_map(|key| match &key.shape {
        Shape::Value(kind, _) => (key.name == name).then(|| !kind.is_secret()),
        // A table may have a shorthand that is secret.
        Shape::Table(_) | Shape::Named(_) | Shape::Rows(_) if key.name == name => Some(false),
        Shape::Table(inner) | Shape::Named(inner) | Shape::Rows(inner) => is_harmless(inner, name),
        Shape::Later => None,
    });
    here.reduce(|one, other| one && other)
}
