//! Whether a member sent this frame. Checked once for each frame and once for each sender.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use crate::{
    identity::{
        credential::{ChainError, Member, Trust},
        signature::{PublicKey, all_signed},
    },
    wire::{Frame, FrameId, Sender, WallTime},
};

/// Verifies frames. It remembers senders, so a known one costs a single signature check for each
/// frame; and frames, so another copy costs a hash.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    grace: Duration,
    members: RecentCache<Sender, CachedMember>,
    frames: RecentCache<FrameId, [u8; 64]>,
}

impl Verifier {
    /// A verifier that accepts frames up to `grace` after their sender's credential ended, since
    /// frames may be kept and handed on that long.
    pub fn new(trust: Trust, grace: Duration) -> Self {
        Self {
            trust,
            grace,
            members: RecentCache::new(MAX_MEMBERS),
            frames: RecentCache::new(MAX_FRAMES),
        }
    }

    /// Verifies a frame and says who sent it.
    ///
    /// # Errors
    /// [`VerifyError`]; the frame must not be delivered, kept or handed on.
    pub fn verify(&mut self, frame: &Frame, now: WallTime) -> Result<Arc<Member>, VerifyError> {
        match self.look_up(frame, now)? {
            LookedUp::Verified(member) => Ok(member),
            LookedUp::Unverified(member) => {
                check_signature(frame, &member)?;
                self.remember(frame);
                Ok(member)
            }
        }
    }

    /// The first part of [`Self::verify`]: all but the signature, which takes most of the time and
    /// nothing of the verifier. So several threads can check signatures at once: each calls
    /// [`check_signature`] and then [`Self::remember`].
    ///
    /// A frame that its sender gave to this node itself, over a connection on which it has proved
    /// that it holds the key, needs no signature to be believed. It does to be handed on:
    /// [`is_signed`] says so then.
    ///
    /// # Errors
    /// [`VerifyError`]; the frame must not be delivered, kept or handed on.
    pub fn look_up(&mut self, frame: &Frame, now: WallTime) -> Result<LookedUp, VerifyError> {
        let member = self.current_member_of(frame, now)?;
        Ok(if self.is_known(frame) {
            frame.set_signed();
            LookedUp::Verified(member)
        } else {
            LookedUp::Unverified(member)
        })
    }

    /// The signature of this frame was [checked](check_signature), and is that of its sender.
    pub fn remember(&mut self, frame: &Frame) {
        self.frames.insert(frame.id(), frame.signature());
    }

    /// Verifies many frames and returns for each, in order, what [`Self::verify`] would. New
    /// signatures are checked as a batch, in less than half the time; a wrong one makes those
    /// beside it cost as much again.
    ///
    /// A member can deliberately sign frames that pass here and not in [`Self::verify`]. So what
    /// passes here is not remembered: a copy that comes by gossip is checked alone.
    pub fn verify_all(
        &mut self,
        frames: &[Frame],
        now: WallTime,
    ) -> Vec<Result<Arc<Member>, VerifyError>> {
        let mut verdicts: Vec<_> = frames
            .iter()
            .map(|frame| self.current_member_of(frame, now))
            .collect();
        let unverified = frames.iter().zip(&mut verdicts);
        let mut unverified: Vec<_> = unverified
            .filter(|(frame, verdict)| verdict.is_ok() && !self.is_known(frame))
            .collect();
        for batch in unverified.chunks_mut(MAX_BATCH) {
            let signed: Vec<_> = batch
                .iter()
                .filter_map(|(frame, verdict)| {
                    let member = verdict.as_ref().ok()?;
                    Some((Arc::clone(member), frame.hash(), frame.signature()))
                })
                .collect();
            let together = signed
                .iter()
                .map(|(member, hash, signature)| (member.boot(), hash, signature));
            if signed.len() >= MIN_BATCH && all_signed(together) {
                continue;
            }
            for ((frame, verdict), (member, ..)) in batch.iter_mut().zip(signed) {
                match check_signature(frame, &member) {
                    Ok(()) => self.remember(frame),
                    Err(error) => **verdict = Err(error),
                }
            }
        }
        verdicts
    }

    /// The sender that the frame names, if that is a member now.
    fn current_member_of(
        &mut self,
        frame: &Frame,
        now: WallTime,
    ) -> Result<Arc<Member>, VerifyError> {
        let member = self.member_of(frame)?;
        member.check_time(now, self.grace)?;
        Ok(member)
    }

    /// Whether this frame with this signature passed [`check_signature`] before.
    fn is_known(&self, frame: &Frame) -> bool {
        self.frames.get(&frame.id()) == Some(&frame.signature())
    }

    /// The sender of a frame that was verified before.
    ///
    /// # Errors
    /// [`VerifyError`] if the chain is not one this mesh believes.
    pub fn member_of(&mut self, frame: &Frame) -> Result<Arc<Member>, VerifyError> {
        if let Some(cached) = self.members.get(&frame.sender())
            && *cached.chain == *frame.chain()
        {
            return Ok(Arc::clone(&cached.member));
        }
        let member = Arc::new(self.trust.verify(frame.chain())?);
        if member.sender() != frame.sender() {
            return Err(VerifyError::NotTheSender);
        }
        self.members.insert(
            frame.sender(),
            CachedMember {
                chain: frame.chain().into(),
                member: Arc::clone(&member),
            },
        );
        Ok(member)
    }
}

/// Whether this member signed a frame.
///
/// # Errors
/// [`VerifyError::BadSignature`] if not.
pub fn check_signature(frame: &Frame, member: &Member) -> Result<(), VerifyError> {
    if check_with(frame, Some(member.boot())) {
        Ok(())
    } else {
        Err(VerifyError::BadSignature)
    }
}

/// Whether its sender signed a frame. The signature is checked now if it was not before: that of a
/// frame that its sender gave to this node itself may wait until it is [handed
/// on](crate::Engine::recipients).
pub fn is_signed(frame: &Frame) -> bool {
    frame.is_known_signed() || check_with(frame, PublicKey::new(*frame.sender().key()).as_ref())
}

fn check_with(frame: &Frame, key: Option<&PublicKey>) -> bool {
    let is_signed = key.is_some_and(|key| key.signed(&frame.hash(), &frame.signature()));
    if is_signed {
        frame.set_signed();
    }
    is_signed
}

/// What a verifier knows of a frame without a look at its signature.
#[derive(Debug, Clone)]
pub enum LookedUp {
    /// It was verified before, with this signature.
    Verified(Arc<Member>),
    /// The sender that it names is a member. Its signature is still to be checked.
    Unverified(Arc<Member>),
}

#[derive(Debug)]
struct CachedMember {
    /// The encoded chain that made it a member.
    chain: Box<[u8]>,
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

impl VerifyError {
    /// Whether a peer that hands on such a frame must have known. The time of a credential is no
    /// proof: clocks differ, and a frame may be kept until after its credential has expired. Nor is
    /// its authority: during a rotation the peer may believe one that this node does not.
    pub const fn is_forgery(&self) -> bool {
        !matches!(
            self,
            Self::Chain(
                ChainError::UnknownAuthority
                    | ChainError::NotYetValid { .. }
                    | ChainError::Expired { .. }
            )
        )
    }
}

/// A map that forgets its oldest entry when it is full.
#[derive(Debug)]
struct RecentCache<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V> RecentCache<K, V> {
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

/// How many senders are remembered, at about 600 bytes each, or 1,300 with the longest chain: a
/// fleet of a thousand nodes that restarted four times.
const MAX_MEMBERS: usize = 4096;

/// How many frames are remembered, at about 100 bytes each. Copies of a frame arrive within about a
/// second, and a node at full speed takes some two thousand frames a second, or four times as many
/// short ones. A copy that comes later costs a signature check.
const MAX_FRAMES: usize = 8192;

/// Fewer frames than this are checked one by one. Two as a batch already take a third less time.
const MIN_BATCH: usize = 2;

/// How many frames are checked as a batch. From 16 on a frame takes two fifths of the time it takes
/// alone, and larger batches hardly less; a wrong frame costs the whole batch.
const MAX_BATCH: usize = 32;

#[cfg(test)]
mod tests;
