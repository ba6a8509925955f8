//! Checks signatures, each once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshcast_proto::{Frame, Member, MeshKey, Trust, Verifier, WallTime};

/// Says who signed a frame. A whole world shares it: what one node found out about some bytes holds
/// for all.
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
        self.members(std::slice::from_ref(frame), wall)
            .pop()
            .flatten()
    }

    pub(super) fn members(&mut self, frames: &[Frame], wall: WallTime) -> Vec<Option<Arc<Member>>> {
        let hashes: Vec<_> = frames
            .iter()
            .map(|frame| *blake3::hash(frame.bytes()).as_bytes())
            .collect();
        let unknown = frames
            .iter()
            .zip(&hashes)
            .filter(|(_, hash)| !self.known.contains_key(*hash));
        let (unknown, unknown_hashes): (Vec<_>, Vec<_>) =
            unknown.map(|(frame, hash)| (frame.clone(), *hash)).unzip();
        let verdicts = self.verifier.verify_all(&unknown, wall);
        for (hash, verdict) in unknown_hashes.into_iter().zip(verdicts) {
            if let Ok(member) = verdict {
                self.known.insert(hash, member);
            }
        }
        hashes
            .iter()
            .map(|hash| self.known.get(hash).cloned())
            .collect()
    }
}
