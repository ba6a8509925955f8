//! Pictures of nodes that are all linked and have the channel `earth` open.

use std::{collections::BTreeMap, time::Duration};

use meshcast::admin::schema;

use super::super::picture::{Asked, Look, Picture};
use crate::faults::{Cut, NodeStatus, State, Status};

/// Nodes by name; what is before the dash is the region.
pub(in super::super) fn picture(names: &[&str]) -> Picture {
    let nodes = names.iter().map(|name| {
        let asked = Asked {
            look: Some(look(name, names)),
            url: None,
        };
        ((*name).to_owned(), asked)
    });
    Picture {
        at: Duration::from_secs(1),
        nodes: nodes.collect(),
        faults: None,
        why_not: None,
        not_asked: Vec::new(),
    }
}

/// The same, with what `meshcast up` says of them.
pub(in super::super) fn broken(names: &[&str], cuts: &[(&str, &str)]) -> Picture {
    let nodes = names.iter().map(|name| NodeStatus {
        name: (*name).to_owned(),
        region: region(name),
        state: State::Up,
        peer_id: Some(id(name)),
    });
    let cuts = cuts.iter().map(|(from, to)| Cut {
        from: (*from).to_owned(),
        to: (*to).to_owned(),
    });
    let status = Status {
        schema: "faults/v1".into(),
        nodes: nodes.collect(),
        cuts: cuts.collect(),
        around: Vec::new(),
    };
    Picture {
        faults: Some(status),
        ..picture(names)
    }
}

pub(in super::super) fn look_mut<'a>(picture: &'a mut Picture, name: &str) -> &'a mut Look {
    let asked = picture.nodes.get_mut(name).expect("a node");
    asked.look.as_mut().expect("it answered")
}

pub(in super::super) fn id(name: &str) -> String {
    format!("id of {name}")
}

fn region(name: &str) -> String {
    name.split('-').next().unwrap_or_default().to_owned()
}

fn look(name: &str, all: &[&str]) -> Look {
    let others = || all.iter().filter(|other| **other != name);
    let peer = |other: &&str| schema::Peer {
        name: (*other).to_owned(),
        region: region(other),
        peer_id: id(other),
        addresses: Vec::new(),
        rtt_us: Some(90_010),
        clock_ahead_us: None,
        direction: schema::Direction::Inbound,
        connected_since: "1970-01-01T00:00:00.000Z".into(),
        shared_channels: 1,
        mute: 0,
        memory_bytes: 0,
        memory_refused: 0,
        offences: 0,
        throttled: false,
    };
    let earth = schema::Channel {
        name: "earth".into(),
        objects: 1,
        observers: 0,
        subscribers: others().map(|other| id(other)).collect(),
        mesh: others().take(2).map(|other| id(other)).collect(),
        senders: vec![sender("fra-1", 7, Some(7))],
        outbox_bytes: 0,
        unread_bytes: 0,
        delivered: 0,
        repaired: 0,
        missed: 0,
        unread: 0,
        dropped: 0,
    };
    Look {
        node: schema::NodeReport {
            schema: schema::name::NODE.into(),
            node: schema::Node {
                name: name.to_owned(),
                region: region(name),
                peer_id: id(name),
                mesh: "00ff00ff00ff00ff".into(),
                pid: 1,
                started_at: "1970-01-01T00:00:00.000Z".into(),
                listen_addresses: Vec::new(),
                version: "0.1.0".into(),
                peers: all.len() - 1,
                channels: 1,
            },
            counters: BTreeMap::new(),
            protocol: None,
            limits: BTreeMap::new(),
            refusals: Vec::new(),
        },
        peers: others().map(peer).collect(),
        unlinked: Vec::new(),
        channels: vec![earth],
    }
}

pub(in super::super) fn sender(name: &str, highest: u64, delivered: Option<u64>) -> schema::Sender {
    schema::Sender {
        name: name.to_owned(),
        region: region(name),
        peer_id: id(name),
        highest_seq: highest,
        delivered_seq: delivered,
    }
}
