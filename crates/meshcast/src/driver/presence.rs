//! Who is present on channels: between the tracker, the sessions and those who watch.

use std::sync::Arc;

use meshcast_proto::{
    ChannelName, Member, Opens, PresenceChange, PresenceCounters, PresenceMessage, PresenceOutput,
    PresenceTracker, Sender, Time,
};

use super::{Driver, EngineCell, channels::Channels};
#[cfg(feature = "metrics")]
use crate::by_region::ByRegion;
use crate::{
    channel::Hub,
    clock::wall_time,
    ids::{peer_id, sender},
    inspect::MemberInfo,
};

/// The tracker. It is changed through [`Driver::with_tracker`] only.
#[derive(Debug)]
pub(crate) struct TrackerCell {
    tracker: PresenceTracker,
}

impl TrackerCell {
    pub(crate) const fn new(tracker: PresenceTracker) -> Self {
        Self { tracker }
    }

    /// When it has something to do.
    pub(super) const fn poll_timeout(&self) -> Option<Time> {
        self.tracker.poll_timeout()
    }

    pub(super) const fn counters(&self) -> PresenceCounters {
        self.tracker.counters()
    }

    /// Messages to a peer queue up, or no longer.
    pub(super) fn set_congested(&mut self, peer: Sender, congested: bool) {
        self.tracker.set_congested(peer, congested);
    }

    /// Who else is present on a channel, if somebody watches that.
    pub(super) fn others(&self, channel: &ChannelName) -> impl Iterator<Item = Arc<Member>> {
        self.tracker.others(channel).map(|presence| presence.member)
    }

    /// Of these channels those on which somebody watches who is present.
    pub(super) fn followed(&self, channels: impl Iterator<Item = ChannelName>) -> Vec<ChannelName> {
        if !self.tracker.is_active() {
            return Vec::new();
        }
        let followed = channels.filter(|name| self.tracker.is_followed(name));
        followed.collect()
    }
}

impl Driver {
    /// Calls the tracker, and does what it wants done.
    pub(super) fn with_tracker<R>(
        &mut self,
        act: impl FnOnce(&mut PresenceTracker, &EngineCell, &Channels, Time) -> R,
    ) -> R {
        let now = self.clock.now();
        let tracker = &mut self.presence.tracker;
        let returned = act(tracker, &self.engine, &self.channels, now);
        while let Some(output) = self.presence.tracker.poll_output() {
            match output {
                PresenceOutput::Send(to, message) => self.send_sync(peer_id(to), &message),
                PresenceOutput::Changed(channel, change) => self.tell_change(&channel, change),
                PresenceOutput::Misbehaved { peer, offence } => {
                    self.handle_offence(peer_id(peer), offence, 1);
                }
            }
        }
        returned
    }

    /// An object was opened or the last closed on a channel, or what this node says of itself there
    /// is another.
    pub(super) fn follow_presence(&mut self, hub: &Hub) {
        let name = hub.name();
        let board = hub.board();
        let wanted = board.as_ref().map(|board| board.wanted());
        let (watching, state) = wanted.unwrap_or_default();
        let opens = opens(&self.engine, &self.channels, name).unwrap_or_default();
        // A node that is no longer there is not to go on saying that it is, also where nobody
        // watches now.
        if !watching && opens.is_present && !self.presence.tracker.is_followed(name) {
            return;
        }
        self.with_tracker(|tracker, _, _, now| {
            tracker.handle_own(name, watching, state, opens, now);
        });
        // It contains every change reported until now.
        if let Some(board) = board
            && watching
        {
            board.begin(|| self.presence.tracker.present(name));
        }
    }

    /// A channel is closed for good.
    pub(super) fn leave_presence(&mut self, hub: &Hub) {
        self.with_tracker(|tracker, _, _, now| tracker.handle_gone(hub.name(), now));
        if let Some(board) = hub.board() {
            board.end();
        }
    }

    pub(super) fn handle_presence(&mut self, peer: Sender, message: PresenceMessage) {
        self.with_tracker(|tracker, engine, channels, now| {
            let opens = |name: &ChannelName| opens(engine, channels, name);
            tracker.handle_message(peer, message, opens, now, wall_time());
        });
    }

    /// Does what is due, every half second while somebody watches.
    pub(super) fn check_presence(&mut self, now: Time) {
        if self
            .presence
            .tracker
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            for (id, peer) in self.peers.iter() {
                if let Some(peer_sender) = sender(id) {
                    let tracker = &mut self.presence.tracker;
                    tracker.handle_heard(peer_sender, peer.heard());
                }
            }
            self.with_tracker(|tracker, _, _, now| tracker.handle_timeout(now, wall_time()));
        }
    }

    /// The members of the mesh, as far as this node sees: those it is connected to, and those of
    /// whose presence somewhere it knows.
    pub(super) fn members(&self) -> Vec<MemberInfo> {
        let (now, wall) = (self.clock.now(), wall_time());
        let connected = self.peers.iter().map(|(id, peer)| {
            let credential = peer.member.credential();
            MemberInfo {
                peer_id: *id,
                name: credential.name.clone(),
                region: credential.region.clone(),
                last_heard: wall - now.saturating_since(peer.heard()),
                is_connected: true,
                is_silent: peer.is_silent(now),
            }
        });
        connected.chain(self.unlinked()).collect()
    }

    /// Those that it is not connected to.
    pub(super) fn unlinked(&self) -> impl Iterator<Item = MemberInfo> {
        let (now, wall) = (self.clock.now(), wall_time());
        let far = self.presence.tracker.far(now);
        far.map(move |(member, heard, is_silent)| MemberInfo {
            peer_id: peer_id(member.sender()),
            name: member.credential().name.clone(),
            region: member.credential().region.clone(),
            last_heard: wall - now.saturating_since(heard),
            is_connected: false,
            is_silent,
        })
    }

    /// How many of them there are in each region. For as many as there are, some of which may say
    /// anything of where they are.
    #[cfg(feature = "metrics")]
    pub(super) fn members_by_region(&self) -> ByRegion<u64> {
        let mut count = ByRegion::<u64>::new();
        for (_, peer) in self.peers.iter() {
            *count.get(&peer.member.credential().region) += 1;
        }
        for (member, ..) in self.presence.tracker.far(self.clock.now()) {
            *count.get(&member.credential().region) += 1;
        }
        count
    }

    fn tell_change(&self, channel: &ChannelName, change: PresenceChange) {
        let hub = self.channels.get(channel).map(|channel| &channel.hub);
        if let Some(board) = hub.and_then(|hub| hub.board()) {
            board.tell(change);
        }
    }
}

/// The known presence on a channel, if it is open here.
fn opens(engine: &EngineCell, channels: &Channels, name: &ChannelName) -> Option<Opens> {
    let channel = channels.get(name)?;
    Some(Opens {
        is_present: channel.hub.objects() > 0,
        since: channel.open_since(),
        peers: engine.listeners(name).collect(),
    })
}
