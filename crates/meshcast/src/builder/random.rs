//! Random bytes: those of the system, or in tests those of a seed.

#[cfg(feature = "testing")]
use super::InMemory;
use super::NodeBuilder;
use crate::error::SpawnError;

impl NodeBuilder {
    pub(super) fn random_source(&self) -> RandomSource {
        #[cfg(feature = "testing")]
        if let Some(InMemory { seed, .. }) = &self.environment.memory {
            return RandomSource::Seeded(Box::new(rand::SeedableRng::seed_from_u64(*seed)));
        }
        RandomSource::System
    }
}

/// The source of everything that nobody else may guess.
pub(super) enum RandomSource {
    System,
    #[cfg(feature = "testing")]
    Seeded(Box<rand::rngs::StdRng>),
}

impl RandomSource {
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], SpawnError> {
        match self {
            Self::System => entropy(),
            #[cfg(feature = "testing")]
            Self::Seeded(random) => {
                let mut bytes = [0; N];
                rand::Rng::fill_bytes(&mut **random, &mut bytes);
                Ok(bytes)
            }
        }
    }
}

pub(super) fn entropy<const N: usize>() -> Result<[u8; N], SpawnError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| SpawnError::Entropy(std::io::Error::other(error.to_string())))?;
    Ok(bytes)
}
