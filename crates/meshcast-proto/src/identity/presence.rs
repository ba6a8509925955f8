//! What members say of their own presence is signed by the key of their process.

use std::{sync::Arc, time::Duration};

use crate::{
    identity::{
        credential::{Identity, Member, Trust},
        verify::{Signed, VerifyError, who_signed},
    },
    wire::{Beat, Claim, CodecError, Places, PresenceRecord, WallTime, beat_hash},
};

impl PresenceRecord {
    /// Signs a record of this process.
    ///
    /// # Errors
    /// [`CodecError`] if it is over a limit.
    pub(crate) fn sign(identity: &Identity, claim: &Claim<'_>) -> Result<Self, CodecError> {
        Self::build(claim, |hash| identity.boot().sign(hash))
    }

    /// Who signed it. `known` is the member behind its sender, if that was verified before.
    ///
    /// # Errors
    /// [`VerifyError`]; nothing of it is to be believed.
    pub(crate) fn verify(
        &self,
        trust: &Trust,
        known: Option<&Arc<Member>>,
        wall: WallTime,
    ) -> Result<Arc<Member>, VerifyError> {
        let (hash, signature) = self.signed();
        let (sender, chain) = (self.sender, &self.chain[..]);
        let signed = Signed {
            sender,
            chain,
            hash,
            signature,
        };
        who_signed(&signed, trust, known, wall)
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
