//! The memory that reading one value may take.

use crate::encode::MAX_DEPTH;
use crate::error::{DecodeError, JsonError};

/// Default of [`DecodeLimits::max_memory`]: content of 64 MiB, or about 100 000 of the smallest
/// objects, far above any message worth posting and far below what hurts a process.
pub const DEFAULT_MAX_MEMORY: usize = 64 << 20;

/// The limits of a decoder for one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Containers inside each other; [`MAX_DEPTH`] by default. A Rust type ends at
    /// [`MAX_TYPED_DEPTH`](crate::MAX_TYPED_DEPTH) in any case.
    pub max_depth: usize,
    /// Bytes of memory the value may occupy; [`DEFAULT_MAX_MEMORY`] by default.
    pub max_memory: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_depth: MAX_DEPTH,
            max_memory: DEFAULT_MAX_MEMORY,
        }
    }
}

/// The memory that may still be taken. Every reader charges it for what it makes, before it makes
/// it: a few bytes of input can ask for a lot, by naming the same object again and again, by holes,
/// or by small objects that are large in memory.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Exceeded> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.exceeded()),
        }
    }

    #[cold]
    fn exceeded(&self) -> Exceeded {
        Exceeded { limit: self.limit }
    }
}

/// More was to be taken than the budget had left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exceeded {
    limit: usize,
}

impl From<Exceeded> for DecodeError {
    fn from(Exceeded { limit }: Exceeded) -> Self {
        Self::OverBudget { limit }
    }
}

impl From<Exceeded> for JsonError {
    fn from(Exceeded { limit }: Exceeded) -> Self {
        Self::OverBudget { limit }
    }
}

/// The charge of a list as it grows: room doubles when it is used up, as that of a `Vec` does.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    len: usize,
    room: usize,
}

impl Growth {
    /// Charges for one more element of this size.
    #[inline]
    pub(crate) fn push(&mut self, size: usize, budget: &mut Budget) -> Result<(), Exceeded> {
        if self.len == self.room {
            self.grow(size, budget)?;
        }
        self.len += 1;
        Ok(())
    }

    fn grow(&mut self, size: usize, budget: &mut Budget) -> Result<(), Exceeded> {
        let more = match size {
            _ if self.room > 0 => self.room,
            0..=1 => 8,
            2..=1024 => 4,
            _ => 1,
        };
        budget.charge(more.saturating_mul(size))?;
        self.room += more;
        Ok(())
    }
}
