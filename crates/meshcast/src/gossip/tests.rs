//! Gossip between real swarms over memory, without the driver.

use std::time::Duration;

use libp2p::gossipsub;
use meshcast_proto::{
    ENTRY_BYTES, Format, FrameId, Identity, MeshKey, NodeName, Part, Region, Seq, write_record,
};

use super::*;
use crate::{
    clock::wall_time,
    ids::payer,
    swarm_fixture::{self, guard},
};

/// A member that says and hears what it is told to.
struct Carrier {
    node: swarm_fixture::Node<Gossip>,
    identity: Identity,
    posted: u64,
}

impl Carrier {
    fn new(key: &MeshKey, name: u8) -> Self {
        let region = Region::new("test").expect("allowed");
        let label = NodeName::new(&format!("node-{name}")).expect("allowed");
        let identity = Identity::from_mesh_key(key, label, region, [name; 64], wall_time());
        let gossip = Gossip::of(key);
        let mut carrier = Self {
            node: swarm_fixture::Node::new(gossip),
            identity,
            posted: 0,
        };
        carrier.join();
        carrier
    }

    fn gossip(&mut self) -> &mut Gossip {
        self.node.swarm.behaviour_mut()
    }

    fn set_lazy(&mut self, peer: &Self, yes: bool) {
        let peer = peer.node.id();
        self.gossip().set_lazy(peer, yes);
    }

    /// Whether it gives a peer what it publishes.
    fn gives(&self, peer: &Self) -> bool {
        let (gossip, channel) = (self.node.swarm.behaviour(), earth());
        gossip.listening(&channel).any(|it| it == peer.node.id())
    }

    fn subscribed(&self, peer: &Self) -> bool {
        let gossip = self.node.swarm.behaviour();
        gossip
            .topics_of(&peer.node.id())
            .contains(&gossip.topic(&earth()))
    }

    fn join(&mut self) {
        self.gossip().join(&earth());
    }

    fn leave(&mut self) {
        self.gossip().leave(&earth());
    }

    /// Publishes its next frame, and returns what identifies it.
    fn publish(&mut self) -> Result<FrameId, NotPublished> {
        let frame = self.next_frame();
        // Also where it has not joined.
        self.gossip().publish_bytes(&earth(), frame.bytes())?;
        Ok(frame.id())
    }

    fn next_frame(&mut self) -> Frame {
        self.frame_of(b"hello")
    }

    fn frame_of(&mut self, payload: &[u8]) -> Frame {
        self.posted += 1;
        let mut records = Vec::new();
        write_record(&mut records, Format::Raw, Part::Whole, payload);
        let seq = Seq::new(self.posted).expect("not zero");
        Frame::build(
            &self.identity,
            &earth(),
            seq,
            wall_time(),
            Duration::ZERO,
            &records,
        )
        .expect("fits")
    }

    /// The next frame it hears.
    async fn heard(&mut self) -> Frame {
        loop {
            if let GossipEvent::Frame { frame, .. } = self.node.event().await {
                return frame;
            }
        }
    }

    /// Hands a frame on to everybody who listens but this one.
    fn forward(&mut self, frame: &Frame, but: &Self) -> Result<usize, NotPublished> {
        let channel = earth();
        let listening = self.gossip().listening(&channel);
        let to: Vec<_> = listening.filter(|peer| *peer != but.node.id()).collect();
        self.gossip().forward(frame, &to, Time::ZERO)
    }
}

fn earth() -> ChannelName {
    ChannelName::new("earth").expect("allowed")
}

/// Drives all until that is so.
async fn until<const N: usize>(carriers: [&mut Carrier; N], is_so: impl Fn([&Carrier; N]) -> bool) {
    let mut carriers = carriers;
    guard(async {
        while !is_so(carriers.each_ref().map(|it| &**it)) {
            let steps = carriers.each_mut().map(|it| Box::pin(it.node.step()));
            futures::future::select_all(steps).await;
        }
    })
    .await;
}

/// What one hears next while the others run.
async fn next_of<const N: usize>(listener: &mut Carrier, others: [&mut Carrier; N]) -> FrameId {
    next_frame_of(listener, others).await.id()
}

/// The same, whole.
async fn next_frame_of<const N: usize>(listener: &mut Carrier, others: [&mut Carrier; N]) -> Frame {
    let others = futures::future::join_all(others.map(|it| it.node.run()));
    guard(async {
        tokio::select! { frame = listener.heard() => frame, _ = others => unreachable!("they run for ever") }
    })
    .await
}

fn chain() -> [Carrier; 3] {
    let key = MeshKey::from_entropy([1; 48]);
    [1, 2, 3].map(|name| Carrier::new(&key, name))
}

#[tokio::test]
async fn nothing_is_published_to_a_lazy_peer_and_what_it_publishes_is_heard() {
    let [mut a, mut b, _] = chain();
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.gives(b) && b.gives(a)).await;
    a.set_lazy(&b, true);
    for _ in 0..3 {
        assert!(matches!(a.publish(), Err(NotPublished::NoPeer)));
    }
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b]).await, of_b);
    a.set_lazy(&b, false);
    let of_a = a.publish().expect("published");
    assert_eq!(next_of(&mut b, [&mut a]).await, of_a, "the first it hears");
}

#[tokio::test]
async fn gossip_hands_nothing_on_by_itself_and_what_it_is_told_to_the_named_peers_alone() {
    let key = MeshKey::from_entropy([1; 48]);
    let [mut a, mut relay, mut c, mut d] = [1, 2, 3, 4].map(|name| Carrier::new(&key, name));
    for peer in [&mut a, &mut c, &mut d] {
        relay.node.dial(&mut peer.node).await;
    }
    let linked = |all: [&Carrier; 4]| {
        let [a, relay, c, d] = all;
        a.gives(relay) && [a, c, d].iter().all(|peer| relay.gives(peer))
    };
    until([&mut a, &mut relay, &mut c, &mut d], linked).await;
    a.publish().expect("published");
    next_of(&mut relay, [&mut a, &mut c, &mut d]).await;
    a.publish().expect("published");
    let second = next_frame_of(&mut relay, [&mut a, &mut c, &mut d]).await;
    let to_c = relay.gossip().forward(&second, &[c.node.id()], Time::ZERO);
    assert_eq!(to_c, Ok(1));
    // The first it hears: the one before came to nobody else.
    assert_eq!(
        next_of(&mut c, [&mut a, &mut relay, &mut d]).await,
        second.id()
    );
    // Their queues keep the order, so what was handed on to them would come before.
    let of_relay = relay.publish().expect("published");
    assert_eq!(
        next_of(&mut d, [&mut a, &mut relay, &mut c]).await,
        of_relay
    );
    assert_eq!(
        next_of(&mut a, [&mut relay, &mut c, &mut d]).await,
        of_relay
    );
}

#[tokio::test]
async fn nothing_is_handed_on_to_a_lazy_peer_until_it_keeps_up_again() {
    let [mut a, mut relay, mut c] = chain();
    a.node.dial(&mut relay.node).await;
    relay.node.dial(&mut c.node).await;
    let linked = |[a, relay, c]: [&Carrier; 3]| {
        a.gives(relay) && relay.gives(a) && relay.gives(c) && c.gives(relay)
    };
    until([&mut a, &mut relay, &mut c], linked).await;
    relay.set_lazy(&c, true);
    for _ in 0..3 {
        a.publish().expect("published");
        let frame = next_frame_of(&mut relay, [&mut a, &mut c]).await;
        let handed_on = relay.forward(&frame, &a);
        assert!(
            matches!(handed_on, Err(NotPublished::NoPeer)),
            "{handed_on:?}"
        );
    }
    // Frames of the laggard go on to the others as well.
    let of_c = c.publish().expect("published");
    let frame = next_frame_of(&mut relay, [&mut a, &mut c]).await;
    relay.forward(&frame, &c).expect("handed on");
    assert_eq!(next_of(&mut a, [&mut relay, &mut c]).await, of_c);

    relay.set_lazy(&c, false);
    let of_a = a.publish().expect("published");
    let frame = next_frame_of(&mut relay, [&mut a, &mut c]).await;
    relay.forward(&frame, &a).expect("handed on");
    // Its queue keeps the order, so whatever was handed on to it would come before.
    assert_eq!(next_of(&mut c, [&mut a, &mut relay]).await, of_a);
}

#[tokio::test]
async fn a_frame_is_charged_to_whom_it_is_given_until_it_is_written() {
    let [mut a, mut b, _] = chain();
    let (budget, b_pays) = (Budget::default(), payer(&b.node.id()));
    a.gossip().charge_to(budget.clone());
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.gives(b)).await;
    let used = || budget.statement(b_pays).used;
    let before = used();
    for _ in 0..3 {
        let frame = a.next_frame();
        a.gossip().publish(&frame, Time::ZERO).expect("published");
        assert_eq!(used(), before + frame.bytes().len() + ENTRY_BYTES);
        assert_eq!(next_of(&mut b, [&mut a]).await, frame.id());
        assert_eq!(used(), before);
    }
}

#[tokio::test]
async fn a_frame_is_told_of_once_however_often_it_comes_and_who_published_it_hears_no_copy() {
    let [mut a, mut b, mut c] = chain();
    for peer in [&mut a, &mut c] {
        b.node.dial(&mut peer.node).await;
    }
    until([&mut a, &mut b, &mut c], |[a, b, c]| {
        a.gives(b) && c.gives(b) && b.gives(a)
    })
    .await;
    let (frame, b_id) = (a.next_frame(), b.node.id());
    a.gossip().publish(&frame, Time::ZERO).expect("published");
    let heard = next_frame_of(&mut b, [&mut a, &mut c]).await;
    for _ in 0..3 {
        assert_eq!(
            b.gossip().forward(&heard, &[a.node.id()], Time::ZERO),
            Ok(1)
        );
        assert_eq!(a.gossip().forward(&frame, &[b_id], Time::ZERO), Ok(1));
    }
    let next = a.publish().expect("published");
    assert_eq!(next_of(&mut b, [&mut a, &mut c]).await, next);
    let of_b = b.publish().expect("published");
    assert_eq!(next_of(&mut a, [&mut b, &mut c]).await, of_b);
}

#[tokio::test]
async fn a_peer_that_comes_back_is_published_to_again() {
    let [mut a, mut b, _] = chain();
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.gives(b) && b.gives(a)).await;
    a.set_lazy(&b, true);
    a.node
        .swarm
        .disconnect_peer_id(b.node.id())
        .expect("is connected");
    until([&mut a, &mut b], |[a, b]| {
        a.node.connections.is_empty() && b.node.connections.is_empty()
    })
    .await;
    a.node.dial(&mut b.node).await;
    until([&mut a, &mut b], |[a, b]| a.subscribed(b)).await;
    let of_a = a.publish().expect("published");
    assert_eq!(next_of(&mut b, [&mut a]).await, of_a);
}

#[tokio::test]
async fn what_a_lazy_peer_joins_and_leaves_counts_afterwards() {
    let [mut a, mut b, _] = chain();
    b.leave();
    a.node.dial(&mut b.node).await;
    // Nothing is known of it yet.
    a.set_lazy(&b, true);
    b.join();
    until([&mut a, &mut b], |[a, b]| a.subscribed(b)).await;
    assert!(!a.gives(&b));
    a.set_lazy(&b, false);
    assert!(a.gives(&b));

    a.set_lazy(&b, true);
    b.leave();
    until([&mut a, &mut b], |[a, b]| !a.subscribed(b)).await;
    a.set_lazy(&b, false);
    assert!(!a.gives(&b));
}

/// A node of libp2p's gossipsub, set so that messages are what they are here.
fn stock() -> swarm_fixture::Node<gossipsub::Behaviour> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .message_id_fn(|message| FrameId::of(&message.data).as_bytes().to_vec().into())
        .max_transmit_size(rpc::MAX_LEN)
        .build()
        .expect("allowed");
    let anonymous = gossipsub::MessageAuthenticity::Anonymous;
    let behaviour = gossipsub::Behaviour::new(anonymous, config).expect("allowed");
    swarm_fixture::Node::new(behaviour)
}

#[tokio::test]
async fn a_node_of_libp2ps_gossipsub_hears_and_is_heard() {
    let [mut a, mut b, _] = chain();
    let mut stock = stock();
    let topic = gossipsub::IdentTopic::new(a.gossip().topic(&earth()));
    stock
        .swarm
        .behaviour_mut()
        .subscribe(&topic)
        .expect("allowed");
    a.node.dial(&mut stock).await;
    let stock_id = stock.id();
    guard(async {
        while !a.gossip().listening(&earth()).any(|peer| peer == stock_id) {
            tokio::select! { () = a.node.step() => {}, () = stock.step() => {} }
        }
    })
    .await;
    for len in [10, 200_000] {
        let frame = a.frame_of(&vec![7; len]);
        a.gossip().publish(&frame, Time::ZERO).expect("published");
        let message = guard(async {
            loop {
                let event = tokio::select! {
                    event = stock.event() => event,
                    () = a.node.run() => continue,
                };
                if let gossipsub::Event::Message { message, .. } = event {
                    return message;
                }
            }
        });
        assert_eq!(message.await.data, frame.bytes()[..]);

        let frame = b.frame_of(&vec![8; len]);
        let behaviour = stock.swarm.behaviour_mut();
        let published = behaviour.publish(topic.clone(), frame.bytes().to_vec());
        published.expect("published");
        let heard = guard(async {
            tokio::select! { heard = a.heard() => heard, () = stock.run() => unreachable!() }
        });
        assert_eq!(heard.await.bytes(), frame.bytes());
    }
    // It forgets who leaves.
    stock.swarm.behaviour_mut().unsubscribe(&topic);
    guard(async {
        while a.gossip().listening(&earth()).next().is_some() {
            tokio::select! { () = a.node.step() => {}, () = stock.step() => {} }
        }
    })
    .await;
}

#[tokio::test]
async fn topics_that_no_channel_has_are_not_kept_and_name_who_announces_them() {
    let [mut a, ..] = chain();
    let (mut stock, topic) = (stock(), a.gossip().topic(&earth()));
    let strange = [
        "0".repeat(31),
        "0".repeat(33),
        "g".repeat(32),
        "A".repeat(32),
        "0".repeat(100_000),
    ];
    let announced = strange.iter().chain([&topic]);
    for topic in announced.map(gossipsub::IdentTopic::new) {
        stock
            .swarm
            .behaviour_mut()
            .subscribe(&topic)
            .expect("allowed");
    }
    let id = stock.id();
    a.node.dial(&mut stock).await;
    // Also while it is lazy.
    a.gossip().set_lazy(id, true);
    guard(async {
        let mut counted = 0;
        while counted < strange.len() as u64 || a.gossip().topics_of(&id).is_empty() {
            let event =
                tokio::select! { event = a.node.event() => event, () = stock.run() => continue };
            if let GossipEvent::Misbehaved {
                peer,
                offence,
                times,
            } = event
            {
                assert_eq!((peer, offence), (id, Offence::Unreadable));
                counted += times;
            }
        }
    })
    .await;
    assert_eq!(a.gossip().topics_of(&id), [topic]);
}

#[tokio::test]
async fn what_was_joined_before_and_after_a_connection_is_announced_and_what_was_left_is_not() {
    let [mut a, mut b, _] = chain();
    let channel = |n: usize| ChannelName::new(&format!("channel-{n}")).expect("allowed");
    for n in 0..3_000 {
        b.gossip().join(&channel(n));
    }
    (0..1_000).for_each(|n| b.gossip().leave(&channel(n)));
    a.node.dial(&mut b.node).await;
    for n in 3_000..4_000 {
        b.gossip().join(&channel(n));
    }
    (1_000..2_000).for_each(|n| b.gossip().leave(&channel(n)));
    let mut expected: Vec<_> = (2_000..4_000)
        .map(|n| b.gossip().topic(&channel(n)))
        .collect();
    expected.push(b.gossip().topic(&earth()));
    expected.sort();
    let b_id = b.node.id();
    until([&mut a, &mut b], |[a, _]| {
        let mut known = a.node.swarm.behaviour().topics_of(&b_id);
        known.sort();
        known == expected
    })
    .await;
}

/// Peers that dial each other have two connections for a moment, of which one is closed.
#[tokio::test]
async fn frames_stay_in_order_when_one_of_two_connections_ends() {
    let [mut a, mut b, _] = chain();
    a.node.dial(&mut b.node).await;
    b.node.dial(&mut a.node).await;
    until([&mut a, &mut b], |[a, b]| a.gives(b) && b.gives(a)).await;
    for round in 0..2 {
        let mut published: Vec<_> = (0..5).map(|_| a.publish().expect("published")).collect();
        if round == 0 {
            let first = a.node.connections[0];
            a.node.swarm.close_connection(first);
        }
        published.extend((0..5).map(|_| a.publish().expect("published")));
        let mut heard = Vec::new();
        while heard.last() != published.last() {
            heard.push(next_of(&mut b, [&mut a]).await);
        }
        // Some may have been on their way into the one that was closed.
        published.retain(|id| heard.contains(id));
        assert_eq!(heard, published);
        until([&mut a, &mut b], |[a, b]| {
            a.node.connections.len() == 1 && b.node.connections.len() == 1
        })
        .await;
    }
    assert!(a.gives(&b) && a.subscribed(&b));
}
