//! Questions and replies that travel over members are signed by the keys of the processes that
//! they are of.

use std::sync::Arc;

use crate::{
    identity::{
        credential::{Identity, Member, Trust},
        verify::{Signed, VerifyError, who_signed},
    },
    wire::{CodecError, Finding, Inquiry, Query, Reply, Sender, WallTime},
};

impl Inquiry {
    /// Signs a question of this process.
    ///
    /// # Errors
    /// [`CodecError`] if it is over a limit.
    pub(crate) fn sign(identity: &Identity, query: &Query<'_>) -> Result<Self, CodecError> {
        Self::build(query, |hash| identity.boot().sign(hash))
    }

    /// Who signed it. `known` is the member behind the asker, if that was verified before.
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
        let (sender, chain) = (self.asker, &self.chain[..]);
        let signed = Signed {
            sender,
            chain,
            hash,
            signature,
        };
        who_signed(&signed, trust, known, wall)
    }
}

impl Finding {
    /// Signs a reply of this process to the question of that asker and number.
    ///
    /// # Errors
    /// [`CodecError`] if it is over a limit.
    pub(crate) fn sign(
        identity: &Identity,
        of: (Sender, u64),
        reply: &Reply,
    ) -> Result<Self, CodecError> {
        let me = (identity.sender(), identity.chain().as_bytes());
        Self::build(of, me, reply, |hash| identity.boot().sign(hash))
    }

    /// The same as [`Inquiry::verify`], of whoever replies.
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
        let (sender, chain) = (self.answerer, &self.chain[..]);
        let signed = Signed {
            sender,
            chain,
            hash,
            signature,
        };
        who_signed(&signed, trust, known, wall)
    }
}
