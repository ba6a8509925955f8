//! The peers that there is a session with: which peers they have themselves, and how much they may
//! have handed on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::output::AskOutput;
use crate::{
    bounds::{Rate, TokenBucket},
    wire::{AskMessage, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Neighbours {
    peers: BTreeMap<Sender, Neighbour>,
    /// What they caused, also of those that are gone: to come back does not help.
    ledgers: BTreeMap<Sender, Ledger>,
    /// What all of them caused.
    copied: TokenBucket,
    /// The hash of this node and its peers.
    links: u64,
    /// When the peers are told that.
    tell_at: Option<Time>,
}

#[derive(Debug, Default)]
struct Neighbour {
    /// The hash of itself and its peers, and the one that it was told of us.
    links: Option<u64>,
    told: Option<u64>,
    /// What is sent to it waits.
    congested: bool,
}

#[derive(Debug, Default)]
struct Ledger {
    copied: TokenBucket,
    passed: TokenBucket,
    checks: TokenBucket,
}

impl Neighbours {
    pub(super) fn new(me: Sender) -> Self {
        Self {
            peers: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            copied: TokenBucket::default(),
            links: first(me),
            tell_at: None,
        }
    }

    pub(super) fn begin(&mut self, peer: Sender, now: Time) {
        if self.peers.insert(peer, Neighbour::default()).is_none() {
            self.links = self.links.wrapping_add(first(peer));
        }
        self.ledgers.retain(|_, ledger| !ledger.is_clear(now));
        self.tell_soon(now);
    }

    pub(super) fn end(&mut self, peer: Sender, now: Time) {
        if self.peers.remove(&peer).is_some() {
            self.links = self.links.wrapping_sub(first(peer));
            self.tell_soon(now);
        }
    }

    pub(super) fn contains(&self, peer: Sender) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Sender> {
        self.peers.keys().copied()
    }

    pub(super) fn is_congested(&self, peer: Sender) -> bool {
        self.peers.get(&peer).is_none_or(|peer| peer.congested)
    }

    pub(super) fn set_congested(&mut self, peer: Sender, congested: bool) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.congested = congested;
        }
    }

    pub(super) fn handle_links(&mut self, peer: Sender, links: u64) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.links = Some(links);
        }
    }

    /// Whether all peers have the same peers, this node among them: then nobody who can be reached
    /// is no peer.
    pub(super) fn are_all(&self) -> bool {
        let mut peers = self.peers.values();
        peers.all(|peer| peer.links == Some(self.links))
    }

    /// Whether a peer may have another question handed on that takes so many bytes in all. If so,
    /// that counts.
    pub(super) fn may_copy(&mut self, peer: Sender, bytes: usize, now: Time) -> bool {
        let ledger = self.ledgers.entry(peer).or_default();
        let is_due = ledger.copied.is_due(COPIED, now) && self.copied.is_due(COPIED_FOR_ALL, now);
        if is_due {
            ledger.copied.take(bytes, COPIED, now);
            self.copied.take(bytes, COPIED_FOR_ALL, now);
        }
        is_due
    }

    /// Whether a reply of so many bytes may be handed on to a peer. If so, that counts.
    pub(super) fn may_pass(&mut self, peer: Sender, bytes: usize, now: Time) -> bool {
        let ledger = self.ledgers.entry(peer).or_default();
        let is_due = ledger.passed.is_due(PASSED, now);
        if is_due {
            ledger.passed.take(bytes, PASSED, now);
        }
        is_due
    }

    /// Whether a peer may make this node check another signature. If so, that counts.
    pub(super) fn may_check(&mut self, peer: Sender, now: Time) -> bool {
        let ledger = self.ledgers.entry(peer).or_default();
        ledger.checks.try_take(CHECKS, now)
    }

    /// Tells the peers what peers this node has, if it is time to and that is news.
    pub(super) fn tell(&mut self, now: Time, out: &mut VecDeque<AskOutput>) {
        if self.tell_at.is_none_or(|at| at > now) {
            return;
        }
        self.tell_at = None;
        for (peer, neighbour) in &mut self.peers {
            if neighbour.told.replace(self.links) != Some(self.links) {
                let message = AskMessage::Links(self.links);
                out.push_back(AskOutput::Send(*peer, message));
            }
        }
    }

    pub(super) const fn due(&self) -> Option<Time> {
        self.tell_at
    }

    fn tell_soon(&mut self, now: Time) {
        let peers = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let at = now + TELL + TELL_PER_PEER.saturating_mul(peers);
        self.tell_at.get_or_insert(at);
    }
}

impl Ledger {
    fn is_clear(&self, now: Time) -> bool {
        let buckets = [self.copied, self.passed, self.checks];
        buckets.iter().all(|bucket| bucket.is_full(now))
    }
}

/// Keys are as good as random.
fn first(sender: Sender) -> u64 {
    let bytes = sender.key().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// How long after peers came or went the others are told: many come at once, and each is told of
/// all with a single message.
const TELL: Duration = Duration::from_millis(100);

/// And this much longer for each peer: a thousand peers are told at most once in two seconds.
const TELL_PER_PEER: Duration = Duration::from_millis(2);

/// How many bytes a second are handed on because of one peer, counted once for each who gets them:
/// a hundred questions of 1 KiB in a fleet with eighty links each. Two seconds of it at once.
const COPIED: Rate = Rate::per_second(8 * 1024 * 1024, Duration::from_secs(2));

/// The same because of all peers. Half of what is served of histories.
const COPIED_FOR_ALL: Rate = Rate::per_second(32 * 1024 * 1024, Duration::from_secs(2));

/// How many bytes a second of replies are handed on to one peer. At once, 256 of the longest.
const PASSED: Rate = Rate::per_second(8 * 1024 * 1024, Duration::from_secs(2));

/// How many signatures a second a peer may make this node check. At once, as many as one question
/// may have replies.
const CHECKS: Rate = Rate::per_second(512, Duration::from_secs(8));
