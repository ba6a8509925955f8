//! Senders and frames for tests, always the same.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    identity::{Identity, Member, MeshKey, Trust},
    wire::{
        ChannelName, Format, Frame, MAX_FRAGMENT_LEN, NodeName, Part, Region, Seq, WallTime,
        write_record,
    },
};

/// One start of a process.
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    pub(crate) member: Arc<Member>,
}

/// The `n`th of [`PEERS`] peers.
pub(crate) fn peer(n: usize) -> &'static Peer {
    static ALL: LazyLock<Vec<Peer>> = LazyLock::new(|| (0..PEERS).map(make).collect());
    &ALL[n]
}

pub(crate) const PEERS: usize = 16;

/// Another start of the member that has all of these, and that no peer is.
pub(crate) fn restarted(n: u8) -> Peer {
    start(
        "restarted",
        std::array::from_fn(|i| if i < 32 { 200 } else { n }),
    )
}

fn make(n: usize) -> Peer {
    let entropy = std::array::from_fn(|i| u8::try_from(n * 64 + i).unwrap_or((n + i) as u8));
    start(&format!("node-{n}"), entropy)
}

fn start(name: &str, entropy: [u8; 64]) -> Peer {
    let key = MeshKey::from_entropy([7; 48]);
    let identity = Identity::from_mesh_key(
        &key,
        NodeName::new(name).expect("valid"),
        Region::new("fra").expect("valid"),
        entropy,
        WallTime::MIN,
    );
    let member = Trust::from(&key).verify(identity.chain().as_bytes());
    Peer {
        member: Arc::new(member.expect("it holds the mesh key")),
        identity,
    }
}

/// What a fragment holds that is not the last of its value.
pub(crate) static FULL: [u8; MAX_FRAGMENT_LEN] = [7; MAX_FRAGMENT_LEN];

/// The `n`th channel.
pub(crate) fn channel(n: usize) -> ChannelName {
    ChannelName::new(["earth", "moon", "mars"][n]).expect("valid")
}

/// The time for which a sender had been posting: since before any channel of a test was opened.
const OLD: Duration = Duration::from_secs(1_000_000);

/// A frame of these records, numbered from `first`.
pub(crate) fn frame<'a>(
    peer: &Peer,
    channel: &ChannelName,
    first: u64,
    records: impl IntoIterator<Item = (Part, &'a [u8])>,
) -> Frame {
    let mut section = Vec::new();
    for (part, payload) in records {
        write_record(&mut section, Format::Raw, part, payload);
    }
    let first = Seq::new(first).expect("not 0");
    Frame::build(&peer.identity, channel, first, WallTime::MIN, OLD, &section).expect("fits")
}

/// A frame of `count` small whole values.
pub(crate) fn wholes(peer: &Peer, channel: &ChannelName, first: u64, count: usize) -> Frame {
    frame(
        peer,
        channel,
        first,
        std::iter::repeat_n((Part::Whole, b"x".as_slice()), count),
    )
}
