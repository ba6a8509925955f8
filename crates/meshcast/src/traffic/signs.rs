//! Signs of what passed on the connections of a peer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
#[cfg(feature = "metrics")]
use std::sync::{Arc, atomic::AtomicU64};

/// Whether anything passed since somebody looked, by whichever connection.
#[derive(Debug, Default)]
pub(super) struct Signs {
    pub(super) received: AtomicBool,
    pub(super) sent: AtomicBool,
    /// With all others of its region.
    #[cfg(feature = "metrics")]
    pub(super) bytes: Arc<Bytes>,
}

/// How much passed, before encryption.
#[cfg(feature = "metrics")]
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

impl Signs {
    pub(super) fn on_read(&self, bytes: usize) {
        if bytes > 0 {
            self.received.store(true, Relaxed);
            #[cfg(feature = "metrics")]
            self.bytes.received.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(super) fn on_written(&self, bytes: usize) {
        if bytes > 0 {
            self.sent.store(true, Relaxed);
            #[cfg(feature = "metrics")]
            self.bytes.sent.fetch_add(bytes as u64, Relaxed);
        }
    }
}
