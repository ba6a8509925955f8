//! One hash over all that happens.

use std::hash::{Hash, Hasher};

use super::plan::Action;
use crate::{at::At, log::Entry};

/// What happened so far. Two runs with the same hash did the same.
#[derive(Debug, Default)]
pub(super) struct Trace {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Trace {
    pub(super) fn action(&mut self, at: At, action: &Action) {
        at.hash(self);
        action.hash(self);
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        entry.hash(self);
    }

    pub(super) fn finish(&mut self) -> String {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        self.hasher.finalize().to_hex().to_string()
    }
}

/// Takes what `Hash` gives, byte by byte; numbers in one order on every machine.
impl Hasher for Trace {
    fn write(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        0
    }
}

const BUFFER: usize = 64 * 1024;
