//! The verifier of a node, for what comes by gossip and for what is fetched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshcast_proto::{
    Frame, LookedUp, Member, Sender, Verifier, VerifyError, WallTime, check_signature,
};

/// Shared, so that a frame that came one way is known when it comes the other.
#[derive(Debug, Clone)]
pub(crate) struct SharedVerifier(Arc<Mutex<Verifier>>);

impl SharedVerifier {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(Mutex::new(verifier)))
    }

    /// The sender of a frame that this peer gave. Connections verify what they bring at the same
    /// time, where there are threads for it.
    ///
    /// The signature of a peer's own frame is not checked: the peer proved that it holds the key
    /// when it connected, and nobody else writes on its connection. That is left to whoever hands
    /// the frame on ([`is_signed`](meshcast_proto::is_signed)).
    pub(crate) fn verify(
        &self,
        frame: &Frame,
        from: Option<Sender>,
        now: WallTime,
    ) -> Result<Arc<Member>, VerifyError> {
        // Hashed before there is a lock.
        frame.id();
        // In a statement of its own, so that the lock is not held while the signature is checked.
        let looked_up = self.lock().look_up(frame, now)?;
        match looked_up {
            LookedUp::Verified(member) => Ok(member),
            LookedUp::Unverified(member) if from == Some(frame.sender()) => Ok(member),
            LookedUp::Unverified(member) => {
                check_signature(frame, &member)?;
                self.lock().remember(frame);
                Ok(member)
            }
        }
    }

    /// A frame was found to be [signed](meshcast_proto::is_signed): a copy of it is, too.
    pub(crate) fn remember(&self, frame: &Frame) {
        self.lock().remember(frame);
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
