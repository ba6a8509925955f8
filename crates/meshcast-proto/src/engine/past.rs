//! The half of the engine that looks back: for readers in this process that did not keep up or came late.

use super::*;
use crate::history::Recall;

impl Engine {
    /// Numbers that were delivered on a channel, as far as they are kept: as they were then, in order, with
    /// what is missing named. They begin and end with a value. It stops after `room` bytes, but not before the
    /// end of a value.
    pub fn recall(&self, channel: &ChannelName, member: &Arc<Member>, seqs: SeqRange, room: usize) -> Recall {
        let limit = self.config.max_message_len;
        self.history.recall(channel, member, seqs, room, limit)
    }

    /// The senders of a channel, this node included, and the number below which all was delivered of each, or
    /// given up; what comes yet is from there on.
    pub fn delivered(&self, channel: &ChannelName) -> Vec<(Arc<Member>, Seq)> {
        let own = self.channels.get(channel).into_iter().filter_map(|own| {
            own.next.previous()?;
            Some((Arc::clone(&self.me), own.own.begun().unwrap_or(own.next)))
        });
        let others = self.flows.of(channel).filter_map(|(_, flow)| {
            let member = flow.member.clone()?;
            Some((member, flow.given_out()?))
        });
        own.chain(others).collect()
    }

    /// Which of the numbers below `before` somebody hears who wants to hear from then on, as far as they are
    /// kept here: from the first that is, and from the beginning of a value.
    pub fn past(
        &self,
        channel: &ChannelName,
        sender: Sender,
        before: Seq,
        since: Since,
        now: Time,
    ) -> Option<SeqRange> {
        let (from, last) = since.at(now);
        self.history.past(channel, sender, before, from, last)
    }
}

impl Since {
    /// Whichever goes back further. Of a time and a count neither does: then it is this one.
    pub fn or_before(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, other) => other,
            (Self::Ago(ago), Self::Ago(longer)) => Self::Ago(ago.max(longer)),
            (Self::Last(last), Self::Last(more)) => Self::Last(last.max(more)),
            (this, _) => this,
        }
    }

    /// From when on, and how many numbers of each sender at least.
    pub(super) fn at(self, now: Time) -> (Time, u64) {
        match self {
            Self::Now => (now, 0),
            Self::Ago(ago) => (now - ago, 0),
            Self::Last(last) => (now, last),
        }
    }
}
