//! A [`Value`] inside other serde types and formats: its JSON form.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Value;

/// Writes the form of [`Value::to_json`]. On a channel of `Value` nothing is lost: there it travels as it is;
/// only as part of another type, or in another format, it takes this form.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Reads what JSON can say, as [`Value::from_json`] does.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self::from_json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_inside_another_type_takes_its_json_form() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Wrapped {
            inner: Value,
        }
        let wrapped = Wrapped {
            inner: Value::from_json(serde_json::json!({"a": [1, "x", null]})),
        };
        let mut bytes = Vec::new();
        super::super::to_bytes(&wrapped, &mut bytes).expect("encodes");
        assert_eq!(
            super::super::from_bytes::<Wrapped>(&bytes).expect("decodes"),
            wrapped
        );
    }
}
