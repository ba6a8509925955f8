//! The frames a node keeps so that it can hand them on later, bounded by bytes and by age.

mod recall;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{
    frame::Frame,
    id::{Sender, Seq, SeqRange},
    name::ChannelName,
    time::Time,
};

pub use recall::{Recall, Recalled};

/// Every accepted frame, until it is too old or there is no room.
///
/// When there is no room the sender that takes the most loses its oldest frame, so that a flood by one does
/// not push out the others.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    senders: HashMap<Sender, Log>,
    /// All senders by what they take, so that the largest is found at once.
    by_size: BTreeSet<(usize, Sender)>,
    /// All senders by when their oldest frame was accepted, so that what is too old is found at once.
    by_age: BTreeSet<(Time, Sender)>,
    bytes: usize,
}

/// How much a [`History`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// All frames together, in bytes as they travel.
    pub bytes: usize,
    /// Since they were accepted.
    pub age: Duration,
}

/// A frame, and when it was posted as far as is known, by this node's clock.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The frame.
    pub frame: Frame,
    /// When it was posted: when it was accepted, less the time it had been kept elsewhere.
    pub posted: Time,
}

/// What one sender has in the history.
#[derive(Debug, Default)]
struct Log {
    frames: BTreeMap<(ChannelName, Seq), Kept>,
    /// By channel, what was dropped and when it was posted, in order; of what lies further back, only some.
    dropped: BTreeMap<ChannelName, Dropped>,
    /// In the order of acceptance, which is the order of age.
    order: VecDeque<(Time, ChannelName, Seq)>,
    bytes: usize,
}

impl History {
    /// An empty history.
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            limits,
            senders: HashMap::new(),
            by_size: BTreeSet::new(),
            by_age: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Keeps a frame that was posted `age` ago; one that is kept already is not kept twice. `now` never goes
    /// back.
    pub fn insert(&mut self, frame: Frame, age: Duration, now: Time) {
        let (sender, len) = (frame.sender(), frame.bytes().len());
        let key = (frame.channel().clone(), frame.seqs().first());
        let log = self.senders.entry(sender).or_default();
        if log.frames.contains_key(&key) {
            return;
        }
        self.by_size.remove(&(log.bytes, sender));
        if log.order.is_empty() {
            self.by_age.insert((now, sender));
        }
        log.order.push_back((now, key.0.clone(), key.1));
        log.frames.insert(
            key,
            Kept {
                frame,
                posted: now - age,
            },
        );
        log.bytes += len;
        self.by_size.insert((log.bytes, sender));
        self.bytes += len;
        while self.bytes > self.limits.bytes
            && let Some(&(_, largest)) = self.by_size.last()
        {
            self.drop_oldest(largest);
        }
    }

    /// Forgets what is too old. Returns when the next frame will be.
    pub fn expire(&mut self, now: Time) -> Option<Time> {
        while let Some(&(accepted, sender)) = self.by_age.first() {
            let expires = accepted + self.limits.age;
            if now < expires {
                return Some(expires);
            }
            self.drop_oldest(sender);
        }
        None
    }

    /// The frames that hold any of these numbers, in order. Of a sender that put one number into several
    /// frames, against the protocol, it may not find all.
    pub fn frames(
        &self,
        channel: &ChannelName,
        sender: Sender,
        seqs: SeqRange,
    ) -> impl Iterator<Item = &Kept> {
        self.senders.get(&sender).into_iter().flat_map(move |log| {
            // A frame that begins before the range may reach into it.
            let before = log.frames.range(..(channel.clone(), seqs.first())).next_back();
            let within = log
                .frames
                .range((channel.clone(), seqs.first())..=(channel.clone(), seqs.last()));
            before
                .filter(|((name, _), kept)| name == channel && kept.frame.seqs().last() >= seqs.first())
                .into_iter()
                .chain(within)
                .map(|(_, kept)| kept)
        })
    }

    /// The lowest number kept of a sender on a channel.
    pub fn oldest(&self, channel: &ChannelName, sender: Sender) -> Option<Seq> {
        let log = self.senders.get(&sender)?;
        let mut kept = log
            .frames
            .range((channel.clone(), Seq::FIRST)..=(channel.clone(), Seq::MAX));
        kept.next().map(|((_, first), _)| *first)
    }

    /// The lowest number of a sender on a channel that was posted since then or is among the `last` before, as
    /// far as is known: of much that was dropped, rather a lower one. `None` if there is no such number.
    pub fn first_since(&self, channel: &ChannelName, sender: Sender, since: Time, last: u64) -> Option<Seq> {
        let log = self.senders.get(&sender)?;
        let kept = log
            .frames
            .range((channel.clone(), Seq::FIRST)..=(channel.clone(), Seq::MAX));
        let newest = kept.clone().next_back()?.1.frame.seqs().last();
        let by_time = kept
            .clone()
            .find(|(_, kept)| kept.posted >= since)
            .map(|((_, first), _)| *first);
        let by_number = (last > 0).then(|| {
            // What is missing right below may have been posted before.
            let end = by_time.and_then(|by_time| {
                let below = (channel.clone(), Seq::FIRST)..(channel.clone(), by_time);
                let (_, kept) = log.frames.range(below).next_back()?;
                Some(kept.frame.seqs().last().next())
            });
            let end = end.or(by_time).unwrap_or_else(|| newest.next());
            let lowest = Seq::new(end.get().saturating_sub(last)).unwrap_or(Seq::FIRST);
            let mut reach = kept.filter(|(_, kept)| kept.frame.seqs().last() >= lowest);
            reach.next().map(|((_, first), _)| lowest.max(*first))
        });
        let by_number = by_number.flatten();
        let first = by_time.into_iter().chain(by_number).min();
        let dropped = log
            .dropped
            .get(channel)
            .and_then(|dropped| dropped.first_since(since));
        first.into_iter().chain(dropped).min()
    }

    /// How many bytes it keeps.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_oldest(&mut self, sender: Sender) {
        let Some(log) = self.senders.get_mut(&sender) else {
            return;
        };
        self.by_size.remove(&(log.bytes, sender));
        if let Some((accepted, channel, first)) = log.order.pop_front() {
            self.by_age.remove(&(accepted, sender));
            if let Some(Kept { frame, posted }) = log.frames.remove(&(channel.clone(), first)) {
                log.bytes -= frame.bytes().len();
                self.bytes -= frame.bytes().len();
                let dropped = log.dropped.entry(channel).or_default();
                dropped.add(posted, frame.seqs());
            }
        }
        if let Some(&(accepted, ..)) = log.order.front() {
            self.by_size.insert((log.bytes, sender));
            self.by_age.insert((accepted, sender));
        } else {
            self.senders.remove(&sender);
        }
    }
}

/// What was dropped of a sender on a channel, and when it was posted: of every so many frames one, and the last.
#[derive(Debug, Default)]
struct Dropped {
    marks: Vec<(Time, SeqRange)>,
    /// One of `1 << sparse` is marked.
    sparse: u32,
    count: u64,
    /// The last mark is only there because it is the last.
    passing: bool,
}

impl Dropped {
    fn add(&mut self, posted: Time, seqs: SeqRange) {
        if self
            .marks
            .last()
            .is_some_and(|(_, last)| seqs.first() <= last.last())
        {
            // What was repaired may be dropped later than what is above.
            return;
        }
        if self.passing {
            self.marks.pop();
        }
        self.marks.push((posted, seqs));
        self.passing = !self.count.is_multiple_of(1 << self.sparse);
        self.count += 1;
        if self.marks.len() > MAX_DROPPED {
            let mut place = 0;
            self.marks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.sparse += 1;
        }
    }

    /// The lowest number posted since then, or one a little below.
    fn first_since(&self, since: Time) -> Option<Seq> {
        let place = self.marks.partition_point(|(posted, _)| *posted < since);
        let (_, lowest) = self.marks.get(place)?;
        let before = place.checked_sub(1).and_then(|before| self.marks.get(before));
        Some(before.map_or_else(|| lowest.first(), |(_, before)| before.last().next()))
    }
}

/// How many marks of what was dropped are kept for a sender on a channel, at 32 bytes; then every second goes. Even:
/// the newest stays.
const MAX_DROPPED: usize = 64;

#[cfg(test)]
mod tests;
