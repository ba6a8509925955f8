//! A channel on which somebody watches who is present.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};

use bytes::Bytes;

use super::life::Status;
use crate::{
    bounds::{Account, Rate, TokenBucket},
    wire::{PresenceRecord, RollHash, Sender, Time, WallTime, roll_hash},
};

/// What is known of a channel.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) own: Own,
    /// The peers that have it open.
    pub(crate) peers: BTreeSet<Sender>,
    /// Everybody else of whom there is a record.
    pub(crate) entries: BTreeMap<Sender, Entry>,
    /// When somebody was last seen to watch it.
    pub(crate) watched: Time,
}

/// What this node says of itself there.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) is_present: bool,
    pub(crate) watching: bool,
    pub(crate) state: Option<Bytes>,
    pub(crate) since: WallTime,
    /// As it was said last.
    pub(crate) record: Option<PresenceRecord>,
    pub(crate) rate: TokenBucket,
}

/// What somebody else says of itself there.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: PresenceRecord,
    /// It has left: by its record, by its own word on its link, or by its signs of life.
    pub(crate) left: bool,
    /// What stands for the channel in its signs of life.
    pub(crate) tag: u64,
    /// It is present, and how.
    pub(crate) shown: Option<Status>,
    /// Since when it is so.
    pub(crate) since: Time,
    /// When somebody told last that it is there although it is not shown: so long its beats are
    /// asked for.
    pub(crate) told: Time,
    /// It was present before.
    pub(crate) was_shown: bool,
    pub(crate) rate: TokenBucket,
    pub(crate) account: Account,
}

impl Room {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            own: Own::default(),
            peers: BTreeSet::new(),
            entries: BTreeMap::new(),
            watched: now,
        }
    }

    /// The records that others are told of: of those who are present, and for a while of those who
    /// left. Others know themselves who is lost.
    pub(crate) fn offered(&self, now: Time) -> impl Iterator<Item = &PresenceRecord> {
        let others = self.entries.values();
        let others = others.filter(move |entry| entry.is_offered(now));
        let own = self.own.record.as_ref();
        own.into_iter().chain(others.map(|entry| &entry.record))
    }

    /// The record of somebody, if others are told of it.
    pub(crate) fn offered_of(&self, sender: Sender, now: Time) -> Option<&PresenceRecord> {
        let own = self.own.record.as_ref();
        let own = own.filter(|record| record.sender == sender);
        let entry = self.entries.get(&sender);
        let offered = entry.filter(|entry| entry.is_offered(now));
        own.or_else(|| offered.map(|entry| &entry.record))
    }

    /// A hash of what is offered.
    pub(crate) fn hash(&self, now: Time) -> RollHash {
        roll_hash(self.roll(now))
    }

    /// Which version of whose record others are told of, in the order of keys.
    pub(crate) fn roll(&self, now: Time) -> impl Iterator<Item = (Sender, u64)> {
        let own = self.own.record.as_ref();
        // Nobody has an entry of itself.
        let me = own.map_or(Sender::new([0; 32]), |own| own.sender);
        let entries = |range: (Bound<Sender>, Bound<Sender>)| {
            let entries = self.entries.range::<Sender, _>(range);
            let offered = entries.filter(move |(_, entry)| entry.is_offered(now));
            offered.map(|(_, entry)| &entry.record)
        };
        let below = entries((Bound::Unbounded, Bound::Excluded(me)));
        let above = entries((Bound::Included(me), Bound::Unbounded));
        let records = below.chain(own).chain(above);
        records.map(|record| (record.sender, record.version))
    }

    /// Which version of somebody's record is known.
    pub(crate) fn version(&self, sender: Sender) -> Option<u64> {
        self.entries.get(&sender).map(|entry| entry.record.version)
    }
}

impl Entry {
    /// Whether others are told of it.
    fn is_offered(&self, now: Time) -> bool {
        // A record that somebody else merely handed over is not: it would be handed round for ever.
        self.shown.is_some()
            || self.record.left && self.was_shown && now.saturating_since(self.since) < FAREWELL
    }

    /// Whether nothing was heard of it for so long that its beats are not asked for any more. If it
    /// comes back, its peers [tell](Self::is_back) of it.
    pub(crate) fn is_given_up(&self, now: Time) -> bool {
        let since = self.since.max(self.told);
        self.shown.is_none() && now.saturating_since(since) >= UNSEEN
    }

    /// A peer tells of its record, of this version: it is offered there, so the member may be back.
    /// `true` if it had been given up; its beats are asked for again then. The word of a peer is
    /// enough: it moves nothing else, counts once in [`UNSEEN`], and does not keep the entry.
    pub(crate) fn is_back(&mut self, version: u64, now: Time) -> bool {
        let is_news = version == self.record.version && !self.left && self.is_given_up(now);
        if is_news {
            self.told = now;
        }
        is_news
    }

    /// Whether it may be forgotten.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        let known = self.was_shown || self.record.left;
        let kept = if known { REMEMBERED } else { UNSEEN };
        self.shown.is_none() && now.saturating_since(self.since) >= kept
    }

    pub(crate) fn charged(record: &PresenceRecord) -> usize {
        record.bytes.len() + record.chain.len() + ENTRY
    }
}

/// For how long others are told that somebody left. A node that has not heard of it by then finds
/// out that nothing more is heard of it.
const FAREWELL: Duration = Duration::from_secs(30);

/// For how long the version of who is gone is remembered, so that an old record does not bring it
/// back. Longer than a beat of its is believed, which is at most
/// [`MAX_BEAT`](super::life::MAX_BEAT) times five and the skew of clocks.
const REMEMBERED: Duration = Duration::from_secs(300);

/// For how long a record is kept of somebody of whom there was no sign of life.
const UNSEEN: Duration = Duration::from_secs(30);

/// For how long a channel is followed on which nobody watches any more.
pub(crate) const UNWATCHED: Duration = Duration::from_secs(60);

/// The rate at which a member changes its state, at once and then: what it sets in between is
/// skipped. Others allow twice that, since what was on its way comes together.
pub(crate) const SETTING: Rate = Rate::every(Duration::from_millis(500), 8);
pub(crate) const HEARING: Rate = Rate::every(Duration::from_millis(250), 32);

/// What an entry takes beside its record: the entries in trees here and of the member, and the last
/// sign of life of that.
const ENTRY: usize = 768;

/// How many members may be present on a channel, and on all together. Members that are connected
/// always have room.
pub(crate) const MAX_ENTRIES: usize = 4_095;
pub(crate) const MAX_ALL_ENTRIES: usize = 16_384;
