//! Forwarding: to whom a frame is handed on, and who is told soon what there is.
//!
//! A sender gives what it posts to each of its peers. A node that says it is one of them needs
//! nobody else, so where all are linked with the sender nobody hands on anything. Anybody else
//! names one peer as the next on its way to the sender, and gets the frames from that one. Of the
//! peers of which neither is known yet, a few get a copy.
//!
//! So most frames come once, and a link that has gone silent is noticed by what others say: for
//! each log a node is the [backup upstream](Replica::backup_for) of one peer, and tells it soon
//! what there is. Nothing is sent twice for it.
//!
//! All this follows from what peers say of themselves. A peer that lies gets too many copies, or
//! none and has to fetch. If there was no room to remember what a peer said, it gets a copy of each
//! frame that it is not known to have: it may have named this node as the next on its way, and
//! would find that this node hands on nothing.

use crate::{
    flow_control::Progress,
    replication::{
        peers::Peers,
        replica::Replica,
        route::{Route, rank},
    },
    wire::{ChannelName, Sender, SeqRange},
};

/// Who gets a copy of a frame.
#[derive(Debug)]
pub(crate) struct Recipients<'a> {
    /// Who hands it on.
    pub(crate) me: Sender,
    /// Whose frame it is, and on which channel.
    pub(crate) sender: Sender,
    pub(crate) channel: &'a ChannelName,
    pub(crate) seqs: SeqRange,
    /// Who gave it.
    pub(crate) from: Option<Sender>,
    /// Its log, if there is one here.
    pub(crate) replica: Option<&'a Replica>,
    /// Also those of whom nothing is known.
    pub(crate) strangers: bool,
    /// Who is connected.
    pub(crate) peers: &'a Peers,
}

impl Recipients<'_> {
    /// Those of the peers that listen who get a copy.
    pub(crate) fn among(&self, listeners: impl Iterator<Item = Sender>) -> Vec<Sender> {
        let (mut chosen, mut unheard, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        let holders = self.replica.map(|replica| replica.fetch.holders());
        for peer in listeners {
            if peer == self.me || peer == self.sender || Some(peer) == self.from {
                continue;
            }
            match holders.and_then(|holders| holders.route(peer, self.seqs.last())) {
                Some(Route::ViaUs) => chosen.push(peer),
                Some(Route::Direct | Route::ViaOther) => {}
                None if self.peers.is_unknown(peer, self.channel) => unheard.push(peer),
                Some(Route::None) | None => unknown.push(peer),
            }
        }
        chosen.append(&mut self.some(unheard, MAX_UNHEARD));
        if self.strangers {
            chosen.append(&mut self.some(unknown, MAX_STRANGERS));
        }
        chosen
    }

    /// At most so many of these. Each node picks others, so that together they reach all.
    fn some(&self, mut peers: Vec<Sender>, most: usize) -> Vec<Sender> {
        if peers.len() > most {
            let rank = |peer: &Sender| rank(self.sender, *peer) ^ rank(self.sender, self.me);
            peers.select_nth_unstable_by_key(most, rank);
            peers.truncate(most);
        }
        peers
    }
}

impl Replica {
    /// The peer whose backup upstream this node is. Those who listen and get the frames of the log
    /// otherwise than by way of this node stand in a ring, in another order for each sender; it is
    /// the one before this node.
    pub(crate) fn backup_for(
        &self,
        me: Sender,
        sender: Sender,
        channel: &ChannelName,
        peers: &Peers,
    ) -> Option<Sender> {
        let next = self.log.reorder().next()?;
        let own = rank(sender, me);
        let told = self.fetch.holders().routes();
        let others = told.filter(|(peer, route)| {
            let is_served = *peer == sender || Some(*peer) == self.upstream;
            !is_served && *route != Route::ViaUs && peers.listens(*peer, channel)
        });
        let backup_for = others
            .map(|(peer, _)| peer)
            .min_by_key(|peer| own.wrapping_sub(rank(sender, *peer)))?;
        // It has said itself that it lacks nothing.
        let lacks = |progress: &Progress| progress.next() < next;
        let listener = self.fetch.holders().listener(backup_for);
        listener.is_some_and(lacks).then_some(backup_for)
    }
}

/// The number of peers that said nothing of a log yet and get a copy: enough for a frame to go
/// round if some of them do not hand it on. The others are told within a quarter of a second what
/// there is. When a sender begins, all peers are such for that time, so without a bound each frame
/// would come from everybody.
const MAX_STRANGERS: usize = 4;

/// The number of peers that get a copy since there was no room for what they said. Some of them get
/// nothing otherwise, and it is not known which; with no bound a node without memory would give
/// each frame to everybody.
const MAX_UNHEARD: usize = 4 * MAX_STRANGERS;

#[cfg(test)]
mod tests;
