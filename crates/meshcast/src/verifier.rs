//! The verifier of a node, for what comes by gossip and for what is fetched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshcast_proto::{Frame, Member, Verifier, VerifyError, WallTime};

/// Shared, so that a frame that came one way is known when it comes the other.
#[derive(Debug, Clone)]
pub(crate) struct SharedVerifier(Arc<Mutex<Verifier>>);

impl SharedVerifier {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(Mutex::new(verifier)))
    }

    /// Who sent a frame.
    pub(crate) fn verify(&self, frame: &Frame, now: WallTime) -> Result<Arc<Member>, VerifyError> {
        self.lock().verify(frame, now)
    }

    /// Of each of many frames who sent it.
    pub(crate) fn verify_all(
        &self,
        frames: &[Frame],
        now: WallTime,
    ) -> Vec<Result<Arc<Member>, VerifyError>> {
        self.lock().verify_all(frames, now)
    }

    fn lock(&self) -> MutexGuard<'_, Verifier> {
        // A panic leaves a cache half-filled, which is still a cache.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
