//! Until somebody has what was posted here: what those who flush the node, and its end, wait for.

use std::sync::Arc;

use libp2p::PeerId;
use meshcast_proto::{ChannelName, HandOver, Seq, Time};

use super::Driver;
use crate::{
    channel::Hub,
    command::Answer,
    dialer::RECENTLY,
    error::AskError,
    handover::{Flushed, Undelivered},
    peers::Peer,
};

/// Posts until some moment that are not yet known to be with anybody.
#[derive(Debug)]
pub(super) struct Posted {
    /// Outboxes, and how many records had been pushed into each by then.
    queued: Vec<(Arc<Hub>, u64)>,
    /// Numbers up to which somebody is to have everything.
    waiting: Vec<(ChannelName, Seq)>,
    /// Those of them that nobody who is there or may come soon wants.
    unwanted: Vec<(ChannelName, Seq)>,
}

/// Callers that wait until members have what was posted.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    waiting: Vec<(Posted, Answer<Flushed>)>,
    /// The value of [`Engine::acks`](meshcast_proto::Engine::acks) when they were looked at.
    acks: u64,
    /// Something else happened that may decide one of them.
    due: bool,
}

impl Flushes {
    /// Somebody wants to wait; `None` if too many do.
    fn admit(&mut self, answer: Answer<Flushed>) -> Option<Answer<Flushed>> {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.retain(|(_, answer)| !answer.is_closed());
        }
        if self.waiting.len() < MAX_WAITING {
            return Some(answer);
        }
        let limit = MAX_WAITING;
        // The caller may have left.
        let _ = answer.send(Err(AskError::TooMany { limit }));
        None
    }

    /// Something was posted, or somebody came or went.
    pub(super) const fn mark_due(&mut self) {
        self.due = true;
    }
}

impl Driver {
    /// Lets somebody wait until members have all that was posted so far.
    pub(super) fn flush(&mut self, answer: Answer<Flushed>) {
        let Some(answer) = self.waiters.flushes.admit(answer) else {
            return;
        };
        let queued = self.handles.registry.queued();
        let posted = self.posted(queued);
        self.waiters.flushes.waiting.push((posted, answer));
        self.waiters.flushes.mark_due();
        self.tell_flushed();
    }

    /// Answers those who wait for what is settled, and forgets those who left.
    pub(super) fn tell_flushed(&mut self) {
        let acks = self.engine.acks();
        if self.waiters.flushes.waiting.is_empty()
            || (!std::mem::take(&mut self.waiters.flushes.due) && acks == self.waiters.flushes.acks)
        {
            return;
        }
        self.waiters.flushes.acks = acks;
        for (mut posted, answer) in std::mem::take(&mut self.waiters.flushes.waiting) {
            if answer.is_closed() {
                continue;
            }
            if self.settle(&mut posted) {
                let flushed = Flushed {
                    undelivered: self.left_of(&posted),
                    members: self.peers.iter().count(),
                };
                // The caller may have left.
                let _ = answer.send(Ok(flushed));
            } else {
                self.waiters.flushes.waiting.push((posted, answer));
            }
        }
    }

    /// All that has been posted so far, with these outboxes.
    pub(super) fn posted(&self, queued: Vec<(Arc<Hub>, u64)>) -> Posted {
        let posted = self.engine.posted_on();
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
        let now = self.clock.now();
        posted
            .waiting
            .retain(|(name, upto)| match self.engine.hand_over(name, *upto) {
                HandOver::Done => false,
                HandOver::Listener => true,
                HandOver::Nobody { deserted } if self.may_get_listener(deserted, now) => true,
                HandOver::Nobody { .. } => {
                    posted.unwanted.push((name.clone(), *upto));
                    false
                }
            });
        posted.queued.is_empty() && posted.waiting.is_empty()
    }

    /// The posts of it that nobody has, and of what was posted since on the same channels.
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
        let undelivered = self.engine.undelivered();
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
            |(id, peer): (&PeerId, &Peer)| self.sessions.may_tell_channels(id, peer.since, now);
        let nobody_is_there = self.peers.iter().next().is_none();
        self.dialling.dialer.misses_seed()
            || deserted.is_some_and(is_lately)
            || (nobody_is_there && self.dialling.dialer.lost().is_some_and(is_lately))
            || self.peers.iter().any(fresh)
    }
}

/// How many may wait. Each remembers all channels that were posted on, at about 50 bytes each, and
/// looks at them again with each acknowledgement.
const MAX_WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn one_too_many_who_flush_is_refused_by_name_unless_somebody_left() {
        let mut flushes = Flushes::default();
        let mut ask = || {
            let (answer, answered) = oneshot::channel();
            let answer = flushes.admit(answer);
            let posted = Posted {
                queued: Vec::new(),
                waiting: Vec::new(),
                unwanted: Vec::new(),
            };
            flushes
                .waiting
                .extend(answer.map(|answer| (posted, answer)));
            answered
        };
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| ask()).collect();
        let limit = MAX_WAITING;
        assert_eq!(ask().try_recv(), Ok(Err(AskError::TooMany { limit })));
        waiting.pop();
        assert!(ask().try_recv().is_err(), "refused though there is room");
        assert!(waiting.iter_mut().all(|it| it.try_recv().is_err()));
    }
}
