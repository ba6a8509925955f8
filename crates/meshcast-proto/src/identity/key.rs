//! Keys: the secret of a mesh, and the three kinds of Ed25519 keys that hang below it.

use std::{fmt, str::FromStr};

use crate::{identity::signature::SigningKey, wire::ChannelName};
use base64::{DecodeError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Which mesh: 16 random bytes that stay the same when its authorities rotate.
///
/// It is no secret among members, but strangers should not learn it: topics are named by it and the
/// handshake of each connection is bound to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MeshId([u8; 16]);

impl MeshId {
    /// The mesh with this id.
    pub const fn new(id: [u8; 16]) -> Self {
        Self(id)
    }

    /// The id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A key for one purpose, derived so that keys for different purposes tell nothing about each
    /// other. `purpose` must be unique in the program (BLAKE3 `derive_key`).
    pub fn derive(&self, purpose: &'static str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }

    /// What names the gossip topics of this mesh.
    pub fn topics(&self) -> Topics {
        Topics(self.derive("meshcast v1 topic"))
    }
}

impl fmt::Debug for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshId(…)")
    }
}

/// Names the gossip topics of channels: by a hash keyed by the mesh, so that names do not leak.
#[derive(Clone)]
pub struct Topics([u8; 32]);

impl Topics {
    /// The name of a channel's topic.
    pub fn of(&self, channel: &ChannelName) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.0, channel.wire().as_bytes());
        std::array::from_fn(|i| hash.as_bytes()[i])
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topics(…)")
    }
}

/// The one secret of simple mode, as in `MESHCAST_KEY`: whoever holds it is a member and can make
/// members.
///
/// Its text is `meshcast1-` and 70 characters: a random mesh id, a 32-byte seed and a checksum in
/// base64url. `Debug` hides it; [`Self::to_secret_text`] is the only way to see it.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshKey {
    mesh: MeshId,
    seed: [u8; 32],
}

impl MeshKey {
    /// Makes a key from 48 bytes, which must come from a cryptographic random source.
    pub fn from_entropy(entropy: [u8; 48]) -> Self {
        let mut mesh = [0; 16];
        let mut seed = [0; 32];
        mesh.copy_from_slice(&entropy[..16]);
        seed.copy_from_slice(&entropy[16..]);
        Self {
            mesh: MeshId(mesh),
            seed,
        }
    }

    /// The mesh it opens.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The key pair of the authority of that mesh.
    pub(super) fn authority_keypair(&self) -> Keypair {
        Keypair::from_seed(blake3::derive_key("meshcast v1 authority key", &self.seed))
    }

    /// The key as text, secret included.
    pub fn to_secret_text(&self) -> String {
        let mut bytes = [0; Self::LEN + Self::CHECKSUM_LEN];
        bytes[..16].copy_from_slice(&self.mesh.0);
        bytes[16..Self::LEN].copy_from_slice(&self.seed);
        let checksum = Self::checksum(&bytes[..Self::LEN]);
        bytes[Self::LEN..].copy_from_slice(&checksum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn checksum(bytes: &[u8]) -> [u8; Self::CHECKSUM_LEN] {
        let hash = blake3::derive_key("meshcast v1 key checksum", bytes);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    const LEN: usize = 48;
    /// Four bytes: one typing error in four thousand million passes.
    const CHECKSUM_LEN: usize = 4;
    /// What follows the prefix, in characters of six bits.
    const BODY_LEN: usize = ((Self::LEN + Self::CHECKSUM_LEN) * 8).div_ceil(6);
}

impl FromStr for MeshKey {
    type Err = MeshKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(MeshKeyError::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|error| match error {
            DecodeError::InvalidByte(..) | DecodeError::InvalidPadding => MeshKeyError::Encoding,
            // The last character of a whole key leaves bits over, which are 0 unless it was
            // changed. A key that was cut has any bits there.
            DecodeError::InvalidLastSymbol(..) if body.len() == Self::BODY_LEN => {
                MeshKeyError::Checksum
            }
            DecodeError::InvalidLastSymbol(..) | DecodeError::InvalidLength(_) => {
                MeshKeyError::Length
            }
        })?;
        let (key, checksum) = bytes
            .split_at_checked(Self::LEN)
            .ok_or(MeshKeyError::Length)?;
        let entropy: [u8; Self::LEN] = key.try_into().map_err(|_| MeshKeyError::Length)?;
        match checksum.len() {
            Self::CHECKSUM_LEN if checksum == Self::checksum(key) => {
                Ok(Self::from_entropy(entropy))
            }
            Self::CHECKSUM_LEN => Err(MeshKeyError::Checksum),
            _ => Err(MeshKeyError::Length),
        }
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(…)")
    }
}

/// Why a text is no mesh key. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeshKeyError {
    /// It does not begin as a key does.
    #[error("a mesh key begins with `{PREFIX}` (make one with `meshcast key new`)")]
    Prefix,
    /// There are other characters than base64url has.
    #[error("the mesh key holds characters that no key has")]
    Encoding,
    /// It is too short or too long.
    #[error("the mesh key has the wrong length: was it cut?")]
    Length,
    /// A character is wrong.
    #[error("the mesh key has a wrong checksum: a character was changed")]
    Checksum,
}

/// An Ed25519 key pair: an authority, a member, or one start of a process.
#[derive(Clone)]
pub struct Keypair(SigningKey);

impl Keypair {
    /// The pair that belongs to a secret seed, which must come from a cryptographic random source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_seed(&seed))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// The secret seed, for handing the pair to another library.
    pub fn secret_seed(&self) -> [u8; 32] {
        self.0.seed()
    }

    pub(crate) fn sign(&self, hash: &blake3::Hash) -> [u8; 64] {
        self.0.sign(hash)
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keypair(…)")
    }
}

const PREFIX: &str = "meshcast1-";

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MeshKey {
        MeshKey::from_entropy(std::array::from_fn(|i| u8::try_from(i).expect("48 fits")))
    }

    #[test]
    fn a_key_survives_being_written_down() {
        let text = key().to_secret_text();
        assert_eq!(text.len(), PREFIX.len() + 70);
        assert_eq!(format!(" {text}\n").parse(), Ok(key()));
    }

    #[test]
    fn what_went_wrong_with_a_key_is_named() {
        let text = key().to_secret_text();
        let changed = text.replacen('A', "B", 1);
        assert_eq!("".parse::<MeshKey>(), Err(MeshKeyError::Prefix));
        assert_eq!(changed.parse::<MeshKey>(), Err(MeshKeyError::Checksum));
        assert_eq!(
            text[..text.len() - 3].parse::<MeshKey>(),
            Err(MeshKeyError::Length)
        );
        assert_eq!(
            format!("{text}!").parse::<MeshKey>(),
            Err(MeshKeyError::Encoding)
        );
    }

    #[test]
    fn a_key_that_was_cut_is_called_too_short_wherever_it_was_cut() {
        let text = key().to_secret_text();
        for len in PREFIX.len()..text.len() {
            assert_eq!(
                text[..len].parse::<MeshKey>(),
                Err(MeshKeyError::Length),
                "{len}"
            );
        }
    }

    #[test]
    fn every_changed_character_of_a_key_is_noticed() {
        let text = key().to_secret_text();
        for at in PREFIX.len()..text.len() {
            for other in ["A", "z", "9", "-", "_"]
                .into_iter()
                .filter(|c| *c != &text[at..=at])
            {
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert_eq!(
                    changed.parse::<MeshKey>(),
                    Err(MeshKeyError::Checksum),
                    "{at} {other}"
                );
            }
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let key = key();
        assert_eq!(
            format!("{key:?} {:?}", key.authority()),
            "MeshKey(…) Authority { mesh: MeshId(…), keypair: Keypair(…) }"
        );
    }
}
