//! What can be said of a request without knowing anybody: path, headers, payload. In APNs' order.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::{Rejection, reject};
use crate::simulator::Request;

/// The largest payload, bytes; VoIP has more.
const LARGEST_PAYLOAD: usize = 4096;

/// The largest VoIP payload, bytes.
const LARGEST_VOIP: usize = 5120;

/// The longest collapse id, bytes.
const LONGEST_COLLAPSE_ID: usize = 64;

const PREFIX: &str = "/3/device/";

/// The headers that mean something; none may come twice.
const HEADERS: [&str; 7] = [
    "apns-id",
    "apns-priority",
    "apns-expiration",
    "apns-push-type",
    "apns-topic",
    "apns-collapse-id",
    "authorization",
];

/// A push type, and what its topic ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PushType {
    pub(super) name: &'static str,
    suffix: &'static str,
}

const TYPES: [PushType; 11] = [
    PushType { name: "alert", suffix: "" },
    PushType { name: "background", suffix: "" },
    PushType { name: "mdm", suffix: "" },
    PushType { name: "voip", suffix: ".voip" },
    PushType { name: "complication", suffix: ".complication" },
    PushType { name: "fileprovider", suffix: ".pushkit.fileprovider" },
    PushType { name: "location", suffix: ".location-query" },
    PushType { name: "liveactivity", suffix: ".push-type.liveactivity" },
    PushType { name: "pushtotalk", suffix: ".voip-ptt" },
    PushType { name: "controls", suffix: ".push-type.controls" },
    PushType { name: "widgets", suffix: ".push-type.widgets" },
];

/// What a well-formed request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The device token.
    pub(super) token: &'a str,
    /// The push type; absent: nothing was said.
    pub(super) push_type: Option<PushType>,
    /// The topic without its suffix: the bundle id. Absent: nothing was said.
    pub(super) bundle: Option<&'a str>,
}

/// The device token in a path, if there is one at all.
pub(super) fn token(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|token| !token.is_empty())
}

/// Checks all but credentials, device and payload.
pub(super) fn check(request: &Request) -> Result<Wanted<'_>, Rejection> {
    if request.method != "POST" {
        return Err(reject(405, "MethodNotAllowed"));
    }
    let token = device_token(&request.path)?;
    if HEADERS.iter().any(|name| request.headers.iter().filter(|(key, _)| key == name).count() > 1) {
        return Err(reject(400, "DuplicateHeaders"));
    }
    if request.header("apns-id").is_some_and(|id| !is_uuid(id)) {
        return Err(reject(400, "BadMessageId"));
    }
    priority(request)?;
    if request.header("apns-expiration").is_some_and(|expiration| expiration.parse::<u64>().is_err()) {
        return Err(reject(400, "BadExpirationDate"));
    }
    let push_type = request.header("apns-push-type").map(push_type).transpose()?;
    let bundle = request.header("apns-topic").map(|topic| bundle(topic, push_type)).transpose()?;
    if bundle.is_none() && request.client_certificate.is_none() {
        return Err(reject(400, "MissingTopic"));
    }
    if request.header("apns-collapse-id").is_some_and(|id| id.len() > LONGEST_COLLAPSE_ID) {
        return Err(reject(400, "BadCollapseId"));
    }
    Ok(Wanted { token, push_type, bundle })
}

fn device_token(path: &str) -> Result<&str, Rejection> {
    let token = match path.strip_prefix(PREFIX) {
        Some("") => return Err(reject(400, "MissingDeviceToken")),
        Some(token) if !token.contains(['/', '?']) => token,
        _ if path == "/3/device" => return Err(reject(400, "MissingDeviceToken")),
        _ => return Err(reject(404, "BadPath")),
    };
    // Hexadecimal, whole bytes, of no fixed length.
    let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && token.len().is_multiple_of(2) { Ok(token) } else { Err(reject(400, "BadDeviceToken")) }
}

/// A canonical UUID in lower case, 8-4-4-4-12.
pub(super) fn is_uuid(id: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| match dash(at) {
        true => byte == b'-',
        false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    id.len() == 36 && id.bytes().enumerate().all(fits)
}

fn priority(request: &Request) -> Result<(), Rejection> {
    let background = request.header("apns-push-type") == Some("background");
    match request.header("apns-priority") {
        None | Some("5" | "1") => Ok(()),
        Some("10") if !background => Ok(()),
        Some(_) => Err(reject(400, "BadPriority")),
    }
}

fn push_type(name: &str) -> Result<PushType, Rejection> {
    TYPES.into_iter().find(|known| known.name == name).ok_or(reject(400, "InvalidPushType"))
}

/// The bundle id in a topic whose suffix must be the push type's.
fn bundle(topic: &str, push_type: Option<PushType>) -> Result<&str, Rejection> {
    const BAD: Rejection = reject(400, "BadTopic");
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if topic.is_empty() || !topic.bytes().all(is_word) {
        return Err(BAD);
    }
    let suffix = TYPES.iter().map(|known| known.suffix).find(|suffix| !suffix.is_empty() && topic.ends_with(suffix));
    let suffix = suffix.unwrap_or_default();
    if push_type.is_some_and(|push_type| push_type.suffix != suffix) {
        return Err(BAD);
    }
    topic.strip_suffix(suffix).filter(|bundle| !bundle.is_empty()).ok_or(BAD)
}

/// Checks the payload: JSON (Apple names no reason of its own for what is none), and not too large.
pub(super) fn payload(body: &[u8], push_type: Option<PushType>) -> Result<(), Rejection> {
    let largest = if push_type.is_some_and(|known| known.name == "voip") { LARGEST_VOIP } else { LARGEST_PAYLOAD };
    if body.len() > largest {
        return Err(reject(413, "PayloadTooLarge"));
    }
    let object = serde_json::from_slice::<HashMap<Cow<'_, str>, IgnoredAny>>(body).map(|object| object.len()).ok();
    match object {
        Some(1..) => Ok(()),
        Some(0) | None => Err(reject(400, "PayloadEmpty")),
    }
}
