//! Whether the peer that is to hand on the frames of a log does so. If most that is new has to be
//! fetched from others, another that is as near to the sender is named in its place for a while.
//!
//! Each peer says by itself how near it is. One that says it is nearer than all others stays the
//! upstream, since no peer is named that is further away: two behind the same peer would name each
//! other.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{Sender, Time};

/// The recent routes of a log's frames, and who was passed over for it.
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
    demoted: BTreeMap<Sender, Demotion>,
}

/// A peer that handed on too little.
#[derive(Debug, Clone, Copy)]
struct Demotion {
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

    /// From when on the upstream has known for long enough that it is named to hand on what is
    /// posted.
    pub(crate) fn settled(&self) -> Time {
        self.named + SETTLES
    }

    /// The upstream handed on a frame.
    pub(crate) fn gave(&mut self) {
        self.given += usize::from(self.since.is_some());
    }

    /// Frames came from others than the upstream, who were asked for them, each posted then. `true`
    /// if that shows that this upstream hands on too little: it is passed over then.
    pub(crate) fn fetched(
        &mut self,
        upstream: Sender,
        posted: impl Iterator<Item = Time>,
        now: Time,
    ) -> bool {
        let settled = self.settled();
        let counts = |posted: &Time| settled <= *posted && now.saturating_since(*posted) < YOUNG;
        let young = posted.filter(counts).count();
        if young == 0 {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        self.fetched += young;
        if now < since + STRETCH || self.given + self.fetched < FEWEST {
            return false;
        }
        let is_bad = self.fetched > self.given;
        if is_bad {
            self.demote(upstream, now);
        }
        self.begin();
        is_bad
    }

    /// How often in a row a peer was passed over, while that counts.
    pub(crate) fn weight(&self, peer: Sender, now: Time) -> u32 {
        let demoted = self.demoted.get(&peer);
        demoted.map_or(0, |it| if now < it.until { it.times } else { 0 })
    }

    /// The numbers of frames that were handed on and fetched since it is counted.
    #[cfg(test)]
    pub(crate) const fn counted(&self) -> (usize, usize) {
        (self.given, self.fetched)
    }

    const fn begin(&mut self) {
        (self.since, self.given, self.fetched) = (None, 0, 0);
    }

    fn demote(&mut self, peer: Sender, now: Time) {
        let before = self.demoted.get(&peer);
        let in_a_row = before.filter(|it| now < it.until + FORGOTTEN);
        let times = in_a_row.map_or(0, |it| it.times) + 1;
        let times = times.min(MAX_TIMES);
        if self.demoted.len() >= MAX_DEMOTED && !self.demoted.contains_key(&peer) {
            let first = self.demoted.iter().min_by_key(|(_, it)| it.until);
            let first = first.map(|(peer, _)| *peer);
            first.and_then(|first| self.demoted.remove(&first));
        }
        let until = now + DEMOTED_FOR * 2u32.pow(times - 1);
        self.demoted.insert(peer, Demotion { times, until });
    }
}

/// For how long, and of how many frames, it is counted who brought them, at least.
const STRETCH: Duration = Duration::from_secs(1);
const FEWEST: usize = 4;

/// The time until a peer knows that it is named, and hands on what comes.
const SETTLES: Duration = Duration::from_millis(500);

/// A frame fetched later than this after it was posted says nothing of who hands on.
const YOUNG: Duration = Duration::from_secs(2);

/// For how long a peer is passed over, doubled each time up to 4 minutes, and when that is
/// forgotten.
const DEMOTED_FOR: Duration = Duration::from_secs(30);
const MAX_TIMES: u32 = 4;
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Peers of a log that are remembered as passed over, at 60 bytes. They may have gone: who comes
/// back is no better for it.
const MAX_DEMOTED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: Sender = Sender::new([1; 32]);

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    /// So many that were just posted.
    fn some(young: usize, now: Time) -> impl Iterator<Item = Time> {
        std::iter::repeat_n(now, young)
    }

    /// The result of so many frames each 100 ms: the first so many of ten are handed on, and the
    /// others fetched. Returns when the upstream is passed over.
    fn demoted(upstreams: &mut Upstreams, from: u64, given: u64) -> Option<u64> {
        (from..from + 20_000).step_by(100).find(|millis| {
            if millis / 100 % 10 < given {
                upstreams.gave();
                false
            } else {
                let now = at(*millis);
                upstreams.fetched(UPSTREAM, some(1, now), now)
            }
        })
    }

    #[test]
    fn an_upstream_that_hands_on_less_than_half_is_demoted_and_one_with_more_is_kept() {
        for (given, expected) in [(0, Some(1_500)), (3, Some(1_500)), (6, None), (9, None)] {
            let when = demoted(&mut Upstreams::default(), 0, given);
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
            upstreams.fetched(UPSTREAM, some(young, at(millis)), at(millis))
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
    fn old_posts_do_not_count_against_a_new_upstream() {
        for (posted, now, expected) in [
            (1_499, 1_600, false),
            (1_500, 1_600, true),
            (1_500, 3_500, false),
        ] {
            let mut upstreams = Upstreams::default();
            upstreams.named(at(1_000));
            let mut is_bad = |now| {
                let posted = std::iter::repeat_n(at(posted), 50);
                upstreams.fetched(UPSTREAM, posted, at(now))
            };
            assert!(!is_bad(now));
            assert_eq!(is_bad(now + 1_000), expected, "{posted} {now}");
        }
    }

    #[test]
    fn repeated_demotions_of_an_upstream_last_longer_and_longer() {
        let mut upstreams = Upstreams::default();
        let mut now = at(0);
        for (times, secs) in [(1, 30), (2, 60), (3, 120), (4, 240), (4, 240)] {
            upstreams.demote(UPSTREAM, now);
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
        upstreams.demote(UPSTREAM, now);
        assert_eq!(upstreams.weight(UPSTREAM, now), 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut upstreams = Upstreams::default();
        for n in 0..100 {
            upstreams.demote(Sender::new([n; 32]), at(n.into()));
        }
        assert_eq!(upstreams.demoted.len(), MAX_DEMOTED);
        assert_eq!(upstreams.weight(Sender::new([99; 32]), at(100)), 1);
    }
}
