//! A peer that does not read what it is told.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::swarm::{SwarmEvent, dial_opts::DialOpts};
use meshcast_proto::{PresenceMessage, Sender, SyncMessage};

use super::Hostile;
use crate::{
    Node,
    behaviour::BehaviourEvent,
    node::fixture::{Mesh, addresses, open, within},
    session::SessionEvent,
};

/// With the longest names they take three times what waits for a peer in its session.
const CHANNELS: usize = 12_000;

impl Hostile {
    /// Is connected, and reads nothing of what is said on the session.
    async fn meet_without_reading(&mut self, node: &Node) {
        let dial = DialOpts::peer_id(node.peer_id())
            .addresses(addresses(node).await)
            .build();
        self.swarm.dial(dial).expect("dials");
        loop {
            if let SwarmEvent::ConnectionEstablished { .. } = self.swarm.select_next_some().await {
                return self.read(node, false);
            }
        }
    }

    fn read(&mut self, node: &Node, yes: bool) {
        let sessions = &mut self.swarm.behaviour_mut().sessions;
        sessions.set_paused(&node.peer_id(), !yes);
    }

    /// A peer that says nothing for some seconds is dead.
    fn live(&mut self, node: &Node) {
        let sign = Bytes::from(SyncMessage::KEEP_ALIVE.encode());
        let sessions = &mut self.swarm.behaviour_mut().sessions;
        // With something in the queue it is heard anyway.
        let _ = sessions.send(&node.peer_id(), sign);
    }

    /// The next that the node says on the session.
    async fn said(&mut self, node: &Node) -> SyncMessage {
        loop {
            self.live(node);
            let event = self.swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(BehaviourEvent::Sessions(SessionEvent::Message {
                bytes,
                ..
            })) = event
            {
                return SyncMessage::decode(&bytes).expect("it can be read");
            }
        }
    }

    /// Asks for the record of this node, once there is a session.
    async fn ask_for_record(&mut self, node: &Node, of: Sender) {
        let fetch = PresenceMessage::Fetch(self.channel.clone(), vec![of]);
        let fetch = Bytes::from(SyncMessage::Presence(fetch).encode());
        let sessions = |it: &mut Self| {
            let sessions = &mut it.swarm.behaviour_mut().sessions;
            sessions.send(&node.peer_id(), fetch.clone()).is_ok()
        };
        while !sessions(self) {
            self.swarm.select_next_some().await;
        }
    }
}

/// The first message is sent before everything here knows the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_what_it_is_told_first_is_given_no_records_until_it_does() {
    let mesh = Mesh::new();
    let node = mesh.apart("a").spawn().await.expect("starts");
    let earth = open::<u32>(&node, "earth");
    let _watching = earth.presence::<u32>();
    let name = |n: usize| format!("{n:0>250}");
    let _others: Vec<_> = (0..CHANNELS)
        .map(|n| open::<u32>(&node, &name(n)))
        .collect();
    // All of them are open once the node answers.
    within(node.counters()).await.expect("runs");
    let sender = crate::ids::sender(&node.peer_id()).expect("a member");
    let mut hostile = Hostile::new(&mesh, "earth");
    within(hostile.meet_without_reading(&node)).await;
    within(hostile.ask_for_record(&node, sender)).await;
    let limited = async {
        loop {
            let counters = node.counters().await.expect("runs").presence;
            assert_eq!(counters.presence_messages, 0, "it is told something");
            if counters.presence_limited > 0 {
                return;
            }
            hostile.live(&node);
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                _ = hostile.swarm.next() => {}
                () = pause => {}
            }
        }
    };
    within(limited).await;
    hostile.read(&node, true);
    let mut told = 0;
    while told <= CHANNELS {
        if let SyncMessage::Open(opened) = within(hostile.said(&node)).await {
            told += opened.len();
        }
    }
    within(hostile.ask_for_record(&node, sender)).await;
    let record = async {
        loop {
            if let SyncMessage::Presence(PresenceMessage::Records(records)) =
                hostile.said(&node).await
            {
                return records;
            }
        }
    };
    assert_eq!(within(record).await[0].sender, sender);
}
