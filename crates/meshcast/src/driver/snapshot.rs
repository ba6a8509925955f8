//! What the node looks like, bit by bit, for `inspect`.

use libp2p::PeerId;
use meshcast_proto::{Admission, ChannelName, Payer, SenderState, Share, Standing};

use super::Driver;
use crate::{
    ids::{payer, peer_id, sender as peer_sender},
    inspect::{
        AccountInfo, ChannelInfo, ConnectionCounters, Counters, Direction, MemoryCounters,
        NodeInfo, ObjectCounters, PeerInfo, SenderInfo, TrafficCounters,
    },
};

impl Driver {
    pub(super) fn node(&self) -> NodeInfo {
        let credential = self.local.me.credential();
        NodeInfo {
            name: credential.name.clone(),
            region: credential.region.clone(),
            peer_id: *self.network.swarm.local_peer_id(),
            mesh: self.local.mesh.clone(),
            pid: std::process::id(),
            listen_addresses: self.network.swarm.listeners().cloned().collect(),
            started_at: self.local.started,
            version: env!("CARGO_PKG_VERSION"),
            protocol: Admission::VERSION,
            members: self.peers.iter().count(),
            channels: self.channels.len(),
        }
    }

    pub(super) fn peer_info(&self, id: &PeerId, shared_channels: usize) -> Option<PeerInfo> {
        let peer = self.peers.get(id)?;
        let sender = peer_sender(id);
        // As a peer it has the key of its process, as whoever posts that of the member.
        let payers = [payer(id), Payer::Member(peer.member.credential().subject)];
        let budget = self.engine.budget();
        let memory = payers.map(|payer| budget.statement(payer));
        Some(PeerInfo {
            name: peer.member.credential().name.clone(),
            region: peer.member.credential().region.clone(),
            peer_id: *id,
            addresses: peer.addresses.clone(),
            rtt: peer.rtt,
            clock_ahead_us: peer.clock_ahead_us(self.clock.now()),
            direction: peer
                .main()
                .map_or(Direction::Inbound, |connection| connection.direction),
            connected_since: peer.since_wall,
            shared_channels,
            mute: sender.map_or(0, |sender| self.engine.times_mute(sender)),
            memory_bytes: memory.iter().map(|it| it.used).sum(),
            memory_refused: memory.iter().map(|it| it.refused).sum(),
            offences: self.conduct_of(id).0,
            throttled: self.conduct_of(id).1 == Standing::Throttled,
        })
    }

    /// The accounts that take the most of the memory for others, and those that were refused some
    /// of it.
    pub(super) fn accounts(&self) -> Vec<AccountInfo> {
        let shares = self.engine.budget().shares(MOST_ACCOUNTS);
        shares
            .into_iter()
            .map(|share| self.account_info(share))
            .collect()
    }

    fn account_info(&self, share: Share) -> AccountInfo {
        let (used, refused) = (share.used, share.refused);
        let info = |name, region, peer_id, connected| AccountInfo {
            name,
            region,
            peer_id,
            connected,
            memory_bytes: used,
            memory_refused: refused,
        };
        if share.payer == Payer::Ourselves {
            let me = self.local.me.credential();
            let id = *self.network.swarm.local_peer_id();
            return info(
                Some(me.name.clone()),
                Some(me.region.clone()),
                Some(id),
                true,
            );
        }
        match share.owner {
            Some(owner) => {
                let id = peer_id(owner.process);
                let connected = self.peers.get(&id).is_some();
                info(Some(owner.name), Some(owner.region), Some(id), connected)
            }
            None => info(None, None, None, false),
        }
    }

    pub(super) fn channel_info(&self, name: &ChannelName) -> Option<ChannelInfo> {
        let channel = self.channels.get(name)?;
        let gossip = &self.network.swarm.behaviour().gossip;
        let mut subscribers: Vec<PeerId> = self.engine.listeners(name).map(peer_id).collect();
        let mut mesh: Vec<PeerId> = gossip.listening(name).collect();
        subscribers.sort();
        mesh.sort();
        let (load, tally) = (channel.hub.load(), channel.hub.tally());
        let senders = self.engine.senders(name);
        let mut senders: Vec<_> = senders.map(|(_, state)| sender(&state)).collect();
        senders.sort_by_key(|sender| sender.peer_id);
        Some(ChannelInfo {
            name: name.clone(),
            objects: channel.hub.objects(),
            observers: channel.hub.observers(),
            subscribers,
            mesh,
            senders,
            outbox_bytes: load.outbox_bytes,
            unread_bytes: load.unread_bytes,
            delivered: tally.delivered,
            repaired: tally.repaired,
            missed: tally.missed,
            unread: tally.unread,
            dropped: tally.dropped,
        })
    }

    pub(super) fn counters(&self) -> Counters {
        let stats = self.handles.registry.common().stats();
        let (undecodable, handler_panics) = stats.read();
        let told = stats.object_gaps();
        let gossip = self.network.swarm.behaviour().gossip.counters();
        let inbound = self.network.door.inbound();
        let own = self.reports.counters;
        Counters {
            protocol: self.engine.counters(),
            presence: self.presence.counters(),
            asks: self.questions.counters(),
            traffic: TrafficCounters {
                frames_gossiped: gossip.frames,
                frames_invalid: own.traffic.frames_invalid + gossip.invalid,
                ..own.traffic
            },
            objects: ObjectCounters {
                unread: told.unread.numbers,
                unfetched: told.unfetched.numbers,
                expired: told.expired.numbers,
                undecodable,
                handler_panics,
                ..own.objects
            },
            connections: ConnectionCounters {
                inbound: inbound.all,
                inbound_silent: inbound.silent,
                inbound_foreign: inbound.foreign,
                inbound_displaced: inbound.displaced,
                inbound_pending: inbound.pending,
                ..own.connections
            },
            peers: own.peers,
            memory: MemoryCounters {
                memory_refused: self.engine.budget().refused(),
                memory_bytes: self.engine.budget().used(),
                own_memory_bytes: self.engine.budget().statement(Payer::Ourselves).used,
                history_bytes: self.engine.history().bytes(),
            },
        }
    }
}

pub(super) fn sender(state: &SenderState) -> SenderInfo {
    let credential = state.member.credential();
    SenderInfo {
        name: credential.name.clone(),
        region: credential.region.clone(),
        peer_id: peer_id(state.member.sender()),
        highest_seq: state.newest.get(),
        delivered_seq: state.next.map(|next| next.get() - 1),
    }
}

/// The number of accounts shown for their memory, and as many more for what they were refused.
const MOST_ACCOUNTS: usize = 10;
