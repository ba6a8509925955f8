//! The questions of this node, until all who were asked have replied.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    output::{AskOutput, AskRefused, NoReply},
    relays::NAME_BYTES,
};
use crate::{
    bounds::{Budget, Deadlines, Payer},
    identity::Member,
    wire::{AskMessage, Declined, Reply, Sender, Time},
};

#[derive(Debug)]
pub(super) struct Outgoing {
    me: Sender,
    /// The number of the last question.
    last: u64,
    questions: BTreeMap<u64, Waiting>,
    /// Until when each waits.
    deadlines: Deadlines<u64>,
    budget: Budget,
}

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Peers that have not replied.
    pub(super) awaited: BTreeSet<Sender>,
    /// Those that were asked by their session alone. Of others nothing comes after their echo.
    pub(super) by_session: BTreeSet<Sender>,
    /// Members known that are no peers and have not replied.
    pub(super) far: BTreeSet<Sender>,
    /// Peers that were too busy for their copy. They may take one that comes over others.
    pub(super) busy: BTreeSet<Sender>,
    /// Peers that may have the channel open, of which that is told if they do not reply.
    pub(super) untold: BTreeSet<Sender>,
    /// Peers that hand it on, of which something may still come.
    pub(super) copies: BTreeSet<Sender>,
    /// Of whom it was told already whether they reply.
    pub(super) told: BTreeSet<Sender>,
    /// Who alone is asked.
    pub(super) only: Option<Sender>,
    /// Nobody who can be reached was left out, as far as is known.
    pub(super) whole: bool,
    pub(super) until: Time,
    /// Of how many that nobody knew each peer brought replies: it pays for remembering them.
    pub(super) brought: BTreeMap<Sender, usize>,
}

impl Outgoing {
    pub(super) const fn new(me: Sender, budget: Budget) -> Self {
        Self {
            me,
            last: 0,
            questions: BTreeMap::new(),
            deadlines: Deadlines::new(),
            budget,
        }
    }

    /// The number of a new question.
    pub(super) fn number(&mut self) -> Result<u64, AskRefused> {
        let limit = MAX_ASKING;
        if self.questions.len() >= limit {
            return Err(AskRefused::TooMany { limit });
        }
        self.last += 1;
        Ok(self.last)
    }

    /// It is asked. Replies that are known without asking are put out after what is to be sent.
    pub(super) fn begin(&mut self, number: u64, waiting: Waiting) {
        self.deadlines.set(&number, Some(waiting.until));
        self.questions.insert(number, waiting);
    }

    /// A peer replied. That counts once.
    pub(super) fn handle_reply(
        &mut self,
        peer: Sender,
        question: u64,
        reply: Reply,
        out: &mut VecDeque<AskOutput>,
    ) {
        let Some(waiting) = self.questions.get_mut(&question) else {
            return;
        };
        // A peer that hands it on may have opened the channel just now.
        let is_news = matches!(reply, Reply::Answer(..))
            && waiting.copies.contains(&peer)
            && waiting.only.is_none_or(|only| only == peer)
            && !waiting.told.contains(&peer);
        let is_awaited = waiting.awaited.contains(&peer) || waiting.untold.contains(&peer);
        let is_busy = reply == Reply::Declined(Declined::Busy);
        if is_awaited && is_busy && waiting.copies.contains(&peer) {
            waiting.busy.insert(peer);
        } else if is_awaited || is_news {
            self.tell(question, (peer, None), Ok(reply), out);
            self.end_if_over(question, out);
        }
    }

    /// Whether a peer may have replies handed to it for this question.
    pub(super) fn expects(&self, question: u64, peer: Sender) -> bool {
        let waiting = self.questions.get(&question);
        waiting.is_some_and(|waiting| waiting.copies.contains(&peer))
    }

    /// A member replied over others, by way of this peer. That counts once, and if it is asked.
    /// `false` if there is no room to remember that it did.
    pub(super) fn handle_found(
        &mut self,
        (question, peer): (u64, Sender),
        member: Arc<Member>,
        reply: Reply,
        out: &mut VecDeque<AskOutput>,
    ) -> bool {
        let sender = member.sender();
        let Some(waiting) = self.questions.get_mut(&question) else {
            return true;
        };
        if waiting.only.is_some_and(|only| only != sender) || waiting.told.contains(&sender) {
            return true;
        }
        if !waiting.knows(sender) {
            if !self.budget.try_charge(Payer::from(peer), NAME_BYTES) {
                waiting.whole = false;
                return false;
            }
            *waiting.brought.entry(peer).or_default() += 1;
        }
        if waiting.only.is_some() {
            // It has forgotten the question with that.
            waiting.copies.remove(&peer);
        }
        self.tell(question, (sender, Some((member, peer))), Ok(reply), out);
        self.end_if_over(question, out);
        true
    }

    /// Nothing more comes back of what a peer was handed.
    pub(super) fn handle_echo(
        &mut self,
        question: u64,
        peer: Sender,
        whole: bool,
        out: &mut VecDeque<AskOutput>,
    ) {
        if let Some(waiting) = self.questions.get_mut(&question)
            && waiting.copies.remove(&peer)
        {
            waiting.whole &= whole;
            self.end_if_over(question, out);
        }
    }

    /// Something that came back was lost here.
    pub(super) fn handle_lost(&mut self, question: u64) {
        if let Some(waiting) = self.questions.get_mut(&question) {
            waiting.whole = false;
        }
    }

    /// A peer has handed back what there is of the one that is asked alone: with that it has
    /// forgotten the question.
    pub(super) fn end_copy_of_one(
        &mut self,
        question: u64,
        peer: Sender,
        out: &mut VecDeque<AskOutput>,
    ) {
        if let Some(waiting) = self.questions.get_mut(&question)
            && waiting.only.is_some()
        {
            waiting.copies.remove(&peer);
            self.end_if_over(question, out);
        }
    }

    pub(super) fn handle_peer_down(&mut self, peer: Sender, out: &mut VecDeque<AskOutput>) {
        let concerned = self.questions.iter().filter(|(_, waiting)| {
            waiting.awaited.contains(&peer) || waiting.copies.contains(&peer)
        });
        for question in concerned.map(|(number, _)| *number).collect::<Vec<_>>() {
            if let Some(waiting) = self.questions.get_mut(&question) {
                waiting.whole &= !waiting.copies.remove(&peer);
                if waiting.awaited.contains(&peer) {
                    self.tell(question, (peer, None), Err(NoReply::Gone), out);
                }
            }
            self.end_if_over(question, out);
        }
    }

    pub(super) fn withdraw(&mut self, question: u64, out: &mut VecDeque<AskOutput>) {
        let Some(waiting) = self.remove(question) else {
            return;
        };
        for peer in waiting.awaited.difference(&waiting.copies) {
            let message = AskMessage::Withdrawn(question);
            out.push_back(AskOutput::Send(*peer, message));
        }
        self.recall(question, &waiting, out);
    }

    pub(super) fn expire(&mut self, now: Time, out: &mut VecDeque<AskOutput>) {
        while let Some(question) = self.deadlines.take_due(now) {
            self.finish(question, out);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.deadlines.first()
    }

    /// Ends a question as soon as nothing more can come of it.
    pub(super) fn end_if_over(&mut self, question: u64, out: &mut VecDeque<AskOutput>) {
        let Some(waiting) = self.questions.get(&question) else {
            return;
        };
        let is_over = waiting.copies.is_empty() && waiting.awaited.is_disjoint(&waiting.by_session);
        if is_over || waiting.has_come() {
            self.finish(question, out);
        }
    }

    /// Tells of all who have not replied why, and that it is over.
    fn finish(&mut self, question: u64, out: &mut VecDeque<AskOutput>) {
        let Some(waiting) = self.remove(question) else {
            return;
        };
        let all_were_asked = waiting.whole && waiting.copies.is_empty();
        let far = match all_were_asked {
            true => NoReply::Absent,
            false => NoReply::Unreached,
        };
        let near = waiting.awaited.iter().map(|of| {
            let may_come = waiting.by_session.contains(of) || waiting.copies.contains(of);
            (*of, if may_come { NoReply::Silent } else { far })
        });
        let is_busy = |of| waiting.busy.contains(&of);
        let untold = waiting.untold.iter().map(|of| (*of, NoReply::Untold));
        let others = untold.chain(waiting.far.iter().map(|of| (*of, far)));
        for (of, why) in near.chain(others) {
            out.push_back(AskOutput::Replied {
                question,
                of,
                member: None,
                by: of,
                reply: match is_busy(of) {
                    true => Ok(Reply::Declined(Declined::Busy)),
                    false => Err(why),
                },
            });
        }
        self.recall(question, &waiting, out);
        let whole = all_were_asked || waiting.has_come();
        out.push_back(AskOutput::Over { question, whole });
    }

    fn recall(&self, question: u64, waiting: &Waiting, out: &mut VecDeque<AskOutput>) {
        let asker = self.me;
        for peer in &waiting.copies {
            let message = AskMessage::Recall { asker, question };
            out.push_back(AskOutput::Send(*peer, message));
        }
    }

    fn tell(
        &mut self,
        question: u64,
        (of, over): (Sender, Option<(Arc<Member>, Sender)>),
        reply: Result<Reply, NoReply>,
        out: &mut VecDeque<AskOutput>,
    ) {
        if let Some(waiting) = self.questions.get_mut(&question) {
            waiting.awaited.remove(&of);
            waiting.far.remove(&of);
            waiting.untold.remove(&of);
            waiting.told.insert(of);
            let (member, by) = over.unzip();
            out.push_back(AskOutput::Replied {
                question,
                of,
                member,
                by: by.unwrap_or(of),
                reply,
            });
        }
    }

    fn remove(&mut self, question: u64) -> Option<Waiting> {
        let waiting = self.questions.remove(&question)?;
        for (peer, count) in &waiting.brought {
            self.budget.release(Payer::from(*peer), count * NAME_BYTES);
        }
        self.deadlines.set(&question, None);
        Some(waiting)
    }
}

impl Waiting {
    /// Whether the one that is asked alone was told of.
    fn has_come(&self) -> bool {
        self.only.is_some_and(|only| self.told.contains(&only))
    }

    /// Whether it is remembered of somebody that a reply is waited for.
    fn knows(&self, of: Sender) -> bool {
        let known = [&self.awaited, &self.far, &self.untold];
        known.iter().any(|known| known.contains(&of))
    }
}

/// The number of questions that may wait for answers. Each remembers whom it waits for, at up to 96
/// bytes: 6 MiB with 256 members each.
pub(super) const MAX_ASKING: usize = 256;
