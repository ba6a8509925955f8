//! Errors of the engine.

use crate::wire::BuildError;

/// Why a channel could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The node has used as many names as it may.
    #[error("this node has used {limit} channel names, which is the limit")]
    TooManyChannels {
        /// [`Config::max_channels`](super::Config::max_channels).
        limit: usize,
    },
}

/// Why records could not be posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The channel was never opened.
    #[error("the channel was never opened")]
    NeverOpened,
    /// The records cannot be put into a frame.
    #[error(transparent)]
    Build(#[from] BuildError),
}
