//! Until somebody has what was posted here: what those who flush the node, and its end, wait for.

use std::sync::Arc;

use libp2p::PeerId;
use meshcast_proto::{ChannelName, HandOver, Seq, Time};
use tokio::sync::oneshot;

use super::Driver;
use crate::{
    channel::Hub,
    dialer::RECENTLY,
    handover::{Flushed, Undelivered},
    peers::Peer,
};

/// What was posted until some moment, and is not yet known to be with anybody.
#[derive(Debug)]
pub(super) struct Posted {
    /// Outboxes, and how many records had been pushed into each by then.
    queued: Vec<(Arc<Hub>, u64)>,
    /// Numbers up to which somebody is to have everything.
    waiting: Vec<(ChannelName, Seq)>,
    /// Those of them that nobody who is there or may come soon wants.
    unwanted: Vec<(ChannelName, Seq)>,
}

/// Who waits until members have what was posted.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    waiting: Vec<(Posted, oneshot::Sender<Flushed>)>,
    /// What [`Engine::acks`](meshcast_proto::Engine::acks) was when they were looked at.
    acks: u64,
    /// Something else happened that may decide one of them.
    due: bool,
}

impl Flushes {
    /// Something was posted, or somebody came or went.
    pub(super) const fn touch(&mut self) {
        self.due = true;
    }
}

impl Driver {
    /// Lets somebody wait until members have all that was posted so far.
    pub(super) fn flush(&mut self, answer: oneshot::Sender<Flushed>) {
        let queued = self.parts.registry.queued();
        let posted = self.posted(queued);
        self.flushes.waiting.push((posted, answer));
        self.flushes.touch();
        self.tell_flushed();
    }

    /// Answers those who wait for what is settled, and forgets those who left.
    pub(super) fn tell_flushed(&mut self) {
        let acks = self.parts.engine.acks();
        if self.flushes.waiting.is_empty()
            || (!std::mem::take(&mut self.flushes.due) && acks == self.flushes.acks)
        {
            return;
        }
        self.flushes.acks = acks;
        for (mut posted, answer) in std::mem::take(&mut self.flushes.waiting) {
            if answer.is_closed() {
                continue;
            }
            if self.settle(&mut posted) {
                let flushed = Flushed {
                    undelivered: self.left_of(&posted),
                    members: self.peers.iter().count(),
                };
                // Whoever asked may have left.
                let _ = answer.send(flushed);
            } else {
                self.flushes.waiting.push((posted, answer));
            }
        }
    }

    /// All that has been posted so far, with these outboxes.
    pub(super) fn posted(&self, queued: Vec<(Arc<Hub>, u64)>) -> Posted {
        let posted = self.parts.engine.posted_on();
        Posted {
            queued,
            waiting: posted.map(|(name, last)| (name.clone(), last)).collect(),
            unwanted: Vec::new(),
        }
    }

    /// Whether there is nothing to wait for: somebody has what was posted, or nobody wants it who
    /// may come soon.
    pub(super) fn settle(&self, posted: &mut Posted) -> bool {
        posted.queued.retain(|(hub, pushed)| {
            let Some(last) = pushed.checked_sub(1) else {
                return false;
            };
            // Without a number it waits in the outbox.
            let number = hub.number_of(last);
            posted
                .waiting
                .extend(number.map(|seq| (hub.name().clone(), seq)));
            number.is_none()
        });
        let now = self.parts.clock.now();
        posted.waiting.retain(
            |(name, upto)| match self.parts.engine.hand_over(name, *upto) {
                HandOver::Done => false,
                HandOver::Listener => true,
                HandOver::Nobody { deserted } if self.may_get_listener(deserted, now) => true,
                HandOver::Nobody { .. } => {
                    posted.unwanted.push((name.clone(), *upto));
                    false
                }
            },
        );
        posted.queued.is_empty() && posted.waiting.is_empty()
    }

    /// What nobody has of it, and of what was posted since on the same channels.
    pub(super) fn left_of(&self, posted: &Posted) -> Vec<Undelivered> {
        let left = self.undelivered();
        let unwanted = |left: &Undelivered| {
            posted
                .unwanted
                .iter()
                .any(|(name, _)| *name == left.channel)
        };
        left.into_iter().filter(unwanted).collect()
    }

    /// All that nobody has, by channel.
    pub(super) fn undelivered(&self) -> Vec<Undelivered> {
        let undelivered = self.parts.engine.undelivered();
        let undelivered = undelivered.map(|(channel, left)| Undelivered {
            channel: channel.clone(),
            messages: left.seqs,
            bytes: left.bytes,
        });
        undelivered.collect()
    }

    /// Whether somebody may want what is posted on a channel who has not said so yet: a peer that
    /// has just come, a seed that was not reached, or whoever was lost lately. A node that has no
    /// seed and has met nobody waits for nobody.
    fn may_get_listener(&self, deserted: Option<Time>, now: Time) -> bool {
        let is_lately = |lost: Time| now.saturating_since(lost) < RECENTLY;
        let fresh =
            |(id, peer): (&PeerId, &Peer)| !self.told.contains(id) && peer.since + TELLING > now;
        let nobody_is_there = self.peers.iter().next().is_none();
        self.parts.dialer.misses_seed()
            || deserted.is_some_and(is_lately)
            || (nobody_is_there && self.parts.dialer.lost().is_some_and(is_lately))
            || self.peers.iter().any(fresh)
    }
}

/// How soon after it is connected a peer has told which channels it has open, if any: a stream is
/// opened for that, half round the world.
const TELLING: std::time::Duration = std::time::Duration::from_secs(1);
