//! The ways by which peers come by the frames of a log.

use crate::wire::Sender;

/// How a peer comes by the frames of a log, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// From the sender itself.
    Direct,
    /// From this node: it is the next on its way to the sender.
    ViaUs,
    /// From somebody else.
    ViaOther,
    /// It knows of no way.
    None,
}

/// Where a peer stands among the peers of a sender: as if by chance, and for everybody alike.
pub(crate) fn rank(sender: Sender, peer: Sender) -> u64 {
    let part = |key: &[u8; 32]| {
        key.iter()
            .take(8)
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    // The last steps of MurmurHash3 (Appleby, 2011): each bit counts for all. Keys are as good as
    // random, and who makes itself one by choice gains notices.
    let mut mixed = part(sender.key()).rotate_left(32) ^ part(peer.key());
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
