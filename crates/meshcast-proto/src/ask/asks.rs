//! The state machine: what this node asks, and what it is asked.

mod relaying;
mod returning;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use super::{
    chains::ChainCache,
    incoming::{self, Incoming, ReturnPath},
    neighbours::Neighbours,
    outgoing::{self, Outgoing},
    output::{AskCounters, AskOutput, AskRefused, Asked, NoReply},
    relays::{self, Relays},
    returns::Returns,
    seen::SeenQuestions,
};
use crate::{
    bounds::Budget,
    identity::{Identity, Trust},
    wire::{
        AskMessage, ChannelName, Declined, Format, Inquiry, Query, Question, Relayed, Reply,
        Sender, Time, WallTime,
    },
};

/// The questions of this node, and those that it was asked or hands on.
#[derive(Debug)]
pub struct Asks {
    identity: Identity,
    trust: Trust,
    neighbours: Neighbours,
    chains: ChainCache,
    seen: SeenQuestions,
    outgoing: Outgoing,
    incoming: Incoming,
    relays: Relays,
    returns: Returns,
    outputs: VecDeque<AskOutput>,
    counters: AskCounters,
}

/// A question, before it has a number.
#[derive(Debug, Clone)]
pub struct NewQuestion {
    /// On which channel.
    pub channel: ChannelName,
    /// How long to wait, at most [`Asks::MAX_WITHIN`].
    pub within: Duration,
    /// How the payload is to be read.
    pub format: Format,
    /// What is asked, at most [`AskMessage::MAX_PAYLOAD_LEN`].
    pub payload: Bytes,
}

/// Whom to ask.
#[derive(Debug, Clone, Default)]
pub struct AskTargets {
    /// The peers that have the channel open, and are not left out by `only`.
    pub peers: BTreeSet<Sender>,
    /// Members known to have it open that are no peers.
    pub far: BTreeSet<Sender>,
    /// Peers that have not said whether they have it open. They hear of a question only if it
    /// travels over members.
    pub untold: BTreeSet<Sender>,
    /// One alone, whether it is known or not.
    pub only: Option<Sender>,
}

impl Asks {
    /// For how long a question may wait: as long as somebody may be expected to sit in front of it.
    pub const MAX_WITHIN: Duration = incoming::MAX_WITHIN;

    /// The number of questions of this node that may wait for answers at the same time.
    pub const MAX_ASKING: usize = outgoing::MAX_ASKING;

    /// How many questions of one peer may wait for an answer here or be handled at the same time;
    /// more are declined as [busy](crate::Declined::Busy). So are those that a peer hands on of
    /// which as many were withdrawn and are still being handled.
    pub const MAX_ASKED: usize = incoming::MAX_ASKED;

    /// How many questions that came over others may be under way here at the same time.
    pub const MAX_RELAYED: usize = relays::MAX_RELAYED;

    /// Over how many links a question travels. A fleet whose members have three links each has
    /// eight between any two of a thousand.
    pub const MAX_HOPS: u8 = 16;

    /// Waiting questions are charged to this budget: each to the peer that it came from, while it
    /// is handled or waits for the answers of others.
    pub fn new(identity: Identity, trust: Trust, budget: Budget) -> Self {
        let me = identity.sender();
        Self {
            identity,
            trust,
            neighbours: Neighbours::new(me),
            chains: ChainCache::default(),
            seen: SeenQuestions::new(budget.clone()),
            outgoing: Outgoing::new(me, budget.clone()),
            incoming: Incoming::new(budget.clone()),
            relays: Relays::new(budget.clone()),
            returns: Returns::new(budget),
            outputs: VecDeque::new(),
            counters: AskCounters::default(),
        }
    }

    /// Asks. Returns the number of the question: [`AskOutput::Replied`] comes once for each of
    /// those who are asked or known, and for others who reply, and then [`AskOutput::Over`]; with
    /// nobody to ask that comes at once.
    ///
    /// It travels over members if some peer has others or somebody known is no peer, unless the one
    /// that is asked alone is a peer.
    ///
    /// # Errors
    /// [`AskRefused`]; nobody was asked.
    pub fn ask(
        &mut self,
        new: NewQuestion,
        whom: AskTargets,
        now: Time,
        wall: WallTime,
    ) -> Result<u64, AskRefused> {
        let (len, limit) = (new.payload.len(), AskMessage::MAX_PAYLOAD_LEN);
        if len > limit {
            return Err(AskRefused::TooLarge { len, limit });
        }
        let within = new.within.min(Self::MAX_WITHIN);
        let number = self.outgoing.number()?;
        let question = Question {
            number,
            channel: new.channel,
            within,
            format: new.format,
            payload: new.payload,
        };
        let spreads = self.may_spread(&whom);
        let inquiry = spreads
            .then(|| self.inquiry(&question, whom.only, wall))
            .flatten();
        let copies: BTreeSet<Sender> = match &inquiry {
            Some(_) => self.neighbours.all().collect(),
            None => BTreeSet::new(),
        };
        for peer in copies.union(&whom.peers) {
            let message = match &inquiry {
                Some(inquiry) if copies.contains(peer) => AskMessage::Relay(Relayed {
                    hops: 1,
                    left: within,
                    inquiry: inquiry.clone(),
                }),
                _ => AskMessage::Question(question.clone()),
            };
            self.send(*peer, message);
        }
        self.counters.asks_made += 1;
        self.counters.asks_spread += u64::from(inquiry.is_some());
        let (mut told, mut untold) = (BTreeSet::new(), whom.untold);
        if inquiry.is_none() {
            std::mem::swap(&mut told, &mut untold);
        }
        for of in &told {
            self.outputs.push_back(AskOutput::Replied {
                question: number,
                of: *of,
                member: None,
                by: *of,
                reply: Err(NoReply::Untold),
            });
        }
        let by_session = whom.peers.difference(&copies).copied().collect();
        let mut far = whom.far;
        far.extend(whom.only.filter(|only| !told.contains(only)));
        let waiting = outgoing::Waiting {
            far: far.difference(&whom.peers).copied().collect(),
            awaited: whom.peers,
            by_session,
            busy: BTreeSet::new(),
            copies,
            untold,
            told,
            only: whom.only,
            whole: inquiry.is_some() == spreads,
            until: now + within,
            brought: BTreeMap::new(),
        };
        self.outgoing.begin(number, waiting);
        self.outgoing.end_if_over(number, &mut self.outputs);
        Ok(number)
    }

    /// Whether there may be somebody to ask who is no peer. Presence may know of one before the
    /// peers tell of their link to it.
    fn may_spread(&self, whom: &AskTargets) -> bool {
        let is_near = |only| self.neighbours.contains(only) || whom.untold.contains(&only);
        let are_others = !self.neighbours.are_all() || !whom.far.is_empty();
        are_others && !whom.only.is_some_and(is_near)
    }

    fn inquiry(
        &self,
        question: &Question,
        only: Option<Sender>,
        asked_at: WallTime,
    ) -> Option<Inquiry> {
        let query = Query {
            asker: self.identity.sender(),
            number: question.number,
            channel: &question.channel,
            asked_at,
            within: question.within,
            only,
            format: question.format,
            payload: &question.payload,
            chain: self.identity.chain().as_bytes(),
        };
        Inquiry::sign(&self.identity, &query).ok()
    }

    /// Nobody waits for the answers to this question any more.
    pub fn withdraw(&mut self, question: u64) {
        self.outgoing.withdraw(question, &mut self.outputs);
    }

    /// There is a session with a peer.
    pub fn handle_peer_up(&mut self, peer: Sender, now: Time) {
        self.neighbours.begin(peer, now);
    }

    /// The session to a peer ended: it is not heard of any more, nor does it hear.
    pub fn handle_peer_down(&mut self, peer: Sender, now: Time) {
        self.neighbours.end(peer, now);
        self.outgoing.handle_peer_down(peer, &mut self.outputs);
        self.end_relays_of(peer);
        for question in self.incoming.forget(peer) {
            self.outputs.push_back(AskOutput::Withdrawn(peer, question));
        }
    }

    /// Messages to a peer queue up, or no longer. Meanwhile nothing is handed on to it.
    pub fn set_congested(&mut self, peer: Sender, congested: bool) {
        self.neighbours.set_congested(peer, congested);
    }

    /// A peer says something.
    pub fn handle_message(&mut self, peer: Sender, message: AskMessage, now: Time, wall: WallTime) {
        match message {
            AskMessage::Question(question) => self.handle_question(peer, question, now),
            AskMessage::Reply { question, reply } => {
                self.outgoing
                    .handle_reply(peer, question, reply, &mut self.outputs);
            }
            AskMessage::Withdrawn(question) => {
                self.end_own((peer, question));
                self.end_own_part((peer, question));
            }
            AskMessage::Relay(relayed) => self.handle_relay(peer, relayed, now, wall),
            AskMessage::Finding(finding) => self.handle_finding(peer, finding, now, wall),
            AskMessage::Echo {
                asker,
                question,
                whole,
            } => self.handle_echo(peer, (asker, question), whole),
            AskMessage::Recall { asker, question } => self.handle_recall(peer, (asker, question)),
            AskMessage::Links(links) => self.neighbours.handle_links(peer, links),
        }
    }

    /// A peer asks by its session. It is told at once if that is too much. A number it has used
    /// already and waits for counts as said twice.
    fn handle_question(&mut self, peer: Sender, mut question: Question, now: Time) {
        let key = (peer, question.number);
        if self.incoming.contains(key) {
            return;
        }
        // Whoever handles it goes by this too.
        question.within = question.within.min(Self::MAX_WITHIN);
        let waiting = incoming::Waiting {
            way: ReturnPath::Session,
            alone: true,
            until: now + question.within,
            payer: peer,
            charged: 0,
            withdrawn: false,
        };
        if !self.incoming.begin(key, waiting, question.payload.len()) {
            self.counters.asks_declined += 1;
            let message = AskMessage::Reply {
                question: question.number,
                reply: Reply::Declined(Declined::Busy),
            };
            return self.send(peer, message);
        }
        self.outputs.push_back(AskOutput::Asked(Asked {
            asker: peer,
            member: None,
            payer: peer,
            question,
        }));
    }

    /// This node replies to a question that it [was asked](AskOutput::Asked): once to each, also to
    /// one that was [withdrawn](AskOutput::Withdrawn) meanwhile, which counts for its asker as long
    /// as it is handled. Nothing is sent for that. An answer that is too long counts as
    /// [failed](Declined::Failed). That a channel is [not open](Declined::NotOpen) is told if this
    /// node alone was asked.
    pub fn reply(&mut self, asker: Sender, question: u64, reply: Reply, now: Time) {
        let key = (asker, question);
        let Some(waiting) = self.incoming.end(key) else {
            return;
        };
        if waiting.withdrawn {
            self.counters.asks_withdrawn += 1;
            return self.end_own_part(key);
        }
        let reply = match reply {
            Reply::Answer(_, payload) if payload.len() > AskMessage::MAX_PAYLOAD_LEN => {
                Reply::Declined(Declined::Failed)
            }
            reply => reply,
        };
        match reply {
            Reply::Answer(..) => self.counters.asks_answered += 1,
            Reply::Declined(_) => self.counters.asks_declined += 1,
        }
        let tells = waiting.alone || reply != Reply::Declined(Declined::NotOpen);
        match waiting.way {
            ReturnPath::Session if tells => self.send(asker, AskMessage::Reply { question, reply }),
            ReturnPath::Back if tells => self.reply_back(key, &reply, now),
            ReturnPath::Session | ReturnPath::Back => {}
        }
        self.end_own_part(key);
    }

    /// Gives up what has waited for long enough.
    pub fn handle_timeout(&mut self, now: Time) {
        self.neighbours.tell(now, &mut self.outputs);
        self.outgoing.expire(now, &mut self.outputs);
        self.expire_relays(now);
        self.seen.expire(now);
        self.return_due(now);
        for (asker, question) in self.incoming.expire(now) {
            let output = AskOutput::Withdrawn(asker, question);
            self.outputs.push_back(output);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = [
            self.outgoing.due(),
            self.incoming.due(),
            self.relays.due(),
            self.seen.due(),
            self.return_next(),
            self.neighbours.due(),
        ];
        due.into_iter().flatten().min()
    }

    /// The next that is to be done.
    pub fn poll_output(&mut self) -> Option<AskOutput> {
        let output = self.outputs.pop_front()?;
        if let AskOutput::Replied { reply, .. } = &output {
            self.counters.replied(reply);
        }
        Some(output)
    }

    /// Whether all members that can be reached are peers, as far as these tell.
    pub fn reaches_all(&self) -> bool {
        self.neighbours.are_all()
    }

    /// The number of questions of others that are being handed on.
    pub fn relayed(&self) -> usize {
        self.relays.len()
    }

    /// The counters so far.
    pub const fn counters(&self) -> AskCounters {
        self.counters
    }

    /// A question that this node was asked is withdrawn.
    fn end_own(&mut self, key: (Sender, u64)) {
        if self.incoming.withdraw(key) {
            self.outputs.push_back(AskOutput::Withdrawn(key.0, key.1));
        }
    }

    fn send(&mut self, to: Sender, message: AskMessage) {
        self.outputs.push_back(AskOutput::Send(to, message));
    }
}
