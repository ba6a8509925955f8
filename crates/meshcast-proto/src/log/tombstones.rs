//! The positions of logs that were forgotten for want of room.

use std::collections::BTreeMap;

use crate::{
    bounds::{Budget, Payer, TOMBSTONE_BYTES},
    log::lru::{Lru, Owner, Tier},
    wire::{LogKey, Sender, Seq, Time},
};

/// The positions of forgotten logs, so that a late copy of an old frame is not delivered again.
/// Only those of which frames came, at the expense of the members that posted them. While there is
/// no room for one more, no log makes way either.
#[derive(Debug)]
pub(crate) struct Tombstones {
    pub(crate) entries: BTreeMap<LogKey, Tombstone>,
    pub(crate) lru: Lru,
    /// When a tombstone last had to go for want of room.
    pub(crate) forgot: Option<Time>,
    pub(crate) budget: Budget,
}

#[derive(Debug)]
pub(crate) struct Tombstone {
    /// The number that was due next.
    pub(crate) next: Seq,
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
}

impl Tombstones {
    /// Makes room for one more of this owner, for a log that `by` brings. None makes way as long as
    /// what was posted then may come again, unless it came by way of a peer that brought more.
    pub(crate) fn make_room(
        &mut self,
        of: Owner,
        by: Sender,
        is_connected: impl Fn(Sender) -> bool,
        now: Time,
    ) -> bool {
        // Frames of those who are connected are taken in whenever they were posted.
        while let Some((tier, key)) = self.lru.over(now)
            && is_connected(key.1)
        {
            let (tier, key) = (*tier, key.clone());
            let Some(tombstone) = self.entries.get_mut(&key) else {
                break;
            };
            tombstone.tier = Tier::Proven(now);
            self.lru.remove(tombstone.owner, tier, &key);
            self.lru.add(tombstone.owner, tombstone.tier, &key);
        }
        let next = match self.lru.own_first(&of.subject) {
            Some((_, own)) => Some(own),
            None if !self.lru.is_full() => return true,
            None => {
                let over = self.lru.over(now).map(|(_, key)| key);
                over.or_else(|| self.lru.last_of_most(by))
            }
        };
        let Some(key) = next.cloned() else {
            return false;
        };
        self.take(&key);
        self.forgot = Some(now);
        true
    }

    pub(crate) fn remember(&mut self, key: &LogKey, tombstone: Tombstone) {
        let (owner, tier) = (tombstone.owner, tombstone.tier);
        self.lru.add(owner, tier, key);
        self.budget
            .charge(Payer::Member(owner.subject), TOMBSTONE_BYTES);
        self.entries.insert(key.clone(), tombstone);
    }

    pub(crate) fn take(&mut self, key: &LogKey) -> Option<Tombstone> {
        let tombstone = self.entries.remove(key)?;
        let Tombstone { owner, tier, .. } = tombstone;
        self.lru.remove(owner, tier, key);
        self.budget
            .release(Payer::Member(owner.subject), TOMBSTONE_BYTES);
        Some(tombstone)
    }
}

/// The number of forgotten logs that are remembered, at about 300 bytes each: as many as are
/// followed by default, so that they reach about as far back.
pub(crate) const MAX_TOMBSTONES: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::channel;

    fn at(secs: u64) -> Time {
        Time::from_start(Duration::from_secs(secs))
    }

    #[test]
    fn a_member_that_has_its_share_makes_room_itself_however_much_others_brought() {
        const PLACES: u8 = 8;
        let mut tombstones = Tombstones {
            entries: BTreeMap::new(),
            lru: Lru::new(PLACES.into(), Duration::from_secs(600)),
            forgot: None,
            budget: Budget::default(),
        };
        let key = |n: u8| (channel(0), Sender::new([n; 32]));
        let owner = |n: u8| Owner {
            // The first two are of one member, which comes by way of another peer.
            subject: [if n < 2 { 0 } else { n }; 32],
            by: Sender::new([if n < 2 { 100 } else { 200 }; 32]),
        };
        for n in 0..PLACES {
            let (owner, tier) = (owner(n), Tier::Proven(at(n.into())));
            let next = Seq::FIRST;
            tombstones.remember(&key(n), Tombstone { next, owner, tier });
        }
        let by = Sender::new([100; 32]);
        assert!(tombstones.make_room(owner(0), by, |_| false, at(100)));
        let left: Vec<_> = (0..PLACES)
            .filter(|n| tombstones.entries.contains_key(&key(*n)))
            .collect();
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7]);
    }
}
