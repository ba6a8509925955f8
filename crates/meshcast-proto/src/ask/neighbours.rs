//! The peers with a session to this node: which peers they have themselves, and how much is handed
//! on for them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{output::AskOutput, relays::By};
use crate::{
    bounds::{Rate, SharedRate, TokenBucket},
    wire::{AskMessage, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Neighbours {
    peers: BTreeMap<Sender, Neighbour>,
    /// The rate of checks of each, also of those that are gone: to come back does not help.
    checks: BTreeMap<Sender, TokenBucket>,
    /// What they had handed on.
    copied: SharedRate<By>,
    me: Sender,
    /// The hash of this node and its peers.
    links: [u8; 16],
    /// When the peers are told that.
    tell_at: Option<Time>,
}

#[derive(Debug, Default)]
struct Neighbour {
    /// The hash of itself and its peers, and the one that it was told of us.
    links: Option<[u8; 16]>,
    told: Option<[u8; 16]>,
    /// Messages to it queue up.
    congested: bool,
}

impl Neighbours {
    pub(super) fn new(me: Sender) -> Self {
        Self {
            peers: BTreeMap::new(),
            checks: BTreeMap::new(),
            copied: SharedRate::new(COPIED),
            me,
            links: Sender::hash_of([me].into_iter()),
            tell_at: None,
        }
    }

    pub(super) fn begin(&mut self, peer: Sender, now: Time) {
        if self.peers.insert(peer, Neighbour::default()).is_none() {
            self.rehash();
        }
        self.checks.retain(|_, checks| !checks.is_full(now));
        self.tell_soon(now);
    }

    pub(super) fn end(&mut self, peer: Sender, now: Time) {
        if self.peers.remove(&peer).is_some() {
            self.rehash();
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

    pub(super) fn handle_links(&mut self, peer: Sender, links: [u8; 16]) {
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
    pub(super) fn may_copy(&mut self, by: By, bytes: usize, now: Time) -> bool {
        self.copied.try_take(by, bytes.max(LEAST_COPIED), now)
    }

    /// Whether a peer may make this node check another signature. If so, that counts.
    pub(super) fn may_check(&mut self, peer: Sender, now: Time) -> bool {
        self.checks.entry(peer).or_default().try_take(CHECKS, now)
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

    fn rehash(&mut self) {
        let peers = self.peers.keys().copied();
        self.links = Sender::hash_of(peers.chain([self.me]));
    }

    fn tell_soon(&mut self, now: Time) {
        let peers = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let at = now + TELL + TELL_PER_PEER.saturating_mul(peers);
        self.tell_at.get_or_insert(at);
    }
}

/// The delay before others are told that peers came or went: many come at once, and each is told of
/// all with a single message.
const TELL: Duration = Duration::from_millis(100);

/// And this much longer for each peer: a thousand peers are told at most once in two seconds.
const TELL_PER_PEER: Duration = Duration::from_millis(2);

/// The bytes a second of questions that are handed on, counted once for each recipient: four
/// hundred of 1 KiB in a fleet with eighty links each. Two seconds of it at once. Half of what is
/// served of histories.
const COPIED: Rate = Rate::per_second(32 * 1024 * 1024, Duration::from_secs(2));

/// The least that a question counts: 512 a second are handed on and remembered.
const LEAST_COPIED: usize = 64 * 1024;

/// The signatures a second that a peer may make this node check: more than those of the questions
/// and replies that an honest peer hands on to it in that time, however many others make up. That
/// peer decides which these are: it knows who brings them.
const CHECKS: Rate = Rate::per_second(2_048, Duration::from_secs(2));

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever makes keys up chooses their first bytes.
    #[test]
    fn who_has_other_peers_has_another_hash() {
        let links = |of: [u8; 2]| {
            let sender = |n| Sender::new(std::array::from_fn(|i| if i == 0 { n } else { 0 }));
            let mut all = Neighbours::new(sender(9));
            for n in of {
                all.begin(sender(n), Time::ZERO);
            }
            all.links
        };
        assert_eq!(links([1, 4]), links([4, 1]));
        assert_ne!(links([1, 4]), links([2, 3]));
    }
}
