//! `PATCH /v1/routes/{app}/{provider}`: reads the change, strictly, and writes what the route goes by afterwards.
//!
//! ```json
//! {"rate": "500/s", "burst": 50, "concurrency": {"min": 1, "max": 200}, "paused": false}
//! ```
//!
//! All fields are optional, values are written as in the configuration. The answer is of the same form, with
//! `"until": "reload"`: a patch lasts until the configuration is loaded again (SIGHUP, a change of the file, a restart).

use serde_json::{Map, Value, json};

use crate::delivery::{FloorAboveCeiling, RouteOrders, RoutePatch, RouteSettings};
use crate::door::Problem;
use crate::flow::Rate;

/// Far more than a patch can need; in bytes.
pub(super) const LARGEST: usize = 4_096;

/// Reads a request's body.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<RoutePatch, Problem> {
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(not_json(&format!("it is {}", kind(&other)))),
        Err(error) => return Err(not_json(&error.to_string())),
    };
    let mut patch = RoutePatch::default();
    for (name, value) in &fields {
        match name.as_str() {
            "rate" => patch.rate = Some(rate(value)?),
            "burst" => patch.burst = Some(whole("burst", value, RouteSettings::MAX_BURST)?),
            "concurrency" => concurrency(value, &mut patch)?,
            "paused" => patch.paused = Some(flag("paused", value)?),
            unknown => return Err(no_field(unknown, "rate, burst, concurrency and paused")),
        }
    }
    if patch == RoutePatch::default() {
        return Err(not_json("it changes nothing"));
    }
    Ok(patch)
}

/// The route's orders after a patch.
pub(super) fn answer(app: &str, provider: &str, orders: &RouteOrders) -> Value {
    let RouteOrders { settings, paused } = orders;
    json!({
        "app": app,
        "provider": provider,
        "rate": Rate::write(settings.rate),
        "burst": settings.burst,
        "concurrency": {"min": settings.min_concurrency, "max": settings.max_concurrency},
        "paused": paused,
        "until": "reload",
    })
}

/// The bounds contradict each other.
pub(super) fn contradiction(bounds: FloorAboveCeiling) -> Problem {
    let FloorAboveCeiling { min, max } = bounds;
    let remedy = "let min be at most max; a bound that the request does not name stays as it is";
    Problem::of_field("concurrency", format!("concurrency.min would be {min}, concurrency.max only {max}"), remedy)
}

fn concurrency(value: &Value, patch: &mut RoutePatch) -> Result<(), Problem> {
    let Value::Object(bounds) = value else {
        return Err(wrong("concurrency", value, "write {\"min\": 1, \"max\": 200}, either of them or both"));
    };
    refuse_unknown(bounds)?;
    let bound = |name: &str, field: &str| {
        bounds.get(name).map(|value| whole(field, value, RouteSettings::MAX_CONCURRENCY)).transpose()
    };
    patch.min_concurrency = bound("min", "concurrency.min")?;
    patch.max_concurrency = bound("max", "concurrency.max")?;
    Ok(())
}

fn refuse_unknown(bounds: &Map<String, Value>) -> Result<(), Problem> {
    let unknown = bounds.keys().find(|name| !matches!(name.as_str(), "min" | "max"));
    unknown.map_or(Ok(()), |name| Err(no_field(&format!("concurrency.{name}"), "concurrency.min and concurrency.max")))
}

fn rate(value: &Value) -> Result<Option<Rate>, Problem> {
    let remedy = "write it like \"500/s\", \"600000/min\" or \"36000/h\", or \"unlimited\"";
    let Value::String(text) = value else { return Err(wrong("rate", value, remedy)) };
    Rate::read(text).map_err(|what| Problem::of_field("rate", format!("rate = {value}: {what}"), remedy))
}

fn whole(field: &str, value: &Value, max: u32) -> Result<u32, Problem> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|n| (1..=max).contains(n));
    number.ok_or_else(|| wrong(field, value, &format!("write a whole number from 1 to {max}")))
}

fn flag(field: &str, value: &Value) -> Result<bool, Problem> {
    value.as_bool().ok_or_else(|| wrong(field, value, "write true or false, without quotes"))
}

fn wrong(field: &str, value: &Value, remedy: &str) -> Problem {
    Problem::of_field(field, format!("{field} = {value} is not what stands there"), remedy)
}

fn no_field(name: &str, known: &str) -> Problem {
    Problem::of_field(name, format!("there is no field {name:?}"), format!("the fields are {known}"))
}

fn not_json(what: &str) -> Problem {
    let remedy = "send a JSON object with one or more of rate, burst, concurrency and paused";
    Problem::new(axum::http::StatusCode::BAD_REQUEST, format!("the body is no change of a route: {what}"), remedy)
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
