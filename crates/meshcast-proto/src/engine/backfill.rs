//! Backfill: earlier messages for readers of this process that came late to a channel, from the
//! history and from peers. Readers that did not keep up are served from the history alone.

mod resume;
mod waiting;

use std::{sync::Arc, time::Duration};

pub(super) use self::waiting::Backfills;
use self::waiting::{Backfill, CATCH_UP, Depth, Reach, Waiter};
use super::{
    Engine, Output, Positions, Since,
    backfilled::{Backfilled, Backlog},
};
use crate::{
    bounds::Payer,
    identity::Member,
    log::Recall,
    replication::{Effects, Logs, Replica},
    wire::{ChannelName, LogKey, Sender, Seq, SeqRange, SyncMessage, Time},
};

impl Engine {
    /// Reads numbers that were delivered on a channel from the history: in order, with missing
    /// numbers named. They begin and end with a value. Stops after `room` bytes, at the end of a
    /// value.
    pub fn recall(
        &self,
        channel: &ChannelName,
        member: &Arc<Member>,
        seqs: SeqRange,
        room: usize,
    ) -> Recall {
        let limit = self.config.max_message_len;
        self.history.recall(channel, member, seqs, room, limit)
    }

    /// Members are being dialled or admitted (`true`), so more peers may connect in a moment, and
    /// backfills wait for them; or no longer.
    pub fn handle_expecting(&mut self, expecting: bool, now: Time) {
        self.debug_assert_drained();
        if std::mem::replace(&mut self.backfills.expecting, expecting) != expecting {
            self.continue_backfills(now);
        }
    }

    /// Whether a [backfill](Self::handle_backfill) is going on.
    pub fn is_backfilling(&self) -> bool {
        !self.backfills.of.is_empty()
    }

    /// A reader came late to a channel that is open here. It wants what is delivered from now on,
    /// and what was posted before, as far as this node or a peer keeps it.
    ///
    /// Frames that peers keep are fetched. Peers that have not told yet what they have are waited
    /// for, and those that are [expected](Self::handle_expecting), for 5 s at most; and so is, for
    /// 1 s, what is known to have been posted and is still on its way. Then an
    /// [`Output::Backfilled`] follows with the id that is returned. It follows at once if nobody
    /// can have more, or if this process has its share of the memory budget already. They go into
    /// the history, and nothing that is kept has to make way for them.
    pub fn handle_backfill(&mut self, channel: &ChannelName, since: Since, now: Time) -> u64 {
        let (from, last) = since.at(now);
        let from = Some(from).filter(|from| *from < now);
        let reach = Reach {
            from,
            last,
            after: None,
        };
        self.begin_backfill(channel, reach, now)
    }

    /// The same for a reader that goes on where it, or another one, stopped: after these positions.
    /// Of a sender that is not named it wants all that anybody keeps.
    ///
    /// Positions are reports of others. They decide what is asked for and what is handed to this
    /// one reader; what is told to be missing is what numbers that are known to exist show.
    pub fn handle_resume(
        &mut self,
        channel: &ChannelName,
        after: &Arc<Positions>,
        now: Time,
    ) -> u64 {
        let reach = Reach {
            from: None,
            last: 0,
            after: Some(Arc::clone(after)),
        };
        self.begin_backfill(channel, reach, now)
    }

    /// When a number of a sender was posted, by this node's clock, if it is kept.
    pub fn posted(&self, channel: &ChannelName, sender: Sender, seq: Seq) -> Option<Time> {
        let mut frames = self.history.frames(channel, sender, SeqRange::single(seq));
        frames.next().map(|kept| kept.posted)
    }

    fn begin_backfill(&mut self, channel: &ChannelName, reach: Reach, now: Time) -> u64 {
        self.debug_assert_drained();
        self.logs.fix_beginnings(channel);
        self.backfills.begun += 1;
        let mut waiter = Waiter {
            id: self.backfills.begun,
            came: now,
            waits_for_word: Some(now + LAST_WORD),
            reach,
            before: self.given_out(channel).collect(),
            on_the_way: self.on_the_way(channel).collect(),
            charged: 0,
        };
        waiter.charged = waiter.cost();
        let id = waiter.id;
        let budget = &self.logs.budget;
        if !budget.try_charge(Payer::Ourselves, waiter.charged) {
            let backfilled = self.backfilled(channel, &waiter, now);
            self.outputs
                .push(Output::Backfilled(channel.clone(), backfilled));
            return id;
        }
        let backfill = self.backfills.of.entry(channel.clone()).or_default();
        backfill.reach.extend(&waiter.reach);
        backfill.waiters.push(waiter);
        backfill.news = true;
        self.continue_backfills(now);
        id
    }

    /// The senders of a channel, this node included, and for each the number that live delivery
    /// continues with.
    pub(super) fn given_out(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, Seq)> {
        let logs = self.logs.of(channel);
        logs.filter_map(|(sender, replica)| Some((sender, replica.log.given_out()?)))
    }

    /// The senders of a channel of whom more is known to have been posted than was given out, and
    /// the highest such number of each.
    fn on_the_way(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, Seq)> {
        let logs = self.logs.of_others(channel);
        logs.filter_map(|(sender, replica)| Some((sender, replica.log.reorder().awaited()?)))
    }

    /// Something was told of a channel that may help its backfill.
    pub(super) fn news_for_backfill(&mut self, channel: &ChannelName) {
        if let Some(backfill) = self.backfills.of.get_mut(channel) {
            backfill.news = true;
        }
    }

    /// Continues the backfills of all channels.
    pub(super) fn continue_backfills(&mut self, now: Time) {
        for channel in self.backfills.of.keys().cloned().collect::<Vec<_>>() {
            self.backfill_channel(&channel, now);
        }
    }

    /// Asks for what the backfill of a channel wants next, and ends it where it is over.
    pub(super) fn backfill_channel(&mut self, channel: &ChannelName, now: Time) {
        let Some(mut backfill) = self.backfills.of.remove(channel) else {
            return;
        };
        let mut effects = Effects::default();
        let all_told = !self.backfills.expecting && self.logs.peers.all_told(channel);
        let over = backfill.waiters.iter().all(|waiter| waiter.until() <= now);
        let mut no_longer = false;
        for waiter in &mut backfill.waiters {
            no_longer |= waiter
                .waits_for_word
                .take_if(|until| *until <= now)
                .is_some();
            let waits = now < waiter.came + CATCH_UP;
            waiter.on_the_way.retain(|sender, upto| {
                let replica = self.logs.get(&(channel.clone(), *sender));
                let next = replica.and_then(|replica| replica.log.reorder().next());
                waits && next.is_some_and(|next| next <= *upto)
            });
        }
        if no_longer {
            self.logs.begin(channel, true, now, &mut effects);
            backfill.news = true;
        } else if all_told {
            self.logs.begin(channel, false, now, &mut effects);
        }
        if std::mem::take(&mut backfill.news) {
            for (sender, _) in self.logs.of_others(channel) {
                backfill.logs.entry(sender).or_default().reached = None;
            }
        }
        backfill.logs = std::mem::take(&mut backfill.logs)
            .into_iter()
            .filter_map(|(sender, mut depth)| {
                let key = (channel.clone(), sender);
                let goes_on =
                    !over && self.backfill_log(&key, &backfill, &mut depth, now, &mut effects);
                if !goes_on {
                    self.logs.end_backfill(&key);
                }
                goes_on.then_some((sender, depth))
            })
            .collect();
        let complete = all_told && backfill.logs.is_empty();
        let ends = |waiter: &mut Waiter| {
            (complete && waiter.on_the_way.is_empty()) || waiter.until() <= now
        };
        let ended: Vec<Waiter> = backfill.waiters.extract_if(.., ends).collect();
        if !backfill.waiters.is_empty() {
            self.backfills.of.insert(channel.clone(), backfill);
        }
        self.take_effect(effects, now);
        for waiter in ended {
            self.logs.budget.release(Payer::Ourselves, waiter.charged);
            self.logs.fix_beginnings(channel);
            let backfilled = self.backfilled(channel, &waiter, now);
            self.outputs
                .push(Output::Backfilled(channel.clone(), backfilled));
        }
    }

    /// Asks for what lies below all that is kept of a log, unless something is being fetched.
    /// `false` if nothing more can be had.
    fn backfill_log(
        &mut self,
        key: &LogKey,
        backfill: &Backfill,
        depth: &mut Depth,
        now: Time,
        effects: &mut Effects,
    ) -> bool {
        let Some(replica) = self.logs.get(key) else {
            return false;
        };
        let log = &replica.log;
        if depth.before.is_none() {
            depth.before = log.given_out().or_else(|| log.begun());
        }
        let Some(before) = depth.before else {
            return replica.begins_soon(key.1, &self.logs.peers);
        };
        let looks = |logs: &Logs| {
            logs.get(key)
                .is_some_and(|replica| replica.fetch.is_backfilling())
        };
        while !looks(&self.logs) {
            let Some(seqs) = self.deeper(key, &backfill.reach, before, &mut depth.reached) else {
                return self.is_coming(key, backfill);
            };
            self.logs.backfill(key, seqs, now, effects);
        }
        true
    }

    /// The numbers to fetch next of a log: about as many as fit an answer.
    fn deeper(
        &self,
        key: &LogKey,
        reach: &Reach,
        before: Seq,
        reached: &mut Option<Seq>,
    ) -> Option<SeqRange> {
        let lower = self.lower(key, before, reach)?;
        // While each request brings lower numbers somebody may have more.
        if reached.replace(lower.last()) == Some(lower.last()) {
            return None;
        }
        let has_room =
            self.history.bytes() + SyncMessage::MAX_FRAMES_LEN <= self.config.history.bytes;
        let (channel, sender) = key;
        let lowest = self
            .history
            .frames(channel, *sender, SeqRange::single(lower.last().next()));
        let count = lowest.last().map_or(GUESS, |kept| {
            let (bytes, numbers) = (kept.bytes.len() as u64, kept.seqs.len());
            (SyncMessage::MAX_FRAMES_LEN as u64).saturating_mul(numbers) / bytes.max(1)
        });
        let first = lower.last().next().get().saturating_sub(count.max(1));
        let first = Seq::new(first).unwrap_or(Seq::FIRST);
        SeqRange::new(first.max(lower.first()), lower.last()).filter(|_| has_room)
    }

    /// What is wanted of a log and not kept: right below the lowest number that is kept.
    fn lower(&self, (channel, sender): &LogKey, before: Seq, reach: &Reach) -> Option<SeqRange> {
        let Reach { from, last, after } = reach;
        let below = SeqRange::new(Seq::FIRST, before.previous()?)?;
        let lowest = self.history.frames(channel, *sender, below).next();
        let floor = lowest.map_or(before, |kept| kept.seqs.first());
        let by_time = from.is_some_and(|from| lowest.is_none_or(|kept| from <= kept.posted));
        let bottom = if by_time {
            Seq::FIRST
        } else {
            Seq::new(before.get().saturating_sub(*last)).unwrap_or(Seq::FIRST)
        };
        let due = after.as_ref().map(|after| after.due(*sender));
        let bottom = due.map_or(bottom, |due| bottom.min(due));
        SeqRange::new(bottom, floor.previous()?)
    }

    /// The result for one reader.
    fn backfilled(&self, channel: &ChannelName, waiter: &Waiter, now: Time) -> Backfilled {
        if let Some(after) = &waiter.reach.after {
            return self.resumed(channel, waiter, after, now);
        }
        let Reach { from, last, .. } = waiter.reach;
        let wanted = (from.unwrap_or(waiter.came), last);
        let begins_with = self.channels.get(channel).map_or(0, |own| own.last);
        let backlogs = self.logs.of(channel).filter_map(|(sender, replica)| {
            let log = &replica.log;
            let known = waiter.before.get(&sender).copied();
            // If it was not known where the log begins, live delivery includes the last numbers
            // that the channel itself wanted.
            let before = known.or_else(|| log.begun())?;
            let last = last.saturating_sub(known.map_or(begins_with, |_| 0));
            let kept = self
                .history
                .backlog(channel, sender, before, wanted.0, last);
            let kept = kept.filter(|_| log.member().is_some());
            let (from, after) = (waiter.reach.from, None);
            let reach = Reach { from, last, after };
            let key = (channel.clone(), sender);
            let unfetched = self.unfetched(&key, replica, before, &reach, now);
            let end = kept.map_or(before, |kept| kept.first());
            // Up to there: what is kept may begin within a value.
            let unfetched = unfetched.and_then(|it| SeqRange::new(it.first(), end.previous()?));
            let end = unfetched.map_or(end, |unfetched| unfetched.first());
            Some(Backlog {
                sender,
                member: log.member().cloned(),
                kept,
                unfetched,
                gone: self.gone(&key, replica, (before, end), wanted, known.is_some()),
                from: Some(before).filter(|_| known.is_none() && !log.is_fixed()),
                resumption: None,
            })
        });
        let says_something = |it: &Backlog| {
            let missing = it.unfetched.or(it.gone);
            it.kept.or(missing).is_some() || it.from.is_some()
        };
        Backfilled {
            id: waiter.id,
            came: waiter.came,
            logs: backlogs.filter(says_something).collect(),
            untold: self.logs.peers.untold(channel),
        }
    }

    /// Numbers below `end`, and below all that is kept, that were posted since then or are among
    /// the last, and that nobody gives; `before` that live delivery begins.
    fn gone(
        &self,
        (channel, sender): &LogKey,
        replica: &Replica,
        (before, end): (Seq, Seq),
        (since, last): (Time, u64),
        is_known: bool,
    ) -> Option<SeqRange> {
        let log = &replica.log;
        log.member()?;
        // If it was not known where it stood when the reader came: what was posted since counts
        // among the last.
        let next = match is_known {
            true => before,
            false => log.reorder().newest()?.next(),
        };
        let by_number = Seq::new(next.get().saturating_sub(last)).unwrap_or(Seq::FIRST);
        let by_number = Some(by_number).filter(|_| last > 0);
        let by_time = self.history.dropped_since(channel, *sender, since);
        let first = by_number.into_iter().chain(by_time).min()?;
        let below = SeqRange::new(Seq::FIRST, before.previous()?)?;
        let lowest = self.history.frames(channel, *sender, below).next();
        let floor = lowest.map_or(before, |kept| kept.seqs.first());
        SeqRange::new(first, end.previous()?).filter(|_| first < floor)
    }

    /// Numbers below all that is kept that a peer claims to have.
    fn unfetched(
        &self,
        key: &LogKey,
        replica: &Replica,
        before: Seq,
        reach: &Reach,
        now: Time,
    ) -> Option<SeqRange> {
        if replica.is_ours() {
            // The part that is not kept is not fetched either.
            return None;
        }
        let lower = self.lower(key, before, reach)?;
        SeqRange::new(
            replica.fetch.holders().lowest_covered(lower, now)?,
            lower.last(),
        )
    }

    /// A channel was closed: its backfill ends with nothing.
    pub(super) fn cancel_backfill(&mut self, channel: &ChannelName) {
        let Backfill { waiters, .. } = self.backfills.of.remove(channel).unwrap_or_default();
        for waiter in waiters {
            self.logs.budget.release(Payer::Ourselves, waiter.charged);
            let Waiter { id, came, .. } = waiter;
            let nothing = Backfilled {
                id,
                came,
                logs: Vec::new(),
                untold: 0,
            };
            self.outputs
                .push(Output::Backfilled(channel.clone(), nothing));
        }
    }
}

/// For how long peers are asked for what was before: a reader waits for it, and whoever came
/// before it with what came after. As long as it takes to fetch a whole history, and one peer
/// that does not answer.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(5);

/// For how long a sender is waited for that is connected and says nothing, with what others say of
/// where it begins. Far above what an answer takes, and there is time left to fetch what they keep.
const LAST_WORD: Duration = Duration::from_secs(3);

/// The count of numbers that are asked for of somebody of whom nothing is kept.
const GUESS: u64 = 16;
