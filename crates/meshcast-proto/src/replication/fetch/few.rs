//! A map from peers that takes little more memory than what is in it.
//!
//! Each log has one, and members may invent logs by the thousand. A node of a B-tree has room for
//! eleven entries, however few there are, and is about half full if they come in order.

use crate::wire::Sender;

/// Entries by peer, in order. To add or remove one moves those above it: there are as many as
/// peers, at most.
#[derive(Debug)]
pub(super) struct Few<V>(Vec<(Sender, V)>);

impl<V> Few<V> {
    pub(super) fn get(&self, peer: &Sender) -> Option<&V> {
        let at = self.find(peer).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, peer: &Sender) -> Option<&mut V> {
        let at = self.find(peer).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    pub(super) fn get_or_insert_with(&mut self, peer: Sender, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&peer) {
            Ok(at) => at,
            Err(at) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(room(self.0.len()));
                }
                self.0.insert(at, (peer, make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(super) fn remove(&mut self, peer: &Sender) {
        if let Ok(at) = self.find(peer) {
            self.0.remove(at);
            self.shrink();
        }
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Sender) -> bool) {
        self.0.retain(|(peer, _)| stays(peer));
        self.shrink();
    }

    fn shrink(&mut self) {
        let len = self.0.len();
        if self.0.capacity() > 2 * (len + room(len)) || len == 0 {
            self.0.shrink_to(len);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, peer: &Sender) -> bool {
        self.find(peer).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sender, &V)> + Clone {
        self.0.iter().map(|(peer, value)| (peer, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Sender, &mut V)> {
        self.0.iter_mut().map(|(peer, value)| (&*peer, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn find(&self, peer: &Sender) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(peer))
    }
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// For how many more there is room at once: a quarter, so that few stay unused.
const fn room(len: usize) -> usize {
    1 + len / 4
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_with_room_for_little_more_than_what_is_in_it(
            changes in proptest::collection::vec((0..40_u8, any::<bool>()), 0..200),
        ) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (n, (peer, adds)) in changes.into_iter().enumerate() {
                let peer = Sender::new([peer; 32]);
                if adds {
                    let value = few.get_or_insert_with(peer, || n);
                    prop_assert_eq!(value, map.entry(peer).or_insert(n));
                } else {
                    few.remove(&peer);
                    map.remove(&peer);
                }
                if n % 16 == 15 {
                    few.retain(|peer| peer.key()[0] % 3 > 0);
                    map.retain(|peer, _| peer.key()[0] % 3 > 0);
                }
                prop_assert_eq!(few.get(&peer), map.get(&peer));
                prop_assert_eq!(few.contains(&peer), map.contains_key(&peer));
                prop_assert!(few.iter().eq(map.iter()));
                prop_assert!(few.values().eq(map.values()));
                let len = few.0.len();
                prop_assert!(few.0.capacity() <= 2 * (len + room(len)));
                prop_assert_eq!(few.is_empty(), few.0.capacity() == 0);
            }
        }
    }
}
