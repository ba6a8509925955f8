//! Reports of a node, as the JSON of the admin socket.

use std::{collections::BTreeMap, time::Duration};

use libp2p::PeerId;
use meshcast_proto::ChannelName;
use meshcast_value::{DEFAULT_MAX_MEMORY, Value};
use serde_json::Value as Json;

use super::schema;
use crate::{
    channel::{Gap, GapReason, Message, RecvError},
    health::Health,
    inspect::{
        AccountInfo, ChannelInfo, Counters, Direction, MemberInfo, PeerInfo, RefusalInfo,
        SenderInfo, Snapshot,
    },
    limits::Limits,
    presence::{PresenceChange, Present},
    seed::{SeedInfo, SeedState},
};

impl From<&Snapshot> for schema::NodeReport {
    fn from(snapshot: &Snapshot) -> Self {
        let node = &snapshot.node;
        Self {
            schema: schema::name::NODE.into(),
            node: schema::Node {
                name: node.name.to_string(),
                region: node.region.to_string(),
                peer_id: node.peer_id.to_string(),
                mesh: node.mesh.clone(),
                pid: node.pid,
                started_at: node.started_at.to_string(),
                listen_addresses: texts(&node.listen_addresses),
                version: node.version.into(),
                peers: node.members,
                channels: node.channels,
            },
            counters: counters(&snapshot.counters),
            protocol: Some(node.protocol),
            limits: limits(&snapshot.limits),
            refusals: snapshot
                .refusals
                .iter()
                .map(schema::Refusal::from)
                .collect(),
        }
    }
}

impl From<&RefusalInfo> for schema::Refusal {
    fn from(refusal: &RefusalInfo) -> Self {
        Self {
            kind: refusal.kind.to_string(),
            reason: refusal.reason.clone(),
            address: refusal.address.to_string(),
            direction: refusal.direction.into(),
            at: refusal.at.to_string(),
            times: refusal.times,
            lately: refusal.lately.as_ref().map(|it| schema::RefusedLately {
                address: it.address.to_string(),
                times: it.times,
            }),
        }
    }
}

impl From<Direction> for schema::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Inbound,
            Direction::Outbound => Self::Outbound,
        }
    }
}

impl From<&Snapshot> for schema::PeerReport {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            schema: schema::name::PEERS.into(),
            peers: snapshot.peers.iter().map(schema::Peer::from).collect(),
            unlinked: snapshot.unlinked.iter().map(schema::Member::from).collect(),
            seeds: snapshot.seeds.iter().map(schema::Seed::from).collect(),
            accounts: snapshot
                .accounts
                .iter()
                .map(schema::Account::from)
                .collect(),
        }
    }
}

impl From<&MemberInfo> for schema::Member {
    fn from(member: &MemberInfo) -> Self {
        Self {
            name: member.name.to_string(),
            region: member.region.to_string(),
            peer_id: member.peer_id.to_string(),
            last_heard: member.last_heard.to_string(),
            silent: member.is_silent,
        }
    }
}

impl From<&AccountInfo> for schema::Account {
    fn from(account: &AccountInfo) -> Self {
        Self {
            name: account.name.as_ref().map(ToString::to_string),
            region: account.region.as_ref().map(ToString::to_string),
            peer_id: account.peer_id.as_ref().map(ToString::to_string),
            connected: account.connected,
            memory_bytes: account.memory_bytes,
            memory_refused: account.memory_refused,
        }
    }
}

impl From<&Health> for schema::HealthReport {
    fn from(health: &Health) -> Self {
        Self {
            schema: schema::name::HEALTH.into(),
            live: health.live,
            ready: health.ready,
            members: health.members,
            isolated_since: health.isolated_since.map(|since| since.to_string()),
            behind_by: health.behind_by,
            seeds: health.seeds.iter().map(schema::Seed::from).collect(),
        }
    }
}

impl From<&SeedInfo> for schema::Seed {
    fn from(seed: &SeedInfo) -> Self {
        let member = match &seed.state {
            SeedState::Connected { peer, name } => Some((peer.to_string(), name.to_string())),
            _ => None,
        };
        let (peer_id, name) = member.unzip();
        let refusal = match &seed.state {
            SeedState::NotAdmitted { refusal } => Some(refusal.to_string()),
            _ => None,
        };
        Self {
            address: seed.address.to_string(),
            state: seed.state.as_str().into(),
            since: seed.since.to_string(),
            reason: seed.reason.clone(),
            refusal,
            name,
            peer_id,
            addresses: seed.addresses.iter().map(Self::from).collect(),
        }
    }
}

impl From<&PeerInfo> for schema::Peer {
    fn from(peer: &PeerInfo) -> Self {
        Self {
            name: peer.name.to_string(),
            region: peer.region.to_string(),
            peer_id: peer.peer_id.to_string(),
            addresses: texts(&peer.addresses),
            rtt_us: peer.rtt.map(micros),
            clock_ahead_us: peer.clock_ahead_us,
            direction: peer.direction.into(),
            connected_since: peer.connected_since.to_string(),
            shared_channels: peer.shared_channels,
            mute: peer.mute,
            memory_bytes: peer.memory_bytes,
            memory_refused: peer.memory_refused,
            offences: peer.offences,
            throttled: peer.throttled,
        }
    }
}

impl From<&Present<Value>> for schema::Present {
    fn from(present: &Present<Value>) -> Self {
        let state = present.state();
        let state = state.and_then(|state| state.to_json_within(DEFAULT_MAX_MEMORY).ok());
        Self {
            name: present.name().to_string(),
            region: present.region().to_string(),
            peer_id: present.peer_id().to_string(),
            since: present.since().to_string(),
            silent: present.is_silent(),
            state: state.unwrap_or_default(),
        }
    }
}

impl schema::PresenceLine {
    pub(super) fn new(channel: &ChannelName, change: &PresenceChange<Value>) -> Self {
        let members = match change {
            PresenceChange::Snapshot(members) => members.iter().collect(),
            change => Vec::from_iter(change.member()),
        };
        Self {
            channel: channel.to_string(),
            change: change.as_str().into(),
            members: members.into_iter().map(schema::Present::from).collect(),
        }
    }
}

impl From<&Snapshot> for schema::ChannelReport {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            schema: schema::name::CHANNELS.into(),
            channels: snapshot
                .channels
                .iter()
                .map(schema::Channel::from)
                .collect(),
        }
    }
}

impl From<&ChannelInfo> for schema::Channel {
    fn from(channel: &ChannelInfo) -> Self {
        Self {
            name: channel.name.to_string(),
            objects: channel.objects,
            observers: channel.observers,
            subscribers: texts(&channel.subscribers),
            mesh: texts(&channel.mesh),
            senders: channel.senders.iter().map(schema::Sender::from).collect(),
            outbox_bytes: channel.outbox_bytes,
            unread_bytes: channel.unread_bytes,
            delivered: channel.delivered,
            repaired: channel.repaired,
            missed: channel.missed,
            unread: channel.unread,
            dropped: channel.dropped,
        }
    }
}

impl From<&SenderInfo> for schema::Sender {
    fn from(sender: &SenderInfo) -> Self {
        Self {
            name: sender.name.to_string(),
            region: sender.region.to_string(),
            peer_id: sender.peer_id.to_string(),
            highest_seq: sender.highest_seq,
            delivered_seq: sender.delivered_seq,
        }
    }
}

impl schema::Line {
    /// What a channel object handed over.
    pub(super) fn new(channel: &ChannelName, item: Result<Message<Value>, RecvError>) -> Self {
        let channel = channel.to_string();
        match item {
            Ok(message) => match message.data.to_json_within(DEFAULT_MAX_MEMORY) {
                Ok(data) => Self::Message(schema::Message {
                    channel,
                    data,
                    sender: message.sender().to_string(),
                    name: message.name().to_string(),
                    region: message.region().to_string(),
                    seq: message.seq(),
                    posted_at: message.posted_at().to_string(),
                    received_at: Some(message.received_at().to_string()),
                    via: Some(message.via().as_str().into()),
                    peer: message.peer().map(|peer| peer.to_string()),
                }),
                Err(error) => Self::Undecodable {
                    undecodable: schema::Undecodable {
                        channel,
                        sender: message.sender().to_string(),
                        name: message.name().to_string(),
                        seq: message.seq(),
                        error: format!("as JSON the value {error}"),
                    },
                },
            },
            Err(RecvError::Gap(gap)) => Self::Gap {
                gap: missing(channel, &gap),
            },
            Err(RecvError::Decode(undecodable)) => Self::Undecodable {
                undecodable: schema::Undecodable {
                    channel,
                    sender: undecodable.sender().to_string(),
                    name: undecodable.name().to_string(),
                    seq: undecodable.seq(),
                    error: undecodable.reason().to_string(),
                },
            },
        }
    }
}

fn missing(channel: String, gap: &Gap) -> schema::Gap {
    schema::Gap {
        channel,
        sender: gap.sender().to_string(),
        name: gap.name().to_string(),
        region: gap.region().to_string(),
        from: *gap.missed().start(),
        to: *gap.missed().end(),
        reason: match gap.reason() {
            GapReason::Lost => "lost",
            GapReason::TooLarge => "too_large",
            GapReason::Incomplete => "incomplete",
            GapReason::Unread => "unread",
            GapReason::Unfetched => "unfetched",
            GapReason::Expired => "expired",
        }
        .into(),
    }
}

impl schema::Ping {
    pub(super) fn new(peer: PeerId, round_trip: Duration) -> Self {
        Self {
            schema: schema::name::PING.into(),
            peer_id: peer.to_string(),
            rtt_us: micros(round_trip),
        }
    }
}

/// By name, so that a new counter shows without being named here.
fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    match serde_json::to_value(counters) {
        Ok(Json::Object(fields)) => fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_u64()?)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn limits(limits: &Limits) -> BTreeMap<String, u64> {
    let numbers = limits.numbers().into_iter();
    numbers
        .map(|(name, number)| (name.to_owned(), number))
        .collect()
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
