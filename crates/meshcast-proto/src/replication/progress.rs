//! Who keeps up with a log, ours or another's.

use crate::{
    flow_control::{Checkpoints, Progress},
    replication::peers::Peers,
    wire::{Sender, Seq, Time},
};

/// The lag of those who listen to a log.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Who lags, and how many numbers each lacks.
    pub(crate) lagging: Vec<(Sender, u64)>,
    /// When to check again, if anybody is behind.
    pub(crate) again: Option<Time>,
}

impl Peers {
    /// Checks again who of these peers keeps up with a log, in which this node waits for `next`.
    /// All are judged; only what those do who `listen` is returned.
    pub(crate) fn check<'a>(
        &self,
        peers: impl Iterator<Item = (Sender, &'a mut Progress)>,
        listens: impl Fn(Sender) -> bool,
        checkpoints: &Checkpoints,
        next: Seq,
        now: Time,
    ) -> Checked {
        let mut checked = Checked::default();
        for (peer, progress) in peers {
            let heard = self.heard(peer);
            progress.judge(checkpoints, heard, now);
            if !listens(peer) {
                continue;
            }
            let due = progress.due(checkpoints, heard, now);
            checked.again = checked.again.into_iter().chain(due).min();
            let lacks = progress.lags(next);
            checked.lagging.extend(lacks.map(|lacks| (peer, lacks)));
        }
        checked
    }
}
