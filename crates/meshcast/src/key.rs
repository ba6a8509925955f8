//! The secret of a mesh.
//!
//! May use: `error`.
//! Must not: know the directories that a key may be in.

pub(crate) mod file;

use std::{fmt, io, ops::Deref, str::FromStr};

use meshcast_proto::{MeshKeyError, Trust};

/// The secret that the members of a mesh share: whoever has it is a member.
///
/// As text it begins with `meshcast1-`, has 80 characters and a checksum; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshKey(meshcast_proto::MeshKey);

impl MeshKey {
    /// A key that nobody has yet, as `meshcast key new` makes one.
    ///
    /// # Errors
    /// The system gives no random bytes, which no healthy one refuses.
    pub fn random() -> io::Result<Self> {
        let mut entropy = [0; 48];
        getrandom::fill(&mut entropy).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::from_entropy(entropy))
    }

    /// The key that is made of these bytes: always the same, and as hard to guess as they are.
    pub fn from_entropy(entropy: [u8; 48]) -> Self {
        Self(meshcast_proto::MeshKey::from_entropy(entropy))
    }
}

/// What the protocol does with a key: `to_secret_text`, `mesh`, `authority`.
impl Deref for MeshKey {
    type Target = meshcast_proto::MeshKey;

    fn deref(&self) -> &meshcast_proto::MeshKey {
        &self.0
    }
}

impl FromStr for MeshKey {
    type Err = MeshKeyError;

    fn from_str(text: &str) -> Result<Self, MeshKeyError> {
        text.parse().map(Self)
    }
}

/// Every process that has the key is believed.
impl From<&MeshKey> for Trust {
    fn from(MeshKey(key): &MeshKey) -> Self {
        Self::from(key)
    }
}

impl From<meshcast_proto::MeshKey> for MeshKey {
    fn from(key: meshcast_proto::MeshKey) -> Self {
        Self(key)
    }
}

impl From<MeshKey> for meshcast_proto::MeshKey {
    fn from(MeshKey(key): MeshKey) -> Self {
        key
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_key_is_a_new_one_and_survives_being_written_down() {
        let (a, b) = [(); 2]
            .map(|()| MeshKey::random().expect("random bytes"))
            .into();
        assert_ne!(a, b);
        assert_eq!(a.to_secret_text().parse(), Ok(a.clone()));
        assert_eq!(format!("{a:?}"), "MeshKey(…)");
    }
}
