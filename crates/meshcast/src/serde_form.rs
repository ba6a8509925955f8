//! The serde forms of foreign types.

use std::{fmt::Display, time::Duration};

use serde::Serializer;

/// As text.
pub(crate) fn shown<S: Serializer>(it: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(it)
}

/// As text, or nothing.
pub(crate) fn shown_if_any<S: Serializer>(
    it: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match it {
        Some(it) => serializer.collect_str(it),
        None => serializer.serialize_none(),
    }
}

/// Each as text.
pub(crate) fn each_shown<T: Display, S: Serializer>(
    all: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(ToString::to_string))
}

/// Whole microseconds.
pub(crate) fn micros<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let micros = |it: &Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
    match duration {
        Some(duration) => serializer.serialize_some(&micros(duration)),
        None => serializer.serialize_none(),
    }
}
