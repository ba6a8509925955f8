//! Counts of what became of the posts of others on a channel.

use meshcast_proto::Via;

use super::Item;

/// Numbers of one channel since the node has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Delivered, and posted by others.
    pub(crate) delivered: u64,
    /// Of these, missed at first, and fetched from a peer.
    pub(crate) repaired: u64,
    /// Told to all objects as gaps.
    pub(crate) missed: u64,
    /// Told to single objects as gaps, since these had not read in time.
    pub(crate) unread: u64,
    /// Made way before a reader had read them, for each such reader. It asks for them.
    pub(crate) dropped: u64,
}

impl Tally {
    /// One was delivered.
    pub(super) fn add(&mut self, item: &Item) {
        let count = item.seqs().len();
        match item {
            Item::Missed(_) => add(&mut self.missed, count),
            Item::Values(delivery, _) if delivery.arrival.via != Via::Local => {
                add(&mut self.delivered, count);
                if delivery.arrival.via == Via::Repair {
                    add(&mut self.repaired, count);
                }
            }
            Item::Values(..) => {}
        }
    }

    /// So many made way before somebody read them.
    pub(super) fn drop_unread(&mut self, count: u64) {
        add(&mut self.dropped, count);
    }
}

/// A gap may be as long as the numbers go.
fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}
