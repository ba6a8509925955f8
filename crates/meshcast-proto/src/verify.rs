//! Is this frame what a member sent? Checked once for each frame and once for each sender.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use crate::{
    credential::{ChainError, Member, Trust},
    frame::{Frame, FrameId},
    id::Sender,
    time::WallTime,
};

/// Verifies frames, remembering senders (so a known one costs a single signature check a frame) and frames
/// (so a further copy costs a hash).
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    grace: Duration,
    members: Recent<Sender, Known>,
    frames: Recent<FrameId, [u8; 64]>,
}

impl Verifier {
    /// A verifier that accepts frames up to `grace` after the end of their sender's credential: as long as
    /// frames may be kept and handed on.
    pub fn new(trust: Trust, grace: Duration) -> Self {
        Self {
            trust,
            grace,
            members: Recent::new(MAX_MEMBERS),
            frames: Recent::new(MAX_FRAMES),
        }
    }

    /// Verifies a frame and says who sent it.
    ///
    /// # Errors
    /// [`VerifyError`]; the frame must not be delivered, kept or handed on.
    pub fn verify(&mut self, frame: &Frame, now: WallTime) -> Result<Arc<Member>, VerifyError> {
        let member = self.member_of(frame)?;
        member.check_time(now, self.grace)?;
        let hash = frame.hash();
        let (id, signature) = (FrameId::from_hash(&hash), frame.signature());
        if self.frames.get(&id) != Some(&signature) {
            if !member.signed(&hash, &signature) {
                return Err(VerifyError::BadSignature);
            }
            self.frames.insert(id, signature);
        }
        Ok(member)
    }

    /// Who sent a frame that was verified before.
    ///
    /// # Errors
    /// [`VerifyError`] if the chain is not one this mesh believes.
    pub fn member_of(&mut self, frame: &Frame) -> Result<Arc<Member>, VerifyError> {
        let chain_hash = blake3::hash(frame.chain());
        if let Some(known) = self.members.get(&frame.sender())
            && known.chain_hash == chain_hash
        {
            return Ok(Arc::clone(&known.member));
        }
        let member = Arc::new(self.trust.verify(frame.chain())?);
        if member.sender() != frame.sender() {
            return Err(VerifyError::NotTheSender);
        }
        self.members.insert(
            frame.sender(),
            Known {
                chain_hash,
                member: Arc::clone(&member),
            },
        );
        Ok(member)
    }
}

#[derive(Debug)]
struct Known {
    chain_hash: blake3::Hash,
    member: Arc<Member>,
}

/// Why a frame is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Its chain does not make its sender a member.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Its chain is about another key than the sender's.
    #[error("frame carries the credential of somebody else")]
    NotTheSender,
    /// Its signature does not fit.
    #[error("frame has a wrong signature")]
    BadSignature,
}

/// A map that forgets its oldest entry when it is full.
#[derive(Debug)]
struct Recent<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn new(capacity: usize) -> Self {
        Self {
            map: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_none() {
            self.order.push_back(key);
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
        }
    }
}

/// Senders remembered; about 300 bytes each. A fleet of a thousand nodes restarted four times.
const MAX_MEMBERS: usize = 4096;

/// Frames remembered, about 100 bytes each. Copies of a frame arrive within a second or so of each other, and
/// a node at full speed takes some eight thousand frames a second; a copy that comes later costs a signature
/// check.
const MAX_FRAMES: usize = 8192;

#[cfg(test)]
mod tests;
