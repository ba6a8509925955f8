//! The frames a node keeps so that it can hand them on later, bounded by bytes and by age.

mod dropped;
mod recall;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map},
    fmt,
    time::Duration,
};

use bytes::Bytes;

use super::arrival::{Arrival, Via};
use crate::wire::{ChannelName, Frame, Sender, Seq, SeqRange, Time};

use dropped::Dropped;

pub use recall::{Recall, Recalled};

/// Every accepted frame, until it is too old or there is no room.
///
/// When there is no room, the sender that takes the most loses its oldest frame, so a flood by one
/// sender does not push out the others. Within a channel the lowest numbers always go first,
/// whenever they came, and are not taken again. So a frame that was fetched late makes no hole in
/// what is kept, and a peer that asks several members misses one run of numbers, not several.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    senders: HashMap<Sender, SenderHistory>,
    /// All senders by the bytes they take, the largest last.
    by_size: BTreeSet<(usize, Sender)>,
    /// All senders by when their oldest frame was accepted.
    by_age: BTreeSet<(Time, Sender)>,
    bytes: usize,
    /// All senders by how much is remembered of their dropped frames, and the sum.
    by_remembered: BTreeSet<(usize, Sender)>,
    remembered: usize,
    /// The senders of each channel, so that a channel is forgotten without a look at others.
    tracks: BTreeSet<(ChannelName, Sender)>,
}

/// How much a [`History`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The bytes of all frames as they travel, plus [`History::ENTRY_BYTES`] for each.
    pub bytes: usize,
    /// The time for which a frame is kept after it was accepted; what others say of its age does
    /// not count. A frame above another one of its channel stays as long as that one.
    pub age: Duration,
}

/// A frame that is kept. `Debug` tells its length, not its bytes.
#[derive(Clone, Copy)]
pub struct StoredFrame<'a> {
    /// The frame as it travels.
    pub bytes: &'a Bytes,
    /// The numbers of its records.
    pub seqs: SeqRange,
    /// When it was posted, by this node's clock: when it was accepted, less the time it had been
    /// kept elsewhere.
    pub posted: Time,
    /// When it was accepted.
    pub accepted: Time,
    via: Via,
    is_direct: bool,
    is_signed: bool,
}

impl StoredFrame<'_> {
    /// Whether it may be handed on: its signature is known to be right.
    pub(crate) const fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// The way it came, if it is of this sender.
    pub(crate) fn arrival(&self, sender: Sender) -> Arrival {
        Arrival {
            via: self.via,
            from: self.is_direct.then_some(sender),
            at: self.accepted,
        }
    }

    /// The frame, decoded from its bytes. It is always there, since it was decoded before.
    pub fn frame(&self) -> Option<Frame> {
        Frame::decode(self.bytes.clone()).ok()
    }
}

/// What the history keeps of one sender.
#[derive(Debug, Default)]
struct SenderHistory {
    channels: BTreeMap<ChannelName, ChannelHistory>,
    /// When the lowest frame of each channel was accepted. The names are shared with `channels`.
    lowest: BTreeSet<(Time, ChannelName)>,
    bytes: usize,
    /// The bytes that dropped frames are remembered with.
    remembered: usize,
}

/// What the history keeps of one sender on one channel.
#[derive(Debug, Default)]
struct ChannelHistory {
    /// By first number.
    frames: BTreeMap<Seq, Stored>,
    /// The dropped frames and when they were posted, in order; further back only samples.
    dropped: Dropped,
}

/// A frame without what can be read from its bytes. There may be a hundred thousand, and for a
/// short frame a [`Frame`] takes half as much again.
struct Stored {
    bytes: Bytes,
    last: Seq,
    posted: Time,
    accepted: Time,
    via: Via,
    /// Its sender gave it itself. Other peers are not remembered: an id takes as much as a short
    /// message.
    is_direct: bool,
    /// Its signature is known to be right.
    is_signed: bool,
}

impl Stored {
    /// The bytes it takes.
    fn size(&self) -> usize {
        self.bytes.len() + History::ENTRY_BYTES
    }

    fn kept(&self, first: Seq) -> StoredFrame<'_> {
        StoredFrame {
            bytes: &self.bytes,
            seqs: SeqRange::single(first).hull(SeqRange::single(self.last)),
            posted: self.posted,
            accepted: self.accepted,
            via: self.via,
            is_direct: self.is_direct,
            is_signed: self.is_signed,
        }
    }
}

impl fmt::Debug for StoredFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            seqs,
            posted,
            ..
        } = self;
        write!(f, "Kept({seqs} of {posted:?}, {} bytes)", bytes.len())
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored(up to {}, {} bytes)", self.last, self.bytes.len())
    }
}

impl ChannelHistory {
    /// When its lowest frame was accepted.
    fn lowest(&self) -> Option<Time> {
        self.frames
            .first_key_value()
            .map(|(_, entry)| entry.accepted)
    }

    /// The bytes that dropped frames are remembered with: the samples, and the place of the channel
    /// if nothing else needs it.
    fn remembered(&self) -> usize {
        let place = if self.dropped.marks.is_empty() || !self.frames.is_empty() {
            0
        } else {
            TRACK_BYTES
        };
        place + self.dropped.marks.len() * MARK_BYTES
    }

    /// The frames that hold any of these numbers, in order.
    fn frames(&self, seqs: SeqRange) -> impl DoubleEndedIterator<Item = StoredFrame<'_>> {
        // A frame that begins before the range may reach into it.
        let before = self.frames.range(..seqs.first()).next_back();
        let within = self.frames.range(seqs.first()..=seqs.last());
        before
            .filter(|(_, entry)| entry.last >= seqs.first())
            .into_iter()
            .chain(within)
            .map(|(first, entry)| entry.kept(*first))
    }
}

impl History {
    /// What a frame takes beside its bytes: entries in two queues and a tree, the header and
    /// rounding of its buffer. Measured in processes that kept a hundred thousand of them. For
    /// short messages it is a quarter of all memory taken, so it has to count.
    pub const ENTRY_BYTES: usize = 256;

    /// An empty history.
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            limits,
            senders: HashMap::new(),
            by_size: BTreeSet::new(),
            by_age: BTreeSet::new(),
            bytes: 0,
            by_remembered: BTreeSet::new(),
            remembered: 0,
            tracks: BTreeSet::new(),
        }
    }

    /// Keeps a frame that came so and had been posted `age` before. Frames that are kept already or
    /// lie below a dropped one are ignored. The time never goes back.
    pub fn insert(&mut self, frame: Frame, age: Duration, arrival: Arrival) {
        let sender = frame.sender();
        if self.dropped_above(frame.channel(), sender, frame.seqs().last()) {
            return;
        }
        if self.track(frame.channel(), sender).is_none() {
            self.tracks.insert((frame.channel().clone(), sender));
        }
        self.senders.entry(sender).or_default();
        let size = self.change(sender, |of_sender| of_sender.insert(&frame, age, arrival));
        self.bytes += size.unwrap_or(0);
        while self.bytes > self.limits.bytes
            && let Some(&(_, largest)) = self.by_size.last()
        {
            self.drop_oldest(largest);
        }
        self.forget_dropped();
    }

    /// If too much is remembered of dropped frames, forgets that of the senders with the most.
    fn forget_dropped(&mut self) {
        let most = (self.limits.bytes / REMEMBERED_SHARE).max(MIN_REMEMBERED);
        while self.remembered > most
            && let Some(&(_, largest)) = self.by_remembered.last()
        {
            let gone = self.change(largest, SenderHistory::forget_dropped);
            for channel in gone.into_iter().flatten() {
                self.tracks.remove(&(channel, largest));
            }
        }
    }

    /// Drops frames that are too old. Returns when the next one will be.
    pub fn expire(&mut self, now: Time) -> Option<Time> {
        while let Some(&(accepted, sender)) = self.by_age.first() {
            let expires = accepted + self.limits.age;
            if now < expires {
                self.forget_dropped();
                return Some(expires);
            }
            self.drop_oldest(sender);
        }
        self.forget_dropped();
        None
    }

    /// The frames that hold any of these numbers, in order. If a sender put one number into several
    /// frames, against the protocol, some may not be found.
    pub fn frames(
        &self,
        channel: &ChannelName,
        sender: Sender,
        seqs: SeqRange,
    ) -> impl Iterator<Item = StoredFrame<'_>> {
        let track = self.track(channel, sender).into_iter();
        track.flat_map(move |track| track.frames(seqs))
    }

    /// The lowest number kept of a sender on a channel.
    pub fn oldest(&self, channel: &ChannelName, sender: Sender) -> Option<Seq> {
        let (first, _) = self.track(channel, sender)?.frames.first_key_value()?;
        Some(*first)
    }

    /// The lowest number that was posted since then or is among the `last` before, as far as is
    /// known. After many drops it may be too low. `None` if there is no such number.
    pub fn first_since(
        &self,
        channel: &ChannelName,
        sender: Sender,
        since: Time,
        last: u64,
    ) -> Option<Seq> {
        let track = self.track(channel, sender)?;
        let (_, newest) = track.frames.last_key_value()?;
        let mut all = track.frames.iter().map(|(first, entry)| entry.kept(*first));
        let by_time = all
            .find(|kept| kept.posted >= since)
            .map(|kept| kept.seqs.first());
        let by_number = (last > 0).then(|| {
            // Frames missing right below may have been posted before.
            let end = by_time.and_then(|by_time| {
                let (_, below) = track.frames.range(..by_time).next_back()?;
                Some(below.last.next())
            });
            let end = end.or(by_time).unwrap_or_else(|| newest.last.next());
            let lowest = Seq::new(end.get().saturating_sub(last)).unwrap_or(Seq::FIRST);
            let reach = SeqRange::single(lowest).hull(SeqRange::single(Seq::MAX));
            let kept = track.frames(reach).next()?;
            Some(lowest.max(kept.seqs.first()))
        });
        let by_number = by_number.flatten();
        let dropped = track.dropped.first_since(since);
        by_time.into_iter().chain(by_number).chain(dropped).min()
    }

    /// The lowest number that was dropped here and posted since then, or one a little below it: of
    /// much that was dropped only samples are remembered.
    pub(crate) fn dropped_since(
        &self,
        channel: &ChannelName,
        sender: Sender,
        since: Time,
    ) -> Option<Seq> {
        self.track(channel, sender)?.dropped.first_since(since)
    }

    /// A channel was closed here. `true` if nothing of it is kept; then what is remembered of its
    /// dropped frames goes too.
    pub(crate) fn forget(&mut self, channel: &ChannelName) -> bool {
        let from = (channel.clone(), Sender::new([0; 32]));
        let its = self.tracks.range(from..);
        let its = its.take_while(|(name, _)| name == channel);
        let senders: Vec<Sender> = its.map(|(_, sender)| *sender).collect();
        let mut nothing = true;
        for sender in senders {
            let track = self.track(channel, sender);
            if track.is_some_and(|track| !track.frames.is_empty()) {
                nothing = false;
                continue;
            }
            self.change(sender, |of_sender| of_sender.forget(channel));
            self.tracks.remove(&(channel.clone(), sender));
        }
        nothing
    }

    /// The bytes taken, as [`HistoryLimits::bytes`] counts them.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The signature of the kept frame with this first number was checked, and is right.
    pub(crate) fn set_signed(&mut self, channel: &ChannelName, sender: Sender, first: Seq) {
        let of_sender = self.senders.get_mut(&sender);
        let track = of_sender.and_then(|of_sender| of_sender.channels.get_mut(channel));
        if let Some(entry) = track.and_then(|track| track.frames.get_mut(&first)) {
            entry.is_signed = true;
        }
    }

    /// Drops the frame with this first number.
    pub(crate) fn remove(&mut self, channel: &ChannelName, sender: Sender, first: Seq) {
        let gone = self.change(sender, |of_sender| of_sender.remove(channel, first));
        self.bytes -= gone.flatten().unwrap_or(0);
    }

    /// Whether so many more bytes of a sender would be kept below everything that is kept of it on
    /// this channel: there is room, or another sender would still take more.
    pub(crate) fn has_room_for(
        &self,
        channel: &ChannelName,
        sender: Sender,
        first: Seq,
        bytes: usize,
    ) -> bool {
        let its = self
            .senders
            .get(&sender)
            .map_or(0, |of_sender| of_sender.bytes);
        let largest = self.by_size.last().map_or(0, |(largest, _)| *largest);
        let has_room = self.bytes + bytes <= self.limits.bytes || its + bytes < largest;
        has_room && !self.dropped_above(channel, sender, first)
    }

    /// Whether a frame above this number was dropped.
    fn dropped_above(&self, channel: &ChannelName, sender: Sender, seq: Seq) -> bool {
        let track = self.track(channel, sender);
        track.is_some_and(|track| track.dropped.is_above(seq))
    }

    fn track(&self, channel: &ChannelName, sender: Sender) -> Option<&ChannelHistory> {
        self.senders.get(&sender)?.channels.get(channel)
    }

    fn drop_oldest(&mut self, sender: Sender) {
        let dropped = self.change(sender, SenderHistory::drop_oldest);
        self.bytes -= dropped.flatten().unwrap_or(0);
    }

    /// Changes what is kept of a sender and updates the indexes. A sender with nothing left is
    /// forgotten.
    fn change<T>(
        &mut self,
        sender: Sender,
        change: impl FnOnce(&mut SenderHistory) -> T,
    ) -> Option<T> {
        let of_sender = self.senders.get_mut(&sender)?;
        let (bytes, oldest, remembered) =
            (of_sender.bytes, of_sender.oldest(), of_sender.remembered);
        let changed = change(of_sender);
        if of_sender.bytes == 0 {
            of_sender.remembered = 0;
        }
        if remembered != of_sender.remembered {
            self.by_remembered.remove(&(remembered, sender));
            if of_sender.remembered > 0 {
                self.by_remembered.insert((of_sender.remembered, sender));
            }
            self.remembered = self.remembered - remembered + of_sender.remembered;
        }
        self.by_size.remove(&(bytes, sender));
        if of_sender.bytes > 0 {
            self.by_size.insert((of_sender.bytes, sender));
        }
        if oldest != of_sender.oldest() {
            oldest.map(|oldest| self.by_age.remove(&(oldest, sender)));
            of_sender
                .oldest()
                .map(|oldest| self.by_age.insert((oldest, sender)));
        }
        if of_sender.bytes == 0 {
            for channel in of_sender.channels.keys() {
                self.tracks.remove(&(channel.clone(), sender));
            }
            self.senders.remove(&sender);
        }
        Some(changed)
    }
}

impl SenderHistory {
    /// When the oldest of the lowest frames was accepted.
    fn oldest(&self) -> Option<Time> {
        self.lowest.first().map(|(accepted, _)| *accepted)
    }

    /// Returns the bytes that the frame took.
    fn remove(&mut self, channel: &ChannelName, first: Seq) -> Option<usize> {
        let track = self.channels.get_mut(channel)?;
        let (before, remembered) = (track.lowest(), track.remembered());
        let size = track.frames.remove(&first)?.size();
        self.bytes -= size;
        self.remembered = self.remembered - remembered + track.remembered();
        let after = track.lowest();
        if after != before {
            before.map(|before| self.lowest.remove(&(before, channel.clone())));
            after.map(|after| self.lowest.insert((after, channel.clone())));
        }
        Some(size)
    }

    /// Returns the bytes it takes; 0 if it was there already.
    fn insert(&mut self, frame: &Frame, age: Duration, arrival: Arrival) -> usize {
        let known = self.channels.get_key_value(frame.channel());
        let channel = known
            .map_or_else(|| frame.channel(), |(name, _)| name)
            .clone();
        let track = self.channels.entry(channel.clone()).or_default();
        let (before, remembered) = (track.lowest(), track.remembered());
        let (first, last) = (frame.seqs().first(), frame.seqs().last());
        let btree_map::Entry::Vacant(vacant) = track.frames.entry(first) else {
            return 0;
        };
        let entry = vacant.insert(Stored {
            bytes: frame.bytes().clone(),
            last,
            posted: arrival.at - age,
            accepted: arrival.at,
            via: arrival.via,
            is_direct: arrival.from == Some(frame.sender()),
            is_signed: frame.is_known_signed(),
        });
        let size = entry.size();
        self.bytes += size;
        self.remembered = self.remembered - remembered + track.remembered();
        let after = track.lowest();
        if after != before {
            before.map(|before| self.lowest.remove(&(before, channel.clone())));
            after.map(|after| self.lowest.insert((after, channel)));
        }
        size
    }

    /// Drops the lowest frame of the channel where that is oldest. Returns its bytes.
    fn drop_oldest(&mut self) -> Option<usize> {
        let (_, channel) = self.lowest.pop_first()?;
        let track = self.channels.get_mut(&channel)?;
        let remembered = track.remembered();
        let (first, dropped) = track.frames.pop_first()?;
        let StoredFrame { seqs, posted, .. } = dropped.kept(first);
        track.dropped.add(posted, seqs);
        self.remembered = self.remembered - remembered + track.remembered();
        self.bytes -= dropped.size();
        if let Some(after) = track.lowest() {
            self.lowest.insert((after, channel));
        }
        Some(dropped.size())
    }

    /// Forgets the dropped frames of a channel of which nothing is kept.
    fn forget(&mut self, channel: &ChannelName) {
        if let Some(track) = self.channels.remove(channel) {
            self.remembered -= track.remembered();
        }
    }

    /// Forgets all dropped frames. Returns the channels of which nothing is left.
    fn forget_dropped(&mut self) -> Vec<ChannelName> {
        let mut gone = Vec::new();
        self.channels.retain(|channel, track| {
            let stays = !track.frames.is_empty();
            gone.extend((!stays).then(|| channel.clone()));
            stays
        });
        for track in self.channels.values_mut() {
            track.dropped = Dropped::default();
        }
        self.remembered = 0;
        gone
    }
}

/// Memory for dropped frames, as a share of what may be kept, or this much. Above it the sender
/// with the most loses it; a reader that starts late may then begin above what it should have got.
const REMEMBERED_SHARE: usize = 4;
const MIN_REMEMBERED: usize = 1024 * 1024;

/// The memory of a channel of which nothing is kept, and of a sample.
const TRACK_BYTES: usize = 256;
const MARK_BYTES: usize = 32;

#[cfg(test)]
mod tests;
