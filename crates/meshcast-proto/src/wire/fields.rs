//! Fields that several session messages have, and what is checked of all of them.

use std::{collections::BTreeSet, time::Duration};

use crate::wire::{codec::CodecError, name::ChannelName};

pub(super) fn channel(wire: &str) -> Result<ChannelName, CodecError> {
    ChannelName::from_wire(wire).map_err(|error| CodecError::Malformed(error.to_string()))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A list names nothing twice.
pub(super) fn once<T: Ord>(
    what: &'static str,
    mut named: impl Iterator<Item = T>,
) -> Result<(), CodecError> {
    let mut seen = BTreeSet::new();
    if named.all(|name| seen.insert(name)) {
        Ok(())
    } else {
        Err(CodecError::Twice(what))
    }
}

pub(super) fn at_most(limit: usize, found: usize) -> Result<(), CodecError> {
    if found > limit {
        return Err(CodecError::TooMany { found, limit });
    }
    Ok(())
}
