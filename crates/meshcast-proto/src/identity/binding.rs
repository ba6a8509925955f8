//! Binds the handshake of a transport to the mesh.

use std::fmt;

use crate::{
    identity::{credential::Identity, key::MeshId, signature::PublicKey},
    wire::Sender,
};

/// The binding of handshake signatures to a mesh: nobody can sign a handshake who does not know the
/// mesh.
///
/// A process signs with its boot key, and not the words themselves but their hash, keyed by the
/// mesh. A stranger to the mesh can neither make nor check such a signature, and learns nothing of
/// the mesh from one.
#[derive(Clone)]
pub struct Binding([u8; 32]);

impl Binding {
    /// That of handshakes between members of this mesh.
    pub fn new(mesh: MeshId) -> Self {
        Self(mesh.derive("meshcast v1 tls handshake"))
    }

    /// The signature of this process.
    pub fn sign(&self, identity: &Identity, said: &[u8]) -> [u8; 64] {
        identity.boot().sign(&self.hash(said))
    }

    /// Whether the holder of this key signed this, and knows the mesh.
    ///
    /// As strict as frames are: with a key or a point of small order a signature could be right
    /// for words that whoever made it does not know.
    pub fn is_signed(&self, by: Sender, said: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = signature.try_into() else {
            return false;
        };
        PublicKey::new(*by.key()).is_some_and(|key| key.signed(&self.hash(said), signature))
    }

    fn hash(&self, said: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, said)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::key::MeshKey,
        wire::{NodeName, Region, WallTime},
    };

    fn process(key: &MeshKey) -> Identity {
        let name = NodeName::new("amber").expect("allowed");
        let region = Region::new("fra").expect("allowed");
        let entropy = std::array::from_fn(|i| u8::try_from(i).expect("few"));
        Identity::from_mesh_key(key, name, region, entropy, WallTime::from_unix_millis(1))
    }

    #[test]
    fn only_the_holder_of_the_key_who_knows_the_mesh_can_have_signed() {
        let key = MeshKey::from_entropy([1; 48]);
        let (here, identity) = (Binding::new(key.mesh()), process(&key));
        let elsewhere = Binding::new(MeshId::new([7; 16]));
        let sender = identity.sender();
        let signature = here.sign(&identity, b"said");
        assert!(here.is_signed(sender, b"said", &signature));
        assert!(!here.is_signed(sender, b"said!", &signature));
        assert!(!here.is_signed(Sender::new([3; 32]), b"said", &signature));
        assert!(!here.is_signed(sender, b"said", &signature[..63]));
        assert!(!elsewhere.is_signed(sender, b"said", &signature));
        let foreign = elsewhere.sign(&identity, b"said");
        assert!(!here.is_signed(sender, b"said", &foreign));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let binding = Binding::new(MeshId::new([7; 16]));
        let neutral: [u8; 32] = std::array::from_fn(|i| u8::from(i == 0));
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&neutral);
        for said in 0..16_u8 {
            assert!(!binding.is_signed(Sender::new(neutral), &[said], &signature));
        }
    }
}
