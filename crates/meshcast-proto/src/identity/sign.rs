//! Frames are signed by the key of this process.

use std::time::Duration;

use crate::{
    identity::credential::Identity,
    wire::{BuildError, ChannelName, Draft, Frame, Head, Seq, Unsigned, WallTime},
};

impl Frame {
    /// Packs and signs the records in `draft` as `first`, `first + 1`, … `since_first` is how long
    /// ago number 1 was posted; it travels in whole milliseconds, rounded down.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was signed.
    pub fn build(
        identity: &Identity,
        channel: &ChannelName,
        first: Seq,
        posted_at: WallTime,
        since_first: Duration,
        draft: impl Into<Draft>,
    ) -> Result<Self, BuildError> {
        let head = Head {
            sender: identity.sender(),
            channel,
            first,
            posted_at,
            since_first,
        };
        let unsigned = Unsigned::pack(head, draft.into(), identity.chain().as_bytes())?;
        let signature = identity.boot().sign(unsigned.hash());
        Ok(unsigned.signed(&signature))
    }
}
