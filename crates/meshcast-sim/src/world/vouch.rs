//! Checks signatures, each once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshcast_proto::{Frame, Member, MeshKey, Trust, Verifier, WallTime};

/// Says who signed a frame. A whole world shares it: what one node found out about some bytes holds for all.
#[derive(Debug)]
pub(super) struct Vouch {
    verifier: Verifier,
    /// By the hash of the whole frame.
    known: BTreeMap<[u8; 32], Arc<Member>>,
}

impl Vouch {
    pub(super) fn new(key: &MeshKey, grace: Duration) -> Self {
        Self {
            verifier: Verifier::new(Trust::from(key), grace),
            known: BTreeMap::new(),
        }
    }

    pub(super) fn member(&mut self, frame: &Frame, wall: WallTime) -> Option<Arc<Member>> {
        let hash = *blake3::hash(frame.bytes()).as_bytes();
        if let Some(member) = self.known.get(&hash) {
            return Some(Arc::clone(member));
        }
        let member = self.verifier.verify(frame, wall).ok()?;
        self.known.insert(hash, Arc::clone(&member));
        Some(member)
    }
}
