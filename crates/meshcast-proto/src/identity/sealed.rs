//! Messages that members sign and others hand on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    identity::{
        credential::{Member, Trust},
        verify::VerifyError,
    },
    wire::{Sender, WallTime},
};

/// A signed message, with the chain that makes its signer a member.
pub(crate) trait Sealed {
    /// The process that signed it, by its own word.
    fn signer(&self) -> Sender;

    fn chain(&self) -> &Bytes;

    /// The hash that is signed, and the signature.
    fn seal(&self) -> (blake3::Hash, [u8; 64]);

    /// The member that signed it. `known` is the one behind its signer, if its chain was verified
    /// before.
    ///
    /// # Errors
    /// [`VerifyError`]; nothing of it is to be believed.
    fn verify(
        &self,
        trust: &Trust,
        known: Option<&Arc<Member>>,
        wall: WallTime,
    ) -> Result<Arc<Member>, VerifyError> {
        let member = match known {
            Some(member) => Arc::clone(member),
            None => Arc::new(trust.verify(self.chain())?),
        };
        if member.sender() != self.signer() {
            return Err(VerifyError::NotTheSender);
        }
        member.check_time(wall, Duration::ZERO)?;
        let (hash, signature) = self.seal();
        match member.signed(&hash, &signature) {
            true => Ok(member),
            false => Err(VerifyError::BadSignature),
        }
    }
}
