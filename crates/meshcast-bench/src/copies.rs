//! Counts the bytes that the process copies in memory.

#![allow(
    unsafe_code,
    reason = "memcpy and memmove are what they are; these are in place of those of the C library"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whether they are counted in this build.
pub(crate) const COUNTED: bool = cfg!(all(feature = "copies", target_arch = "x86_64"));

/// Bytes copied so far, by calls of `memcpy` and `memmove`: not what is copied in registers, as
/// short values of a known length are, nor by the kernel, nor what a cipher writes elsewhere than
/// it read.
pub(crate) fn counted() -> u64 {
    BYTES.load(Relaxed)
}

static BYTES: AtomicU64 = AtomicU64::new(0);

/// In place of those of the C library, for all that is linked into this program.
#[cfg(all(feature = "copies", target_arch = "x86_64"))]
mod replaced {
    use std::{arch::asm, sync::atomic::Ordering::Relaxed};

    use super::BYTES;

    /// # Safety
    /// As that of the C library.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        BYTES.fetch_add(count as u64, Relaxed);
        // SAFETY: what the caller promises. In assembly, since the compiler makes a call of memcpy
        // of any loop that copies.
        unsafe {
            asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _,
                inout("rsi") from => _, options(nostack, preserves_flags));
        }
        to
    }

    /// # Safety
    /// As that of the C library.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        if (to as usize).wrapping_sub(from as usize) >= count {
            // SAFETY: what lies ahead is not written before it is read.
            return unsafe { memcpy(to, from, count) };
        }
        BYTES.fetch_add(count as u64, Relaxed);
        // SAFETY: from the last byte down; `count` is not zero, since they overlap. The direction
        // is set back.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rcx") count => _,
                inout("rdi") to.add(count - 1) => _, inout("rsi") from.add(count - 1) => _,
                options(nostack));
        }
        to
    }
}
