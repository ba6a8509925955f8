//! Backfill of a reader that resumes where it stopped, perhaps at another member.

use std::{sync::Arc, time::Duration};

use super::{Backfill, Backfilled, Backlog, Waiter};
use crate::{
    engine::{Engine, Positions, backfilled::Resumption},
    identity::Member,
    wire::{ChannelName, LogKey, Sender, Seq, SeqRange, Time},
};

impl Engine {
    /// A message posted so long after a reader resumed was not read before, whatever the reader
    /// says. Longer than a message takes on its way, and than it may seem younger than it is.
    pub const DOUBT: Duration = Duration::from_secs(5);

    /// The result for a reader that goes on after these positions.
    pub(super) fn resumed(
        &self,
        channel: &ChannelName,
        waiter: &Waiter,
        after: &Arc<Positions>,
        now: Time,
    ) -> Backfilled {
        let me = self.me.sender();
        let (before, next) = (waiter.before.get(&me), self.logs.ours(channel));
        let own = self.channels.get(channel).map(|_| {
            let before = before.copied().unwrap_or(Seq::FIRST);
            // Nobody knows better how far this node got.
            let due = after.due(me).min(next.map_or(Seq::FIRST, |(next, _)| next));
            let kept = self.kept_from(channel, &self.me, due, before);
            let read = after.read(me);
            Backlog {
                sender: me,
                member: Some(Arc::clone(&self.me)),
                kept,
                unfetched: None,
                gone: None,
                from: None,
                resumption: Some(Resumption::new(read.map(|_| due), kept, before, before)),
            }
        });
        let others = self
            .logs
            .of_others(channel)
            .filter_map(|(sender, replica)| {
                let log = &replica.log;
                let known = waiter.before.get(&sender).copied();
                let before = known.or_else(|| log.begun())?;
                let due = after.due(sender);
                let member = log.member();
                let kept = member.and_then(|member| self.kept_from(channel, member, due, before));
                let (read, newest) = (after.read(sender), log.reorder().newest());
                let posted = member.and(newest).map_or(Seq::FIRST, Seq::next);
                let resumption = Resumption::new(read.map(Seq::next), kept, before, posted);
                let key = (channel.clone(), sender);
                let unfetched = self.unfetched(&key, replica, before, &waiter.reach, now);
                Some(Backlog {
                    sender,
                    member: member.map(Arc::clone),
                    kept,
                    unfetched,
                    gone: None,
                    from: None,
                    resumption: (read.is_some() || kept.is_some()).then_some(Resumption {
                        is_doubtful: read > newest,
                        ..resumption
                    }),
                })
            });
        let backlogs = own.into_iter().chain(others);
        let says_something =
            |it: &Backlog| it.kept.is_some() || it.unfetched.is_some() || it.resumption.is_some();
        Backfilled {
            id: waiter.id,
            came: waiter.came,
            logs: backlogs.filter(says_something).collect(),
            untold: self.logs.peers.untold(channel),
        }
    }

    /// What is kept of these numbers, from the first value that begins there to the end.
    fn kept_from(
        &self,
        channel: &ChannelName,
        member: &Arc<Member>,
        due: Seq,
        before: Seq,
    ) -> Option<SeqRange> {
        let wanted = SeqRange::new(due, before.previous()?)?;
        self.history.backlog_of(channel, member.sender(), wanted)
    }

    /// Whether a log is still being asked for what was posted before anybody here heard of it:
    /// peers were told that the channel begins there, so it is delivered when it comes.
    pub(super) fn is_coming(&self, key: &LogKey, backfill: &Backfill) -> bool {
        let replica = self.logs.get(key);
        replica.is_some_and(|replica| replica.log.reorder().hole().is_some())
            && backfill.is_new(key.1)
    }
}

impl Backfill {
    /// Whether a reader waits that came before anything was heard of this sender.
    fn is_new(&self, sender: Sender) -> bool {
        let mut waiters = self.waiters.iter();
        waiters.any(|waiter| !waiter.before.contains_key(&sender))
    }
}
