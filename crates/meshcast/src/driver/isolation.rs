//! Being alone: since when, and that it is said once when it lasts.

use std::time::Duration;

use meshcast_proto::{Time, WallTime};

use super::Driver;

/// Whether somebody is connected.
#[derive(Debug)]
pub(super) struct Isolation {
    /// Since when nobody is.
    since: Option<Time>,
    /// It was said that this lasts.
    told: bool,
}

/// What is to be said of it.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// Nobody has been connected for this long.
    Alone(Duration),
    /// After that, somebody is.
    Over,
}

impl Isolation {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            since: Some(now),
            told: false,
        }
    }

    /// So many members are connected from now on.
    pub(super) fn handle_members(&mut self, members: usize, now: Time) {
        self.since = (members == 0).then(|| self.since.unwrap_or(now));
    }

    /// To be called now and then. `expected` if there is somebody whom the node misses.
    fn news(&mut self, expected: bool, now: Time) -> Option<News> {
        match self.since {
            None if self.told => {
                self.told = false;
                Some(News::Over)
            }
            Some(since) if expected && !self.told => {
                let alone = now.saturating_since(since);
                self.told = alone >= LONG;
                self.told.then_some(News::Alone(alone))
            }
            _ => None,
        }
    }
}

impl Driver {
    /// Since when nobody is connected, by the clock on the wall.
    pub(super) fn isolated_since(&self) -> Option<WallTime> {
        self.isolation.since.map(|since| self.wall_time_of(since))
    }

    /// Says once that nobody is connected for long, if somebody could be, and once that it is over.
    pub(super) fn tell_of_isolation(&mut self, now: Time) {
        let dialer = &self.dialling.dialer;
        let expected = dialer.misses_seed() || dialer.lost().is_some();
        match self.isolation.news(expected, now) {
            Some(News::Alone(alone)) => {
                let seeds: Vec<_> = self.seeds();
                let seeds: Vec<_> = seeds
                    .iter()
                    .map(|seed| format!("{}: {}", seed.address, seed.state))
                    .collect();
                tracing::warn!(
                    seconds = alone.as_secs(),
                    ?seeds,
                    "alone: no member has been connected for long; what is posted is kept meanwhile"
                );
            }
            Some(News::Over) => tracing::info!("no longer alone: a member is connected"),
            None => {}
        }
    }
}

/// The time after which isolation is reported: a rolling restart of a fleet and a cut of links for
/// half a minute go unreported.
const LONG: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn being_alone_is_said_once_when_it_lasts_and_once_when_it_is_over() {
        let mut isolation = Isolation::new(at(0));
        assert_eq!(isolation.news(true, at(59)), None);
        let minute = Duration::from_secs(60);
        assert_eq!(isolation.news(true, at(60)), Some(News::Alone(minute)));
        assert_eq!(isolation.news(true, at(3600)), None, "said before");
        isolation.handle_members(1, at(3601));
        assert_eq!(isolation.news(true, at(3602)), Some(News::Over));
        assert_eq!(isolation.news(true, at(3603)), None);
        isolation.handle_members(0, at(4000));
        isolation.handle_members(0, at(4059));
        assert_eq!(isolation.news(true, at(4060)), Some(News::Alone(minute)));
    }

    #[test]
    fn a_node_that_expects_nobody_is_not_reported_as_alone() {
        let mut isolation = Isolation::new(at(0));
        assert_eq!(isolation.news(false, at(3600)), None);
        assert_eq!(isolation.since, Some(at(0)));
        isolation.handle_members(1, at(3601));
        assert_eq!(isolation.since, None);
        assert_eq!(isolation.news(false, at(3602)), None);
    }
}
