//! What a node knows, as the JSON of the admin socket.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value as Json;

use super::schema;
use crate::{
    ChannelInfo, ChannelName, Counters, Direction, Gap, GapReason, Message, PeerId, PeerInfo, RecvError,
    SenderInfo, Snapshot, Value,
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
                pid: node.pid,
                started_at: node.started_at.to_string(),
                listen_addresses: texts(&node.listen_addresses),
                version: node.version.into(),
                peers: snapshot.peers.len(),
                channels: snapshot.channels.len(),
            },
            counters: counters(&snapshot.counters),
        }
    }
}

impl From<&Snapshot> for schema::PeerReport {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            schema: schema::name::PEERS.into(),
            peers: snapshot.peers.iter().map(schema::Peer::from).collect(),
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
            direction: match peer.direction {
                Direction::Inbound => schema::Direction::Inbound,
                Direction::Outbound => schema::Direction::Outbound,
            },
            connected_since: peer.connected_since.to_string(),
            shared_channels: peer.shared_channels,
        }
    }
}

impl From<&Snapshot> for schema::ChannelReport {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            schema: schema::name::CHANNELS.into(),
            channels: snapshot.channels.iter().map(schema::Channel::from).collect(),
        }
    }
}

impl From<&ChannelInfo> for schema::Channel {
    fn from(channel: &ChannelInfo) -> Self {
        Self {
            name: channel.name.to_string(),
            objects: channel.objects,
            subscribers: texts(&channel.subscribers),
            mesh: texts(&channel.mesh),
            senders: channel.senders.iter().map(schema::Sender::from).collect(),
            outbox_bytes: channel.outbox_bytes,
            unread_bytes: channel.unread_bytes,
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
            Ok(message) => Self::Message(schema::Message {
                channel,
                data: message.data.to_json(),
                sender: message.sender().to_string(),
                name: message.name().to_string(),
                region: message.region().to_string(),
                seq: message.seq(),
                posted_at: message.posted_at().to_string(),
            }),
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

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
