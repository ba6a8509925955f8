//! The half of the engine that looks back: for readers in this process that did not keep up or came
//! late.

use super::*;
use crate::{bounds::Payer, log::Recall, replication::Log};

/// What there is for somebody who came late to a channel; the end of [`Engine::handle_look_back`].
#[derive(Debug, Clone)]
pub struct LookedBack {
    /// Which look back it was.
    pub id: u64,
    /// By sender, this node included.
    pub past: Vec<Past>,
}

/// What somebody hears of one sender from before it came.
#[derive(Debug, Clone)]
pub struct Past {
    /// Whose.
    pub sender: Sender,
    /// Who that is; `None` if nothing was ever heard of it.
    pub member: Option<Arc<Member>>,
    /// What is kept here: from the first number that is wanted and kept, and from the beginning of
    /// a value, up to where what is delivered anyway begins. What is missing in between was lost.
    pub kept: Option<SeqRange>,
    /// Lower numbers that a neighbour says it keeps, and that could not be fetched: there was no
    /// room, or it did not answer in time. Of a time they may be from before it: how old they are
    /// is not known.
    pub unfetched: Option<SeqRange>,
    /// What is delivered may yet turn out to begin lower than this number, below which nothing is
    /// wanted.
    pub from: Option<Seq>,
}

impl Engine {
    /// Numbers that were delivered on a channel, as far as they are kept: as they were then, in
    /// order, with what is missing named. They begin and end with a value. It stops after `room`
    /// bytes, but not before the end of a value.
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

    /// Members are being dialled or let in, so that there may be more neighbours in a moment than
    /// there are: who looks back waits for them. Or they are not any more.
    pub fn handle_expecting(&mut self, expecting: bool, now: Time) {
        self.debug_assert_drained();
        if std::mem::replace(&mut self.expecting, expecting) != expecting {
            self.look_back(now);
        }
    }

    /// Whether anybody [looks back](Self::handle_look_back).
    pub fn is_looking_back(&self) -> bool {
        !self.looks.is_empty()
    }

    /// Somebody wants to hear of a channel that is open here: what is delivered from now on, and
    /// what was posted before, as far as it is kept here or by neighbours. Those who have not told
    /// what they have are waited for, and those that are [expected](Self::handle_expecting); what
    /// they keep is fetched; for 5 s at most. Then there is an [`Output::LookedBack`] with the id
    /// that is returned; at once if nobody can have more, or if this process takes its share of
    /// the memory budget already. What comes is kept like anything else, and nothing that is kept
    /// has to make way for it.
    pub fn handle_look_back(&mut self, channel: &ChannelName, since: Since, now: Time) -> u64 {
        self.debug_assert_drained();
        self.logs.fix_beginnings(channel);
        let (from, last) = since.at(now);
        self.looks_begun += 1;
        let waiter = Waiter {
            id: self.looks_begun,
            came: now,
            waits_for_word: Some(now + LAST_WORD),
            from,
            last,
            before: self.given_out(channel).collect(),
        };
        let id = waiter.id;
        let budget = &self.logs.budget;
        if !budget.try_charge(Payer::Ourselves, waiter.cost()) {
            let looked_back = self.looked_back(channel, &waiter, now);
            self.outputs
                .push_back(Output::LookedBack(channel.clone(), looked_back));
            return id;
        }
        let look = self.looks.entry(channel.clone()).or_default();
        let from = Some(from).filter(|from| *from < now);
        look.from = look.from.into_iter().chain(from).min();
        look.last = look.last.max(last);
        look.waiters.push(waiter);
        look.news = true;
        self.look_back(now);
        id
    }

    /// The senders of a channel, this node included, and the number below which all was delivered
    /// of each, or given up; what comes yet is from there on.
    pub(super) fn given_out(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, Seq)> {
        let own = self.channels.get(channel).into_iter().filter_map(|own| {
            own.next.previous()?;
            Some((self.me.sender(), own.own.begun().unwrap_or(own.next)))
        });
        let others = self.logs.of(channel);
        own.chain(others.filter_map(|(sender, log)| Some((sender, log.given_out()?))))
    }

    /// Something was told of a channel that may be news to who looks back.
    pub(super) fn news_for_look_back(&mut self, channel: &ChannelName) {
        if let Some(look) = self.looks.get_mut(channel) {
            look.news = true;
        }
    }

    /// Goes on with all that is looked back at.
    pub(super) fn look_back(&mut self, now: Time) {
        for channel in self.looks.keys().cloned().collect::<Vec<_>>() {
            self.look_back_at(&channel, now);
        }
    }

    /// Asks for what is wanted next from before of a channel, and says where that is over.
    pub(super) fn look_back_at(&mut self, channel: &ChannelName, now: Time) {
        let Some(mut look) = self.looks.remove(channel) else {
            return;
        };
        let mut effects = Effects::default();
        let all_told = !self.expecting && self.logs.neighbours.all_told(channel);
        let over = look.waiters.iter().all(|waiter| waiter.until() <= now);
        let mut no_longer = false;
        for waiter in &mut look.waiters {
            no_longer |= waiter
                .waits_for_word
                .take_if(|until| *until <= now)
                .is_some();
        }
        if no_longer {
            self.logs.begin(channel, true, now, &mut effects);
            look.news = true;
        } else if all_told {
            self.logs.begin(channel, false, now, &mut effects);
        }
        if std::mem::take(&mut look.news) {
            for (sender, _) in self.logs.of(channel) {
                look.logs.entry(sender).or_default().reached = None;
            }
        }
        look.logs = std::mem::take(&mut look.logs)
            .into_iter()
            .filter_map(|(sender, mut depth)| {
                let key = (channel.clone(), sender);
                let goes_on = !over && self.look_deeper(&key, &look, &mut depth, now, &mut effects);
                if !goes_on {
                    self.logs.look_back_no_more(&key);
                }
                goes_on.then_some((sender, depth))
            })
            .collect();
        let complete = all_told && look.logs.is_empty();
        let ends = |waiter: &mut Waiter| complete || waiter.until() <= now;
        let ended: Vec<Waiter> = look.waiters.extract_if(.., ends).collect();
        if !look.waiters.is_empty() {
            self.looks.insert(channel.clone(), look);
        }
        self.take_effect(effects, now);
        for waiter in ended {
            self.logs.budget.release(Payer::Ourselves, waiter.cost());
            self.logs.fix_beginnings(channel);
            let looked_back = self.looked_back(channel, &waiter, now);
            self.outputs
                .push_back(Output::LookedBack(channel.clone(), looked_back));
        }
    }

    /// Asks for what lies below all that is kept of a log, if nothing is being fetched. `false` if
    /// there is nothing to be had.
    fn look_deeper(
        &mut self,
        key: &LogKey,
        look: &LookBack,
        depth: &mut Depth,
        now: Time,
        effects: &mut Effects,
    ) -> bool {
        let Some(log) = self.logs.get(key) else {
            return false;
        };
        if depth.before.is_none() {
            depth.before = log.given_out().or_else(|| log.reorder.begun());
        }
        let Some(before) = depth.before else {
            return log.begins_soon(key.1, &self.logs.neighbours);
        };
        let looks = |logs: &Logs| logs.get(key).is_some_and(|log| log.fetch.is_backfilling());
        while !looks(&self.logs) {
            let Some(seqs) = self.deeper(key, look, before, &mut depth.reached) else {
                return false;
            };
            self.logs.look_back(key, seqs, now, effects);
        }
        true
    }

    /// What is to be fetched next of a log: about as much as fits an answer.
    fn deeper(
        &self,
        key: &LogKey,
        look: &LookBack,
        before: Seq,
        reached: &mut Option<Seq>,
    ) -> Option<SeqRange> {
        let lower = self.lower(key, before, look.from, look.last)?;
        // As long as it gets lower somebody may have more.
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

    /// What is wanted of a log and is not kept: right below the lowest number that is.
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

    /// What there is for somebody who looked back.
    fn looked_back(&self, channel: &ChannelName, waiter: &Waiter, now: Time) -> LookedBack {
        let me = self.me.sender();
        let begins_with = self.channels.get(channel).map_or(0, |own| own.last);
        let own = waiter.before.get(&me).map(|before| Past {
            sender: me,
            member: Some(Arc::clone(&self.me)),
            kept: self
                .history
                .past(channel, me, *before, waiter.from, waiter.last),
            unfetched: None,
            from: None,
        });
        let others = self.logs.of(channel).filter_map(|(sender, log)| {
            let known = waiter.before.get(&sender).copied();
            // Of one of whom it was not known where it begins, all is delivered from its beginning
            // on: so many of the last as the channel itself wanted.
            let before = known.or_else(|| log.reorder.begun())?;
            let last = waiter.last.saturating_sub(known.map_or(begins_with, |_| 0));
            let kept = self
                .history
                .past(channel, sender, before, waiter.from, last);
            Some(Past {
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
                from: Some(before).filter(|_| known.is_none() && !log.reorder.is_fixed()),
            })
        });
        let past = own.into_iter().chain(others);
        LookedBack {
            id: waiter.id,
            past: past
                .filter(|it| it.kept.is_some() || it.unfetched.is_some() || it.from.is_some())
                .collect(),
        }
    }

    /// Numbers below all that is kept that a neighbour says it has.
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

    /// A channel was closed: nobody wants to hear of it.
    pub(super) fn end_look_back(&mut self, channel: &ChannelName) {
        for waiter in self.looks.remove(channel).unwrap_or_default().waiters {
            self.logs.budget.release(Payer::Ourselves, waiter.cost());
            let (id, past) = (waiter.id, Vec::new());
            self.outputs
                .push_back(Output::LookedBack(channel.clone(), LookedBack { id, past }));
        }
    }
}

/// What readers of this process want of a channel from before what is kept.
#[derive(Debug, Default)]
pub(super) struct LookBack {
    /// Posted since then.
    from: Option<Time>,
    /// And so many numbers of each sender.
    last: u64,
    waiters: Vec<Waiter>,
    /// Those of whom there may be more.
    logs: BTreeMap<Sender, Depth>,
    /// There may be more of any log: a neighbour told something new, or somebody wants more.
    news: bool,
}

/// Somebody who looks back.
#[derive(Debug)]
struct Waiter {
    id: u64,
    came: Time,
    /// Until when nobody but a sender that is there says where it begins.
    waits_for_word: Option<Time>,
    from: Time,
    last: u64,
    /// What was given out of each sender when it came: it hears what comes from there on anyway.
    before: BTreeMap<Sender, Seq>,
}

/// How far back a log is known.
#[derive(Debug, Default)]
struct Depth {
    /// From here on it is delivered anyway; not known before it is where the log begins.
    before: Option<Seq>,
    /// What was right below the lowest that is kept when something below was asked for.
    reached: Option<Seq>,
}

impl LookBack {
    /// When to go on with it, if nothing happens.
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

/// For how long neighbours are asked for what was before: a reader waits for it, and whoever came
/// before it with what came after. As long as it takes to fetch a whole history, and one neighbour
/// that does not answer.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(5);

/// For how long a sender is waited for that is connected and says nothing, with what others say of
/// where it begins. Far above what an answer takes, and there is time left to fetch what they keep.
const LAST_WORD: Duration = Duration::from_secs(3);

/// How many numbers are asked for of somebody of whom nothing is kept.
const GUESS: u64 = 16;
