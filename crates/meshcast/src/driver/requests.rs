//! Requests of channel objects to the driver: earlier messages, those they did not read in time,
//! and who has what they posted.

use std::sync::Arc;

use libp2p::PeerId;
use meshcast_proto::{Backfilled, ChannelName, Recall, Recalled, Seq};

use super::Driver;
use crate::channel::{Gap, GapReason, Hub, Item, Opening, Requests, Wanted};

impl Driver {
    /// Answers hubs, up to a bound, so that readers which are behind do not keep the others
    /// waiting.
    pub(super) fn answer_hubs(&mut self) {
        for channel in self.channels.take_behind() {
            self.tell_readers_behind(&channel, true);
        }
        for _ in 0..HUBS_A_ROUND {
            let Some(hub) = self.handles.registry.bell().take_requesting() else {
                break;
            };
            self.answer(&hub);
        }
        self.tell_acks();
    }

    /// Answers all that is asked on one channel name.
    pub(super) fn answer(&mut self, hub: &Arc<Hub>) {
        let Requests {
            caught_up,
            openings,
            asking,
            wanted,
            awaited,
            ask_queues,
        } = hub.take_requests(READERS_A_ROUND);
        if caught_up {
            self.tell_readers_behind(hub.name(), false);
        }
        for opening in openings {
            self.begin(hub, opening);
        }
        let room = (ALL_RECALLS_LEN / asking.max(1)).clamp(MIN_RECALL_LEN, RECALL_LEN);
        let mut recalls: Vec<(Wanted, Vec<Item>, Option<Seq>)> = Vec::new();
        for (reader, wanted) in wanted {
            // Those who came at the same time mostly want the same.
            let known = recalls.iter().find(|(same, ..)| *same == wanted);
            let (items, upto) = match known {
                Some((_, items, upto)) => (items.clone(), *upto),
                None => {
                    let (items, upto) = self.recall(hub, &wanted, room);
                    recalls.push((wanted, items.clone(), upto));
                    (items, upto)
                }
            };
            if let Some(upto) = upto {
                hub.recall(reader, items, upto);
            }
        }
        for awaited in awaited {
            let acked = |name: &ChannelName, seq| self.engine.acked(name, seq);
            self.waiters.receipts.add(hub, awaited, acked);
        }
        self.handle_ask_queues(hub, ask_queues);
    }

    /// Readers in this process are behind with a channel, or no longer: those who post to it are to
    /// know.
    pub(super) fn tell_readers_behind(&mut self, channel: &ChannelName, behind: bool) {
        tracing::debug!(?channel, behind, "readers");
        self.with_engine(|engine, now| engine.handle_readers_behind(channel, behind, now));
    }

    /// Tells those who wait how many peers have what they posted.
    pub(super) fn tell_acks(&mut self) {
        while let Some((channel, seqs)) = self.engine.poll_acked() {
            let acked = |name: &ChannelName, seq| self.engine.acked(name, seq);
            self.waiters.receipts.handle_acked(&channel, seqs, acked);
        }
        self.tell_flushed();
    }

    /// Lets an object that came late begin: with what was delivered on its channel before this
    /// moment and is kept here or by peers, and with what is delivered from now on.
    fn begin(&mut self, hub: &Arc<Hub>, opening: Opening) {
        if hub.is_gone() {
            return;
        }
        self.ensure_entered(hub);
        let (reader, since) = (opening.reader, opening.since());
        // As long as nobody was heard, peers are asked for earlier messages, which are
        // delivered when they come; but not where somebody does not want to hear of them.
        if !hub.begins_now()
            && opening.cursor().is_none()
            && let Err(error) =
                self.with_engine(|engine, now| engine.handle_open(hub.name(), since, now))
        {
            tracing::error!(%error, channel = ?hub.name(), "cannot subscribe to the channel");
        }
        self.tell_expecting();
        hub.skip_to_end(reader);
        self.with_engine_then(
            |engine, now| match opening.cursor() {
                Some(cursor) => {
                    engine.handle_resume(hub.name(), &Arc::new(cursor.positions()), now)
                }
                None => engine.handle_backfill(hub.name(), since, now),
            },
            |driver, id| {
                driver.channels.await_backfill(*id, hub, reader);
                None
            },
        );
    }

    /// Tells the engine whether somebody may be connected in a moment, while anybody looks back.
    pub(super) fn follow_expecting(&mut self) {
        if self.engine.is_backfilling() {
            self.tell_expecting();
        }
    }

    fn tell_expecting(&mut self) {
        let now = self.clock.now();
        let is_open = |(peer, _): (&PeerId, _)| self.sessions.is_open(peer);
        let expecting =
            self.dialling.dialer.expects_somebody(now) || !self.peers.iter().all(is_open);
        self.with_engine(|engine, now| engine.handle_expecting(expecting, now));
    }

    /// Lets an object begin that came late to a channel: what peers keep of it is here now.
    pub(super) fn begin_late(&mut self, channel: &ChannelName, backfilled: &Backfilled) {
        let Backfilled {
            id, logs, untold, ..
        } = backfilled;
        if *untold > 0
            && let Some(suppressed) = self.reports.warnings.unfetched.pass(self.clock.now())
        {
            tracing::warn!(
                ?channel,
                members = untold,
                suppressed,
                "the backfill goes on without these members: they did not report in time \
                 what they keep"
            );
        }
        for past in logs.iter().filter(|past| past.unfetched.is_some()) {
            // One liar tells of thousands of senders.
            if let Some(suppressed) = self.reports.warnings.unfetched.pass(self.clock.now()) {
                let name = past.member.as_ref().map(|member| &member.credential().name);
                tracing::warn!(?channel, sender = %past.sender, ?name,
                    missed = ?past.unfetched, suppressed,
                    "earlier messages that a member claims to keep could not be fetched");
            }
        }
        if let Some((hub, reader)) = self.channels.backfilled(channel, *id) {
            hub.begin(reader, backfilled);
        }
    }

    /// The values that history keeps of the numbers a reader is behind with, and gaps for the rest;
    /// up to which number.
    fn recall(&mut self, hub: &Hub, wanted: &Wanted, mut room: usize) -> (Vec<Item>, Option<Seq>) {
        let member = &wanted.member;
        let (mut items, mut upto) = (Vec::new(), None);
        for &(seqs, reason) in &wanted.spans {
            let recall = self.engine.recall(hub.name(), member, seqs, room);
            upto = Some(recall.upto);
            let Recall { parts, .. } = recall;
            for part in parts {
                let missed = |missed, reason| {
                    let member = Arc::clone(member);
                    Item::Missed(Gap {
                        member,
                        missed,
                        reason,
                    })
                };
                items.push(match part {
                    Recalled::Values(delivery) => {
                        room = room.saturating_sub(delivery.len_bytes());
                        self.reports.counters.objects.recalled += delivery.seqs().len();
                        Item::Values(delivery, None)
                    }
                    Recalled::Missing(seqs) => missed(seqs, reason),
                    Recalled::TooLarge(seqs) => missed(seqs, GapReason::TooLarge),
                });
            }
            if room == 0 || upto != Some(seqs.last()) {
                break;
            }
        }
        if let Some(upto) = upto {
            tracing::trace!(channel = ?hub.name(), sender = %member.sender(), %upto, "recalled");
        }
        (items, upto)
    }
}

/// Hubs that are answered before other things have a turn.
const HUBS_A_ROUND: usize = 16;

/// The most that is handed to a reader at once, in bytes of frames, but at least one value: enough
/// to keep it busy while it asks again, little enough for thousands of readers. The frames are
/// shared with the history.
const RECALL_LEN: usize = 256 * 1024;

/// The most that all readers of a hub that ask at the same time are handed together, if each gets
/// no less than the second: a thousand clients that come back at once are charged a sixteenth of
/// the default budget.
const ALL_RECALLS_LEN: usize = 16 * 1024 * 1024;
const MIN_RECALL_LEN: usize = 16 * 1024;

/// Readers of a hub that are served before other things have a turn: a megabyte of short frames to
/// look through, or a few milliseconds.
const READERS_A_ROUND: usize = 64;
