//! Posts of this node that no member is known to have: they would be lost with this process.
//! Methods of the [engine](Engine), which look at what its parts know.

use super::Engine;
use crate::wire::{ChannelName, Sender, Seq, SeqRange, Time};

/// What was posted on a channel and acknowledged by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Undelivered {
    /// How many numbers nobody acknowledged.
    pub seqs: u64,
    /// The bytes of those frames that are still kept, so that somebody may yet get them.
    pub bytes: usize,
}

/// The peers that could take over what was posted on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// Done: some member has everything that is still kept.
    Done,
    /// A connected member has the channel open and still lacks something.
    Listener,
    /// No connected member wants it.
    Nobody {
        /// When the last peer that had the channel open was lost, if there was one.
        deserted: Option<Time>,
    },
}

impl Engine {
    /// Whether some member has what was posted on a channel up to this number, and if not, whom to
    /// wait for.
    ///
    /// Numbers that are no longer kept count as done, since nobody can get them any more;
    /// [`Self::undelivered`] counts them.
    pub fn hand_over(&self, channel: &ChannelName, upto: Seq) -> HandOver {
        let (own, replica) = (
            self.channels.get(channel),
            self.logs.get(&(channel.clone(), self.me.sender())),
        );
        let (Some(own), Some(replica)) = (own, replica) else {
            return HandOver::Done;
        };
        let upto = replica
            .log
            .reorder()
            .newest()
            .map_or(upto, |last| last.min(upto));
        let peers = &self.logs.peers;
        let has = |peer: Sender| {
            let listener = replica.fetch.holders().listener(peer);
            listener.is_some_and(|listener| listener.next() > upto)
        };
        let listening = peers.iter().filter(|peer| peers.listens(*peer, channel));
        let mut listening = listening.peekable();
        if listening.peek().is_some() && !listening.any(has) {
            return HandOver::Listener;
        }
        let runs = self.acks.unacked(channel);
        let is_kept = |run: &SeqRange| {
            let due = SeqRange::new(run.first(), run.last().min(upto));
            due.is_some_and(|due| {
                self.history
                    .frames(channel, self.me.sender(), due)
                    .next()
                    .is_some()
            })
        };
        if runs.iter().any(is_kept) {
            let deserted = own.deserted;
            HandOver::Nobody { deserted }
        } else {
            HandOver::Done
        }
    }

    /// The channels with something posted here that no member is known to have.
    pub fn undelivered(&self) -> impl Iterator<Item = (&ChannelName, Undelivered)> {
        self.acks.all_unacked().filter_map(|(name, runs)| {
            let sum = runs.iter().fold(Undelivered::default(), |sum, run| {
                let kept = self.history.frames(name, self.me.sender(), *run);
                Undelivered {
                    seqs: sum.seqs.saturating_add(run.len()),
                    bytes: sum.bytes + kept.map(|kept| kept.bytes.len()).sum::<usize>(),
                }
            });
            (sum.seqs > 0).then_some((name, sum))
        })
    }

    /// The peers that have a channel open.
    pub fn listeners(&self, channel: &ChannelName) -> impl Iterator<Item = Sender> {
        let interests = self.logs.peers.interests(channel);
        interests.filter_map(|(peer, interest)| interest.open.map(|_| peer))
    }

    /// The peers that have not said yet whether they have a channel open that is open here.
    pub fn untold(&self, channel: &ChannelName) -> impl Iterator<Item = Sender> {
        let interests = self.logs.peers.interests(channel);
        interests.filter_map(|(peer, interest)| (!interest.has_told()).then_some(peer))
    }

    /// The channels on which something was posted here, and the last number of each.
    pub fn posted_on(&self) -> impl Iterator<Item = (&ChannelName, Seq)> {
        let last = |name| self.logs.ours(name)?.0.previous();
        let names = self.channels.iter().map(|(name, _)| name);
        names.filter_map(move |name| Some((name, last(name)?)))
    }

    /// A listening peer waits for `next` of what was posted here. So it has everything below that
    /// was posted since it opened the channel.
    pub(super) fn has_below(&mut self, peer: Sender, name: &ChannelName, next: Seq) {
        let wanted = self.logs.peers.wanted(peer, name);
        if let (Some(wanted), Some(last)) = (wanted, next.previous()) {
            let (history, me) = (&self.history, self.me.sender());
            let kept = |seqs| history.frames(name, me, seqs);
            self.acks.has_upto(name, last, wanted.since, kept);
        }
    }

    /// A peer is about to be lost. It may come back for what is posted on its open channels.
    pub(super) fn deserted_by(&mut self, peer: Sender, now: Time) {
        for name in self.logs.peers.opened_by(peer) {
            if let Some(channel) = self.channels.get_mut(name) {
                channel.deserted = Some(now);
            }
        }
    }
}
