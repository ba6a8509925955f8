//! What is agreed with a peer about presence.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    bounds::{Rate, TokenBucket},
    wire::{Sender, Time},
};

/// A peer with a session.
#[derive(Debug)]
pub(crate) struct Link {
    /// When anything was last heard of it.
    pub(crate) heard: Time,
    /// The hash of itself and its peers, and the one that it was told of us.
    pub(crate) links: Option<u64>,
    pub(crate) sent: Option<u64>,
    /// Whose beats it is to hand us, and we it.
    pub(crate) following: BTreeSet<Sender>,
    pub(crate) followed: BTreeSet<Sender>,
    /// When to compare what both have.
    pub(crate) compare: Option<Time>,
    checks: TokenBucket,
    served: TokenBucket,
}

impl Link {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            heard: now,
            links: None,
            sent: None,
            following: BTreeSet::new(),
            followed: BTreeSet::new(),
            compare: None,
            checks: TokenBucket::default(),
            served: TokenBucket::default(),
        }
    }

    /// Whether it may make this node check another signature.
    pub(crate) fn may_check(&mut self, now: Time) -> bool {
        self.checks.try_take(CHECKS, now)
    }

    /// Whether it may be given another record that it asked for.
    pub(crate) fn may_serve(&mut self, now: Time) -> bool {
        self.served.try_take(SERVED, now)
    }
}

/// How many signatures a second a peer may make this node check: the beats of a channel with as
/// many members as it may have, twice. At once, all records of one: two seconds of nothing else
/// would be three hundredths of one.
const CHECKS: Rate = Rate::per_second(512, Duration::from_secs(16));

/// How many records a second a peer is given because it asks: a channel with as many members as it
/// may have, twice at once.
const SERVED: Rate = Rate::per_second(512, Duration::from_secs(16));
