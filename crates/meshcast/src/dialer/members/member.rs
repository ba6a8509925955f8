//! What is known of one member, and of one that tells of others.

use std::{cmp::Reverse, collections::BTreeMap};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{Time, TokenBucket};

use super::{MAX_REPORTED, TELLER_DIALS};
use crate::dialer::target::Target;

/// A member that told of itself or that another member told of.
#[derive(Debug)]
pub(in crate::dialer) struct Member {
    /// What it told itself.
    pub(super) told: Vec<Multiaddr>,
    /// The addresses that others reported, without its own, each with its first reporter. Oldest
    /// first.
    pub(super) heard: Vec<(PeerId, Multiaddr)>,
    /// Whether it was ever connected.
    pub(super) met: bool,
    pub(super) target: Target,
    /// When it was last connected or heard of.
    pub(super) seen: Time,
}

/// Somebody who told of members it is not itself.
#[derive(Debug)]
pub(super) struct Teller {
    /// Of how many members some address comes from it.
    pub(super) members: usize,
    /// Dials under way that are charged to it.
    pub(super) dials: usize,
    /// Dials it may still cause. One that leads to the member is given back: the truth costs
    /// nothing.
    pub(super) bucket: TokenBucket,
}

impl Member {
    pub(super) const fn new(first: Time, now: Time) -> Self {
        Self {
            told: Vec::new(),
            heard: Vec::new(),
            met: false,
            target: Target::new(first),
            seen: now,
        }
    }

    /// Addresses that others told.
    #[cfg(test)]
    pub(in crate::dialer) const fn heard(&self) -> usize {
        self.heard.len()
    }

    pub(super) fn tells(&self, teller: &PeerId) -> bool {
        self.heard.iter().any(|(it, _)| it == teller)
    }

    /// Its possible addresses: its own first, then reported ones, one of each in turn. Of what
    /// others report alone only so much at a time, other addresses at the next try.
    pub(in crate::dialer) fn addresses(&self) -> Vec<Multiaddr> {
        let mut nth: BTreeMap<PeerId, usize> = BTreeMap::new();
        let mut heard: Vec<_> = self
            .heard
            .iter()
            .map(|(teller, address)| {
                let nth = nth.entry(*teller).or_default();
                *nth += 1;
                (*nth, address)
            })
            .collect();
        heard.sort_by_key(|(nth, _)| *nth);
        let heard = heard.into_iter().map(|(_, address)| address.clone());
        if self.met {
            return self.told.iter().cloned().chain(heard).collect();
        }
        let turns = self.heard.len().div_ceil(HEARD_AT_ONCE).max(1);
        let turn = usize::try_from(self.target.retry.failures).unwrap_or_default() % turns;
        heard
            .skip(turn * HEARD_AT_ONCE)
            .take(HEARD_AT_ONCE)
            .collect()
    }

    /// Takes what somebody tells of it. `true` if there is an address that was not known.
    pub(super) fn hear(
        &mut self,
        teller: PeerId,
        addresses: Vec<Multiaddr>,
        tellers: &mut BTreeMap<PeerId, Teller>,
    ) -> bool {
        untell(tellers, &self.heard);
        let mut news = false;
        for address in addresses.into_iter().take(MAX_REPORTED) {
            let known =
                self.told.contains(&address) || self.heard.iter().any(|(_, it)| *it == address);
            if !known && (self.heard.len() < MAX_REPORTED || self.displace(teller)) {
                self.heard.push((teller, address));
                news = true;
            }
        }
        tell(tellers, &self.heard);
        news
    }

    /// Makes room for an address that this teller tells, if another has more than its share.
    fn displace(&mut self, teller: PeerId) -> bool {
        let count = |of: PeerId| self.heard.iter().filter(|(it, _)| *it == of).count();
        let heaviest = self
            .heard
            .iter()
            .map(|(it, _)| (count(*it), Reverse(*it)))
            .max();
        let Some((most, Reverse(heaviest))) = heaviest else {
            return false;
        };
        if most <= count(teller) + 1 {
            return false;
        }
        let last = self.heard.iter().rposition(|(it, _)| *it == heaviest);
        last.map(|last| self.heard.remove(last)).is_some()
    }
}

impl Teller {
    pub(super) fn new() -> Self {
        Self {
            members: 0,
            dials: 0,
            bucket: TokenBucket::default(),
        }
    }

    pub(super) const fn has_room(&self) -> bool {
        self.dials < TELLER_DIALS
    }

    pub(super) fn is_needed(&self, now: Time) -> bool {
        self.members > 0 || self.dials > 0 || !self.bucket.is_full(now)
    }
}

/// Counts what somebody told of a member.
pub(super) fn tell(tellers: &mut BTreeMap<PeerId, Teller>, heard: &[(PeerId, Multiaddr)]) {
    for teller in distinct(heard) {
        tellers.entry(teller).or_insert_with(Teller::new).members += 1;
    }
}

/// Takes back what [`tell`] counted.
pub(super) fn untell(tellers: &mut BTreeMap<PeerId, Teller>, heard: &[(PeerId, Multiaddr)]) {
    for teller in distinct(heard) {
        if let Some(teller) = tellers.get_mut(&teller) {
            teller.members -= 1;
        }
    }
}

pub(super) fn distinct(heard: &[(PeerId, Multiaddr)]) -> impl Iterator<Item = PeerId> {
    let first = |at: usize| heard[..at].iter().all(|(it, _)| *it != heard[at].0);
    (0..heard.len())
        .filter(move |at| first(*at))
        .map(|at| heard[at].0)
}

/// Addresses that others reported dialled at the same time: as many as the swarm dials side by
/// side. One that says nothing takes 10 s.
const HEARD_AT_ONCE: usize = 8;
