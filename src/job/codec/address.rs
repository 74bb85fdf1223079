//! `to`: the addresses.
//!
//! An element names its provider by its one key. If it names none, or two, the job is refused: nobody could be told how
//! that push ended. If it names one and the address below is no address, the push is [`Target::Bad`]. Addresses are
//! secrets: the words here never say what stood there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::document::Node;
use super::path::Path;
use super::{BadJob, MAX_TARGETS, expect};
use crate::job::{BadTarget, FcmTarget, Provider, Subscription, Target};

/// The longest device token, in hexadecimal digits. Apple says only that there is no fixed length; 64 is usual, 200 seen.
const MAX_DEVICE_TOKEN: usize = 512;
/// The longest FCM address, in bytes. Registration tokens have some 160.
const MAX_FCM_ADDRESS: usize = 4096;
/// The longest subscription URL, in bytes. Push services use up to some 500.
const MAX_ENDPOINT: usize = 2048;

const PROVIDERS: [&str; 3] = ["apns", "fcm", "webpush"];

/// Reads the addresses.
pub(super) fn read(path: &Path<'_>, node: Node<'_>) -> Result<Vec<Target>, BadJob> {
    let Node::Array(elements) = node else {
        return Err(BadJob::at(path, "wrong_type", format!("must be an array, is {}", node.kind())));
    };
    match elements.len() {
        0 => Err(BadJob::at(path, "no_target", "must have at least one target")),
        count if count > MAX_TARGETS => {
            let detail = format!("may have at most {MAX_TARGETS} targets, has {count}");
            Err(BadJob::at(path, "too_many_targets", detail))
        }
        _ => elements.iter().enumerate().map(|(index, node)| target(&path.element(index), node)).collect(),
    }
}

/// Reads one address.
pub(super) fn target(path: &Path<'_>, node: &Node<'_>) -> Result<Target, BadJob> {
    let Node::Object(fields) = node else {
        let detail = format!("must be an object such as {{\"apns\": \"…\"}}, is {}", node.kind());
        return Err(BadJob::at(path, "wrong_type", detail));
    };
    if let Some((name, _)) = fields.iter().find(|(name, _)| !PROVIDERS.contains(&name.as_ref())) {
        return Err(expect::unknown_field(path, name, &PROVIDERS));
    }
    let [(name, address)] = fields.as_slice() else {
        let detail = format!("must have one key, its provider (apns, fcm or webpush), has {}", fields.len());
        return Err(BadJob::at(path, "bad_target", detail));
    };
    let (provider, read) = match name.as_ref() {
        "apns" => (Provider::Apns, apns(address)),
        "fcm" => (Provider::Fcm, fcm(address)),
        _ => (Provider::Webpush, webpush(address)),
    };
    Ok(read.unwrap_or_else(|detail| bad(provider, node, detail)))
}

fn bad(provider: Provider, node: &Node<'_>, detail: String) -> Target {
    let raw = serde_json::value::to_raw_value(node).expect("a tree of JSON values can be written");
    Target::Bad(Box::new(BadTarget { provider, raw, detail: detail.into() }))
}

fn apns(node: &Node<'_>) -> Result<Target, String> {
    let token = text(node, "a device token")?;
    match token.len() {
        0 => Err("the device token is empty".to_owned()),
        length if length > MAX_DEVICE_TOKEN => {
            Err(format!("a device token has at most {MAX_DEVICE_TOKEN} characters, this one {length}"))
        }
        _ if !token.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err("a device token has only hexadecimal digits".to_owned())
        }
        length if length % 2 == 1 => Err(format!("a device token has whole bytes, this one {length} digits")),
        _ => Ok(Target::Apns(token.into())),
    }
}

fn fcm(node: &Node<'_>) -> Result<Target, String> {
    let Node::Object(fields) = node else {
        return word(text(node, "a registration token")?, "a registration token")
            .map(FcmTarget::Token)
            .map(Target::Fcm);
    };
    let [(name, address)] = fields.as_slice() else {
        return Err(format!("must have one of fid, topic and condition, has {} keys", fields.len()));
    };
    let target = match name.as_ref() {
        "fid" => FcmTarget::Fid(word(text(address, "fid")?, "fid")?),
        "topic" => FcmTarget::Topic(topic(text(address, "topic")?)?),
        "condition" => FcmTarget::Condition(condition(text(address, "condition")?)?),
        _ => return Err("must have one of fid, topic and condition".to_owned()),
    };
    Ok(Target::Fcm(target))
}

/// Firebase reference, `Message.topic`: `[a-zA-Z0-9-_.~%]+`, without the prefix `/topics/`.
fn topic(topic: &str) -> Result<Box<str>, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'%');
    match word(topic, "topic")? {
        topic if topic.bytes().all(fits) => Ok(topic),
        topic if topic.starts_with("/topics/") => Err("a topic is named without /topics/".to_owned()),
        _ => Err("a topic has only letters, digits and -_.~%".to_owned()),
    }
}

fn condition(condition: &str) -> Result<Box<str>, String> {
    let topics = condition.matches(" in topics").count();
    match sized(condition, "condition")? {
        _ if condition.chars().any(char::is_control) => Err("a condition has no control characters".to_owned()),
        _ if topics > 5 => Err(format!("a condition has at most five topics, this one {topics}")),
        condition => Ok(condition.into()),
    }
}

fn webpush(node: &Node<'_>) -> Result<Target, String> {
    let Node::Object(fields) = node else {
        return Err(format!("must be an object with endpoint, p256dh and auth, is {}", node.kind()));
    };
    let known = ["endpoint", "p256dh", "auth"];
    if !fields.iter().all(|(name, _)| known.contains(&name.as_ref())) {
        return Err("has only endpoint, p256dh and auth (without keys around them)".to_owned());
    }
    let field = |wanted: &str| match fields.iter().find(|(name, _)| name == wanted) {
        Some((_, value)) => text(value, wanted),
        None => Err(format!("{wanted} is missing")),
    };
    let subscription = Subscription {
        endpoint: endpoint(field("endpoint")?)?,
        p256dh: key(field("p256dh")?, "p256dh", 65)?,
        auth: key(field("auth")?, "auth", 16)?,
    };
    Ok(Target::Webpush(Box::new(subscription)))
}

fn endpoint(url: &str) -> Result<Box<str>, String> {
    let host = url.strip_prefix("https://").ok_or("the endpoint must be an https URL")?;
    match url.len() {
        length if length > MAX_ENDPOINT => Err(format!("the endpoint has at most {MAX_ENDPOINT} bytes, not {length}")),
        _ if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("the endpoint is not a URL".to_owned())
        }
        _ => Ok(url.into()),
    }
}

fn key(text: &str, name: &str, length: usize) -> Result<Box<str>, String> {
    let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| format!("{name} is not base64url"))?;
    match decoded.len() == length {
        true => Ok(text.into()),
        false => Err(format!("{name} must have {length} bytes, has {}", decoded.len())),
    }
}

fn text<'n>(node: &'n Node<'_>, name: &str) -> Result<&'n str, String> {
    match node {
        Node::Text(text) => Ok(text),
        other => Err(format!("{name} must be a string, is {}", other.kind())),
    }
}

/// An address without blanks and control characters.
fn word(text: &str, name: &str) -> Result<Box<str>, String> {
    match sized(text, name)? {
        text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.into()),
        _ => Err(format!("{name} must be visible ASCII characters")),
    }
}

fn sized<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    match text.len() {
        0 => Err(format!("{name} is empty")),
        length if length > MAX_FCM_ADDRESS => Err(format!("{name} has at most {MAX_FCM_ADDRESS} bytes, not {length}")),
        _ => Ok(text),
    }
}
