//! What is agreed with a peer about presence.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{ChannelName, PresenceMessage, Sender, Time},
};

/// A peer with a session.
#[derive(Debug)]
pub(crate) struct Link {
    /// When anything was last heard of it.
    pub(crate) heard: Time,
    /// The hash of itself and its peers, and the one that it was told of us.
    pub(crate) links: Option<[u8; 16]>,
    pub(crate) sent: Option<[u8; 16]>,
    /// The channels that it has open and that are followed here. Looks at a peer look at these, and
    /// at no others.
    pub(crate) rooms: BTreeSet<ChannelName>,
    /// Whose beats it is to hand us, and we it.
    pub(crate) following: BTreeSet<Sender>,
    pub(crate) followed: BTreeSet<Sender>,
    /// When to compare what both have.
    pub(crate) compare: Option<Time>,
    /// It or this node was left without records that they lack, so this node compares whoever of
    /// the two it is for otherwise.
    pub(crate) is_behind: bool,
    /// The channel that was compared last, and how many are to come.
    pub(crate) compared: Option<ChannelName>,
    pub(crate) to_compare: usize,
    /// Messages to it queue up.
    pub(crate) is_congested: bool,
    checks: TokenBucket,
    beats: TokenBucket,
    served: TokenBucket,
}

impl Link {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            heard: now,
            links: None,
            sent: None,
            rooms: BTreeSet::new(),
            following: BTreeSet::new(),
            followed: BTreeSet::new(),
            compare: None,
            is_behind: false,
            compared: None,
            to_compare: 0,
            is_congested: false,
            checks: TokenBucket::default(),
            beats: TokenBucket::default(),
            served: TokenBucket::default(),
        }
    }

    /// Whether it may make this node check the signature of another record.
    pub(crate) fn may_check(&mut self, shares: &Shares, now: Time) -> bool {
        self.checks.try_take(shares.checks, now)
    }

    /// The same, of another sign of life. A node that catches up with records is not to seem lost
    /// meanwhile, nor are those whose heartbeats it hands on.
    pub(crate) fn may_beat(&mut self, shares: &Shares, now: Time) -> bool {
        self.beats.try_take(shares.beats, now)
    }

    /// Whether another record may be looked for that it asked for.
    pub(crate) fn may_serve(&mut self, shares: &Shares, now: Time) -> bool {
        !self.is_congested && self.served.try_take(shares.served, now)
    }

    /// Records were left out. The records of both are compared again when there is a share for
    /// some.
    pub(crate) fn fall_behind(&mut self, now: Time) {
        self.is_behind = true;
        self.compare.get_or_insert(now + AGAIN);
    }
}

/// The work that a peer may make this node do, and how much is said to it at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    pub(crate) checks: Rate,
    pub(crate) beats: Rate,
    pub(crate) served: Rate,
    /// How many channels are compared at once.
    pub(crate) hashes: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            checks: CHECKS,
            beats: BEATS,
            served: SERVED,
            hashes: PresenceMessage::MAX_HASHES,
        }
    }
}

/// The records a second that a peer is given because it asks: a channel with as many members as it
/// may have, twice at once.
const SERVED: Rate = Rate::per_second(512, Duration::from_secs(16));

/// The rate of records of a peer that are checked: twice as many as it gives by [`SERVED`], since
/// what it says of itself and hands on as news comes on top. A second of nothing else takes a
/// twentieth of one.
const CHECKS: Rate = Rate::per_second(1_024, Duration::from_secs(16));

/// The rate of heartbeats of a peer that are checked: those of a channel with as many members as it
/// may have, twice at once.
const BEATS: Rate = Rate::per_second(512, Duration::from_secs(16));

/// The delay before a peer is compared again after records were left out.
const AGAIN: Duration = Duration::from_secs(5);
