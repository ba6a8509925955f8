//! How seeds are doing, for people.

use std::{error::Error, io};

use libp2p::swarm::DialError;
use meshcast_proto::{Time, WallTime};

use super::Driver;
use crate::{
    clock::wall_time,
    dialer::{SeedStatus, SeedView, Status},
    event::{self, NodeEvent},
    gate::GateError,
    reason::{causes, in_words},
    seed::{SeedInfo, SeedState},
    transport::refusal_reason,
};

impl Driver {
    /// The state of each seed, in the order they were given.
    pub(super) fn seeds(&self) -> Vec<SeedInfo> {
        self.dialling
            .dialer
            .seeds()
            .map(|seed| self.seed_info(seed))
            .collect()
    }

    /// Says which seeds are doing otherwise than before.
    pub(super) fn tell_of_seeds(&mut self) {
        while let Some(id) = self.dialling.dialer.modify().poll_news() {
            let Some(seed) = self
                .dialling
                .dialer
                .seed(id)
                .map(|seed| self.seed_info(seed))
            else {
                continue;
            };
            let (address, state) = (&seed.address, &seed.state);
            let reason = seed.reason.as_deref().unwrap_or_default();
            match state {
                SeedState::Connected { peer, .. } => {
                    tracing::info!(target: event::TARGET, %address, %peer, "seed {state}");
                }
                SeedState::Ourselves => {
                    tracing::info!(target: event::TARGET, %address, "seed {state}")
                }
                state if state.is_bad() => {
                    tracing::warn!(target: event::TARGET, %address, reason, "seed {state}");
                }
                state => tracing::debug!(target: event::TARGET, %address, reason, "seed {state}"),
            }
            self.emit(NodeEvent::Seed(seed));
        }
    }

    fn seed_info(&self, seed: SeedView<'_>) -> SeedInfo {
        let info = |address: &libp2p::Multiaddr, status: &Status| SeedInfo {
            address: address.clone(),
            state: self.seed_state(status.is),
            since: self.wall_time_of(status.since),
            reason: status.reason.clone(),
            addresses: Vec::new(),
        };
        SeedInfo {
            addresses: seed
                .addresses()
                .map(|(address, status)| info(address, status))
                .collect(),
            ..info(seed.address(), seed.status())
        }
    }

    fn seed_state(&self, is: SeedStatus) -> SeedState {
        match is {
            SeedStatus::Resolving => SeedState::Resolving,
            SeedStatus::Unresolved => SeedState::Unresolved,
            SeedStatus::Dialling => SeedState::Dialling,
            SeedStatus::Refused => SeedState::Refused,
            SeedStatus::TimedOut => SeedState::TimedOut,
            SeedStatus::Unreachable => SeedState::Unreachable,
            SeedStatus::NotAdmitted(refusal) => SeedState::NotAdmitted { refusal },
            SeedStatus::Ourselves => SeedState::Ourselves,
            SeedStatus::Connected(peer) => match self.peers.get(&peer) {
                Some(known) => SeedState::Connected {
                    peer,
                    name: known.member.credential().name.clone(),
                },
                // Gone since; what that means for the seed is known in a moment.
                None => SeedState::Dialling,
            },
        }
    }

    /// By the clock on the wall as it stands now.
    pub(super) fn wall_time_of(&self, time: Time) -> WallTime {
        let ago = self.clock.now().saturating_since(time);
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        WallTime::from_unix_millis(wall_time().unix_millis().saturating_sub(ago))
    }
}

/// The state of an address after a failed dial, and the reason in words.
pub(super) fn why_failed(error: &DialError) -> (SeedStatus, String) {
    if let Some(reason) = refusal_reason(error) {
        let is = match reason {
            GateError::Timeout => SeedStatus::TimedOut,
            // Nobody has shown who is there.
            GateError::HungUp | GateError::Closed => SeedStatus::Unreachable,
            _ => SeedStatus::NotAdmitted(reason.kind()),
        };
        return (is, reason.to_string());
    }
    let first: &(dyn Error + 'static) = match error {
        DialError::Transport(errors) => errors.first().map_or(error, |(_, error)| error),
        _ => error,
    };
    let kinds = causes(first).filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    // Of errors that wrap each other the innermost knows.
    let is = match kinds.last() {
        Some(io::ErrorKind::ConnectionRefused) => SeedStatus::Refused,
        Some(io::ErrorKind::TimedOut) => SeedStatus::TimedOut,
        _ => SeedStatus::Unreachable,
    };
    (is, in_words(first))
}
