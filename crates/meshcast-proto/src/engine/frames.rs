//! Frames of others: what becomes of them here, and who is given them.

use std::{sync::Arc, time::Duration};

use super::{Engine, Forward, Output, Taken};
use crate::{
    gossip_health::Sign,
    identity::{CLOCK_SKEW, Member},
    log::{Arrival, Insert, Via},
    replication::{Effects, Posted, ReceivedFrame, Recipients},
    wire::{Frame, Sender, Time, WallTime},
};

impl Engine {
    /// Takes in a frame of another sender that is verified. If its sender gave it to this node
    /// itself, over a connection on which it proved its key, its signature may still be unchecked.
    /// A frame is refused as a replay if its sender is neither connected nor known, and by the wall
    /// clocks of both it was posted longer ago than anything is kept. `from` is the peer that
    /// gossip has it from. Returns what became of it.
    pub fn handle_frame(
        &mut self,
        from: Sender,
        frame: Frame,
        member: &Arc<Member>,
        now: Time,
        wall: WallTime,
    ) -> Taken {
        self.debug_assert_drained();
        self.handle_copy(from, now);
        if frame.sender() == self.me.sender() {
            self.counters.frames_unwanted += 1;
            return Taken::Unwanted;
        }
        if !self.is_open(frame.channel()) {
            // Others may hear of it by way of this node alone, until gossip leaves the channel too.
            self.counters.frames_unwanted += 1;
            self.forward(from, &frame, true);
            return Taken::Unwanted;
        }
        if self.is_stale(&frame, wall) {
            self.counters.frames_stale += 1;
            self.decline(&frame, member, now, wall);
            self.forward(from, &frame, true);
            return Taken::Stale;
        }
        let mut effects = Effects::default();
        let channel = frame.channel().clone();
        let arrival = Arrival {
            via: Via::Gossip,
            from: Some(from),
            at: now,
        };
        let heard = ReceivedFrame {
            frame: frame.clone(),
            member: Arc::clone(member),
            arrival,
            posted: Posted {
                at: now,
                teller: None,
            },
            since: self
                .channels
                .get(frame.channel())
                .map(|channel| channel.since),
            may_pass: false,
        };
        let taken = match self.logs.hear(heard, now, &mut effects) {
            Insert::Fresh => {
                self.counters.frames_accepted += 1;
                if from != frame.sender() {
                    self.suspect(frame.sender(), Sign::Detoured, now);
                }
                self.forward(from, &frame, true);
                self.keep(frame, Duration::ZERO, arrival);
                Taken::New
            }
            Insert::Duplicate => {
                self.counters.frames_duplicate += 1;
                Taken::Duplicate
            }
            Insert::NoRoom => {
                self.counters.frames_without_room += 1;
                self.forward(from, &frame, true);
                Taken::NoRoom
            }
        };
        self.take_effect(effects, now);
        self.backfill_channel(&channel, now);
        taken
    }

    /// A frame came by gossip from a peer that was known already, and that gossip kept to itself:
    /// the gossip of that peer arrives. There is nothing to do afterwards.
    pub fn handle_copy(&mut self, from: Sender, now: Time) {
        self.health.handle_gossip(from, now);
        self.logs.peers.bring(from, now);
    }

    /// Which of the peers that listen on its channel are to be given a [frame](Forward) by gossip.
    pub fn recipients(
        &self,
        forward: &Forward,
        listeners: impl Iterator<Item = Sender>,
    ) -> Vec<Sender> {
        let frame = &forward.frame;
        let recipients = Recipients {
            me: self.me.sender(),
            sender: frame.sender(),
            seqs: frame.seqs(),
            from: Some(forward.from),
            replica: self.logs.get(&(frame.channel().clone(), frame.sender())),
            channel: frame.channel(),
            strangers: forward.strangers,
            peers: &self.logs.peers,
        };
        recipients.among(listeners)
    }

    pub(super) fn forward(&mut self, from: Sender, frame: &Frame, strangers: bool) {
        self.outputs.push(Output::Forward(Forward {
            frame: frame.clone(),
            from,
            strangers,
        }));
    }

    /// Whether a frame of a sender not heard of before is older than anything that is kept.
    pub(super) fn is_stale(&self, frame: &Frame, wall: WallTime) -> bool {
        let key = (frame.channel().clone(), frame.sender());
        let oldest = wall - self.config.history.age - CLOCK_SKEW;
        frame.posted_at() < oldest
            && !self.logs.has_heard(&key)
            && !self.logs.peers.contains(frame.sender())
    }

    /// Reports that a frame [is stale](Self::is_stale), unless that was just reported for its
    /// sender.
    pub(super) fn decline(
        &mut self,
        frame: &Frame,
        member: &Arc<Member>,
        now: Time,
        wall: WallTime,
    ) {
        if self.reported.stale.reports(frame.sender(), now) {
            self.outputs.push(Output::Stale {
                channel: frame.channel().clone(),
                member: Arc::clone(member),
                behind: Duration::from_millis(
                    wall.unix_millis()
                        .saturating_sub(frame.posted_at().unix_millis()),
                ),
            });
        }
    }

    pub(super) fn keep(&mut self, frame: Frame, age: Duration, arrival: Arrival) {
        let now = arrival.at;
        let key = (frame.channel().clone(), frame.sender());
        let log = self.logs.get(&key);
        if let Some(upstream) = log.and_then(|replica| replica.upstream) {
            self.advertiser.digest.came(upstream, frame.bytes().len());
        }
        let age = log.map_or(age, |log| {
            now.saturating_since(log.origin.posted(&frame, now - age))
        });
        self.history.insert(frame, age, arrival);
        self.history_expires
            .get_or_insert(now + self.config.history.age);
    }
}
