//! What is read beside the protocol: bodies of the admin socket, on both of its sides, and scenario
//! files.

use meshcast::{
    Value,
    admin::schema::{ChannelReport, Line, NodeReport, PeerReport, Ping, Posted, Refused},
};
use meshcast_sim::Scenario;
use serde::{Serialize, de::DeserializeOwned};

/// Requests to post at a node, and what a client reads of them.
pub(crate) fn admin(data: &[u8]) {
    let _ = Value::from_json_text(data);
    comes_back::<Line>(data);
    comes_back::<NodeReport>(data);
    comes_back::<PeerReport>(data);
    comes_back::<ChannelReport>(data);
    comes_back::<Posted>(data);
    comes_back::<Ping>(data);
    comes_back::<Refused>(data);
}

/// Values that were read are written so that they are read again, and the same.
fn comes_back<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else {
        return;
    };
    let text = serde_json::to_string(&read).expect("plain");
    let again: T = serde_json::from_str(&text).expect("it was written here");
    assert_eq!(serde_json::to_string(&again).expect("plain"), text);
}

pub(crate) fn scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(scenario) = Scenario::from_toml(text) else {
        return;
    };
    let _ = scenario.rules();
    for node in 0..scenario.nodes.min(64) {
        assert!(!scenario.node_name(node).is_empty());
    }
    assert!(scenario.nodes <= 10_000, "{} nodes", scenario.nodes);
}

pub(crate) fn admin_bodies() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"channel":"earth","data":{"a":[1,{"$bigint":"12"}]},"sender":"12D3","name":"fra-1","region":"fra","seq":1,"posted_at":"2026-01-31T23:59:59.999Z"}"#,
        r#"{"gap":{"channel":"earth","sender":"12D3","name":"fra-1","region":"fra","from":2,"to":4,"reason":"unread"}}"#,
        r#"{"undecodable":{"channel":"earth","sender":"12D3","name":"fra-1","seq":5,"error":"no type"}}"#,
        r#"{"schema":"posted/v1","channel":"earth","node":"fra-1"}"#,
        r#"{"error":{"code":"bad_json","message":"no"}}"#,
    ];
    bodies.iter().map(|body| body.as_bytes().to_vec()).collect()
}

pub(crate) fn scenarios() -> Vec<Vec<u8>> {
    [
        include_str!("../../../crates/meshcast-sim/scenarios/all-faults.toml"),
        include_str!("../../../crates/meshcast-sim/scenarios/three-way.toml"),
        include_str!("../../../crates/meshcast-sim/scenarios/one-way.toml"),
        include_str!("../../../crates/meshcast-sim/scenarios/clock-jump.toml"),
        include_str!("../../../crates/meshcast-sim/scenarios/small-memory.toml"),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
