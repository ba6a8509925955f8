//! Finds links that look alive but carry no gossip.
//!
//! Gossip from a peer may stop while the connection stays up, without an event at either end: a
//! reader that gives up on one message never reads the next, and the writer goes on writing. Repair
//! hides it, since everything still arrives, half a second late. But the receiving side can notice:
//! again and again it has to fetch frames that should have come by gossip, while nothing at all
//! comes by gossip from that peer.
//!
//! The cure is a new connection, which does harm if the suspicion is wrong. So a single frame by
//! gossip, new or not, clears a peer. A peer that is paused or posts nothing gives no signs. A peer
//! that is found mute again soon after is given longer each time.
//!
//! May use: [`wire`](crate::wire).
//! Must not: close anything. It names the link, and the driver makes a new one.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::wire::{Sender, Time};

/// Judges the links to all peers.
#[derive(Debug, Default)]
pub(crate) struct MuteDetector {
    suspects: BTreeMap<Sender, Suspect>,
    /// Peers found mute not long ago, connected or not.
    histories: BTreeMap<Sender, MuteHistory>,
    /// When a link was last found mute.
    last: Option<Time>,
    found: VecDeque<Sender>,
}

/// Something that would not happen if a peer's gossip arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A frame that the peer posted itself had to be fetched, from anybody, this long after it was
    /// posted.
    Fetched(Duration),
    /// A frame of another sender had to be fetched from the peer, this long after it was posted,
    /// although that one is to hand it on.
    Withheld(Duration),
    /// A frame that the peer posted itself came by gossip from another peer.
    Detoured,
    /// The peer was to hand on the frames of a sender, and another was named in its place since it
    /// handed on less than had to be fetched from others.
    PassedOver,
}

/// The signs against a connected peer, by kind.
#[derive(Debug)]
struct Suspect {
    /// When it connected.
    connected_at: Time,
    fetched: Suspicion,
    withheld: Suspicion,
    detoured: Suspicion,
    passed_over: Suspicion,
    /// It was found mute and is to be disconnected.
    found: bool,
}

/// Signs of one kind since the last frame by gossip.
#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    /// When the first came, and the last that counts; `None` if there are none.
    span: Option<(Time, Time)>,
    /// How many came, counting those that are far enough apart.
    count: u32,
}

/// How often a peer was found mute without a steady time in between.
#[derive(Debug)]
struct MuteHistory {
    times: u32,
    last: Time,
}

impl MuteDetector {
    /// A peer connected.
    pub(crate) fn handle_up(&mut self, peer: Sender, now: Time) {
        self.suspects.insert(peer, Suspect::new(now));
    }

    /// A peer disconnected.
    pub(crate) fn handle_down(&mut self, peer: Sender) {
        self.suspects.remove(&peer);
        self.found.retain(|found| *found != peer);
    }

    /// A frame came by gossip from a peer, whoever posted it, and whether or not it was new.
    pub(crate) fn handle_gossip(&mut self, peer: Sender, now: Time) {
        let Some(suspect) = self.suspects.get_mut(&peer) else {
            return;
        };
        suspect.clear();
        let steady = |history: &MuteHistory| {
            now.saturating_since(history.last.max(suspect.connected_at)) >= STEADY
        };
        if self.histories.get(&peer).is_some_and(steady) {
            self.histories.remove(&peer);
        }
    }

    /// There is a sign that the gossip of a peer does not arrive. Ignored if the peer is not
    /// connected.
    pub(crate) fn handle_sign(&mut self, peer: Sender, sign: Sign, now: Time) {
        let Some(suspect) = self.suspects.get_mut(&peer) else {
            return;
        };
        suspect.take(sign, now);
        if suspect.found || !suspect.is_mute() {
            return;
        }
        let times = self.histories.get(&peer).map_or(0, |history| history.times);
        if now.saturating_since(suspect.connected_at) < backoff(times)
            || self
                .last
                .is_some_and(|last| now.saturating_since(last) < APART)
        {
            // The next sign decides again.
            return;
        }
        suspect.found = true;
        self.last = Some(now);
        if self.histories.len() >= MAX_HISTORIES {
            self.histories
                .retain(|_, history| now.saturating_since(history.last) < FORGOTTEN);
        }
        if self.histories.len() < MAX_HISTORIES || self.histories.contains_key(&peer) {
            self.histories.insert(
                peer,
                MuteHistory {
                    times: times.saturating_add(1),
                    last: now,
                },
            );
        }
        self.found.push_back(peer);
    }

    /// A peer whose link is mute, once for each connection: close all its connections and dial it
    /// again.
    pub(crate) fn poll_mute(&mut self) -> Option<Sender> {
        self.found.pop_front()
    }

    /// The number of signs against a peer that gossip of it has not cleared.
    #[cfg(test)]
    pub(crate) fn signs(&self, peer: Sender) -> u32 {
        self.suspects.get(&peer).map_or(0, |it| {
            it.fetched.count + it.withheld.count + it.detoured.count + it.passed_over.count
        })
    }

    /// How often a peer was found mute without a steady minute since.
    pub(crate) fn times(&self, peer: Sender) -> u32 {
        self.histories.get(&peer).map_or(0, |history| history.times)
    }
}

impl Suspect {
    fn new(now: Time) -> Self {
        Self {
            connected_at: now,
            fetched: Suspicion::default(),
            withheld: Suspicion::default(),
            detoured: Suspicion::default(),
            passed_over: Suspicion::default(),
            found: false,
        }
    }

    fn take(&mut self, sign: Sign, now: Time) {
        match sign {
            // A node that is behind fetches anyway; and the sender may have stopped giving it
            // gossip.
            Sign::Fetched(age) if age > FRESH => self.fetched = Suspicion::default(),
            Sign::Withheld(age) if age > FRESH => self.withheld = Suspicion::default(),
            Sign::Fetched(_) => self.fetched.mark(STALE, now),
            Sign::Withheld(_) => self.withheld.mark(STALE, now),
            Sign::Detoured => self.detoured.mark(STALE, now),
            Sign::PassedOver => self.passed_over.mark(STALE_PASSED_OVER, now),
        }
    }

    fn is_mute(&self) -> bool {
        self.fetched.lasts(FETCHED)
            || self.withheld.lasts(WITHHELD)
            || self.detoured.lasts(DETOURED)
            || self.passed_over.lasts(PASSED_OVER)
    }

    fn clear(&mut self) {
        let none = Suspicion::default();
        (self.fetched, self.withheld) = (none, none);
        (self.detoured, self.passed_over) = (none, none);
    }
}

impl Suspicion {
    fn mark(&mut self, stale: Duration, now: Time) {
        match &mut self.span {
            Some((_, last)) if now.saturating_since(*last) < SPACING => {}
            Some((_, last)) if now.saturating_since(*last) < stale => {
                *last = now;
                self.count += 1;
            }
            span => (*span, self.count) = (Some((now, now)), 1),
        }
    }

    fn lasts(&self, (patience, count): (Duration, u32)) -> bool {
        self.count >= count
            && self
                .span
                .is_some_and(|(first, last)| last.saturating_since(first) > patience)
    }
}

/// The least time that a link stays up, by how often it was found mute before.
fn backoff(times: u32) -> Duration {
    SHORTEST_BACKOFF
        .saturating_mul(1 << times.min(16))
        .min(LONGEST_BACKOFF)
}

/// The number of signs that it takes, over how long. A peer gives what it posts to gossip for every
/// listener, so this sign is clear.
const FETCHED: (Duration, u32) = (Duration::from_secs(5), 5);

/// A peer that does not forward may itself have to fetch, because the link before it is mute. That
/// link is given time to be found first.
const WITHHELD: (Duration, u32) = (Duration::from_secs(20), 15);

/// Nothing is late as long as others forward, so there is no hurry.
const DETOURED: (Duration, u32) = (Duration::from_secs(30), 20);

/// A peer that is passed over may take this node to be behind elsewhere, and give it nothing for
/// that time. One that is named again and again, each time after twice as long, and gives nothing
/// either while this node keeps up, hardly does: the fourth time it is found, after four minutes.
const PASSED_OVER: (Duration, u32) = (Duration::from_secs(120), 4);

/// Signs closer together count as one: after a pause of this process they all come at once.
const SPACING: Duration = Duration::from_millis(400);

/// After this long without a sign counting starts anew. A peer is passed over for up to four
/// minutes each time.
const STALE: Duration = Duration::from_secs(60);
const STALE_PASSED_OVER: Duration = Duration::from_secs(300);

/// A frame fetched later than this after it was posted was fetched by a node that is behind. Frames
/// that a mute link withholds are noticed with the next digest, every 500 ms, and fetched within a
/// round trip or two.
const FRESH: Duration = Duration::from_secs(2);

/// At most one link is found mute in this time: if all seem mute, the fault may be here.
const APART: Duration = Duration::from_secs(1);

/// How long the first connection to a peer stays up at least. The time doubles whenever the peer is
/// found mute, up to the longest.
const SHORTEST_BACKOFF: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// After this long with gossip from it, a peer starts with a clean record.
const STEADY: Duration = Duration::from_secs(60);

/// After this a record may be forgotten in any case.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// Records kept, at about 100 bytes.
const MAX_HISTORIES: usize = 4096;

#[cfg(test)]
mod tests;
