//! The addresses the user gave, and how each is doing.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use meshcast_proto::{Rate, Time, TokenBucket};

use super::target::Target;
use crate::reason::RefusalKind;

/// An address the user gave. With a DNS name it stands for all addresses the name has.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) given: Multiaddr,
    /// Its addresses; just itself without a DNS name.
    pub(super) targets: BTreeMap<Multiaddr, SeedTarget>,
    /// The state of its DNS name, if it has one.
    pub(super) lookup: Option<Lookup>,
    /// Why its DNS name has no address, if the last answer was none.
    pub(super) unresolved: Option<String>,
    /// Whether every address was tried once, or the name does not resolve.
    pub(super) tried: bool,
    /// How it is doing as a whole.
    status: Status,
    announced: Announced,
}

/// Looking up a DNS name, one look-up at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lookup {
    /// To be looked up then.
    Due(Time),
    /// Under way. By then the name counts as one that does not resolve, for whoever waits for that.
    Running(Time),
}

/// One address of a seed.
#[derive(Debug)]
pub(super) struct SeedTarget {
    pub(super) target: Target,
    pub(super) status: Status,
}

/// How an address is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) is: SeedStatus,
    pub(crate) since: Time,
    /// The last error since it was last connected.
    pub(crate) reason: Option<String>,
}

/// As in [`SeedState`](crate::SeedState).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeedStatus {
    Resolving,
    Unresolved,
    Dialling,
    Refused,
    TimedOut,
    Unreachable,
    /// By the kind of refusal.
    NotAdmitted(RefusalKind),
    Ourselves,
    Connected(PeerId),
}

/// What was last told of a seed.
#[derive(Debug)]
struct Announced {
    is: SeedStatus,
    reason: Option<String>,
    bucket: TokenBucket,
}

impl Seed {
    pub(super) fn new(given: Multiaddr, now: Time) -> Self {
        let named = given.iter().any(|part| {
            matches!(
                part,
                Protocol::Dns(_)
                    | Protocol::Dns4(_)
                    | Protocol::Dns6(_)
                    | Protocol::Dnsaddr(_)
                    | Protocol::Unix(_)
            )
        });
        let targets = if named {
            BTreeMap::new()
        } else {
            BTreeMap::from([(given.clone(), SeedTarget::new(now))])
        };
        let status = Status::new(
            if named {
                SeedStatus::Resolving
            } else {
                SeedStatus::Dialling
            },
            now,
        );
        Self {
            given,
            targets,
            lookup: named.then_some(Lookup::Due(now)),
            unresolved: None,
            tried: false,
            announced: Announced {
                is: status.is,
                reason: None,
                bucket: TokenBucket::default(),
            },
            status,
        }
    }

    /// How it is doing as a whole.
    pub(super) const fn status(&self) -> &Status {
        &self.status
    }

    /// Whether its addresses come from a DNS name.
    pub(super) const fn is_named(&self) -> bool {
        self.lookup.is_some()
    }

    /// To be called after whatever may have changed how it is doing. `true` if that is to be told.
    pub(super) fn review(&mut self, now: Time) -> bool {
        self.tried |= self.unresolved.is_some() && self.targets.is_empty()
            || !self.targets.is_empty() && self.targets.values().all(|it| it.target.tried);
        let (is, reason) = self.judge();
        if is != self.status.is {
            self.status.since = now;
        }
        (self.status.is, self.status.reason) = (is, reason);
        if self.is_told() || !self.announced.bucket.try_take(TOLD, now) {
            return false;
        }
        self.announced.is = self.status.is;
        self.announced.reason.clone_from(&self.status.reason);
        true
    }

    /// When something that was held back may be told.
    pub(super) fn tell_due(&self) -> Option<Time> {
        (!self.is_told()).then(|| self.announced.bucket.due(TOLD).unwrap_or_default())
    }

    fn is_told(&self) -> bool {
        // Only of who answers and is not wanted does the reason say more than the state.
        let same_reason = !matches!(self.status.is, SeedStatus::NotAdmitted(_))
            || self.announced.reason == self.status.reason;
        self.announced.is == self.status.is && same_reason
    }

    fn judge(&self) -> (SeedStatus, Option<String>) {
        let known = self.targets.values().map(|it| &it.status);
        let Some(speaks) =
            known.min_by_key(|status| (rank(status.is), std::cmp::Reverse(status.since)))
        else {
            return match &self.unresolved {
                Some(reason) => (SeedStatus::Unresolved, Some(reason.clone())),
                None if self.tried => (
                    SeedStatus::TimedOut,
                    Some("the resolver does not answer".to_owned()),
                ),
                None => (SeedStatus::Resolving, None),
            };
        };
        // While some are tried for the first time, it is too early to complain of others.
        if !self.tried && !matches!(speaks.is, SeedStatus::Connected(_)) {
            return (SeedStatus::Dialling, None);
        }
        (speaks.is, speaks.reason.clone())
    }
}

/// Which of several addresses speaks for all.
const fn rank(is: SeedStatus) -> u8 {
    match is {
        SeedStatus::Connected(_) => 0,
        SeedStatus::NotAdmitted(_) => 1,
        SeedStatus::Refused => 2,
        SeedStatus::TimedOut => 3,
        SeedStatus::Unreachable => 4,
        SeedStatus::Dialling | SeedStatus::Resolving | SeedStatus::Unresolved => 5,
        SeedStatus::Ourselves => 6,
    }
}

impl SeedTarget {
    pub(super) fn new(now: Time) -> Self {
        Self {
            target: Target::new(now),
            status: Status::new(SeedStatus::Dialling, now),
        }
    }
}

impl Status {
    const fn new(is: SeedStatus, since: Time) -> Self {
        Self {
            is,
            since,
            reason: None,
        }
    }

    /// So it is from now on, or still.
    pub(super) fn turn(&mut self, is: SeedStatus, reason: Option<String>, now: Time) {
        if self.is != is {
            (self.is, self.since) = (is, now);
        }
        self.reason = reason;
    }
}

/// Changes of a seed that are told at once, and how often one is told from then on: a seed that
/// comes and goes all the time must not fill the logs. The final state is told in any case.
pub(super) const TOLD_AT_ONCE: u32 = 6;
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(30);
const TOLD: Rate = Rate::every(TOLD_EVERY, TOLD_AT_ONCE);
