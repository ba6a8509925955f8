//! Reports of a node, as JSON with the names that JavaScript has.

use meshcast::{Direction, GapReason, NodeEvent, SeedInfo, Snapshot, Undelivered, WallTime};
use serde_json::{Value, json};

pub(crate) fn snapshot(snapshot: &Snapshot) -> Value {
    let node = &snapshot.node;
    let peers = snapshot.peers.iter().map(|peer| {
        json!({
            "name": peer.name.to_string(),
            "region": peer.region.to_string(),
            "peerId": peer.peer_id.to_string(),
            "addresses": texts(&peer.addresses),
            "rtt": peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            "direction": direction(peer.direction),
            "connectedSince": milliseconds(peer.connected_since),
            "sharedChannels": peer.shared_channels,
        })
    });
    let channels = snapshot.channels.iter().map(|channel| {
        let senders = channel.senders.iter().map(|sender| {
            json!({
                "name": sender.name.to_string(),
                "region": sender.region.to_string(),
                "peerId": sender.peer_id.to_string(),
                "highestSeq": sender.highest_seq,
                "deliveredSeq": sender.delivered_seq,
            })
        });
        json!({
            "name": channel.name.as_str(),
            "objects": channel.objects,
            "subscribers": texts(&channel.subscribers),
            "senders": senders.collect::<Vec<_>>(),
            "outboxBytes": channel.outbox_bytes,
            "unreadBytes": channel.unread_bytes,
        })
    });
    json!({
        "node": {
            "name": node.name.to_string(),
            "region": node.region.to_string(),
            "peerId": node.peer_id.to_string(),
            "pid": node.pid,
            "listenAddresses": texts(&node.listen_addresses),
            "startedAt": milliseconds(node.started_at),
            "version": node.version,
        },
        "peers": peers.collect::<Vec<_>>(),
        "seeds": snapshot.seeds.iter().map(seed).collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
        "counters": snapshot.counters,
    })
}

/// The event, if it is of those that JavaScript is told.
pub(crate) fn event(event: &NodeEvent) -> Option<Value> {
    Some(match event {
        NodeEvent::Connected {
            peer,
            name,
            region,
            direction: dialled,
        } => json!({
            "change": "connected",
            "peerId": peer.to_string(),
            "name": name.to_string(),
            "region": region.to_string(),
            "direction": direction(*dialled),
        }),
        NodeEvent::Disconnected {
            peer,
            name,
            region,
            reason,
            detail,
        } => json!({
            "change": "disconnected",
            "peerId": peer.to_string(),
            "name": name.to_string(),
            "region": region.to_string(),
            "reason": format!("{reason}: {detail}"),
        }),
        NodeEvent::Refused {
            address,
            direction: dialled,
            detail,
            ..
        } => json!({
            "change": "refused",
            "address": address.to_string(),
            "direction": direction(*dialled),
            "reason": detail,
        }),
        _ => return None,
    })
}

pub(crate) fn undelivered(left: &[Undelivered], members: usize) -> Value {
    let left = left.iter().map(|left| {
        json!({
            "channel": left.channel.as_str(),
            "messages": left.messages,
            "bytes": left.bytes,
        })
    });
    json!({ "undelivered": left.collect::<Vec<_>>(), "members": members })
}

pub(crate) fn gap_reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::TooLarge => "too_large",
        GapReason::Incomplete => "incomplete",
        GapReason::Unread => "unread",
        GapReason::Unfetched => "unfetched",
        GapReason::Expired => "expired",
        _ => "lost",
    }
}

/// As `Date.now` counts.
pub(crate) fn milliseconds(at: WallTime) -> f64 {
    at.unix_millis() as f64
}

fn seed(seed: &SeedInfo) -> Value {
    json!({
        "address": seed.address.to_string(),
        "state": seed.state.as_str(),
        "reason": seed.reason,
    })
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}
