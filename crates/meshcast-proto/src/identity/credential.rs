//! Who is a member: the chain authority → member key → boot key.
//!
//! An *authority* signs a [`Credential`]: in this mesh, this member key has this name and region,
//! from this time to that. The mesh id is signed but not written down, so nobody can check the
//! signature without knowing it. The member key signs the *boot key* that a process makes at its
//! start. Both signatures together are a [`Chain`]. It travels in every frame and is shown at the
//! gate, so anybody who knows the authority can check a frame at any time, whoever hands it over.

use std::{fmt, time::Duration};

use crate::{
    identity::{
        key::{Keypair, MeshId, MeshKey},
        signature::PublicKey,
    },
    wire::{
        LabelError, NodeName, Region, Sender, Short, WallTime,
        codec::{self, BootBody, ChainBody, CodecError, CredentialBody, MAX_CHAIN_LEN},
    },
};

/// What an authority says about a member. Only [`Authority::issue`] and a verified [`Chain`] make
/// one. `Debug` shortens the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The member's public key.
    pub subject: [u8; 32],
    /// The name of the member, for people.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Not valid before.
    pub not_before: WallTime,
    /// Not valid after.
    pub not_after: WallTime,
    /// Distinguishes credentials of one subject.
    pub serial: u64,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("subject", &Short(&self.subject))
            .field("name", &self.name)
            .field("region", &self.region)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("serial", &self.serial)
            .finish()
    }
}

/// The authorities that are believed, and the mesh: everything a node needs to tell members from
/// strangers.
#[derive(Clone)]
pub struct Trust {
    mesh: MeshId,
    authorities: Vec<[u8; 32]>,
}

impl Trust {
    /// Believes these authorities (public keys). Two at once allow rotation.
    pub fn new(mesh: MeshId, authorities: Vec<[u8; 32]>) -> Self {
        Self { mesh, authorities }
    }

    /// The mesh.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Verifies an encoded chain: two signatures.
    ///
    /// Time is not checked here; see [`Member::check_time`].
    ///
    /// # Errors
    /// Any [`ChainError`] but those about time.
    pub fn verify(&self, chain: &[u8]) -> Result<Member, ChainError> {
        if chain.len() > Chain::MAX_LEN {
            return Err(ChainError::TooLong {
                len: chain.len(),
                limit: Chain::MAX_LEN,
            });
        }
        let body: ChainBody<'_> = codec::decode(chain)?;
        let credential: CredentialBody<'_> = codec::decode(body.credential)?;
        if !self.authorities.contains(&credential.authority) {
            return Err(ChainError::UnknownAuthority);
        }
        verify(
            &credential.authority,
            &credential_hash(self.mesh, body.credential),
            &body.credential_signature,
        )
        .ok_or(ChainError::BadSignature)?;
        verify(
            &credential.subject,
            &boot_hash(&body.boot),
            &body.boot_signature,
        )
        .ok_or(ChainError::BadSignature)?;
        let boot = PublicKey::new(body.boot.boot).ok_or(ChainError::BadKey)?;
        let credential = Credential {
            subject: credential.subject,
            name: NodeName::new(credential.name).map_err(ChainError::BadName)?,
            region: Region::new(credential.region).map_err(ChainError::BadName)?,
            not_before: WallTime::from_unix_millis(credential.not_before),
            not_after: WallTime::from_unix_millis(credential.not_after),
            serial: credential.serial,
        };
        Ok(Member {
            sender: Sender::new(body.boot.boot),
            boot,
            credential,
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorities: Vec<_> = self.authorities.iter().map(|key| Short(key)).collect();
        f.debug_struct("Trust")
            .field("authorities", &authorities)
            .finish_non_exhaustive()
    }
}

/// A process whose chain was verified: a member and its boot key. `Debug` shows who it is and
/// leaves out the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    sender: Sender,
    boot: PublicKey,
    credential: Credential,
}

impl Member {
    /// The sender it is.
    pub const fn sender(&self) -> Sender {
        self.sender
    }

    /// What the authority says about it.
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Checks that the credential is valid, with a tolerance of [`CLOCK_SKEW`] at both ends.
    ///
    /// `grace` extends the end: frames may be handed on for a while after their sender's credential
    /// ended, but connections may not go on.
    ///
    /// # Errors
    /// [`ChainError::NotYetValid`] or [`ChainError::Expired`].
    pub fn check_time(&self, now: WallTime, grace: Duration) -> Result<(), ChainError> {
        if now + CLOCK_SKEW < self.credential.not_before {
            Err(ChainError::NotYetValid {
                not_before: self.credential.not_before,
            })
        } else if now > self.credential.not_after + grace + CLOCK_SKEW {
            Err(ChainError::Expired {
                not_after: self.credential.not_after,
            })
        } else {
            Ok(())
        }
    }

    /// The key that it signs frames with.
    pub(crate) const fn boot(&self) -> &PublicKey {
        &self.boot
    }

    /// Whether the member signed this hash with its boot key.
    pub(crate) fn signed(&self, hash: &blake3::Hash, signature: &[u8; 64]) -> bool {
        self.boot.signed(hash, signature)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.credential.name)
            .field("region", &self.credential.region)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

/// The skew of members' clocks at which credentials are refused.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// Why a chain does not make its bearer a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Over the length any chain can have.
    #[error("credential of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest one allowed.
        limit: usize,
    },
    /// The bytes are not a chain.
    #[error("credential is unreadable: {0}")]
    Unreadable(#[from] CodecError),
    /// Its authority is not believed in this mesh.
    #[error("credential is from an unknown authority")]
    UnknownAuthority,
    /// A signature is wrong: the chain is forged or damaged.
    #[error("credential has a wrong signature")]
    BadSignature,
    /// A key is not a usable Ed25519 key.
    #[error("credential holds an unusable key")]
    BadKey,
    /// The name or region is not allowed.
    #[error("credential holds a bad name: {0}")]
    BadName(LabelError),
    /// It is not valid yet, or this clock is behind.
    #[error("credential is not valid before {not_before}")]
    NotYetValid {
        /// When it begins.
        not_before: WallTime,
    },
    /// It has expired, or this clock is ahead.
    #[error("credential expired at {not_after}")]
    Expired {
        /// When it ended.
        not_after: WallTime,
    },
}

impl MeshKey {
    /// The authority of that mesh.
    pub fn authority(&self) -> Authority {
        Authority::new(self.mesh(), self.authority_keypair())
    }
}

/// Issues the credentials of one mesh. One key may be the authority of several meshes: a signature
/// for one is worth nothing in another.
#[derive(Debug, Clone)]
pub struct Authority {
    mesh: MeshId,
    keypair: Keypair,
}

impl Authority {
    /// The authority of this mesh with this key pair.
    pub const fn new(mesh: MeshId, keypair: Keypair) -> Self {
        Self { mesh, keypair }
    }

    /// Its public key, for [`Trust`].
    pub fn public(&self) -> [u8; 32] {
        self.keypair.public()
    }

    /// Signs a credential.
    pub fn issue(&self, credential: &Credential) -> SignedCredential {
        let body = codec::encode(&CredentialBody {
            authority: self.public(),
            subject: credential.subject,
            name: credential.name.as_str(),
            region: credential.region.as_str(),
            grants: &[],
            not_before: credential.not_before.unix_millis(),
            not_after: credential.not_after.unix_millis(),
            serial: credential.serial,
        });
        let signature = self.keypair.sign(&credential_hash(self.mesh, &body));
        SignedCredential {
            subject: credential.subject,
            body,
            signature,
        }
    }
}

/// A credential as its authority signed it.
#[derive(Clone)]
pub struct SignedCredential {
    subject: [u8; 32],
    body: Vec<u8>,
    signature: [u8; 64],
}

impl fmt::Debug for SignedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignedCredential({:?}, {} bytes)",
            Short(&self.subject),
            self.body.len()
        )
    }
}

/// A chain of this process, encoded.
#[derive(Clone)]
pub struct Chain(Vec<u8>);

impl Chain {
    /// More than any chain takes (two labels of 63 bytes, four keys and signatures), with room for
    /// grants.
    pub const MAX_LEN: usize = MAX_CHAIN_LEN;

    /// The bytes that travel.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({} bytes)", self.0.len())
    }
}

/// The identity of a process: its boot key, and the chain that makes it a member.
#[derive(Clone)]
pub struct Identity {
    boot: Keypair,
    chain: Chain,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.sender())
    }
}

impl Identity {
    /// Signs the boot key of this process with the member's key.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing was signed.
    pub fn new(
        credential: &SignedCredential,
        member: &Keypair,
        boot: Keypair,
        now: WallTime,
    ) -> Result<Self, IdentityError> {
        if member.public() == credential.subject {
            Ok(Self::link(credential, member, boot, now))
        } else {
            Err(IdentityError::NotTheSubject)
        }
    }

    /// Makes the chain without checking that it is valid.
    fn link(credential: &SignedCredential, member: &Keypair, boot: Keypair, now: WallTime) -> Self {
        let body = BootBody {
            boot: boot.public(),
            issued_at: now.unix_millis(),
        };
        let boot_signature = member.sign(&boot_hash(&body));
        let chain = codec::encode(&ChainBody {
            credential: &credential.body,
            credential_signature: credential.signature,
            boot: body,
            boot_signature,
        });
        Self {
            boot,
            chain: Chain(chain),
        }
    }

    /// Simple mode: the holder of the mesh key issues its own credential. It never expires, since
    /// the holder could always issue the next one. `entropy` seeds the member key and the boot key.
    pub fn from_mesh_key(
        key: &MeshKey,
        name: NodeName,
        region: Region,
        entropy: [u8; 64],
        now: WallTime,
    ) -> Self {
        let (member, boot) = entropy.split_at(32);
        let pair = |seed: &[u8]| Keypair::from_seed(std::array::from_fn(|i| seed[i]));
        let (member, boot) = (pair(member), pair(boot));
        let credential = key.authority().issue(&Credential {
            subject: member.public(),
            name,
            region,
            not_before: WallTime::MIN,
            not_after: WallTime::MAX,
            serial: 0,
        });
        Self::link(&credential, &member, boot, now)
    }

    /// The sender this process is.
    pub fn sender(&self) -> Sender {
        Sender::new(self.boot.public())
    }

    /// The boot key.
    pub const fn boot(&self) -> &Keypair {
        &self.boot
    }

    /// The chain to show.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }
}

/// Why a process cannot be made a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The credential is for another key than the member's.
    #[error("the credential belongs to another member key")]
    NotTheSubject,
}

impl From<&MeshKey> for Trust {
    fn from(key: &MeshKey) -> Self {
        Self::new(key.mesh(), vec![key.authority().public()])
    }
}

fn verify(key: &[u8; 32], hash: &blake3::Hash, signature: &[u8; 64]) -> Option<()> {
    PublicKey::new(*key)?.signed(hash, signature).then_some(())
}

/// Each kind of signature is over a hash of its own domain, so one never passes for another. The
/// mesh id comes first and has a fixed length, so no other mesh and body give the same bytes.
fn credential_hash(mesh: MeshId, body: &[u8]) -> blake3::Hash {
    blake3::Hasher::new_derive_key("meshcast v1 credential")
        .update(mesh.as_bytes())
        .update(body)
        .finalize()
}

fn boot_hash(body: &BootBody) -> blake3::Hash {
    blake3::Hasher::new_derive_key("meshcast v1 boot key")
        .update(&codec::encode(body))
        .finalize()
}

#[cfg(test)]
mod tests;
