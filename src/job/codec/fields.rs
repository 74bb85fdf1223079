//! The second pass: a tree into a job.

use serde_json::{Map, Value};

use super::document::{Node, Object, into_map};
use super::path::Path;
use super::{BadJob, Defaults, address, apns_headers, expect, show};
use crate::job::{ApnsSection, Job, Lane, MAX_TTL_SECONDS, Notification, Target};

/// The job's fields.
const JOB: [&str; 12] = [
    "id",
    "app",
    "to",
    "priority",
    "ttl",
    "collapse_key",
    "notification",
    "data",
    "apns",
    "fcm",
    "webpush",
    "traceparent",
];
/// The fields of `notification`.
const NOTIFICATION: [&str; 6] = ["title", "subtitle", "body", "image", "sound", "badge"];
/// The fields of `apns`.
const APNS: [&str; 2] = ["headers", "payload"];
/// How FCM's message names its target; the job's stands in `to`.
const FCM_TARGETS: [&str; 4] = ["token", "fid", "topic", "condition"];

/// Reads a job.
pub(super) fn job(node: Node<'_>, defaults: Defaults<'_>) -> Result<Job, BadJob> {
    let root = Path::Root;
    let mut draft = Draft::default();
    for (name, node) in expect::object(&root, node)? {
        if matches!(node, Node::Null) && JOB.contains(&name.as_ref()) {
            continue;
        }
        draft.read(&root.field(&name), &name, node)?;
    }
    draft.finish(&root, defaults)
}

/// A job while its fields are being read.
#[derive(Default)]
struct Draft {
    id: Option<Box<str>>,
    app: Option<Box<str>>,
    to: Option<Vec<Target>>,
    priority: Option<Lane>,
    ttl: Option<u32>,
    collapse_key: Option<Box<str>>,
    notification: Option<Notification>,
    data: Option<Map<String, Value>>,
    apns: Option<ApnsSection>,
    fcm: Option<Map<String, Value>>,
    webpush: Option<Map<String, Value>>,
    traceparent: Option<Box<str>>,
}

impl Draft {
    fn read(&mut self, path: &Path<'_>, name: &str, node: Node<'_>) -> Result<(), BadJob> {
        match name {
            "id" => self.id = Some(expect::id(path, &expect::text(path, node)?)?),
            "app" => self.app = Some(expect::app(path, &expect::text(path, node)?)?),
            "to" => self.to = Some(address::read(path, node)?),
            "priority" => self.priority = Some(lane(path, node)?),
            "ttl" => self.ttl = Some(expect::whole(path, &node, 0..=MAX_TTL_SECONDS)?),
            "collapse_key" => self.collapse_key = Some(expect::collapse_key(path, &expect::text(path, node)?)?),
            "notification" => self.notification = notification(path, node)?,
            "data" => self.data = filled(data(path, node)?),
            "apns" => self.apns = apns(path, node)?,
            "fcm" => self.fcm = filled(fcm(path, node)?),
            "webpush" => self.webpush = filled(into_map(expect::object(path, node)?)),
            "traceparent" => self.traceparent = Some(expect::traceparent(path, &expect::text(path, node)?)?),
            _ => return Err(expect::unknown_field(&Path::Root, name, &JOB)),
        }
        Ok(())
    }

    fn finish(self, root: &Path<'_>, defaults: Defaults<'_>) -> Result<Job, BadJob> {
        let missing = |name| BadJob::at(&root.field(name), "missing_field", "is missing");
        let id = match (self.id, defaults.id) {
            (Some(id), _) => id,
            (None, Some(default)) => expect::id(&root.field("id"), default)?,
            (None, None) => uuid::Uuid::now_v7().to_string().into(),
        };
        let app = self.app.or(defaults.app.map(Into::into)).ok_or_else(|| missing("app"))?;
        let to = self.to.ok_or_else(|| missing("to"))?;
        let says_something = self.notification.is_some()
            || self.data.is_some()
            || self.apns.is_some()
            || self.fcm.is_some()
            || self.webpush.is_some();
        if !says_something {
            let detail = "has nothing to send: no notification, data, apns, fcm or webpush";
            return Err(BadJob::at(root, "nothing_to_send", detail));
        }
        Ok(Job {
            id,
            app,
            to,
            priority: self.priority,
            ttl: self.ttl,
            collapse_key: self.collapse_key,
            notification: self.notification,
            data: self.data,
            apns: self.apns,
            fcm: self.fcm,
            webpush: self.webpush,
            traceparent: self.traceparent,
        })
    }
}

/// An empty object says nothing.
fn filled(map: Map<String, Value>) -> Option<Map<String, Value>> {
    (!map.is_empty()).then_some(map)
}

fn lane(path: &Path<'_>, node: Node<'_>) -> Result<Lane, BadJob> {
    let text = expect::text(path, node)?;
    let lane = Lane::ALL.into_iter().find(|lane| lane.as_str() == text);
    lane.ok_or_else(|| {
        let names = show::alternatives(&Lane::ALL.map(Lane::as_str));
        BadJob::at(path, "bad_value", format!("must be {names}, is {}", show::text(&text)))
    })
}

fn notification(path: &Path<'_>, node: Node<'_>) -> Result<Option<Notification>, BadJob> {
    let mut notification = Notification::default();
    for (name, node) in expect::object(path, node)? {
        let here = path.field(&name);
        let slot = match name.as_ref() {
            "title" => &mut notification.title,
            "subtitle" => &mut notification.subtitle,
            "body" => &mut notification.body,
            "image" => &mut notification.image,
            "sound" => &mut notification.sound,
            "badge" if matches!(node, Node::Null) => continue,
            "badge" => {
                notification.badge = Some(expect::whole(&here, &node, 0..=u32::MAX)?);
                continue;
            }
            _ => return Err(expect::unknown_field(path, &name, &NOTIFICATION)),
        };
        if !matches!(node, Node::Null) {
            *slot = Some(expect::text(&here, node)?.into());
        }
    }
    Ok((notification != Notification::default()).then_some(notification))
}

fn data(path: &Path<'_>, node: Node<'_>) -> Result<Map<String, Value>, BadJob> {
    let fields: Object<'_> = expect::object(path, node)?;
    for (name, node) in &fields {
        let here = path.field(name);
        if name == "aps" {
            let detail = "is Apple's key, not one for data; what belongs there stands in apns.payload.aps";
            return Err(BadJob::at(&here, "reserved_field", detail));
        }
        if !matches!(node, Node::Text(_)) {
            return Err(expect::wrong_type(&here, "a string", node));
        }
    }
    Ok(into_map(fields))
}

fn apns(path: &Path<'_>, node: Node<'_>) -> Result<Option<ApnsSection>, BadJob> {
    let mut section = ApnsSection::default();
    for (name, node) in expect::object(path, node)? {
        let here = path.field(&name);
        match (name.as_ref(), node) {
            ("headers" | "payload", Node::Null) => {}
            ("headers", node) => section.headers = apns_headers::read(&here, node)?,
            ("payload", node) => section.payload = filled(payload(&here, node)?),
            _ => return Err(expect::unknown_field(path, &name, &APNS)),
        }
    }
    Ok((section != ApnsSection::default()).then_some(section))
}

/// Passed through, but `aps` must be an object: what Tidegate derives is merged into it.
fn payload(path: &Path<'_>, node: Node<'_>) -> Result<Map<String, Value>, BadJob> {
    let fields = expect::object(path, node)?;
    if let Some((name, aps)) = fields.iter().find(|(name, _)| name == "aps")
        && !matches!(aps, Node::Object(_))
    {
        return Err(expect::wrong_type(&path.field(name), "an object", aps));
    }
    Ok(into_map(fields))
}

/// Passed through, but for the message's target.
fn fcm(path: &Path<'_>, node: Node<'_>) -> Result<Map<String, Value>, BadJob> {
    let fields = expect::object(path, node)?;
    match fields.iter().find(|(name, _)| FCM_TARGETS.contains(&name.as_ref())) {
        Some((name, _)) => Err(BadJob::at(&path.field(name), "reserved_field", "is an address; it belongs into to")),
        None => Ok(into_map(fields)),
    }
}
