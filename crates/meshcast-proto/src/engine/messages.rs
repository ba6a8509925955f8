//! Messages of peers, and answers to them: methods of the [engine](Engine), one for each message.
//! Each brings together parts that do not know each other.

use std::{sync::Arc, time::Duration};

use super::{Engine, Output, channels::Channel, inventory::View};
use crate::{
    conduct::Offence,
    gossip_health::Sign,
    identity::{Member, VerifyError, is_signed},
    log::{Arrival, Via},
    replication::{Advertiser, Answering, Effects, Examined, Have, Posted, ReceivedFrame, Served},
    wire::{
        ChannelName, Frame, Frames, Holding, Holdings, LogKey, Opened, Sender, SeqRange,
        SyncMessage, Time, WallTime, Want,
    },
};

impl Channel {
    /// The announcement to peers that it is open.
    pub(super) fn opened(&self, name: &ChannelName, opening: u64, now: Time) -> Opened {
        Opened {
            channel: name.clone(),
            opening,
            since: now.saturating_since(self.since),
            last: self.last,
        }
    }
}

impl Engine {
    /// Tells all peers that a channel is open here.
    pub(super) fn announce(&mut self, name: &ChannelName, now: Time) {
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        let opening = self.logs.peers.tell_all(name, now);
        let opened = channel.opened(name, opening, now);
        let peers = self.logs.peers.iter();
        self.outputs
            .send(peers.map(|peer| (peer, SyncMessage::Open(vec![opened.clone()]))));
    }

    /// A repeated announcement to a peer of a channel that is open here, as if it were so much
    /// longer.
    fn opened_longer(
        &mut self,
        peer: Sender,
        name: &ChannelName,
        added: Duration,
        now: Time,
    ) -> Option<Opened> {
        let channel = self.channels.get(name)?;
        let opening = self.logs.peers.tell_again(peer, name, added, now)?;
        let mut opened = channel.opened(name, opening, now);
        opened.since = opened.since.saturating_add(added);
        Some(opened)
    }

    pub(super) fn handle_opened(&mut self, peer: Sender, opened: &[Opened], now: Time) {
        let mut effects = Effects::default();
        for opened in opened {
            self.logs.unlisten(peer, &opened.channel, &mut effects);
            if self.logs.peers.open(peer, opened, now) {
                self.advertiser.announcements.add(peer, &opened.channel);
            }
        }
        self.take_effect(effects, now);
        self.advertise(|advertiser, view| advertiser.opened(view, now));
    }

    pub(super) fn handle_closed(&mut self, peer: Sender, channels: &[ChannelName], now: Time) {
        let mut effects = Effects::default();
        for channel in channels {
            // Over its rate, what waits for it finds that out when it is looked at next.
            if self.logs.peers.close(peer, channel)
                && self.advertiser.announcements.may_close(peer, now)
            {
                let looked_at = self
                    .logs
                    .handle_channel_closed(peer, channel, now, &mut effects);
                self.advertiser
                    .announcements
                    .charge_close(peer, looked_at, now);
            }
            self.advertiser.announcements.remove(peer, channel);
            self.logs.unlisten(peer, channel, &mut effects);
        }
        self.take_effect(effects, now);
    }

    pub(super) fn handle_holdings(&mut self, peer: Sender, holdings: &[Holdings], now: Time) {
        let (mut effects, mut again) = (Effects::default(), Vec::new());
        for Holdings {
            channel,
            answer,
            logs,
        } in holdings
        {
            let me = self.me.sender();
            // Its word on our own logs is true whenever it says so. Of a name that was forgotten
            // here it may still say something.
            let is_known = self.channels.get(channel).is_some();
            let ours = |holding: &&Holding| is_known && holding.sender == me;
            for holding in logs.iter().filter(ours) {
                self.logs
                    .handle_holding(peer, channel, holding, now, &mut effects);
            }
            if !self.is_open(channel) {
                continue;
            }
            let have = self.logs.peers.hear_have(peer, channel, *answer, now);
            match have {
                Have::Counts | Have::CompletesAnswer => {}
                Have::Outdated => continue,
                Have::TooLate { way } => {
                    again.extend(self.opened_longer(peer, channel, way, now));
                    continue;
                }
            }
            let mut news = false;
            for holding in logs.iter().filter(|holding| holding.sender != me) {
                news |= self.logs.get(&(channel.clone(), holding.sender)).is_none();
                self.logs
                    .handle_holding(peer, channel, holding, now, &mut effects);
            }
            if have == Have::CompletesAnswer {
                self.logs.all_told(peer, channel, now, &mut effects);
                news = true;
            }
            if news {
                self.news_for_backfill(channel);
            }
        }
        if !again.is_empty() {
            self.outputs.send([(peer, SyncMessage::Open(again))]);
        }
        self.take_effect(effects, now);
        self.continue_backfills(now);
    }

    pub(super) fn handle_want(&mut self, peer: Sender, want: Want, now: Time) {
        if !self.serving.ask(peer, want, now) {
            self.counters.requests_refused += 1;
        }
        self.serve(now);
    }

    /// Answers whose turn it is.
    pub(super) fn serve(&mut self, now: Time) {
        while let Some((peer, want)) = self.serving.next(now) {
            let len = self.answer(peer, want, now);
            self.serving.gave(peer, len, now);
        }
    }

    /// Gives a peer what it wants as far as it is here. Returns how many bytes that are.
    fn answer(&mut self, peer: Sender, want: Want, now: Time) -> usize {
        let Want {
            channel,
            sender,
            seqs,
            request,
        } = want;
        self.check_kept(&channel, sender, seqs);
        let Served {
            frames,
            bytes,
            upto,
            lacks,
        } = Served::new(&self.history, &channel, sender, seqs, now);
        let (key, mut effects) = ((channel, sender), Effects::default());
        // A frame that would be dropped as soon as it is fetched is of no use to anybody.
        let would_keep = |first| {
            let room = SyncMessage::MAX_FRAMES_LEN;
            self.history.has_room_for(&key.0, sender, first, room)
        };
        if let Some(lacks) = lacks
            && would_keep(lacks.first())
            && self.logs.relay(peer, &key, lacks, now, &mut effects)
        {
            // Before the answer, which denies it only for now.
            self.advertise(|advertiser, view| advertiser.one(peer, &key, view));
        }
        let (channel, sender) = key;
        // Without any frame all of it is denied; with some, what is above the last may be asked for
        // again.
        self.counters.frames_served += frames.len() as u64;
        let frames = Frames {
            channel,
            sender,
            request,
            upto,
            frames,
        };
        self.outputs.send([(peer, SyncMessage::Frames(frames))]);
        self.take_effect(effects, now);
        bytes
    }

    /// Checks the signatures of the frames that are handed out next. Those that a sender gave to
    /// this node itself were believed without. One that is wrong is dropped: whoever hands it on
    /// would be taken for its forger.
    fn check_kept(&mut self, channel: &ChannelName, sender: Sender, seqs: SeqRange) {
        let mut bytes = 0;
        let kept = self.history.frames(channel, sender, seqs);
        let unchecked: Vec<_> = kept
            .take_while(|kept| {
                let before = bytes;
                bytes += kept.bytes.len();
                before <= SyncMessage::MAX_FRAMES_LEN
            })
            .filter(|kept| !kept.is_signed())
            .take(CHECKED_AT_ONCE)
            .map(|kept| (kept.seqs.first(), kept.frame()))
            .collect();
        for (first, frame) in unchecked {
            if frame.as_ref().is_some_and(is_signed) {
                self.history.set_signed(channel, sender, first);
                continue;
            }
            self.history.remove(channel, sender, first);
            self.outputs.push(Output::Misbehaved {
                peer: sender,
                offence: Offence::Forged,
            });
        }
    }

    pub(super) fn handle_answer(
        &mut self,
        peer: Sender,
        answer: Frames,
        now: Time,
        wall: WallTime,
        verify: impl FnOnce(&[Frame]) -> Vec<Result<Arc<Member>, VerifyError>>,
    ) {
        let Frames {
            channel,
            sender,
            request,
            upto,
            frames,
        } = answer;
        let key: LogKey = (channel, sender);
        // Signatures cost: nobody makes this node check any that it did not ask for.
        if !self.logs.awaits(peer, &key, request) {
            self.counters.answers_refused += 1;
            return;
        }
        let is_stale = |frame: &Frame| self.is_stale(frame, wall);
        let examined = Examined::new(&key, frames, is_stale, verify);
        self.counters.frames_stale += examined.stale_frames;
        self.counters.answers_refused += examined.refused;
        if let Some((frame, member)) = &examined.stale {
            self.decline(frame, member, now, wall);
        }
        let mut effects = Effects::default();
        if examined.is_forged {
            effects.offences.insert((peer, Offence::Forged));
        }
        let own = self.channels.get(&key.0);
        let since = own.map(|own| own.since);
        // As with where a log begins: while its sender is there only its own word counts.
        let trusted = peer == sender || !self.logs.peers.contains(sender);
        let may_pass = trusted && own.is_some_and(|own| own.last == 0);
        let opened = own.map_or(now, |own| own.opened);
        let arrival = |posted| Arrival {
            via: if posted < opened {
                Via::History
            } else {
                Via::Repair
            },
            from: Some(peer),
            at: now,
        };
        let heard = examined
            .frames
            .into_iter()
            .map(|(age, member, frame)| ReceivedFrame {
                frame,
                member,
                arrival: arrival(now - age),
                posted: Posted {
                    at: now - age,
                    teller: Some(peer).filter(|peer| *peer != sender),
                },
                since,
                may_pass,
            });
        let answer = Answering {
            peer,
            request,
            upto,
            declined: examined.stale_frames > 0,
        };
        // The answer may have the effect that another is named.
        let replica = self.logs.get(&key);
        let upstream = replica.and_then(|replica| replica.upstream);
        let settled = replica.map(|replica| replica.upstreams.settled());
        let fresh = self
            .logs
            .answer(&key, answer, heard.collect(), now, &mut effects);
        let mut newest = None;
        for (frame, posted) in fresh {
            self.counters.frames_accepted += 1;
            self.counters.frames_repaired += 1;
            // Those who hear of it through this node alone need not find that out as well.
            if now.saturating_since(posted) < LATE {
                self.forward(peer, &frame, false);
            }
            self.keep(frame, now.saturating_since(posted), arrival(posted));
            newest = newest.max(Some(posted));
        }
        self.take_effect(effects, now);
        self.continue_backfills(now);
        let Some(newest) = newest else { return };
        let age = now.saturating_since(newest);
        if upstream == Some(key.1) {
            // Its sender gives each post to gossip for each that listens.
            self.suspect(key.1, Sign::Fetched(age), now);
        } else if upstream == Some(peer) && settled <= Some(newest) {
            // It was told that it is the next on the way.
            self.suspect(peer, Sign::Withheld(age), now);
        }
    }

    /// Gossip could not send a peer all there was for it: it is told at once what it has not
    /// been told yet, and so sees what it lacks without waiting for more.
    pub fn handle_slow_peer(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        if self.logs.peers.contains(peer) {
            self.advertise(|advertiser, view| advertiser.at_once(peer, view, now));
        }
    }

    /// Tells peers what there is to tell.
    pub(super) fn advertise(
        &mut self,
        what: impl FnOnce(&mut Advertiser, &View<'_>) -> Vec<(Sender, SyncMessage)>,
    ) {
        let view = View {
            logs: &self.logs,
            history: &self.history,
        };
        self.outputs.send(what(&mut self.advertiser, &view));
    }
}

/// A frame that is repaired later than this after it was posted is not handed on: a peer that lacks
/// it too is as far behind, and fetches as much as it can take.
const LATE: Duration = Duration::from_secs(2);

/// The number of signatures that are checked for an answer, some 30 µs each. The frames behind
/// them may be asked for again.
const CHECKED_AT_ONCE: usize = 64;
