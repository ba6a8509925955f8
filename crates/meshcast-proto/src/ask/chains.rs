//! The members whose questions or replies came over others. Their chains were checked, and need not
//! be checked again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{identity::Member, wire::Sender};

/// Those met lately: of two generations the older one is forgotten when the younger one is full. A
/// member crowded out by others is checked anew, and loses nothing else.
#[derive(Debug, Default)]
pub(super) struct ChainCache {
    young: BTreeMap<Sender, CachedChain>,
    old: BTreeMap<Sender, CachedChain>,
}

#[derive(Debug)]
struct CachedChain {
    member: Arc<Member>,
    /// The chain that showed it.
    chain: Bytes,
}

impl ChainCache {
    /// The member that has shown this chain.
    pub(super) fn get(&self, sender: Sender, chain: &Bytes) -> Option<&Arc<Member>> {
        let known = self.young.get(&sender).or_else(|| self.old.get(&sender))?;
        (known.chain == chain).then_some(&known.member)
    }

    /// Remembers a member that was verified.
    pub(super) fn remember(&mut self, member: &Arc<Member>, chain: &Bytes) {
        let sender = member.sender();
        let known = self.young.get(&sender);
        if known.is_some_and(|known| known.chain == chain) {
            return;
        }
        let known = self.old.remove(&sender);
        let known = known.filter(|known| known.chain == chain);
        let known = known.unwrap_or_else(|| CachedChain {
            member: Arc::clone(member),
            // Not as a part of the message that it came in.
            chain: Bytes::copy_from_slice(chain),
        });
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(sender, known);
    }
}

/// The number of processes in each generation, at up to 1.5 KiB: in both, as many as may be present
/// on a channel.
const GENERATION: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::peer;

    #[test]
    fn who_has_shown_a_chain_is_known_by_it() {
        let mut all = ChainCache::default();
        let chain = Bytes::from_static(b"chain");
        for n in 0..3 {
            all.remember(&peer(n).member, &chain);
        }
        assert!(all.get(peer(0).member.sender(), &chain).is_some());
        assert!(all.get(peer(0).member.sender(), &Bytes::new()).is_none());
        assert!(all.get(peer(5).member.sender(), &chain).is_none());
        all.remember(&peer(0).member, &Bytes::new());
        assert!(all.get(peer(0).member.sender(), &chain).is_none());
    }

    #[test]
    fn no_more_members_are_remembered_than_there_is_room_for() {
        let (mut all, chain) = (ChainCache::default(), Bytes::from_static(b"chain"));
        let known = |n: usize| {
            let sender = Sender::new(std::array::from_fn(|i| (n >> (8 * (i % 2))) as u8));
            let member = Arc::clone(&peer(0).member);
            let chain = chain.clone();
            (sender, CachedChain { member, chain })
        };
        for n in 1..=3 {
            all.young
                .extend((0..GENERATION - all.young.len()).map(|i| known(n * 8_192 + i)));
            assert!(all.old.len() <= GENERATION);
            all.remember(&peer(n).member, &chain);
            assert_eq!((all.young.len(), all.old.len()), (1, GENERATION));
        }
        let is_known = |n: usize| all.get(peer(n).member.sender(), &chain).is_some();
        assert_eq!([1, 2, 3].map(is_known), [false, true, true]);
    }
}
