//! Peers that misbehave: told, slowed down, cut off.

use std::collections::VecDeque;

use libp2p::PeerId;
use meshcast_proto::{Conduct, Offence, Standing, Time};

use super::Driver;
use crate::{
    event::{self, NodeEvent},
    transport::{peer_id, sender},
};

/// How peers stand, and who is cut off.
#[derive(Debug, Default)]
pub(super) struct Judged {
    conduct: Conduct,
    /// Those cut off, the latest last.
    cut: VecDeque<PeerId>,
}

impl Judged {
    /// How often a peer misbehaved lately, and how it stands.
    pub(super) fn of(&self, peer: &PeerId) -> (u64, Standing) {
        let Some(sender) = sender(peer) else {
            return (0, Standing::Good);
        };
        (self.conduct.offences(sender), self.conduct.standing(sender))
    }
}

impl Driver {
    /// A peer misbehaved.
    pub(super) fn handle_offence(&mut self, peer: PeerId, offence: Offence) {
        let Some(sender) = sender(&peer) else { return };
        self.counters.offences += 1;
        tracing::debug!(%peer, offence = offence.as_str(), "misbehaves");
        let now = self.clock.now();
        match self.judged.conduct.handle_offence(sender, offence, now) {
            Some(Standing::Throttled) => {
                self.network.sessions().set_throttled(&peer, true);
                self.tell_misbehaving(peer, offence, Standing::Throttled);
            }
            Some(Standing::Cut) => self.cut(peer, offence),
            _ => {}
        }
    }

    /// Lets go of a peer for good: its connections are closed, and new ones of this process are
    /// refused.
    pub(super) fn cut(&mut self, peer: PeerId, offence: Offence) {
        if self.judged.cut.contains(&peer) {
            return;
        }
        self.tell_misbehaving(peer, offence, Standing::Cut);
        let blocked = &mut self.network.swarm.modify().behaviour_mut().blocked;
        if self.judged.cut.len() >= MAX_CUT
            && let Some(oldest) = self.judged.cut.pop_front()
        {
            blocked.unblock_peer(oldest);
        }
        blocked.block_peer(peer);
        self.judged.cut.push_back(peer);
    }

    /// Says who is slowed down or cut off, and why.
    fn tell_misbehaving(&mut self, peer: PeerId, offence: Offence, standing: Standing) {
        let known = self.peers.get(&peer);
        let name = known.map(|known| known.member.credential().name.clone());
        let shown = name.as_ref().map_or("somebody", |name| name.as_str());
        if let Some(suppressed) = self.warnings.misbehaving.pass(self.clock.now()) {
            tracing::error!(target: event::TARGET, %peer, name = shown, offence = offence.as_str(),
                standing = standing.as_str(), suppressed, "a member misbehaves");
        }
        self.emit(NodeEvent::Misbehaving {
            peer,
            name,
            offence: offence.as_str(),
            cut: standing == Standing::Cut,
        });
    }

    /// Lets those who are throttled say a little more, and ends it for those who are forgiven.
    /// Every second.
    pub(super) fn forgive(&mut self, now: Time) {
        let forgiven = self.judged.conduct.handle_timeout(now);
        let sessions = self.network.sessions();
        for peer in forgiven {
            tracing::info!(peer = %peer_id(peer), "a member that misbehaved is heard again");
            sessions.set_throttled(&peer_id(peer), false);
        }
        sessions.grant(THROTTLED_MESSAGES);
    }

    /// A peer is connected, perhaps again: what it did is not forgotten.
    pub(super) fn remember_conduct(&mut self, peer: PeerId) {
        if self.judged.of(&peer).1 == Standing::Throttled {
            self.network.sessions().set_throttled(&peer, true);
        }
    }
}

/// How many messages a second are heard of a peer that is throttled. Enough for an honest one to
/// keep up with what it has to say twice a second, and with requests; a hundredth of what one that
/// floods would say.
const THROTTLED_MESSAGES: u32 = 16;

/// How many processes are kept out at the same time, at about 100 bytes. Whoever has the key can
/// make as many as it likes; the one that was cut off first may come back then.
const MAX_CUT: usize = 4_096;
