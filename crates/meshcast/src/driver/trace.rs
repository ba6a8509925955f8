//! Traces of single messages on this node: when each came and which way, as far as it is kept.

use meshcast_proto::{
    ChannelName, Delivery, Recall, Recalled, SenderState, Seq, SeqRange, WallTime,
};

use super::{Driver, snapshot};
use crate::command::{Trace, TraceQuery, Traced, TracedSender};

impl Driver {
    /// Looks into what is kept, and fetches nothing: who looks must not change what is seen.
    pub(super) fn trace(&self, query: &TraceQuery) -> Trace {
        let TraceQuery { channel, wanted } = query;
        let known = self.channels.get(channel);
        let is_named = |state: &SenderState| match wanted {
            Traced::Last(_) => true,
            Traced::One(name, _) => state.member.credential().name.as_str() == name,
        };
        let senders = self.engine.senders(channel);
        let mut senders: Vec<_> = senders.filter(|(_, state)| is_named(state)).collect();
        let left_out = senders.len().saturating_sub(MAX_SENDERS);
        // The highest number says who posts much, and so who is looked for.
        senders.sort_by_key(|(_, state)| std::cmp::Reverse(state.newest));
        senders.truncate(MAX_SENDERS);
        let traced = senders.into_iter().map(|(sender, state)| TracedSender {
            info: snapshot::sender(&state),
            oldest: self.engine.history().oldest(channel, sender),
            kept: self.kept(channel, wanted, &state),
        });
        Trace {
            is_open: known.is_some_and(|channel| channel.hub.objects() > 0),
            senders: traced.collect(),
            left_out,
        }
    }

    fn kept(
        &self,
        channel: &ChannelName,
        wanted: &Traced,
        state: &SenderState,
    ) -> Vec<(WallTime, Delivery)> {
        let newest = state.newest;
        let below = |seq: Seq, less| Seq::new(seq.get().saturating_sub(less)).unwrap_or(Seq::FIRST);
        let (seqs, room) = match wanted {
            Traced::Last(0) => return Vec::new(),
            Traced::Last(last) => (SeqRange::new(below(newest, last - 1), newest), ROOM),
            // A value that it is a part of may begin and end elsewhere.
            Traced::One(_, seq) => {
                let end = Seq::new(seq.get().saturating_add(FRAGMENTS)).unwrap_or(*seq);
                (SeqRange::new(below(*seq, FRAGMENTS), end), usize::MAX)
            }
        };
        let Some(seqs) = seqs else { return Vec::new() };
        let Recall { parts, .. } = self.engine.recall(channel, &state.member, seqs, room);
        let values = parts.into_iter().filter_map(|part| match part {
            Recalled::Values(delivery) => Some(delivery),
            Recalled::Missing(_) | Recalled::TooLarge(_) => None,
        });
        let is_wanted = |delivery: &Delivery| match wanted {
            Traced::Last(_) => true,
            Traced::One(_, seq) => delivery.seqs().contains(*seq),
        };
        let came = |delivery: &Delivery| self.reports.wall.at(delivery.arrival.at);
        let values = values.filter(is_wanted);
        values.map(|delivery| (came(&delivery), delivery)).collect()
    }
}

/// How many senders are looked at for one question: each takes the loop some microseconds.
const MAX_SENDERS: usize = 64;
/// What is read of one sender, in bytes of frames. They are shared with the history.
const ROOM: usize = 256 * 1024;
/// The longest value takes 129 numbers: 32 MiB, in fragments of a bit less than 256 KiB.
const FRAGMENTS: u64 = 136;
