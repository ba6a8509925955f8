//! What a node knows, as the JSON of the admin socket.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value as Json;

use super::schema;
use crate::{
    ChannelInfo, ChannelName, Counters, Direction, Gap, GapReason, Message, PeerId, PeerInfo,
    RecvError, SeedInfo, SeedState, SenderInfo, Snapshot, Value, value::DEFAULT_MAX_MEMORY,
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
                peers: node.members,
                channels: node.channels,
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
            seeds: snapshot.seeds.iter().map(schema::Seed::from).collect(),
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
        Self {
            address: seed.address.to_string(),
            state: seed.state.as_str().into(),
            since: seed.since.to_string(),
            reason: seed.reason.clone(),
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
            direction: match peer.direction {
                Direction::Inbound => schema::Direction::Inbound,
                Direction::Outbound => schema::Direction::Outbound,
            },
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
            Ok(message) => match message.data.to_json_within(DEFAULT_MAX_MEMORY) {
                Ok(data) => Self::Message(schema::Message {
                    channel,
                    data,
                    sender: message.sender().to_string(),
                    name: message.name().to_string(),
                    region: message.region().to_string(),
                    seq: message.seq(),
                    posted_at: message.posted_at().to_string(),
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

#[cfg(test)]
mod tests {
    use meshcast_proto::WallTime;

    use meshcast_proto::{Identity, MeshKey, Seq, SeqRange, Trust};

    use super::*;
    use crate::NodeInfo;

    const ID: &str = "12D3KooWHDm85b1juJy3xFmZU6MbiAJKMGiEocYEoHs9webN84qQ";

    fn id() -> PeerId {
        ID.parse().expect("an id")
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            node: NodeInfo {
                name: "fra-1".parse().expect("valid"),
                region: "fra".parse().expect("valid"),
                peer_id: id(),
                pid: 4711,
                listen_addresses: vec!["/ip4/127.0.0.1/tcp/4001".parse().expect("valid")],
                started_at: WallTime::from_unix_millis(951_782_400_000),
                version: "0.1.0",
                members: 1,
                channels: 1,
            },
            peers: vec![PeerInfo {
                name: "iad-1".parse().expect("valid"),
                region: "iad".parse().expect("valid"),
                peer_id: id(),
                addresses: vec![],
                rtt: None,
                direction: Direction::Outbound,
                connected_since: WallTime::MIN,
                shared_channels: 1,
                mute: 0,
                memory_bytes: 4096,
                memory_refused: 2,
                offences: 0,
                throttled: false,
            }],
            seeds: vec![
                SeedInfo {
                    address: "/dns/mesh.internal/tcp/4001".parse().expect("valid"),
                    state: SeedState::Unresolved,
                    since: WallTime::MIN,
                    reason: Some("no such name".into()),
                    addresses: vec![],
                },
                SeedInfo {
                    address: "/ip4/127.0.0.1/tcp/4002".parse().expect("valid"),
                    state: SeedState::Connected {
                        peer: id(),
                        name: "iad-1".parse().expect("valid"),
                    },
                    since: WallTime::MIN,
                    reason: None,
                    addresses: vec![],
                },
            ],
            channels: vec![ChannelInfo {
                name: "".parse().expect("valid"),
                objects: 1,
                subscribers: vec![id()],
                mesh: vec![],
                senders: vec![SenderInfo {
                    name: "iad-1".parse().expect("valid"),
                    region: "iad".parse().expect("valid"),
                    peer_id: id(),
                    highest_seq: 7,
                    delivered_seq: None,
                }],
                outbox_bytes: 5,
                unread_bytes: 6,
            }],
            counters: counted(),
        }
    }

    fn counted() -> Counters {
        let mut counters = Counters {
            history_bytes: 9,
            ..Counters::default()
        };
        counters.protocol.posted = 3;
        counters
    }

    /// A counter that is added to the protocol needs no line here to be shown.
    #[test]
    fn whatever_the_protocol_counts_is_shown_by_the_name_it_has_there() {
        let protocol = serde_json::to_value(counted().protocol).expect("plain data");
        let protocol = protocol.as_object().expect("a struct");
        assert!(protocol.contains_key("requests_refused") && protocol.contains_key("frames_stale"));
        let shown = schema::NodeReport::from(&snapshot()).counters;
        for (name, value) in protocol {
            assert_eq!(shown.get(name).copied(), value.as_u64(), "{name}");
        }
    }

    fn json(report: impl serde::Serialize) -> String {
        serde_json::to_string(&report)
            .expect("plain data")
            .replace(ID, "ID")
    }

    #[test]
    fn a_node_is_written_as_documented() {
        let mut report = schema::NodeReport::from(&snapshot());
        report.counters.retain(|_, count| *count > 0);
        assert_eq!(
            json(report),
            r#"{"schema":"node/v1","node":{"name":"fra-1","region":"fra","peer_id":"ID","pid":4711,"#
                .to_owned()
                + r#""started_at":"2000-02-29T00:00:00.000Z","listen_addresses":["/ip4/127.0.0.1/tcp/4001"],"#
                + r#""version":"0.1.0","peers":1,"channels":1},"counters":{"history_bytes":9,"posted":3}}"#
        );
    }

    #[test]
    fn peers_are_written_as_documented() {
        assert_eq!(
            json(schema::PeerReport::from(&snapshot())),
            r#"{"schema":"peers/v1","peers":[{"name":"iad-1","region":"iad","peer_id":"ID","#
                .to_owned()
                + r#""addresses":[],"rtt_us":null,"direction":"outbound","#
                + r#""connected_since":"1970-01-01T00:00:00.000Z","shared_channels":1,"mute":0,"#
                + r#""memory_bytes":4096,"memory_refused":2,"offences":0,"throttled":false}],"#
                + r#""seeds":[{"address":"/dns/mesh.internal/tcp/4001","state":"unresolved","#
                + r#""since":"1970-01-01T00:00:00.000Z","reason":"no such name","name":null,"#
                + r#""peer_id":null,"addresses":[]},"#
                + r#"{"address":"/ip4/127.0.0.1/tcp/4002","state":"connected","#
                + r#""since":"1970-01-01T00:00:00.000Z","reason":null,"name":"iad-1","#
                + r#""peer_id":"ID","addresses":[]}]}"#
        );
    }

    #[test]
    fn channels_are_written_as_documented() {
        assert_eq!(
            json(schema::ChannelReport::from(&snapshot())),
            r#"{"schema":"channels/v1","channels":[{"name":"","objects":1,"subscribers":["ID"],"#
                .to_owned()
                + r#""mesh":[],"senders":[{"name":"iad-1","region":"iad","peer_id":"ID","#
                + r#""highest_seq":7,"delivered_seq":null}],"outbox_bytes":5,"unread_bytes":6}]}"#
        );
    }

    #[test]
    fn a_gap_is_written_as_documented() {
        let key = MeshKey::from_entropy([1; 48]);
        let (name, region) = (
            "iad-1".parse().expect("valid"),
            "iad".parse().expect("valid"),
        );
        let identity = Identity::from_mesh_key(&key, name, region, [2; 64], WallTime::MIN);
        let member = Trust::from(&key)
            .verify(identity.chain().as_bytes())
            .expect("a member");
        let missed = Seq::new(2)
            .zip(Seq::new(4))
            .and_then(|(first, last)| SeqRange::new(first, last));
        let gap = Gap {
            member: member.into(),
            missed: missed.expect("a range"),
            reason: GapReason::Unread,
        };
        let sender = gap.sender().to_string();
        let line = schema::Line::new(&"earth".parse().expect("valid"), Err(gap.into()));
        assert_eq!(
            json(&line).replace(&sender, "ID"),
            r#"{"gap":{"channel":"earth","sender":"ID","name":"iad-1","region":"iad","from":2,"to":4,"#
                .to_owned()
                + r#""reason":"unread"}}"#
        );
        assert_eq!(
            serde_json::from_str(&serde_json::to_string(&line).expect("plain")).ok(),
            Some(line)
        );
    }

    #[test]
    fn durations_are_microseconds() {
        assert_eq!(
            json(schema::Ping::new(id(), Duration::from_nanos(412_900))),
            r#"{"schema":"ping/v1","peer_id":"ID","rtt_us":412}"#
        );
    }
}
