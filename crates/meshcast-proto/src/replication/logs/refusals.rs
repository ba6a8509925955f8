//! Logs that found no room a moment ago. Reports of others on such a log are not taken in for a
//! while: it would be fetched, checked and thrown away again and again. A frame that comes by
//! gossip is tried all the same.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::{ChannelName, LogKey, Subject, Time};

#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<LogKey, Refusal>);

#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// Whose log it is.
    subject: Subject,
    /// How often in a row.
    times: u32,
    until: Time,
}

impl Refusals {
    /// A log of this member found no room.
    pub(super) fn refused(&mut self, key: &LogKey, subject: Subject, now: Time) {
        let before = self.0.get(key);
        if before.is_some_and(|it| now < it.until) {
            return;
        }
        let in_a_row = before.filter(|it| now < it.until + LONGEST);
        let times = in_a_row.map_or(0, |it| it.times) + 1;
        let times = times.min(MAX_TIMES);
        if before.is_none() && self.0.len() >= MAX_REFUSALS {
            let first = self.0.iter().min_by_key(|(_, it)| it.until);
            let first = first.map(|(key, _)| key.clone());
            first.and_then(|first| self.0.remove(&first));
        }
        let until = now + SHORTEST * 2u32.pow(times - 1);
        let refusal = Refusal {
            subject,
            times,
            until,
        };
        self.0.insert(key.clone(), refusal);
    }

    /// The member for whose want of room nothing that others tell of a log is taken in.
    pub(super) fn waits_for(&self, key: &LogKey, now: Time) -> Option<Subject> {
        let refusal = self.0.get(key).filter(|it| now < it.until);
        refusal.map(|it| it.subject)
    }

    /// A log found room.
    pub(super) fn remove(&mut self, key: &LogKey) {
        self.0.remove(key);
    }

    /// A channel was closed.
    pub(super) fn close(&mut self, channel: &ChannelName) {
        self.0.retain(|(name, _), _| name != channel);
    }
}

/// For how long nothing that is told counts, doubled each time up to the longest.
const SHORTEST: Duration = Duration::from_secs(2);
const MAX_TIMES: u32 = 5;
const LONGEST: Duration = Duration::from_secs(32);

/// Logs that are remembered, at about 200 bytes. Of further ones those are forgotten that may be
/// fetched again first: that costs a request.
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

    fn key(on: &str) -> LogKey {
        let name = ChannelName::new(on).expect("it is short");
        (name, peer(0).member.sender())
    }

    #[test]
    fn a_log_is_refused_for_longer_each_time_and_anew_once_it_found_room() {
        let (mut refusals, key) = (Refusals::default(), key("a"));
        let mut now = 0;
        for secs in [2, 4, 8, 16, 32, 32] {
            refusals.refused(&key, SUBJECT, at(now));
            // Frames that come by gossip meanwhile make it no longer.
            refusals.refused(&key, SUBJECT, at(now + 1));
            now += secs;
            assert!(refusals.contains(&key, at(now - 1)));
            assert!(!refusals.contains(&key, at(now)), "{secs}");
        }
        refusals.remove(&key);
        refusals.refused(&key, SUBJECT, at(now));
        assert!(!refusals.contains(&key, at(now + 2)));
        refusals.refused(&key, SUBJECT, at(now + 2));
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
            refusals.refused(&key(&n.to_string()), SUBJECT, at(n as u64));
        }
        assert_eq!(refusals.0.len(), MAX_REFUSALS);
        let last = 2 * MAX_REFUSALS - 1;
        assert!(refusals.contains(&key(&last.to_string()), at(last as u64)));
    }
}
