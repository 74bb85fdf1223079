//! The message's schema (FCM, REST reference "projects.messages"): what is unknown, mistyped, reserved or too large.

use serde_json::{Map, Value};

use super::status::Refusal;
use crate::simulator::FCM_ID_KEY;

/// The largest message, keys and values of `data` and `notification`, bytes.
const LARGEST: usize = 4096;

/// The largest one to a topic or a condition, bytes.
const LARGEST_TO_TOPIC: usize = 2048;

/// The longest `android.ttl`: four weeks, seconds.
const LONGEST_TTL: f64 = 2_419_200.0;

/// The most topics in a condition.
const MAX_TOPICS: usize = 5;

const TARGETS: [&str; 4] = ["token", "fid", "topic", "condition"];

const MESSAGE: &[&str] = &[
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "token",
    "fid",
    "topic",
    "condition",
];
const NOTIFICATION: &[&str] = &["title", "body", "image"];
const ANDROID: &[&str] = &[
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
    "bandwidth_constrained_ok",
    "restricted_satellite_ok",
];
const ANDROID_NOTIFICATION: &[&str] = &[
    "title",
    "body",
    "icon",
    "color",
    "sound",
    "tag",
    "click_action",
    "body_loc_key",
    "body_loc_args",
    "title_loc_key",
    "title_loc_args",
    "channel_id",
    "ticker",
    "sticky",
    "event_time",
    "local_only",
    "notification_priority",
    "default_sound",
    "default_vibrate_timings",
    "default_light_settings",
    "vibrate_timings",
    "visibility",
    "notification_count",
    "light_settings",
    "image",
    "proxy",
    "bypass_proxy_notification",
];
const APNS: &[&str] = &["headers", "payload", "fcm_options", "live_activity_token"];
const WEBPUSH: &[&str] = &["headers", "data", "notification", "fcm_options"];
const OPTIONS: &[&str] = &["analytics_label", "image", "link"];

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The target, whatever its kind.
    pub(super) target: String,
    /// What the sender calls the push.
    id: Option<String>,
}

impl Wanted {
    /// What identifies the push across re-sends: the sender's own id, else target and body.
    pub(super) fn push_id(&self, body: &[u8]) -> String {
        self.id.clone().unwrap_or_else(|| format!("{}#{:016x}", self.target, fnv1a(body)))
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold)
}

fn invalid(field: &str, description: impl Into<String>) -> Refusal {
    Refusal::Invalid { field: field.to_owned(), description: description.into() }
}

type Object = Map<String, Value>;

/// Reads a request's body.
///
/// # Errors
/// [`Refusal::Invalid`] with the first offending field.
pub(super) fn read(body: &[u8]) -> Result<Wanted, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| invalid("", format!("Invalid JSON payload received. Unable to parse: {error}.")))?;
    let body = object(&body, "")?;
    known(body, &["message", "validate_only"], "")?;
    let message = field(body, "message").ok_or_else(|| invalid("message", "Message is required."))?;
    let message = object(message, "message")?;
    known(message, MESSAGE, "message")?;
    let (kind, target) = target(message)?;
    let mut size = 0;
    if let Some(data) = field(message, "data") {
        size += self::data(data, "message.data")?;
    }
    if let Some(notification) = section(message, "notification", NOTIFICATION, "message.notification")? {
        size += text_size(notification);
    }
    android(message)?;
    apns(message)?;
    let webpush = section(message, "webpush", WEBPUSH, "message.webpush")?;
    if let Some(data) = webpush.and_then(|webpush| field(webpush, "data")) {
        self::data(data, "message.webpush.data")?;
    }
    section(message, "fcm_options", OPTIONS, "message.fcm_options")?;
    let largest = if matches!(kind, "topic" | "condition") { LARGEST_TO_TOPIC } else { LARGEST };
    if size > largest {
        return Err(invalid("message", format!("Message is too big: {size} bytes, {largest} allowed.")));
    }
    let id = field(message, "data").and_then(|data| data.get(FCM_ID_KEY)).and_then(Value::as_str);
    Ok(Wanted { target, id: id.map(str::to_owned) })
}

/// A field by its snake_case name, which may be written in camelCase.
fn field<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| is_named(key, name)).map(|(_, value)| value))
}

/// Whether `key` is `name` or its camelCase.
fn is_named(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut camel = String::with_capacity(name.len());
    for (nth, word) in name.split('_').enumerate() {
        match word.chars().next() {
            Some(first) if nth > 0 => {
                camel.push(first.to_ascii_uppercase());
                camel.push_str(&word[first.len_utf8()..]);
            }
            _ => camel.push_str(word),
        }
    }
    key == camel
}

fn known(object: &Object, names: &[&str], at: &str) -> Result<(), Refusal> {
    let stranger = object.keys().find(|key| !names.iter().any(|name| is_named(key, name)));
    stranger.map_or(Ok(()), |key| {
        let text = format!("Invalid JSON payload received. Unknown name \"{key}\" at '{at}': Cannot find field.");
        Err(invalid(at, text))
    })
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Object, Refusal> {
    value.as_object().ok_or_else(|| invalid(at, format!("Invalid value at '{at}': an object is expected.")))
}

fn section<'a>(parent: &'a Object, name: &str, names: &[&str], at: &str) -> Result<Option<&'a Object>, Refusal> {
    let Some(value) = field(parent, name) else { return Ok(None) };
    let section = object(value, at)?;
    known(section, names, at)?;
    Ok(Some(section))
}

fn target(message: &Object) -> Result<(&'static str, String), Refusal> {
    let mut given = TARGETS.into_iter().filter_map(|kind| field(message, kind).map(|value| (kind, value)));
    let one = given.next().ok_or_else(|| invalid("message", "Recipient of the message is not set."))?;
    if given.next().is_some() {
        return Err(invalid("message", "oneof field 'target' is already set."));
    }
    let (kind, value) = one;
    let at = format!("message.{kind}");
    let text = value.as_str().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| invalid(&at, "A target is a string that is not empty."))?;
    let is_topic = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'%');
    match kind {
        "topic" if !text.bytes().all(is_topic) => Err(invalid(&at, "Invalid topic name.")),
        "condition" if text.matches("in topics").count() > MAX_TOPICS => Err(invalid(&at, "Too many topics.")),
        "condition" if !text.contains("in topics") => Err(invalid(&at, "Invalid condition expression.")),
        _ => Ok((kind, text.to_owned())),
    }
}

/// Checks `data`; its size, bytes.
fn data(value: &Value, at: &str) -> Result<usize, Refusal> {
    let mut size = 0;
    for (nth, (key, value)) in object(value, at)?.iter().enumerate() {
        if key == "from" || key == "message_type" || key.starts_with("google.") || key.starts_with("gcm.") {
            return Err(invalid(at, format!("Invalid data payload key: {key}")));
        }
        let Some(text) = value.as_str() else {
            let at = format!("{at}[{nth}].value");
            let description = format!("Invalid value at '{at}' (TYPE_STRING), {value}");
            return Err(invalid(&at, description));
        };
        size += key.len() + text.len();
    }
    Ok(size)
}

fn text_size(section: &Object) -> usize {
    section.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}

fn android(message: &Object) -> Result<(), Refusal> {
    let Some(android) = section(message, "android", ANDROID, "message.android")? else { return Ok(()) };
    section(android, "notification", ANDROID_NOTIFICATION, "message.android.notification")?;
    section(android, "fcm_options", OPTIONS, "message.android.fcm_options")?;
    if let Some(data) = field(android, "data") {
        self::data(data, "message.android.data")?;
    }
    if let Some(ttl) = field(android, "ttl") {
        let seconds = ttl.as_str().and_then(|ttl| ttl.strip_suffix('s')).and_then(|ttl| ttl.parse::<f64>().ok());
        if !seconds.is_some_and(|seconds| (0.0..=LONGEST_TTL).contains(&seconds)) {
            let text =
                format!("Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), {ttl}");
            return Err(invalid("message.android.ttl", text));
        }
    }
    match field(android, "priority") {
        None => Ok(()),
        Some(Value::String(priority)) if matches!(priority.to_ascii_uppercase().as_str(), "NORMAL" | "HIGH") => Ok(()),
        Some(other) => Err(invalid("message.android.priority", format!("Invalid value {other}."))),
    }
}

fn apns(message: &Object) -> Result<(), Refusal> {
    let Some(apns) = section(message, "apns", APNS, "message.apns")? else { return Ok(()) };
    section(apns, "fcm_options", OPTIONS, "message.apns.fcm_options")?;
    if let Some(payload) = field(apns, "payload") {
        object(payload, "message.apns.payload")?;
    }
    let Some(headers) = field(apns, "headers") else { return Ok(()) };
    match object(headers, "message.apns.headers")?.values().all(Value::is_string) {
        true => Ok(()),
        false => Err(invalid("message.apns.headers", "Headers are strings.")),
    }
}
