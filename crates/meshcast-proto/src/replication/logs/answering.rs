//! What peers answer to requests for frames.

use super::{Effects, Logs, ReceivedFrame};
use crate::{
    conduct::Offence,
    log::Insert,
    replication::{
        fetch::{Answer, Answered},
        replica::Replica,
    },
    wire::{Frame, LogKey, Sender, Seq, SeqRange, Time},
};

/// What an answer says besides its frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answering {
    /// Who answers.
    pub(crate) peer: Sender,
    /// Which request it answers.
    pub(crate) request: u64,
    /// All that is kept up to here is in it.
    pub(crate) upto: Seq,
    /// There were frames that this node does not take for a reason of its own.
    pub(crate) declined: bool,
}

impl Logs {
    /// Whether a peer was asked for frames of this log by that request, and has not answered.
    pub(crate) fn awaits(&self, peer: Sender, key: &LogKey, request: u64) -> bool {
        let replica = self.get(key);
        replica.is_some_and(|replica| replica.fetch.awaits(peer, request))
    }

    /// Takes in what a peer [answered](Self::awaits) to a request: frames of this log, all
    /// that it has up to `upto`. Returns those that brought something new, and when they were
    /// posted.
    pub(crate) fn answer(
        &mut self,
        key: &LogKey,
        Answering {
            peer,
            request,
            upto,
            declined,
        }: Answering,
        frames: Vec<ReceivedFrame>,
        now: Time,
        out: &mut Effects,
    ) -> Vec<(Frame, Time)> {
        let mut fresh = Vec::new();
        let entry = self.logs.get_mut(key);
        let answered =
            entry.and_then(|entry| entry.replica.fetch.handle_answer(peer, request, now));
        let asked = match answered {
            Some(Answered::Soon(asked) | Answered::InTime(asked)) => {
                self.peers.answered(peer);
                Some(asked)
            }
            Some(Answered::Late) => None,
            None => return fresh,
        };
        let heard = self.peers.heard(peer);
        let mut came: Option<SeqRange> = None;
        for heard in frames {
            // A frame that was not asked for is no answer, but as good as any other frame.
            if let Some(seqs) = asked.and_then(|asked| heard.frame.seqs().overlap(asked)) {
                came = Some(came.map_or(seqs, |came| came.hull(seqs)));
            }
            let (frame, posted) = (heard.frame.clone(), heard.posted.at);
            match self.take_in(key, heard, now, out) {
                Insert::Fresh => fresh.push((frame, posted)),
                // Its member may have no more: nor does the rest find room.
                Insert::NoRoom if !self.logs.contains_key(key) => break,
                _ => {}
            }
        }
        if came.is_some() && matches!(answered, Some(Answered::Soon(_))) {
            self.peers.was_quick(peer, now);
        }
        if let Some(entry) = self.logs.get_mut(key) {
            let Replica { log, fetch, .. } = &mut *entry.replica;
            match asked {
                Some(asked) => {
                    // Others may have been faster.
                    let helped = !fresh.is_empty()
                        || log
                            .reorder()
                            .hole()
                            .is_none_or(|hole| hole.first() > asked.first());
                    let answer = Answer {
                        asked,
                        upto,
                        came,
                        helped,
                        declined,
                        heard,
                    };
                    if fetch.judge(peer, &answer, now) {
                        out.offences.insert((peer, Offence::FalseClaim));
                    }
                }
                None if !fresh.is_empty() => fetch.helped_late(peer),
                None => {}
            }
            let replica = &mut entry.replica;
            let posted = fresh.iter().map(|(_, posted)| *posted);
            let upstream = replica.upstream;
            if replica.fetched(key.1, peer, posted, now) {
                out.passed_over.extend(upstream);
                if replica.update_route(self.me, key, &self.peers, now) {
                    out.advances.route_changed.insert(key.clone());
                }
            }
        }
        self.advance(key, now, out);
        self.shed(now, out);
        self.ask_on(now, out);
        fresh
    }
}
