//! What two processes say to each other before either believes that the other is a member.

use std::time::Duration;

use crate::{
    identity::{
        credential::{Chain, ChainError, Identity, Member, Trust},
        key::MeshId,
    },
    wire::{Sender, WallTime},
};

/// One side of the gate: what it shows, and what it asks of the other side. It knows nothing of
/// connections; it writes and reads messages.
///
/// ```text
/// dialer ── hello ──────────────▶ listener   which checks it
/// dialer ◀── hello or refusal ─── listener   so a stranger sees nothing but a refusal
/// dialer ── accept or refusal ──▶ listener
/// ```
///
/// Each message is preceded by its length (two bytes) and begins with its kind; numbers are
/// big-endian.
///
/// ```text
/// hello    1 · version (2) · proof (32) · chain
/// accept   2
/// refusal  3 · version (2) · reason (1)
/// ```
///
/// The layout is fixed by hand, because versions that share nothing else must still read it: the
/// kinds, the place of the version, and the refusal never change. What follows the version in a
/// hello belongs to that version.
///
/// The *proof* is a hash of both keys, keyed by the mesh. It shows that the other side knows the
/// mesh, even where the transport cannot bind its handshake to it. The transport has already proven
/// that the other side holds its key, which makes a copied hello useless.
#[derive(Debug, Clone)]
pub struct Admission {
    version: u16,
    identity: Identity,
    trust: Trust,
}

impl Admission {
    /// The version of the protocol, everything behind the gate included.
    pub const VERSION: u16 = 9;

    /// The longest message without its length; the longest one in use has about 1060 bytes.
    pub const MAX_LEN: usize = 2046;

    /// How many bytes the length in front of a message takes.
    pub const PREFIX_LEN: usize = 2;

    /// Shows this identity, and lets in whom this trust lets in.
    pub const fn new(identity: Identity, trust: Trust) -> Self {
        Self {
            version: Self::VERSION,
            identity,
            trust,
        }
    }

    /// The same, claiming another version: for tests of what happens when versions meet.
    #[must_use]
    pub const fn with_version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// Who stands at this side of the gate.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The mesh behind the gate.
    pub const fn mesh(&self) -> MeshId {
        self.trust.mesh()
    }

    /// The hello to the holder of this key, length included.
    pub fn hello(&self, to: Sender) -> Vec<u8> {
        let proof = proof(self.mesh(), self.identity.sender(), to);
        message(&[
            &[HELLO],
            &self.version.to_be_bytes(),
            proof.as_bytes(),
            self.identity.chain().as_bytes(),
        ])
    }

    /// The message that accepts the other side, length included.
    pub fn accept(&self) -> Vec<u8> {
        message(&[&[ACCEPT]])
    }

    /// The message that refuses the other side, length included.
    pub fn refusal(&self, reason: Reason) -> Vec<u8> {
        message(&[&[REFUSAL], &self.version.to_be_bytes(), &[reason.code()]])
    }

    /// Checks the key that the other side has proven to hold, before anything is sent.
    ///
    /// # Errors
    /// [`Reason::OwnKey`].
    pub fn check_key(&self, proven: Sender) -> Result<(), Reason> {
        if proven == self.identity.sender() {
            Err(Reason::OwnKey)
        } else {
            Ok(())
        }
    }

    /// Reads the hello (without its length) of the holder of the `proven` key.
    ///
    /// # Errors
    /// [`AdmissionError::Reject`] with what is wrong with it, or [`AdmissionError::Refused`] if it
    /// is a refusal.
    pub fn check_hello(
        &self,
        message: &[u8],
        proven: Sender,
        now: WallTime,
    ) -> Result<Member, AdmissionError> {
        let Some((&HELLO, rest)) = message.split_first() else {
            return Err(self.refused_or_malformed(message));
        };
        self.check_hello_body(rest, proven, now)
            .map_err(AdmissionError::Reject)
    }

    /// Reads the dialer's answer to our hello (without its length): an acceptance, or else an
    /// error.
    ///
    /// # Errors
    /// [`AdmissionError::Refused`], or [`AdmissionError::Reject`] if it is neither acceptance nor
    /// refusal.
    pub fn check_verdict(&self, message: &[u8]) -> Result<(), AdmissionError> {
        match message {
            [ACCEPT] => Ok(()),
            _ => Err(self.refused_or_malformed(message)),
        }
    }

    fn check_hello_body(
        &self,
        body: &[u8],
        proven: Sender,
        now: WallTime,
    ) -> Result<Member, Reason> {
        let (&version, body) = body.split_first_chunk().ok_or(Reason::Malformed)?;
        let theirs = u16::from_be_bytes(version);
        if theirs != self.version {
            return Err(Reason::Version {
                ours: self.version,
                theirs,
            });
        }
        let (&shown, chain) = body
            .split_first_chunk::<PROOF_LEN>()
            .ok_or(Reason::Malformed)?;
        // Comparing hashes takes the same time wherever they differ; comparing arrays would not.
        if proof(self.mesh(), proven, self.identity.sender()) != blake3::Hash::from_bytes(shown) {
            return Err(Reason::OtherMesh);
        }
        let member = self.trust.verify(chain)?;
        if member.sender() != proven {
            return Err(Reason::KeyMismatch);
        }
        member.check_time(now, Duration::ZERO)?;
        Ok(member)
    }

    /// Later versions may say more in a refusal; the rest is ignored.
    fn refused_or_malformed(&self, message: &[u8]) -> AdmissionError {
        match *message {
            [REFUSAL, high, low, code, ..] => AdmissionError::Refused(Reason::from_code(
                code,
                self.version,
                u16::from_be_bytes([high, low]),
            )),
            _ => AdmissionError::Reject(Reason::Malformed),
        }
    }
}

/// How an admission fails; the connection must be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The other side refused us, and knows why.
    #[error("refused by the other side: {0}")]
    Refused(Reason),
    /// We refuse the other side, which must be told with a refusal.
    #[error("rejected: {0}")]
    Reject(Reason),
}

/// Why somebody is refused. It travels as one byte, so a stranger learns nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The sides speak different versions of the protocol.
    #[error("protocol version {ours} here, {theirs} there")]
    Version {
        /// The version of the side that reports it.
        ours: u16,
        /// The version of the other side.
        theirs: u16,
    },
    /// The meshes are different.
    #[error("not the same mesh (different MESHCAST_KEY?)")]
    OtherMesh,
    /// The credential was issued by somebody the checking side does not believe.
    #[error("credential from an unknown authority")]
    UnknownAuthority,
    /// The credential is forged or damaged.
    #[error("credential with a wrong signature")]
    BadSignature,
    /// The credential has expired, or a clock is wrong.
    #[error("credential expired")]
    Expired,
    /// The credential is not valid yet, or a clock is wrong.
    #[error("credential not valid yet")]
    NotYetValid,
    /// The credential is for another key than the one that secured the connection: it is stolen.
    #[error("credential of somebody else")]
    KeyMismatch,
    /// Both sides are the same process. This is normal when a node's own address is among those it
    /// dials.
    #[error("connected to itself")]
    OwnKey,
    /// The refusing side has as many members connected as it can remember.
    #[error("no room for more members")]
    Full,
    /// The credential was revoked. Reserved: nothing gives this reason yet.
    #[error("credential revoked")]
    Revoked,
    /// A message is malformed, or there are more bytes than there should be.
    #[error("malformed admission message")]
    Malformed,
    /// A reason that a later version added.
    #[error("unknown reason {0}")]
    Other(u8),
}

impl Reason {
    const fn code(self) -> u8 {
        match self {
            Self::Version { .. } => 1,
            Self::OtherMesh => 2,
            Self::UnknownAuthority => 3,
            Self::BadSignature => 4,
            Self::Expired => 5,
            Self::NotYetValid => 6,
            Self::KeyMismatch => 7,
            Self::OwnKey => 8,
            Self::Full => 9,
            Self::Revoked => 10,
            Self::Malformed => 11,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u8, ours: u16, theirs: u16) -> Self {
        match code {
            1 => Self::Version { ours, theirs },
            2 => Self::OtherMesh,
            3 => Self::UnknownAuthority,
            4 => Self::BadSignature,
            5 => Self::Expired,
            6 => Self::NotYetValid,
            7 => Self::KeyMismatch,
            8 => Self::OwnKey,
            9 => Self::Full,
            10 => Self::Revoked,
            11 => Self::Malformed,
            other => Self::Other(other),
        }
    }
}

impl From<ChainError> for Reason {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::UnknownAuthority => Self::UnknownAuthority,
            ChainError::BadSignature => Self::BadSignature,
            ChainError::NotYetValid { .. } => Self::NotYetValid,
            ChainError::Expired { .. } => Self::Expired,
            ChainError::TooLong { .. }
            | ChainError::Unreadable(_)
            | ChainError::BadKey
            | ChainError::BadName(_) => Self::Malformed,
        }
    }
}

/// The order of the keys gives the direction, so a hello cannot be sent back as its own answer.
fn proof(mesh: MeshId, from: Sender, to: Sender) -> blake3::Hash {
    blake3::Hasher::new_keyed(&mesh.derive("meshcast v1 gate proof"))
        .update(from.key())
        .update(to.key())
        .finalize()
}

fn message(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    debug_assert!(body.len() <= Admission::MAX_LEN);
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [len.to_be_bytes().as_slice(), &body].concat()
}

const HELLO: u8 = 1;
const ACCEPT: u8 = 2;
const REFUSAL: u8 = 3;
const PROOF_LEN: usize = 32;

/// Nothing is longer than a hello with the longest chain.
const _: () = assert!(1 + 2 + PROOF_LEN + Chain::MAX_LEN <= Admission::MAX_LEN);

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::{
        identity::key::MeshKey,
        wire::{NodeName, Region},
    };

    const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);

    fn side(key: u8, node: u8) -> Admission {
        let key = MeshKey::from_entropy([key; 48]);
        let identity = Identity::from_mesh_key(
            &key,
            NodeName::new("amber").expect("allowed"),
            Region::new("fra").expect("allowed"),
            std::array::from_fn(|i| if i < 32 { node } else { node + 100 }),
            NOW,
        );
        Admission::new(identity, Trust::from(&key))
    }

    /// What `there` says when `here` shows its hello.
    fn meet(here: &Admission, there: &Admission) -> Result<Member, AdmissionError> {
        let hello = here.hello(there.identity.sender());
        there.check_hello(&hello[Admission::PREFIX_LEN..], here.identity.sender(), NOW)
    }

    #[test]
    fn members_of_a_mesh_know_each_other_by_their_hellos() {
        let (here, there) = (side(1, 1), side(1, 2));
        let member = meet(&here, &there).expect("a member");
        assert_eq!(member.sender(), here.identity.sender());
        assert_eq!(there.check_verdict(&here.accept()[2..]), Ok(()));
        assert_eq!(here.check_key(here.identity.sender()), Err(Reason::OwnKey));
    }

    #[test]
    fn another_mesh_and_another_version_are_named() {
        let (here, there) = (side(1, 1), side(2, 2));
        assert_eq!(
            meet(&here, &there),
            Err(AdmissionError::Reject(Reason::OtherMesh))
        );
        assert_eq!(
            meet(&here, &there.with_version(10)),
            Err(AdmissionError::Reject(Reason::Version {
                ours: 10,
                theirs: 9
            }))
        );
    }

    #[test]
    fn a_hello_is_good_for_one_direction_between_two_keys() {
        let (here, there, third) = (side(1, 1), side(1, 2), side(1, 3));
        let hello = &here.hello(there.identity.sender())[2..];
        let other_mesh = Err(AdmissionError::Reject(Reason::OtherMesh));
        assert_eq!(
            third.check_hello(hello, here.identity.sender(), NOW),
            other_mesh
        );
        assert_eq!(
            here.check_hello(hello, there.identity.sender(), NOW),
            other_mesh
        );
    }

    #[test]
    fn every_reason_survives_the_wire_and_the_version_changes_sides() {
        let (here, there) = (side(1, 1).with_version(3), side(1, 2).with_version(4));
        for code in 0..=u8::MAX {
            let reason = Reason::from_code(code, 3, 4);
            let refusal = here.refusal(reason);
            let mirrored = match reason {
                Reason::Version { ours, theirs } => Reason::Version {
                    ours: theirs,
                    theirs: ours,
                },
                other => other,
            };
            let refused = AdmissionError::Refused(mirrored);
            assert_eq!(there.check_verdict(&refusal[2..]), Err(refused));
            assert_eq!(
                there.check_hello(&refusal[2..], here.identity.sender(), NOW),
                Err(refused)
            );
        }
    }

    #[test]
    fn the_messages_are_pinned() {
        let (here, there) = (side(1, 1), side(1, 2));
        assert_eq!(here.accept(), [0, 1, 2]);
        assert_eq!(here.refusal(Reason::Expired), [0, 4, 3, 0, 9, 5]);
        let hello = here.hello(there.identity.sender());
        assert_eq!(hello[2..5], [1, 0, 9]);
        assert_eq!(
            hello.len(),
            2 + 1 + 2 + 32 + here.identity.chain().as_bytes().len()
        );
    }

    proptest! {
        #[test]
        fn anything_gives_an_answer(
            message in collection::vec(any::<u8>(), 0..Admission::MAX_LEN),
        ) {
            let here = side(1, 1);
            prop_assert!(here.check_hello(&message, Sender::new([9; 32]), NOW).is_err());
            prop_assert_eq!(here.check_verdict(&message).is_ok(), message == [ACCEPT]);
        }

        #[test]
        fn a_changed_hello_is_refused(at in 0_usize..300, bit in 0_u8..8) {
            let (here, there) = (side(1, 1), side(1, 2));
            let mut hello = here.hello(there.identity.sender()).split_off(2);
            let at = at % hello.len();
            hello[at] ^= 1 << bit;
            prop_assert!(there.check_hello(&hello, here.identity.sender(), NOW).is_err());
        }
    }
}
