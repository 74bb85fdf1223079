//! The job's JSON Schema, made from the very types that [`decode`](super::decode) fills.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use super::Job;

/// JSON Schema (draft 2020-12) of a job.
///
/// [`decode`](super::decode) refuses a little more, which a schema can't say: bytes instead of characters, a field twice, nothing to
/// send. And it is more patient in one thing: an address of the wrong form is that push's outcome, not the job's error.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_for!(Job);
    schema.insert("title".to_owned(), "Tidegate push job".into());
    schema.to_value()
}

/// Request headers for APNs; each wins over what Tidegate derives.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used; decode checks the same names, and a test compares both")]
pub(super) struct ApnsHeaders {
    /// What kind of push it is; decides the topic's suffix.
    apns_push_type: Option<PushType>,
    /// 10: at once; 5: when it suits the device's battery; 1: without waking the device.
    #[schemars(extend("enum" = ["10", "5", "1", 10, 5, 1, null]))]
    apns_priority: Option<TextOrNumber>,
    /// Seconds since 1970; 0: one attempt, nothing stored.
    apns_expiration: Option<TextOrNumber>,
    /// The bundle id, with its suffix.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    apns_topic: Option<String>,
    /// At most 64 bytes.
    apns_collapse_id: Option<TextOrNumber>,
    /// A UUID, with dashes.
    #[schemars(regex(pattern = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"))]
    apns_id: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum PushType {
    Alert,
    Background,
    Voip,
    Complication,
    Fileprovider,
    Mdm,
    Location,
    Liveactivity,
    Pushtotalk,
    Controls,
    Widgets,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum TextOrNumber {
    Text(String),
    Number(u64),
}
