//! The half of the engine that talks to neighbours: tells what is kept, asks for what is missing,
//! answers.

use super::*;
use crate::replication::Examined;

impl Channel {
    /// What neighbours are told of it being open.
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
    /// Tells all neighbours that a channel is open here.
    pub(super) fn announce(&mut self, name: &ChannelName, now: Time) {
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        let neighbours = &mut self.logs.neighbours;
        for peer in neighbours.iter().collect::<Vec<_>>() {
            let opening = neighbours.ask(peer, name, Duration::ZERO, now);
            let opened = channel.opened(name, opening, now);
            self.outputs
                .push_back(Output::Sync(peer, SyncMessage::Open(vec![opened])));
        }
    }

    /// What a neighbour is told once more of a channel that is open here, as if it were so much
    /// longer.
    fn opened_longer(
        &mut self,
        peer: Sender,
        name: &ChannelName,
        added: Duration,
        now: Time,
    ) -> Option<Opened> {
        let channel = self.channels.get(name)?;
        let opening = self.logs.neighbours.ask(peer, name, added, now);
        let mut opened = channel.opened(name, opening, now);
        opened.since = opened.since.saturating_add(added);
        Some(opened)
    }

    pub(super) fn handle_opened(&mut self, peer: Sender, opened: &[Opened], now: Time) {
        for opened in opened {
            self.unlisten(peer, &opened.channel, now);
            if self.logs.neighbours.open(peer, opened, now) {
                self.announcements.add(peer, &opened.channel);
            }
        }
        self.tell_untold(now);
    }

    pub(super) fn handle_closed(&mut self, peer: Sender, channels: &[ChannelName], now: Time) {
        let mut effects = Effects::default();
        for channel in channels {
            // Over its rate, what waits for it finds that out when it is looked at next.
            if self.logs.neighbours.close(peer, channel) && self.announcements.may_close(peer, now)
            {
                let looked_at = self.logs.handle_channel_closed(peer, channel, &mut effects);
                self.announcements.charge_close(peer, looked_at, now);
            }
            self.announcements.remove(peer, channel);
            self.unlisten(peer, channel, now);
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
            for holding in logs.iter().filter(|holding| holding.sender == me) {
                if !self.acknowledged(peer, channel, holding, now) {
                    effects.offences.insert((peer, Offence::Impossible));
                }
            }
            if !self.is_open(channel) {
                continue;
            }
            let have = self.logs.neighbours.hear_have(peer, channel, *answer, now);
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
                self.logs.told(peer, channel, holding, now, &mut effects);
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
            self.outputs
                .push_back(Output::Sync(peer, SyncMessage::Open(again)));
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

    /// Gives a neighbour what it wants as far as it is here. Returns how many bytes that are.
    fn answer(&mut self, peer: Sender, want: Want, now: Time) -> usize {
        let Want {
            channel,
            sender,
            seqs,
            request,
        } = want;
        let (mut frames, mut sum, mut upto) = (Vec::new(), 0, seqs.last());
        let mut lacks = seqs.last();
        for kept in self.history.frames(&channel, sender, seqs) {
            let len = sum + kept.bytes.len();
            if len > SyncMessage::MAX_FRAMES_LEN && !frames.is_empty() {
                break;
            }
            sum = len;
            upto = kept.seqs.last();
            if frames.is_empty() {
                lacks = kept.seqs.first().previous().unwrap_or(lacks);
            }
            frames.push((now.saturating_since(kept.posted), kept.bytes.clone()));
        }
        let (key, mut effects) = ((channel, sender), Effects::default());
        // What would be dropped as soon as it is fetched is of no use to anybody.
        let would_keep = |first| {
            let room = SyncMessage::MAX_FRAMES_LEN;
            self.history.has_room_for(&key.0, sender, first, room)
        };
        if let Some(lacks) = SeqRange::new(seqs.first(), lacks)
            && would_keep(lacks.first())
            && self.logs.relay(peer, &key, lacks, now, &mut effects)
            && let Some(holding) = self.holding(peer, &key)
        {
            // Before the answer, which denies it only for now.
            let (channel, logs) = (key.0.clone(), vec![holding]);
            self.say(
                peer,
                vec![Holdings {
                    channel,
                    answer: None,
                    logs,
                }],
            );
        }
        let (channel, sender) = key;
        // Without any frame all of it is denied; with some, what is above the last may be asked for
        // again.
        self.counters.frames_served += frames.len() as u64;
        self.outputs.push_back(Output::Sync(
            peer,
            SyncMessage::Frames(Frames {
                channel,
                sender,
                request,
                upto,
                frames,
            }),
        ));
        self.take_effect(effects, now);
        sum
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
        let trusted = peer == sender || !self.logs.neighbours.contains(sender);
        let may_pass = trusted && own.is_some_and(|own| own.last == 0);
        let heard = examined
            .frames
            .into_iter()
            .map(|(age, member, frame)| Heard {
                frame,
                member,
                posted: Posted {
                    at: now - age,
                    teller: Some(peer).filter(|peer| *peer != sender),
                },
                since,
                may_pass,
            });
        let answer = Answering {
            request,
            upto,
            declined: examined.stale_frames > 0,
        };
        let fresh = self
            .logs
            .answer(peer, &key, answer, heard.collect(), now, &mut effects);
        for (frame, posted) in fresh {
            self.counters.frames_accepted += 1;
            self.counters.frames_repaired += 1;
            self.keep(frame, now.saturating_since(posted), now);
        }
        self.take_effect(effects, now);
        self.continue_backfills(now);
    }

    /// Gossip could not send a neighbour all there was for it: it is told at once what it has not
    /// been told yet, and so sees what it lacks without waiting for more.
    pub fn handle_slow_peer(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        if self.logs.neighbours.contains(peer) {
            let changed = self.digest.untold().clone();
            self.tell_logs(peer, &changed, now);
        }
    }

    /// Tells neighbours what changed, and senders what arrived of theirs.
    pub(super) fn tell(&mut self, now: Time) {
        while let Some((upstream, logs)) = self.digest.take_ack(now) {
            self.tell_logs(upstream, &logs, now);
        }
        let changed = self.digest.take_changed(now);
        if changed.is_empty() {
            return;
        }
        let neighbours: Vec<_> = self.logs.neighbours.iter().collect();
        neighbours
            .into_iter()
            .for_each(|peer| self.tell_logs(peer, &changed, now));
    }

    /// Tells a neighbour of these logs, as far as it said that it listens, and so was told of
    /// everything before. One that cannot be told now is told all of these channels when it can,
    /// and of what is more than a message.
    fn tell_logs(&mut self, peer: Sender, logs: &BTreeSet<LogKey>, now: Time) {
        let may_tell =
            self.announcements.is_due(peer, now) && !self.announcements.is_congested(peer);
        let (mut holdings, mut told): (Vec<Holdings>, _) = (Vec::new(), 0);
        for key in logs {
            if !self.logs.neighbours.listens(peer, &key.0) {
                continue;
            }
            if !may_tell || told >= SyncMessage::MAX_LOGS {
                self.announcements.add(peer, &key.0);
            }
            if self.announcements.contains(peer, &key.0) {
                continue;
            }
            told += 1;
            let Some(holding) = self.holding(peer, key) else {
                continue;
            };
            match holdings.last_mut() {
                Some(last) if last.channel == key.0 => last.logs.push(holding),
                _ => holdings.push(Holdings {
                    channel: key.0.clone(),
                    answer: None,
                    logs: vec![holding],
                }),
            }
        }
        self.announcements.charge(peer, told, now);
        self.say(peer, holdings);
    }

    /// Tells neighbours of the channels that they opened, each when it is its turn.
    pub(super) fn tell_untold(&mut self, now: Time) {
        while let Some(peer) = self.announcements.next(now) {
            let (mut message, mut looked_at) = (Vec::new(), 0);
            while looked_at + 1 < SyncMessage::MAX_LOGS
                && message.len() < SyncMessage::MAX_CHANNELS
                && let Some((channel, after)) = self.announcements.first(peer)
            {
                looked_at += 1;
                let senders =
                    self.senders_after(&channel, after, SyncMessage::MAX_LOGS - looked_at);
                looked_at += senders.len();
                let more =
                    (looked_at >= SyncMessage::MAX_LOGS).then(|| senders.last().copied().or(after));
                self.announcements.told_upto(peer, more.flatten());
                let holding = |sender| self.holding(peer, &(channel.clone(), sender));
                let logs = senders.into_iter().filter_map(holding).collect();
                let wanted = self.logs.neighbours.wanted(peer, &channel);
                let answer = wanted.map(|wanted| Answer {
                    opening: wanted.opening,
                    held: now.saturating_since(wanted.came),
                    more: more.flatten().is_some(),
                });
                message.push(Holdings {
                    channel,
                    answer,
                    logs,
                });
            }
            self.announcements.charge_all(peer, looked_at, now);
            if !message.is_empty() {
                self.outputs
                    .push_back(Output::Sync(peer, SyncMessage::Have(message)));
            }
        }
    }

    /// The senders of a channel behind this one, at most so many; this node is the first.
    fn senders_after(
        &self,
        channel: &ChannelName,
        after: Option<Sender>,
        most: usize,
    ) -> Vec<Sender> {
        let me = self.me.sender();
        let own = after.is_none().then_some(me);
        let from = after.filter(|after| *after != me);
        let others = self.logs.after(channel, from);
        own.into_iter().chain(others).take(most).collect()
    }

    /// What is told to a neighbour of one log; nothing while nothing is known of it.
    fn holding(&self, peer: Sender, key: &LogKey) -> Option<Holding> {
        let (channel, sender) = key;
        let (next, begin, known, hops, lowest) = if *sender == self.me.sender() {
            let own = self.channels.get(channel)?;
            own.next.previous()?;
            let outbound = own.outbound.as_ref();
            let known = outbound.is_some_and(|outbound| outbound.listeners.contains_key(&peer));
            (own.next, Seq::FIRST, known, 0, None)
        } else {
            let log = self.logs.get(key)?;
            if log.reorder.newest().is_none() && log.fetch.holders().knows_no_less(peer) {
                // It says so itself, and nothing came of it yet: two who tell each other would keep
                // alive what never was.
                return None;
            }
            let lowest = if log.upstream == Some(peer) {
                log.lowest(channel, &self.logs.neighbours)
            } else {
                None
            };
            let (next, begin) = log.frontier()?;
            if *sender == peer {
                // Not what others say of it, which it knows better.
                log.next()?;
            }
            let opening = self.logs.neighbours.opening(peer, channel);
            (
                next,
                begin,
                log.fetch.holders().knows(peer, opening),
                log.hops,
                lowest,
            )
        };
        let mut begin = begin;
        let due = match self.logs.neighbours.wanted(peer, channel) {
            Some(Wanted { since, last, .. }) if !known && *sender != peer => {
                let due = if self.is_born_since(key, since) {
                    Some(Seq::FIRST)
                } else {
                    self.history.first_since(channel, *sender, since, last)
                };
                let due = due.map_or(next, |due| due.min(next));
                let behind = self
                    .logs
                    .get(key)
                    .is_some_and(|log| log.reorder.hole().is_some());
                if due == next && behind {
                    // What it still lacks itself it cannot judge: as little as one that came later.
                    begin = next;
                }
                Some(due)
            }
            _ => None,
        };
        let oldest = self
            .history
            .oldest(channel, *sender)
            .map_or(next, |oldest| oldest.min(next));
        Some(Holding {
            sender: *sender,
            oldest,
            next,
            due,
            hops,
            lowest,
            begin,
        })
    }

    /// Whether all that this sender posted on the channel was posted since then, kept or not.
    fn is_born_since(&self, key: &LogKey, since: Time) -> bool {
        let (channel, sender) = key;
        if *sender == self.me.sender() {
            let born = self.channels.get(channel).and_then(|own| own.born);
            return born.is_some_and(|born| since <= born);
        }
        self.logs
            .get(key)
            .is_some_and(|log| log.origin.is_since(since))
    }

    /// Sends holdings, in as many messages as it takes.
    fn say(&mut self, peer: Sender, holdings: Vec<Holdings>) {
        let (mut message, mut logs) = (Vec::new(), 0);
        for Holdings {
            channel,
            answer,
            logs: mut rest,
        } in holdings
        {
            loop {
                let room = SyncMessage::MAX_LOGS - logs;
                let later = if rest.len() > room {
                    rest.split_off(room)
                } else {
                    Vec::new()
                };
                logs += rest.len();
                message.push(Holdings {
                    channel: channel.clone(),
                    answer,
                    logs: rest,
                });
                if logs == SyncMessage::MAX_LOGS || message.len() == SyncMessage::MAX_CHANNELS {
                    let full = std::mem::take(&mut message);
                    self.outputs
                        .push_back(Output::Sync(peer, SyncMessage::Have(full)));
                    logs = 0;
                }
                if later.is_empty() {
                    break;
                }
                rest = later;
            }
        }
        if !message.is_empty() {
            self.outputs
                .push_back(Output::Sync(peer, SyncMessage::Have(message)));
        }
    }
}
