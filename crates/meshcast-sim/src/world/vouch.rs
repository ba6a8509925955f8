//! Checks signatures, each once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshcast_proto::{Frame, Member, MeshKey, Trust, Verifier, VerifyError, WallTime};

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
        self.members(std::slice::from_ref(frame), wall).pop()?.ok()
    }

    pub(super) fn members(
        &mut self,
        frames: &[Frame],
        wall: WallTime,
    ) -> Vec<Result<Arc<Member>, VerifyError>> {
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
        let verdicts: BTreeMap<_, _> = unknown_hashes.into_iter().zip(verdicts).collect();
        let all = hashes.iter().filter_map(|hash| {
            let known = self.known.get(hash).cloned().map(Ok);
            known.or_else(|| verdicts.get(hash).cloned())
        });
        let all = all.collect();
        for (hash, verdict) in verdicts {
            self.known.extend(verdict.ok().map(|member| (hash, member)));
        }
        all
    }
}
