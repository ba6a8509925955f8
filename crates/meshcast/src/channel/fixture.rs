//! Deliveries as a driver would make them, and hubs without a node.

use std::sync::Arc;

use meshcast_proto::{
    Budget, ChannelName, Config, Engine, Format, Identity, Member, MeshKey, NodeName, Output,
    Payer, Region, SeqRange, Time, Trust, WallTime,
};

use super::{
    Hub, Item, ObjectId,
    outbox::{Outbox, Posters, Section},
};
use crate::{
    channel::{Common, Here, Registry},
    clock::Clock,
    limits::Limits,
};

/// A node that posts on one channel.
pub(crate) struct Source {
    engine: Engine,
    channel: ChannelName,
    pub(crate) member: Arc<Member>,
}

impl Source {
    pub(crate) fn new(number: u8) -> Self {
        let key = MeshKey::from_entropy([1; 48]);
        let name = NodeName::new(&format!("node-{number}")).expect("allowed");
        let region = Region::new("somewhere").expect("allowed");
        let entropy = std::array::from_fn(|i| if i < 32 { number } else { number + 100 });
        let identity = Identity::from_mesh_key(&key, name, region, entropy, WallTime::MIN);
        let member = Arc::new(
            Trust::from(&key)
                .verify(identity.chain().as_bytes())
                .expect("a member"),
        );
        let channel = ChannelName::new("earth").expect("allowed");
        let mut engine = Engine::new(Config::default(), identity, Arc::clone(&member), 0);
        engine
            .handle_open(
                &channel,
                meshcast_proto::Since::Now,
                meshcast_proto::Time::ZERO,
            )
            .expect("one channel");
        Self {
            engine,
            channel,
            member,
        }
    }

    /// The item that others hear when it posts these values.
    pub(crate) fn heard(&mut self, values: &[&[u8]]) -> Vec<Item> {
        let mut outbox = outbox(usize::MAX);
        for value in values {
            outbox.push(ObjectId::nth(0), ObjectId::nth(1), Format::Raw, value);
        }
        let mut items = Vec::new();
        while let Some(section) = outbox.pop() {
            items.extend(self.post(section, false).0);
        }
        items
    }

    /// The item that objects of its own process hear when this section leaves.
    pub(crate) fn post(
        &mut self,
        mut section: Section,
        with_posters: bool,
    ) -> (Vec<Item>, SeqRange) {
        let draft = std::mem::take(&mut section.draft);
        let seqs = self
            .engine
            .handle_post(&self.channel, draft, Time::ZERO, WallTime::MIN)
            .expect("a section is a frame");
        let posters: Option<Arc<Posters>> = with_posters.then(|| Arc::new(section.posters(seqs)));
        let outputs = std::iter::from_fn(|| self.engine.poll_output());
        let items = outputs.filter_map(|output| match output {
            Output::Deliver(_, delivery) => Some(Item::Values(delivery, posters.clone())),
            _ => None,
        });
        (items.collect(), seqs)
    }
}

/// What is posted on the channel of a [`Source`].
pub(crate) fn outbox(limit: usize) -> Outbox {
    let account = Budget::new(usize::MAX).account(Payer::Ourselves);
    Outbox::new(ChannelName::new("earth").expect("allowed"), limit, account)
}

/// A hub whose handlers run on the current runtime.
pub(crate) fn hub(limits: Limits) -> (Arc<Hub>, Arc<Registry>) {
    let registry = Arc::new(Registry::new(Common::new(
        limits,
        Budget::new(usize::MAX),
        Here {
            topics: MeshKey::from_entropy([1; 48]).mesh().topics(),
            me: libp2p::PeerId::random(),
        },
        Clock::start(),
        tokio::runtime::Handle::current(),
    )));
    let name = ChannelName::new("earth").expect("allowed");
    let hub = registry.open(name, |hub| hub).expect("one channel");
    (hub, registry)
}
