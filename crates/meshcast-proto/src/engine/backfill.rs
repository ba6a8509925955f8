//! Backfill: earlier messages for readers of this process that came late to a channel, from the
//! history and from peers. Readers that did not keep up are served from the history alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Engine, Output, Since};
use crate::{
    bounds::Payer,
    identity::Member,
    log::Recall,
    replication::{Effects, Log, Logs},
    wire::{ChannelName, LogKey, Sender, Seq, SeqRange, SyncMessage, Time},
};

/// What a late reader gets: the result of [`Engine::handle_backfill`].
#[derive(Debug, Clone)]
pub struct Backfilled {
    /// The number that [`Engine::handle_backfill`] returned.
    pub id: u64,
    /// By sender, this node included.
    pub logs: Vec<Backlog>,
}

/// What a late reader gets of one sender from before it came.
#[derive(Debug, Clone)]
pub struct Backlog {
    /// The sender.
    pub sender: Sender,
    /// Its member; `None` if nothing was ever heard of it.
    pub member: Option<Arc<Member>>,
    /// What the history keeps: from the first number that is wanted and kept, at the beginning of a
    /// value, up to where live delivery begins. What is missing in between was lost.
    pub kept: Option<SeqRange>,
    /// Lower numbers that a peer claims to keep and that could not be fetched: there was no room,
    /// or the peer did not answer in time. They may be older than was asked for, since their age is
    /// not known.
    pub unfetched: Option<SeqRange>,
    /// Live delivery may yet turn out to begin below this number; nothing below it is wanted.
    pub from: Option<Seq>,
}

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
        if std::mem::replace(&mut self.expecting, expecting) != expecting {
            self.continue_backfills(now);
        }
    }

    /// Whether a [backfill](Self::handle_backfill) is going on.
    pub fn is_backfilling(&self) -> bool {
        !self.backfills.is_empty()
    }

    /// A reader came late to a channel that is open here. It wants what is delivered from now on,
    /// and what was posted before, as far as this node or a peer keeps it.
    ///
    /// What peers keep is fetched. Peers that have not told yet what they have are waited for, and
    /// those that are [expected](Self::handle_expecting), for 5 s at most. Then an
    /// [`Output::Backfilled`] follows with the id that is returned. It follows at once if nobody
    /// can have more, or if this process has its share of the memory budget already. What is
    /// fetched goes into the history, and nothing that is kept has to make way for it.
    pub fn handle_backfill(&mut self, channel: &ChannelName, since: Since, now: Time) -> u64 {
        self.debug_assert_drained();
        self.logs.fix_beginnings(channel);
        let (from, last) = since.at(now);
        self.backfills_begun += 1;
        let waiter = Waiter {
            id: self.backfills_begun,
            came: now,
            waits_for_word: Some(now + LAST_WORD),
            from,
            last,
            before: self.given_out(channel).collect(),
        };
        let id = waiter.id;
        let budget = &self.logs.budget;
        if !budget.try_charge(Payer::Ourselves, waiter.cost()) {
            let backfilled = self.backfilled(channel, &waiter, now);
            self.outputs
                .push_back(Output::Backfilled(channel.clone(), backfilled));
            return id;
        }
        let backfill = self.backfills.entry(channel.clone()).or_default();
        let from = Some(from).filter(|from| *from < now);
        backfill.from = backfill.from.into_iter().chain(from).min();
        backfill.last = backfill.last.max(last);
        backfill.waiters.push(waiter);
        backfill.news = true;
        self.continue_backfills(now);
        id
    }

    /// The senders of a channel, this node included, and for each the number that live delivery
    /// continues with.
    pub(super) fn given_out(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, Seq)> {
        let own = self.channels.get(channel).into_iter().filter_map(|own| {
            own.next.previous()?;
            Some((self.me.sender(), own.own.begun().unwrap_or(own.next)))
        });
        let others = self.logs.of(channel);
        own.chain(others.filter_map(|(sender, log)| Some((sender, log.given_out()?))))
    }

    /// Something was told of a channel that may help its backfill.
    pub(super) fn news_for_backfill(&mut self, channel: &ChannelName) {
        if let Some(backfill) = self.backfills.get_mut(channel) {
            backfill.news = true;
        }
    }

    /// Continues the backfills of all channels.
    pub(super) fn continue_backfills(&mut self, now: Time) {
        for channel in self.backfills.keys().cloned().collect::<Vec<_>>() {
            self.backfill_channel(&channel, now);
        }
    }

    /// Asks for what the backfill of a channel wants next, and ends it where it is over.
    pub(super) fn backfill_channel(&mut self, channel: &ChannelName, now: Time) {
        let Some(mut backfill) = self.backfills.remove(channel) else {
            return;
        };
        let mut effects = Effects::default();
        let all_told = !self.expecting && self.logs.peers.all_told(channel);
        let over = backfill.waiters.iter().all(|waiter| waiter.until() <= now);
        let mut no_longer = false;
        for waiter in &mut backfill.waiters {
            no_longer |= waiter
                .waits_for_word
                .take_if(|until| *until <= now)
                .is_some();
        }
        if no_longer {
            self.logs.begin(channel, true, now, &mut effects);
            backfill.news = true;
        } else if all_told {
            self.logs.begin(channel, false, now, &mut effects);
        }
        if std::mem::take(&mut backfill.news) {
            for (sender, _) in self.logs.of(channel) {
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
        let ends = |waiter: &mut Waiter| complete || waiter.until() <= now;
        let ended: Vec<Waiter> = backfill.waiters.extract_if(.., ends).collect();
        if !backfill.waiters.is_empty() {
            self.backfills.insert(channel.clone(), backfill);
        }
        self.take_effect(effects, now);
        for waiter in ended {
            self.logs.budget.release(Payer::Ourselves, waiter.cost());
            self.logs.fix_beginnings(channel);
            let backfilled = self.backfilled(channel, &waiter, now);
            self.outputs
                .push_back(Output::Backfilled(channel.clone(), backfilled));
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
        let Some(log) = self.logs.get(key) else {
            return false;
        };
        if depth.before.is_none() {
            depth.before = log.given_out().or_else(|| log.begun());
        }
        let Some(before) = depth.before else {
            return log.begins_soon(key.1, &self.logs.peers);
        };
        let looks = |logs: &Logs| logs.get(key).is_some_and(|log| log.fetch.is_backfilling());
        while !looks(&self.logs) {
            let Some(seqs) = self.deeper(key, backfill, before, &mut depth.reached) else {
                return false;
            };
            self.logs.backfill(key, seqs, now, effects);
        }
        true
    }

    /// The numbers to fetch next of a log: about as many as fit an answer.
    fn deeper(
        &self,
        key: &LogKey,
        backfill: &Backfill,
        before: Seq,
        reached: &mut Option<Seq>,
    ) -> Option<SeqRange> {
        let lower = self.lower(key, before, backfill.from, backfill.last)?;
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
    fn lower(
        &self,
        (channel, sender): &LogKey,
        before: Seq,
        from: Option<Time>,
        last: u64,
    ) -> Option<SeqRange> {
        let below = SeqRange::new(Seq::FIRST, before.previous()?)?;
        let lowest = self.history.frames(channel, *sender, below).next();
        let floor = lowest.map_or(before, |kept| kept.seqs.first());
        let by_time = from.is_some_and(|from| lowest.is_none_or(|kept| from <= kept.posted));
        let bottom = if by_time {
            Seq::FIRST
        } else {
            Seq::new(before.get().saturating_sub(last)).unwrap_or(Seq::FIRST)
        };
        SeqRange::new(bottom, floor.previous()?)
    }

    /// The result for one reader.
    fn backfilled(&self, channel: &ChannelName, waiter: &Waiter, now: Time) -> Backfilled {
        let me = self.me.sender();
        let begins_with = self.channels.get(channel).map_or(0, |own| own.last);
        let own = waiter.before.get(&me).map(|before| Backlog {
            sender: me,
            member: Some(Arc::clone(&self.me)),
            kept: self
                .history
                .backlog(channel, me, *before, waiter.from, waiter.last),
            unfetched: None,
            from: None,
        });
        let others = self.logs.of(channel).filter_map(|(sender, log)| {
            let known = waiter.before.get(&sender).copied();
            // If it was not known where the log begins, live delivery includes the last numbers
            // that the channel itself wanted.
            let before = known.or_else(|| log.begun())?;
            let last = waiter.last.saturating_sub(known.map_or(begins_with, |_| 0));
            let kept = self
                .history
                .backlog(channel, sender, before, waiter.from, last);
            Some(Backlog {
                sender,
                member: log.member.clone(),
                kept: kept.filter(|_| log.member.is_some()),
                unfetched: self.unfetched(
                    &(channel.clone(), sender),
                    log,
                    (before, last),
                    waiter,
                    now,
                ),
                from: Some(before).filter(|_| known.is_none() && !log.is_fixed()),
            })
        });
        let backlogs = own.into_iter().chain(others);
        Backfilled {
            id: waiter.id,
            logs: backlogs
                .filter(|it| it.kept.is_some() || it.unfetched.is_some() || it.from.is_some())
                .collect(),
        }
    }

    /// Numbers below all that is kept that a peer claims to have.
    fn unfetched(
        &self,
        key: &LogKey,
        log: &Log,
        (before, last): (Seq, u64),
        waiter: &Waiter,
        now: Time,
    ) -> Option<SeqRange> {
        let from = Some(waiter.from).filter(|from| *from < waiter.came);
        let lower = self.lower(key, before, from, last)?;
        SeqRange::new(
            log.fetch.holders().lowest_covered(lower, now)?,
            lower.last(),
        )
    }

    /// A channel was closed: its backfill ends with nothing.
    pub(super) fn cancel_backfill(&mut self, channel: &ChannelName) {
        for waiter in self.backfills.remove(channel).unwrap_or_default().waiters {
            self.logs.budget.release(Payer::Ourselves, waiter.cost());
            let (id, logs) = (waiter.id, Vec::new());
            self.outputs
                .push_back(Output::Backfilled(channel.clone(), Backfilled { id, logs }));
        }
    }
}

/// The backfill of a channel: what late readers want from below what is kept.
#[derive(Debug, Default)]
pub(super) struct Backfill {
    /// What was posted since then.
    from: Option<Time>,
    /// And at least this many numbers of each sender.
    last: u64,
    waiters: Vec<Waiter>,
    /// The senders of whom there may be more.
    logs: BTreeMap<Sender, Depth>,
    /// There may be more of any log: a peer told something new, or a reader wants more.
    news: bool,
}

/// A reader that waits.
#[derive(Debug)]
struct Waiter {
    id: u64,
    came: Time,
    /// Until when only a connected sender decides where its log begins.
    waits_for_word: Option<Time>,
    from: Time,
    last: u64,
    /// Where live delivery of each sender continued when the reader came.
    before: BTreeMap<Sender, Seq>,
}

/// How far back a log was fetched.
#[derive(Debug, Default)]
struct Depth {
    /// Live delivery begins here; `None` until it is known where the log begins.
    before: Option<Seq>,
    /// The highest missing number at the last request.
    reached: Option<Seq>,
}

impl Backfill {
    /// When to continue, if nothing happens before.
    pub(super) fn due(&self) -> Option<Time> {
        let due = |waiter: &Waiter| waiter.waits_for_word.unwrap_or_else(|| waiter.until());
        self.waiters.iter().map(due).min()
    }
}

impl Waiter {
    /// What this process is charged with for it.
    fn cost(&self) -> usize {
        WAITER_BYTES + self.before.len() * BEFORE_BYTES
    }

    fn until(&self) -> Time {
        self.came + LOOK_BACK
    }
}

impl Since {
    /// The same, for somebody who wanted it so long ago. Of a count it stays as it is.
    pub fn wanted(self, ago: Duration) -> Self {
        match self {
            Self::Now => Self::Ago(ago),
            Self::Ago(before) => Self::Ago(before.saturating_add(ago)),
            Self::Last(last) => Self::Last(last),
        }
    }

    /// Whichever goes back further. Of a time and a count neither does: then it is this one.
    pub fn or_before(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, other) => other,
            (Self::Ago(ago), Self::Ago(longer)) => Self::Ago(ago.max(longer)),
            (Self::Last(last), Self::Last(more)) => Self::Last(last.max(more)),
            (this, _) => this,
        }
    }

    /// From when on, and how many numbers of each sender at least.
    pub(super) fn at(self, now: Time) -> (Time, u64) {
        match self {
            Self::Now => (now, 0),
            Self::Ago(ago) => (now - ago, 0),
            Self::Last(last) => (now, last),
        }
    }
}

/// What a waiter takes, and each sender that it heard of by then. They wait for 5 s at most, but a
/// process may open a channel as often as it likes.
const WAITER_BYTES: usize = 128;
const BEFORE_BYTES: usize = 64;

/// For how long peers are asked for what was before: a reader waits for it, and whoever came
/// before it with what came after. As long as it takes to fetch a whole history, and one peer
/// that does not answer.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(5);

/// For how long a sender is waited for that is connected and says nothing, with what others say of
/// where it begins. Far above what an answer takes, and there is time left to fetch what they keep.
const LAST_WORD: Duration = Duration::from_secs(3);

/// How many numbers are asked for of somebody of whom nothing is kept.
const GUESS: u64 = 16;
