//! Sizes and times with a unit.

use std::time::Duration;

/// A text that is no size or no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// It is no size.
    #[error("{0:?} is no size: write a whole number and a unit, 64MiB (B, KiB, MiB, GiB)")]
    Size(String),
    /// It is no time.
    #[error("{0:?} is no time: write a number and a unit, 90s (ms, s, m, h)")]
    Time(String),
    /// It is more than there can be.
    #[error("{0:?} is more than this machine can count")]
    TooLarge(String),
}

/// A number of bytes: `65536`, `64KiB`, `128 MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<usize, QuantityError> {
    let no_size = || QuantityError::Size(text.to_owned());
    let (number, unit) = split(text);
    let each: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(no_size()),
    };
    let number: usize = number.parse().map_err(|_| no_size())?;
    number
        .checked_mul(each)
        .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
}

/// A number of bytes with the largest unit that leaves a whole number.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(shift, _): &(u32, _)| bytes > 0 && bytes.is_multiple_of(1 << shift);
    let (shift, unit) = units.into_iter().find(whole).unwrap_or((0, "B"));
    format!("{} {unit}", bytes >> shift)
}

/// A time: `90`, `90s`, `1.5h`, `250ms`.
pub(crate) fn time(text: &str) -> Result<Duration, QuantityError> {
    let no_time = || QuantityError::Time(text.to_owned());
    let (number, unit) = split(text);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(no_time()),
    };
    let number: f64 = number.parse().map_err(|_| no_time())?;
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| QuantityError::TooLarge(text.to_owned()))
}

fn split(text: &str) -> (&str, &str) {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let at = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim())
}

/// Sizes in files: a number, or a text with a unit.
pub(crate) mod bytes_form {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(*bytes).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        match Form::deserialize(from)? {
            Form::Number(number) => usize::try_from(number).map_err(D::Error::custom),
            Form::Text(text) => super::bytes(&text).map_err(D::Error::custom),
        }
    }
}

/// Times in files: a number of seconds, or a text with a unit.
pub(crate) mod time_form {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Seconds(f64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let millis = time.as_millis();
        let (each, unit) = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .into_iter()
            .find(|(each, unit)| millis.is_multiple_of(*each) && (millis > 0 || *unit == "s"))
            .unwrap_or((1, "ms"));
        to.collect_str(&format_args!("{}{unit}", millis / each))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        match Form::deserialize(from)? {
            Form::Seconds(seconds) => {
                Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
            }
            Form::Text(text) => super::time(&text).map_err(D::Error::custom),
        }
    }
}
