use meshcast_proto::WallTime;

use meshcast_proto::{Identity, MeshKey, Seq, SeqRange, Trust};

use super::*;
use crate::{NodeInfo, RefusalKind, RefusedLately};

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
            mesh: "00ff00ff00ff00ff".into(),
            pid: 4711,
            listen_addresses: vec!["/ip4/127.0.0.1/tcp/4001".parse().expect("valid")],
            started_at: WallTime::from_unix_millis(951_782_400_000),
            version: "0.1.0",
            protocol: 6,
            members: 1,
            channels: 1,
        },
        unlinked: vec![MemberInfo {
            peer_id: id(),
            name: "gru-1".parse().expect("valid"),
            region: "gru".parse().expect("valid"),
            last_heard: WallTime::from_unix_millis(0),
            is_connected: false,
            is_silent: true,
        }],
        peers: vec![PeerInfo {
            name: "iad-1".parse().expect("valid"),
            region: "iad".parse().expect("valid"),
            peer_id: id(),
            addresses: vec![],
            rtt: None,
            clock_ahead_us: None,
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
            observers: 1,
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
            delivered: 9,
            repaired: 4,
            missed: 3,
            unread: 2,
            dropped: 1,
        }],
        counters: counted(),
        accounts: vec![AccountInfo {
            name: Some("nrt-1".parse().expect("valid")),
            region: None,
            peer_id: Some(id()),
            connected: false,
            memory_bytes: 0,
            memory_refused: 3,
        }],
        refusals: vec![RefusalInfo {
            kind: RefusalKind::OtherMesh,
            reason: "not the same mesh".into(),
            address: "/ip4/10.0.0.1/tcp/1".parse().expect("valid"),
            direction: Direction::Outbound,
            at: WallTime::MIN,
            times: 2,
            lately: Some(RefusedLately {
                address: "/ip4/10.0.0.2/tcp/2".parse().expect("valid"),
                times: 1,
            }),
        }],
        limits: Limits::default(),
    }
}

fn counted() -> Counters {
    let mut counters = Counters::default();
    counters.memory.history_bytes = 9;
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

/// A program that shows a snapshot in its own way finds the words of the admin socket.
#[test]
fn a_snapshot_in_serde_says_what_the_admin_socket_says() {
    let shown = serde_json::to_value(snapshot()).expect("plain data");
    let peers = serde_json::to_value(schema::PeerReport::from(&snapshot())).expect("plain");
    assert_eq!(shown["peers"], peers["peers"]);
    let mut seeds = peers["seeds"].clone();
    // The details of a state appear in that state alone.
    for seed in seeds.as_array_mut().expect("a list") {
        let seed = seed.as_object_mut().expect("an object");
        let of_states = ["name", "peer_id", "refusal"];
        seed.retain(|name, it| !(it.is_null() && of_states.contains(&&**name)));
    }
    assert_eq!(shown["seeds"], seeds);
    let mut unlinked = shown["unlinked"].clone();
    let member = unlinked[0].as_object_mut().expect("an object");
    assert_eq!(member.remove("connected"), Some(false.into()));
    assert_eq!(unlinked, peers["unlinked"]);
    let channels = serde_json::to_value(schema::ChannelReport::from(&snapshot()));
    assert_eq!(shown["channels"], channels.expect("plain")["channels"]);
    assert_eq!(shown["counters"]["posted"], 3);
    let node = serde_json::to_value(schema::NodeReport::from(&snapshot())).expect("plain");
    assert_eq!(shown["refusals"], node["refusals"]);
    assert_eq!(shown["limits"], node["limits"]);
    assert_eq!(shown["node"]["started_at"], "2000-02-29T00:00:00.000Z");
}

#[test]
fn health_is_written_as_documented() {
    let mut health = Health {
        live: true,
        members: 2,
        behind_by: Some(3),
        ..Health::default()
    };
    health.isolated_since = Some(WallTime::MIN);
    assert_eq!(
        json(schema::HealthReport::from(&health)),
        r#"{"schema":"health/v1","live":true,"ready":false,"members":2,"#.to_owned()
            + r#""isolated_since":"1970-01-01T00:00:00.000Z","behind_by":3,"seeds":[]}"#
    );
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
    report.limits.retain(|name, _| name == "history_age_us");
    assert_eq!(
        json(report),
        r#"{"schema":"node/v1","node":{"name":"fra-1","region":"fra","peer_id":"ID","mesh":"00ff00ff00ff00ff","pid":4711,"#
            .to_owned()
            + r#""started_at":"2000-02-29T00:00:00.000Z","listen_addresses":["/ip4/127.0.0.1/tcp/4001"],"#
            + r#""version":"0.1.0","peers":1,"channels":1},"counters":{"history_bytes":9,"posted":3},"#
            + r#""protocol":6,"limits":{"history_age_us":600000000},"refusals":[{"kind":"other_mesh","#
            + r#""reason":"not the same mesh","address":"/ip4/10.0.0.1/tcp/1","direction":"outbound","#
            + r#""at":"1970-01-01T00:00:00.000Z","times":2,"#
            + r#""lately":{"address":"/ip4/10.0.0.2/tcp/2","times":1}}]}"#
    );
}

#[test]
fn peers_are_written_as_documented() {
    assert_eq!(
        json(schema::PeerReport::from(&snapshot())),
        r#"{"schema":"peers/v1","peers":[{"name":"iad-1","region":"iad","peer_id":"ID","#
            .to_owned()
            + r#""addresses":[],"rtt_us":null,"clock_ahead_us":null,"direction":"outbound","#
            + r#""connected_since":"1970-01-01T00:00:00.000Z","shared_channels":1,"mute":0,"#
            + r#""memory_bytes":4096,"memory_refused":2,"offences":0,"throttled":false}],"#
            + r#""unlinked":[{"name":"gru-1","region":"gru","peer_id":"ID","#
            + r#""last_heard":"1970-01-01T00:00:00.000Z","silent":true}],"#
            + r#""seeds":[{"address":"/dns/mesh.internal/tcp/4001","state":"unresolved","#
            + r#""since":"1970-01-01T00:00:00.000Z","reason":"no such name","refusal":null,"name":null,"#
            + r#""peer_id":null,"addresses":[]},"#
            + r#"{"address":"/ip4/127.0.0.1/tcp/4002","state":"connected","#
            + r#""since":"1970-01-01T00:00:00.000Z","reason":null,"refusal":null,"name":"iad-1","#
            + r#""peer_id":"ID","addresses":[]}],"#
            + r#""accounts":[{"name":"nrt-1","region":null,"peer_id":"ID","connected":false,"#
            + r#""memory_bytes":0,"memory_refused":3}]}"#
    );
}

#[test]
fn channels_are_written_as_documented() {
    assert_eq!(
        json(schema::ChannelReport::from(&snapshot())),
        r#"{"schema":"channels/v1","channels":[{"name":"","objects":1,"observers":1,"subscribers":["ID"],"#
            .to_owned()
            + r#""mesh":[],"senders":[{"name":"iad-1","region":"iad","peer_id":"ID","#
            + r#""highest_seq":7,"delivered_seq":null}],"outbox_bytes":5,"unread_bytes":6,"#
            + r#""delivered":9,"repaired":4,"missed":3,"unread":2,"dropped":1}]}"#
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
