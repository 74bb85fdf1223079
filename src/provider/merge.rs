//! Merging what a caller wrote over what Tidegate derived.

use serde_json::{Map, Value};

/// Merges `over` into `base`, deeply: two objects become one, field by field, else the caller's value wins. A caller's
/// `null` over something derived takes it away (as in RFC 7396); a `null` where nothing was derived is passed through.
pub(super) fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        match (base.get_mut(name), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merge(base, over),
            (Some(_), Value::Null) => {
                base.remove(name);
            }
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_callers_value_wins_deeply() {
        let mut base = json!({"aps": {"alert": {"title": "a", "body": "b"}, "badge": 1, "sound": "s"}, "k": "v"});
        let over =
            json!({"aps": {"alert": {"body": "B"}, "badge": null, "sound": {"critical": 1}}, "k": ["w"], "n": null});
        merge(base.as_object_mut().unwrap(), over.as_object().unwrap());
        let wanted =
            json!({"aps": {"alert": {"title": "a", "body": "B"}, "sound": {"critical": 1}}, "k": ["w"], "n": null});
        assert_eq!(base, wanted);
    }
}
