//! What every message says of itself.

use serde::{Deserialize, Serialize};

/// The number of a message and the time of its post: the first bytes of every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which measurement it belongs to; 0 is for the messages of the warm-up.
    pub(crate) run: u16,
    /// Its number within the run, from 0. 48 bits.
    pub(crate) number: u64,
    /// When it was handed to the system, by [`crate::clock::now`].
    pub(crate) at: u64,
}

/// The payload of the typed workloads, as a user would write it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Typed {
    id: u64,
    text: String,
    at: u64,
}

impl Stamp {
    /// How many bytes of a payload it takes.
    pub(crate) const LEN: usize = 16;

    /// Writes it over the beginning of `payload`.
    ///
    /// # Panics
    /// If that is shorter than [`Self::LEN`]: sizes are checked when the command line is read.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.id().to_le_bytes());
        payload[8..16].copy_from_slice(&self.at.to_le_bytes());
    }

    /// Reads it from a payload; `None` if that is too short.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (id, rest) = payload.split_first_chunk()?;
        let at = u64::from_le_bytes(*rest.first_chunk()?);
        Some(Self::from_id(u64::from_le_bytes(*id), at))
    }

    /// Writes it into a typed payload.
    pub(crate) fn write_typed(self, typed: &mut Typed) {
        typed.id = self.id();
        typed.at = self.at;
    }

    fn id(self) -> u64 {
        u64::from(self.run) << NUMBER_BITS | self.number
    }

    const fn from_id(id: u64, at: u64) -> Self {
        Self {
            run: (id >> NUMBER_BITS) as u16,
            number: id & ((1 << NUMBER_BITS) - 1),
            at,
        }
    }
}

impl Typed {
    /// One to write stamps into.
    pub(crate) fn new() -> Self {
        Self {
            id: 0,
            text: "sixteen letters.".to_owned(),
            at: 0,
        }
    }
}

impl From<&Typed> for Stamp {
    fn from(typed: &Typed) -> Self {
        Self::from_id(typed.id, typed.at)
    }
}

const NUMBER_BITS: u32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way_through_a_payload() {
        let stamp = Stamp {
            run: 7,
            number: (1 << 48) - 1,
            at: u64::MAX,
        };
        let mut payload = [0; 64];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        let mut typed = Typed::new();
        stamp.write_typed(&mut typed);
        assert_eq!(Stamp::from(&typed), stamp);
    }

    #[test]
    fn a_payload_that_is_too_short_has_no_stamp() {
        assert_eq!(Stamp::read(&[0; Stamp::LEN - 1]), None);
    }
}
