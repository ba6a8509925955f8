//! Questions and replies that travel over members: each is signed with the key of the process that
//! made it.

use bytes::Bytes;

use crate::{
    identity::{credential::Identity, sealed::Sealed},
    wire::{CodecError, Finding, Inquiry, Query, Reply, Sender},
};

impl Inquiry {
    /// Signs a question of this process.
    ///
    /// # Errors
    /// [`CodecError`] if it is over a limit.
    pub(crate) fn sign(identity: &Identity, query: &Query<'_>) -> Result<Self, CodecError> {
        Self::build(query, |hash| identity.boot().sign(hash))
    }
}

impl Sealed for Inquiry {
    fn signer(&self) -> Sender {
        self.asker
    }

    fn chain(&self) -> &Bytes {
        &self.chain
    }

    fn seal(&self) -> (blake3::Hash, [u8; 64]) {
        self.signed()
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
}

impl Sealed for Finding {
    fn signer(&self) -> Sender {
        self.answerer
    }

    fn chain(&self) -> &Bytes {
        &self.chain
    }

    fn seal(&self) -> (blake3::Hash, [u8; 64]) {
        self.signed()
    }
}
