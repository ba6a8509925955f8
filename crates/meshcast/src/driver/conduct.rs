//! Peers that misbehave, by gossip or in a session: told, slowed down, cut off.

use libp2p::PeerId;
use meshcast_proto::{Offence, Standing, Time, Verdict};

use super::Driver;
use crate::{
    event::{self, DisconnectReason, NodeEvent},
    ids::{peer_id, sender},
};

impl Driver {
    /// A peer misbehaved so many times.
    pub(super) fn handle_offence(&mut self, peer: PeerId, offence: Offence, times: u64) {
        let Some(sender) = sender(&peer) else { return };
        self.reports.counters.peers.offences =
            self.reports.counters.peers.offences.saturating_add(times);
        tracing::debug!(%peer, offence = offence.as_str(), times, "misbehaves");
        let now = self.clock.now();
        self.conduct.handle_offence(sender, offence, times, now);
        self.carry_out_verdicts();
    }

    fn carry_out_verdicts(&mut self) {
        let now = self.clock.now();
        while let Some(verdict) = self.conduct.poll_verdict() {
            match verdict {
                Verdict::Throttle { peer, offence } => {
                    let peer = peer_id(peer);
                    self.network.sessions().set_throttled(&peer, true);
                    self.tell_misbehaving(peer, offence, Standing::Throttled);
                }
                Verdict::Forgive { peer } => {
                    let peer = peer_id(peer);
                    if let Some(suppressed) = self.reports.warnings.forgiven.pass(now) {
                        tracing::info!(%peer, suppressed, "a member that misbehaved is heard again");
                    }
                    self.network.sessions().set_throttled(&peer, false);
                }
                // Its connections are closed, and new ones of this process are refused.
                Verdict::Cut { peer, offence } => {
                    let peer = peer_id(peer);
                    self.tell_misbehaving(peer, offence, Standing::Cut);
                    self.peers.excuse(&peer, DisconnectReason::Misbehaved);
                    self.network.blocked().block_peer(peer);
                }
                Verdict::Readmit { peer } => {
                    let peer = peer_id(peer);
                    if let Some(suppressed) = self.reports.warnings.forgiven.pass(now) {
                        tracing::info!(%peer, suppressed, "a member that was cut off may be connected again");
                    }
                    self.network.blocked().unblock_peer(peer);
                }
            }
        }
    }

    /// How often a peer misbehaved lately, and how it stands.
    pub(super) fn conduct_of(&self, peer: &PeerId) -> (u64, Standing) {
        let Some(sender) = sender(peer) else {
            return (0, Standing::Good);
        };
        (self.conduct.offences(sender), self.conduct.standing(sender))
    }

    /// Says who is slowed down or cut off, and why.
    fn tell_misbehaving(&mut self, peer: PeerId, offence: Offence, standing: Standing) {
        let known = self.peers.get(&peer);
        let name = known.map(|known| known.member.credential().name.clone());
        let shown = name.as_ref().map_or("somebody", |name| name.as_str());
        if let Some(suppressed) = self.reports.warnings.misbehaving.pass(self.clock.now()) {
            tracing::error!(target: event::TARGET, %peer, name = shown, offence = offence.as_str(),
                standing = standing.as_str(), suppressed, "a member misbehaves");
        }
        self.emit(NodeEvent::Misbehaving {
            peer,
            name,
            offence,
            cut: standing == Standing::Cut,
        });
    }

    /// Lets those who are throttled say a little more, and ends it for those who are forgiven.
    /// Twice a second.
    pub(super) fn forgive(&mut self, now: Time) {
        self.conduct.handle_timeout(now);
        self.carry_out_verdicts();
        self.network.sessions().grant(THROTTLED_MESSAGES);
    }

    /// A peer is connected, perhaps again: what it did is not forgotten.
    pub(super) fn remember_conduct(&mut self, peer: PeerId) {
        if self.conduct_of(&peer).1 == Standing::Throttled {
            self.network.sessions().set_throttled(&peer, true);
        }
    }
}

/// How many messages are heard each half second of a peer that is throttled. Enough for an honest
/// one to keep up with what it has to say twice a second, and with requests; a hundredth of what
/// one that floods would say.
const THROTTLED_MESSAGES: u32 = 8;
