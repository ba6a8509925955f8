//! Up to where somebody has read each sender of a channel.

use std::collections::{BTreeMap, btree_map};

use crate::wire::{Sender, SenderPrefix, Seq};

/// The last number of each sender that somebody has read, on one channel.
///
/// It may come from anybody, so it is an unverified report: it says what its bearer wants to hear,
/// and nothing of what there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<SenderPrefix, Seq>);

impl Positions {
    /// The last number that was read of a sender, if it is named.
    pub fn read(&self, sender: Sender) -> Option<Seq> {
        self.0.get(&sender.prefix()).copied()
    }

    /// The number that is due next of a sender: its first, if it is not named.
    pub fn due(&self, sender: Sender) -> Seq {
        self.read(sender).map_or(Seq::FIRST, Seq::next)
    }

    /// All that are named, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SenderPrefix, Seq)> {
        self.0.iter().map(|(sender, read)| (*sender, *read))
    }

    /// How many are named.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lowers it to what the other has read as well.
    pub(super) fn lower_to(&mut self, other: &Self) {
        self.0.retain(|sender, read| {
            let others = other.0.get(sender);
            others.is_some_and(|others| {
                *read = (*read).min(*others);
                true
            })
        });
    }
}

impl FromIterator<(SenderPrefix, Seq)> for Positions {
    fn from_iter<I: IntoIterator<Item = (SenderPrefix, Seq)>>(read: I) -> Self {
        Self(read.into_iter().collect())
    }
}

impl IntoIterator for Positions {
    type Item = (SenderPrefix, Seq);
    type IntoIter = btree_map::IntoIter<SenderPrefix, Seq>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
