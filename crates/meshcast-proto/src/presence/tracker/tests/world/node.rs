//! A node of the world, and what it has of each channel.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    conduct::Offence,
    presence::{Presence, PresenceChange, PresenceTracker},
    wire::{Sender, WallTime},
};

pub(in super::super) struct Node {
    pub(in super::super) tracker: PresenceTracker,
    pub(in super::super) sender: Sender,
    pub(in super::super) alive: bool,
    /// The channels, all open at first.
    pub(in super::super) spots: Vec<Spot>,
    pub(in super::super) offences: Vec<(Sender, Offence)>,
    /// The reading of its clock when that of the world showed zero.
    pub(super) offset: Duration,
}

/// A channel as a node has it.
pub(in super::super) struct Spot {
    pub(in super::super) open: bool,
    /// Since when it is.
    pub(in super::super) opened: WallTime,
    pub(in super::super) watching: bool,
    pub(in super::super) state: Option<Bytes>,
    /// What those who watch saw.
    pub(in super::super) seen: BTreeMap<Sender, Presence>,
    pub(in super::super) changes: Vec<(Duration, PresenceChange)>,
    /// The peers that have told that it is open.
    pub(super) told: BTreeSet<usize>,
}

impl Node {
    pub(super) fn new(
        n: usize,
        (tracker, sender): (PresenceTracker, Sender),
        channels: usize,
        opened: WallTime,
    ) -> Self {
        let spot = || Spot {
            open: true,
            opened,
            watching: false,
            state: None,
            seen: BTreeMap::new(),
            changes: Vec::new(),
            told: BTreeSet::new(),
        };
        Self {
            tracker,
            sender,
            alive: true,
            spots: (0..channels).map(|_| spot()).collect(),
            offences: Vec::new(),
            offset: Duration::from_secs(n as u64 * 1_000),
        }
    }

    /// The members seen on the first channel, and what was told of them.
    pub(in super::super) fn seen(&self) -> &BTreeMap<Sender, Presence> {
        &self.spots[0].seen
    }

    pub(in super::super) fn changes(&self) -> &[(Duration, PresenceChange)] {
        &self.spots[0].changes
    }

    /// How often others were told to be gone.
    pub(in super::super) fn losses(&self) -> usize {
        let lost = |(_, change): &&(Duration, PresenceChange)| change.is_gone();
        self.changes().iter().filter(lost).count()
    }
}

impl Spot {
    /// Those of these who are seen and not silent, with what they say of themselves.
    pub(super) fn heard(
        &self,
        of: &BTreeMap<Sender, Option<Bytes>>,
    ) -> BTreeMap<Sender, Option<Bytes>> {
        let heard = |(sender, it): (&Sender, &Presence)| {
            let wanted = !it.is_silent && of.contains_key(sender);
            wanted.then(|| (*sender, it.state.clone()))
        };
        self.seen.iter().filter_map(heard).collect()
    }

    /// A change has to fit what was seen before.
    pub(super) fn see(&mut self, now: Duration, change: PresenceChange) {
        let presence = change.presence().clone();
        let sender = presence.member.sender();
        let before = match change.is_gone() {
            true => self.seen.remove(&sender),
            false => self.seen.insert(sender, presence),
        };
        let is_new = matches!(change, PresenceChange::Joined(_));
        assert_eq!(before.is_none(), is_new, "{change:?} after {before:?}");
        self.changes.push((now, change));
    }
}
