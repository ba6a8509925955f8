//! The names of a process: the key of its connections is its boot key, so [`PeerId`] and [`Sender`]
//! are two spellings of one key.

use libp2p::PeerId;
use meshcast_proto::{Payer, Sender};

/// The PeerId of a sender.
pub(crate) fn peer_id(sender: Sender) -> PeerId {
    let bytes = [&[IDENTITY_HASH, INLINE_LEN], &KEY_PREFIX[..], sender.key()].concat();
    PeerId::from_bytes(&bytes).expect("36 bytes are an identity multihash, whatever the key")
}

/// The sender with this PeerId; `None` if its key is not an Ed25519 key (and then it is none of
/// ours).
pub(crate) fn sender(peer: &PeerId) -> Option<Sender> {
    let hash = peer.as_ref();
    let key = hash.digest().strip_prefix(&KEY_PREFIX)?.try_into().ok()?;
    (hash.code() == u64::from(IDENTITY_HASH)).then_some(Sender::new(key))
}

/// The payer for what a peer does.
pub(crate) fn payer(peer: &PeerId) -> Payer {
    // All have such a key; if one had not, this node would pay.
    sender(peer).map_or(Payer::Ourselves, Payer::from)
}

/// Multihash code: the "hash" is the thing itself.
const IDENTITY_HASH: u8 = 0;
/// The bytes before an Ed25519 key in a PeerId: protobuf field 1 (type) is 1, field 2 (key) has 32
/// bytes.
const KEY_PREFIX: [u8; 4] = [8, 1, 18, 32];
const INLINE_LEN: u8 = 36;

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn peer_ids_and_senders_are_the_same_keys() {
        let pair = Keypair::generate_ed25519();
        let key = pair.public().try_into_ed25519().expect("is one").to_bytes();
        let peer = pair.public().to_peer_id();
        assert_eq!(sender(&peer), Some(Sender::new(key)));
        assert_eq!(peer_id(Sender::new(key)), peer);
    }

    #[test]
    fn no_sender_is_found_where_no_key_is() {
        assert_eq!(sender(&PeerId::random()), None);
    }
}
