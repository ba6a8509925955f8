//! Members of one mesh, always the same.

use std::sync::{Arc, LazyLock};

use meshcast_proto::{
    ChannelName, Identity, Member, MeshKey, NodeName, Region, Sender, Trust, WallTime,
};

/// One running node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    pub(crate) member: Arc<Member>,
}

impl Peer {
    pub(crate) fn sender(&self) -> Sender {
        self.member.sender()
    }
}

/// The `n`th member, counted around.
pub(crate) fn peer(n: usize) -> &'static Peer {
    static ALL: LazyLock<Vec<Peer>> = LazyLock::new(|| (0..PEERS).map(make).collect());
    &ALL[n % PEERS]
}

pub(crate) const PEERS: usize = 8;

pub(crate) fn key() -> MeshKey {
    MeshKey::from_entropy([7; 48])
}

pub(crate) fn trust() -> Trust {
    Trust::from(&key())
}

fn make(n: usize) -> Peer {
    // Of four the numbers begin anew.
    let entropy = std::array::from_fn(|i| (64 * n + i) as u8 ^ (n as u8 / 4 * 85));
    let identity = Identity::from_mesh_key(
        &key(),
        NodeName::new(&format!("node-{n}")).expect("valid"),
        Region::new("fra").expect("valid"),
        entropy,
        WallTime::MIN,
    );
    let member = trust().verify(identity.chain().as_bytes());
    Peer {
        member: Arc::new(member.expect("it holds the mesh key")),
        identity,
    }
}

/// The `n`th channel.
pub(crate) fn channel(n: usize) -> ChannelName {
    ChannelName::new(&format!("channel-{n}")).expect("valid")
}
