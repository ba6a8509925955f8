//! How two JSON documents differ, as a JSON Merge Patch (RFC 7386).
//!
//! A patch says `null` for what is gone, so it cannot say that something is null: documents that
//! are patched leave out what is not known.

use serde_json::{Map, Value};

/// The patch that makes `old` into `new`; `None` if they are the same.
pub(super) fn patch(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut changes = Map::new();
    for (name, value) in new {
        let change = match old.get(name) {
            Some(old) => patch(old, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            changes.insert(name.clone(), change);
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(gone.map(|name| (name.clone(), Value::Null)));
    (!changes.is_empty()).then_some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use meshcast_sim::Rng;
    use serde_json::json;

    use super::*;

    /// As RFC 7386 defines it.
    fn apply(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch;
        };
        let mut target = match target {
            Value::Object(target) => target,
            _ => Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let old = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, apply(old, value));
            }
        }
        Value::Object(target)
    }

    fn document(rng: &mut Rng, depth: u64) -> Value {
        let mut object = Map::new();
        for name in ["a", "b", "c"] {
            let value = match rng.below(6) {
                0 => continue,
                1 => json!(rng.below(3)),
                2 => json!("text"),
                3 => json!([rng.below(2), null]),
                _ if depth == 0 => json!(true),
                _ => document(rng, depth - 1),
            };
            object.insert(name.into(), value);
        }
        Value::Object(object)
    }

    #[test]
    fn a_patch_makes_the_old_document_into_the_new_one() {
        let mut rng = Rng::new(7);
        for _ in 0..2_000 {
            let (old, new) = (document(&mut rng, 3), document(&mut rng, 3));
            match patch(&old, &new) {
                Some(patch) => assert_eq!(apply(old, patch), new),
                None => assert_eq!(old, new),
            }
        }
    }

    #[test]
    fn only_what_differs_is_in_a_patch() {
        let old = json!({"members": {"fra-1": {"state": "up", "links": 2}, "iad-1": {"links": 2}}});
        let new = json!({"members": {"fra-1": {"state": "down", "links": 2}}});
        let expected = json!({"members": {"fra-1": {"state": "down"}, "iad-1": null}});
        assert_eq!(patch(&old, &new), Some(expected));
        assert_eq!(patch(&new, &new), None);
    }
}
