//! Whether the peer that is to hand on the frames of a log does so. If most that is new has to be
//! fetched from others, another that is as near to the sender is named in its place for a while.
//!
//! How near a peer is it says itself, so one that says it is nearer than all others is kept. Nobody
//! is named who is further away: two behind the same peer would name each other.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, Time};

/// How the frames of a log came lately, and who was passed over for it.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    /// Since when the upstream is that.
    named: Time,
    /// When it was first counted.
    since: Option<Time>,
    /// Frames that it handed on since then.
    given: usize,
    /// Young frames that had to be fetched from others.
    fetched: usize,
    /// Of those, some that it had said it has.
    withheld: usize,
    /// Others had to be, too: this node is behind, and perhaps given nothing for that.
    is_behind: bool,
    passed_over: BTreeMap<Sender, PassedOver>,
}

/// Frames that came from others than the upstream, who were asked for them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fetched {
    /// So many were posted lately.
    pub(crate) young: usize,
    /// So many of those the upstream had said it has, before they came.
    pub(crate) withheld: usize,
    /// And so many others.
    pub(crate) old: usize,
}

/// An upstream that is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) upstream: Sender,
    /// Since when it handed on too little of what it has; `None` if that may be since this node is
    /// behind, or it has nothing sooner itself.
    pub(crate) since: Option<Time>,
}

/// A peer that handed on too little.
#[derive(Debug, Clone, Copy)]
struct PassedOver {
    /// How often in a row.
    times: u32,
    until: Time,
}

impl Upstreams {
    /// Another peer is named, or none.
    pub(crate) const fn named(&mut self, now: Time) {
        self.named = now;
        self.begin();
    }

    /// Whether the upstream has known for long enough that it is named to have handed on what is
    /// fetched now.
    pub(crate) fn is_settled(&self, now: Time) -> bool {
        self.named + SETTLES <= now
    }

    /// The upstream handed on a frame.
    pub(crate) fn gave(&mut self) {
        self.given += usize::from(self.since.is_some());
    }

    /// Frames had to be fetched. If that shows that this upstream hands on too little it is passed
    /// over.
    pub(crate) fn fetched(&mut self, upstream: Sender, fetched: Fetched, now: Time) -> Option<Bad> {
        let young = fetched.young;
        self.is_behind |= fetched.old > 0;
        if young == 0 || !self.is_settled(now) {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.fetched += young;
        self.withheld += fetched.withheld;
        if now < since + STRETCH || self.given + self.fetched < FEWEST {
            return None;
        }
        let bad = (self.fetched > self.given).then_some(Bad {
            upstream,
            since: Some(since).filter(|_| self.withheld > 0 && !self.is_behind),
        });
        if bad.is_some() {
            self.pass_over(upstream, now);
        }
        self.begin();
        bad
    }

    /// How often in a row a peer was passed over, while that counts.
    pub(crate) fn weight(&self, peer: Sender, now: Time) -> u32 {
        let passed_over = self.passed_over.get(&peer);
        passed_over.map_or(0, |it| if now < it.until { it.times } else { 0 })
    }

    /// How many frames were handed on and fetched since it is counted.
    #[cfg(test)]
    pub(crate) const fn counted(&self) -> (usize, usize) {
        (self.given, self.fetched)
    }

    const fn begin(&mut self) {
        (self.since, self.given, self.fetched) = (None, 0, 0);
        (self.withheld, self.is_behind) = (0, false);
    }

    fn pass_over(&mut self, peer: Sender, now: Time) {
        let before = self.passed_over.get(&peer);
        let in_a_row = before.filter(|it| now < it.until + FORGOTTEN);
        let times = in_a_row.map_or(0, |it| it.times) + 1;
        let times = times.min(MAX_TIMES);
        if self.passed_over.len() >= MAX_PASSED_OVER && !self.passed_over.contains_key(&peer) {
            let first = self.passed_over.iter().min_by_key(|(_, it)| it.until);
            let first = first.map(|(peer, _)| *peer);
            first.and_then(|first| self.passed_over.remove(&first));
        }
        let until = now + PASSED_OVER * 2u32.pow(times - 1);
        self.passed_over.insert(peer, PassedOver { times, until });
    }
}

/// For how long, and of how many frames, it is counted who brought them, at least.
const STRETCH: Duration = Duration::from_secs(1);
const FEWEST: usize = 4;

/// How long it takes until a peer knows that it is named, and hands on what comes.
const SETTLES: Duration = Duration::from_millis(500);

/// What is fetched later than this after it was posted says nothing of who hands on.
pub(crate) const YOUNG: Duration = Duration::from_secs(2);

/// For how long a peer is passed over, doubled each time up to 4 minutes, and when that is
/// forgotten.
const PASSED_OVER: Duration = Duration::from_secs(30);
const MAX_TIMES: u32 = 4;
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Peers of a log that are remembered as passed over, at 60 bytes. They may have gone: who comes
/// back is no better for it.
const MAX_PASSED_OVER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: Sender = Sender::new([1; 32]);

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    fn some(young: usize) -> Fetched {
        Fetched {
            young,
            ..Fetched::default()
        }
    }

    /// What comes of so many frames each 100 ms: the first so many of ten are handed on, and the
    /// others fetched. Returns when the upstream is passed over.
    fn passed_over(upstreams: &mut Upstreams, from: u64, given: u64) -> Option<u64> {
        (from..from + 20_000).step_by(100).find(|millis| {
            if millis / 100 % 10 < given {
                upstreams.gave();
                false
            } else {
                upstreams.fetched(UPSTREAM, some(1), at(*millis)).is_some()
            }
        })
    }

    #[test]
    fn who_hands_on_less_than_half_is_passed_over_and_who_hands_on_more_is_kept() {
        for (given, expected) in [(0, Some(1_500)), (3, Some(1_500)), (6, None), (9, None)] {
            let when = passed_over(&mut Upstreams::default(), 0, given);
            assert_eq!(when, expected, "{given} of ten");
        }
    }

    #[test]
    fn a_few_frames_in_a_short_time_say_nothing() {
        let mut upstreams = Upstreams::default();
        let mut is_bad = |young, millis| {
            if millis == 1_999 {
                upstreams.named(at(millis));
            }
            let bad = upstreams.fetched(UPSTREAM, some(young), at(millis));
            bad.is_some()
        };
        assert!(!is_bad(50, 499), "it was just named");
        assert!(!is_bad(50, 1_000));
        assert!(!is_bad(50, 1_998));
        assert!(!is_bad(0, 1_999), "another was named");
        assert!(!is_bad(3, 3_000));
        assert!(!is_bad(0, 60_000));
        assert!(is_bad(1, 60_000));
    }

    #[test]
    fn since_when_is_told_of_who_withheld_what_it_has_unless_this_node_is_behind_itself() {
        for (withheld, old) in [(1, 0), (0, 0), (1, 1)] {
            let fetched = Fetched {
                withheld,
                old,
                ..some(4)
            };
            let mut upstreams = Upstreams::default();
            assert_eq!(upstreams.fetched(UPSTREAM, fetched, at(1_000)), None);
            let bad = Bad {
                upstream: UPSTREAM,
                since: ((withheld, old) == (1, 0)).then_some(at(1_000)),
            };
            let found = upstreams.fetched(UPSTREAM, some(4), at(2_000));
            assert_eq!(found, Some(bad), "{withheld} {old}");
        }
    }

    #[test]
    fn who_is_passed_over_again_and_again_is_for_longer_and_longer() {
        let mut upstreams = Upstreams::default();
        let mut now = at(0);
        for (times, secs) in [(1, 30), (2, 60), (3, 120), (4, 240), (4, 240)] {
            upstreams.pass_over(UPSTREAM, now);
            assert_eq!(upstreams.weight(UPSTREAM, now), times);
            let until = now + Duration::from_secs(secs);
            assert_eq!(
                upstreams.weight(UPSTREAM, until - Duration::from_millis(1)),
                times
            );
            assert_eq!(upstreams.weight(UPSTREAM, until), 0);
            now = until;
        }
        now = now + FORGOTTEN;
        upstreams.pass_over(UPSTREAM, now);
        assert_eq!(upstreams.weight(UPSTREAM, now), 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut upstreams = Upstreams::default();
        for n in 0..100 {
            upstreams.pass_over(Sender::new([n; 32]), at(n.into()));
        }
        assert_eq!(upstreams.passed_over.len(), MAX_PASSED_OVER);
        assert_eq!(upstreams.weight(Sender::new([99; 32]), at(100)), 1);
    }
}
