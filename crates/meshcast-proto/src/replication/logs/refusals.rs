//! Logs that found no room a moment ago. Reports of others on such a log are not taken in for a
//! while: it would be fetched, checked and thrown away again and again. A frame that comes by
//! gossip is tried all the same.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{ChannelName, LogKey, Sender, Subject, Time};

#[derive(Debug, Default)]
pub(super) struct Refusals {
    logs: BTreeMap<LogKey, Refusal>,
    /// How many of them each peer brought.
    brought: BTreeMap<Sender, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// Whose log it is.
    subject: Subject,
    /// The peer that brought the frame for which there was no room.
    by: Sender,
    /// How often in a row.
    times: u32,
    until: Time,
}

impl Refusals {
    /// A log of this member, of which a peer brought a frame, found no room.
    pub(super) fn refused(&mut self, key: &LogKey, subject: Subject, by: Sender, now: Time) {
        let before = self.logs.get(key);
        if before.is_some_and(|it| now < it.until) {
            return;
        }
        let in_a_row = before.filter(|it| now < it.until + LONGEST);
        let times = in_a_row.map_or(0, |it| it.times) + 1;
        let times = times.min(MAX_TIMES);
        self.remove(key);
        if self.logs.len() >= MAX_REFUSALS {
            self.make_room();
        }
        let until = now + SHORTEST * 2u32.pow(times - 1);
        let refusal = Refusal {
            subject,
            by,
            times,
            until,
        };
        *self.brought.entry(by).or_default() += 1;
        self.logs.insert(key.clone(), refusal);
    }

    /// Forgets one of those that the peer brought which brought most: the one that may be fetched
    /// again first.
    fn make_room(&mut self) {
        let most = self.brought.iter().max_by_key(|(_, count)| **count);
        let Some((most, _)) = most else { return };
        let its = self.logs.iter().filter(|(_, it)| it.by == *most);
        let first = its.min_by_key(|(_, it)| it.until);
        if let Some(first) = first.map(|(key, _)| key.clone()) {
            self.remove(&first);
        }
    }

    /// The member for whose want of room nothing that others tell of a log is taken in.
    pub(super) fn waits_for(&self, key: &LogKey, now: Time) -> Option<Subject> {
        let refusal = self.logs.get(key).filter(|it| now < it.until);
        refusal.map(|it| it.subject)
    }

    /// A log found room.
    pub(super) fn remove(&mut self, key: &LogKey) {
        let removed = self.logs.remove(key);
        if let Some(Refusal { by, .. }) = removed
            && let Some(count) = self.brought.get_mut(&by)
        {
            *count -= 1;
            if *count == 0 {
                self.brought.remove(&by);
            }
        }
    }

    /// A channel was closed.
    pub(super) fn close(&mut self, channel: &ChannelName) {
        let of_it = self.logs.keys().filter(|(name, _)| name == channel);
        for key in of_it.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }
}

/// For how long nothing that is told counts, doubled each time up to the longest.
const SHORTEST: Duration = Duration::from_secs(2);
const MAX_TIMES: u32 = 5;
const LONGEST: Duration = Duration::from_secs(32);

/// Logs that are remembered, at about 240 bytes. For further ones some are forgotten of the peer
/// that brought most: however many members one makes up, that is at the expense of its links. One
/// that is forgotten may be fetched again, which costs a request.
const MAX_REFUSALS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{channel, peer};

    fn at(secs: u64) -> Time {
        Time::from_start(Duration::from_secs(secs))
    }

    impl Refusals {
        fn contains(&self, key: &LogKey, now: Time) -> bool {
            self.waits_for(key, now) == Some(SUBJECT)
        }
    }

    const SUBJECT: Subject = [1; 32];
    const BY: Sender = Sender::new([2; 32]);

    fn key(on: &str) -> LogKey {
        let name = ChannelName::new(on).expect("it is short");
        (name, peer(0).member.sender())
    }

    #[test]
    fn a_log_is_refused_for_longer_each_time_and_anew_once_it_found_room() {
        let (mut refusals, key) = (Refusals::default(), key("a"));
        let mut now = 0;
        for secs in [2, 4, 8, 16, 32, 32] {
            refusals.refused(&key, SUBJECT, BY, at(now));
            // Frames that come by gossip meanwhile make it no longer.
            refusals.refused(&key, SUBJECT, BY, at(now + 1));
            now += secs;
            assert!(refusals.contains(&key, at(now - 1)));
            assert!(!refusals.contains(&key, at(now)), "{secs}");
        }
        refusals.remove(&key);
        refusals.refused(&key, SUBJECT, BY, at(now));
        assert!(!refusals.contains(&key, at(now + 2)));
        refusals.refused(&key, SUBJECT, BY, at(now + 2));
        assert!(refusals.contains(&key, at(now + 5)));
        refusals.close(&channel(0));
        assert!(refusals.contains(&key, at(now + 5)), "another channel");
        refusals.close(&key.0);
        assert!(!refusals.contains(&key, at(now + 5)));
    }

    #[test]
    fn only_so_many_logs_are_remembered() {
        let mut refusals = Refusals::default();
        for n in 0..2 * MAX_REFUSALS {
            refusals.refused(&key(&n.to_string()), SUBJECT, BY, at(n as u64));
        }
        assert_eq!(refusals.logs.len(), MAX_REFUSALS);
        let last = 2 * MAX_REFUSALS - 1;
        assert!(refusals.contains(&key(&last.to_string()), at(last as u64)));
    }

    #[test]
    fn whoever_brings_most_that_finds_no_room_has_nothing_of_others_forgotten() {
        let mut refusals = Refusals::default();
        let other = Sender::new([3; 32]);
        let of_other = |n: usize| key(&format!("other {n}"));
        for n in 0..10 {
            // For longer each time, but for the last.
            (0..10).for_each(|secs| refusals.refused(&of_other(n), SUBJECT, other, at(secs)));
        }
        for n in 0..2 * MAX_REFUSALS {
            let key = key(&n.to_string());
            (0..100).for_each(|secs| refusals.refused(&key, SUBJECT, BY, at(secs)));
        }
        assert_eq!(refusals.logs.len(), MAX_REFUSALS);
        for n in 0..10 {
            assert!(refusals.logs.contains_key(&of_other(n)), "{n}");
        }
        refusals.close(&of_other(0).0);
        assert_eq!(refusals.brought.values().sum::<usize>(), MAX_REFUSALS - 1);
    }
}
