//! Messages that members sign and others hand on: questions and replies over members, presence
//! records and heartbeats.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    identity::{
        credential::{Identity, Member, Trust},
        verify::VerifyError,
    },
    wire::{
        Claim, CodecError, Finding, Heartbeat, Inquiry, PresenceRecord, Query, Reply, Sender,
        WallTime, heartbeat_hash,
    },
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

impl Heartbeat {
    /// Signs a heartbeat of this process.
    pub(crate) fn sign(identity: &Identity, at: WallTime, period: Duration) -> Self {
        let sender = identity.sender();
        Self {
            sender,
            at,
            period,
            signature: identity.boot().sign(&heartbeat_hash(sender, at, period)),
        }
    }

    /// Whether that member signed it. A heartbeat has no chain: the record of its member has one.
    pub(crate) fn is_of(&self, member: &Member) -> bool {
        let hash = heartbeat_hash(self.sender, self.at, self.period);
        member.sender() == self.sender && member.signed(&hash, &self.signature)
    }
}
