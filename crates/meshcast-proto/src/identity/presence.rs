//! Members sign their own presence with the key of their process.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    identity::{
        credential::{Identity, Member},
        sealed::Sealed,
    },
    wire::{Beat, Claim, CodecError, Places, PresenceRecord, Sender, WallTime, beat_hash},
};

impl PresenceRecord {
    /// Signs a record of this process.
    ///
    /// # Errors
    /// [`CodecError`] if it is over a limit.
    pub(crate) fn sign(identity: &Identity, claim: &Claim<'_>) -> Result<Self, CodecError> {
        Self::build(claim, |hash| identity.boot().sign(hash))
    }
}

impl Sealed for PresenceRecord {
    fn signer(&self) -> Sender {
        self.sender
    }

    fn chain(&self) -> &Bytes {
        &self.chain
    }

    fn seal(&self) -> (blake3::Hash, [u8; 64]) {
        self.signed()
    }
}

impl Beat {
    /// Signs a sign of life of this process.
    pub(crate) fn sign(
        identity: &Identity,
        at: WallTime,
        period: Duration,
        places: Places,
    ) -> Self {
        let sender = identity.sender();
        let hash = beat_hash(sender, at, period, &places);
        Self {
            sender,
            at,
            period,
            places,
            signature: identity.boot().sign(&hash),
        }
    }

    /// Whether that member signed it.
    pub(crate) fn is_of(&self, member: &Member) -> bool {
        let hash = beat_hash(self.sender, self.at, self.period, &self.places);
        member.sender() == self.sender && member.signed(&hash, &self.signature)
    }
}
