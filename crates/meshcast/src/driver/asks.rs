//! The part of the driver that asks members and hands their questions to handlers.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use libp2p::PeerId;
use meshcast_proto::{
    AskCounters, AskMessage, AskOutput, AskTargets, Asked, Asks, Declined, ENTRY_BYTES, Member,
    NewQuestion, NoReply, Payer, Rate, Reply, Sender, SyncMessage, Time, TokenBucket,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender, oneshot};

use super::Driver;
use crate::{
    channel::{AskEvent, AskQueues, Asking, Charge, Hub, Incoming, Replier},
    clock::wall_time,
    ids::{peer_id, sender},
};

/// The questions of this node and those of its peers, and who waits for the answers.
pub(super) struct Questions {
    asks: Asks,
    waiting: HashMap<u64, Waiting>,
    /// Those that are not asked yet: a peer has not said whether it has the channel open. Each
    /// holds its permit.
    held: Vec<HeldQuestion>,
    /// The number of answers of unknown members that were told to have found no room.
    no_room: TokenBucket,
    /// What handlers here answer, by asker and number. Dropping the other end ends a handler.
    handled: HashMap<(Sender, u64), oneshot::Sender<Infallible>>,
}

/// A question that is to be asked when all peers have told, or then.
struct HeldQuestion {
    hub: Arc<Hub>,
    asking: Asking,
    until: Time,
}

/// Who waits for the answers to a question.
struct Waiting {
    events: UnboundedSender<AskEvent>,
    /// An answer found no room, and that was not told.
    has_lost: bool,
    _permit: OwnedSemaphorePermit,
}

impl Questions {
    pub(super) fn new(asks: Asks) -> Self {
        Self {
            asks,
            waiting: HashMap::new(),
            held: Vec::new(),
            no_room: TokenBucket::default(),
            handled: HashMap::new(),
        }
    }

    /// When [`Driver::handle_ask_timeout`] or [`Driver::ask_held`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let held = self.held.iter().map(|held| held.until);
        held.chain(self.asks.poll_timeout()).min()
    }

    pub(super) const fn counters(&self) -> AskCounters {
        self.asks.counters()
    }

    /// Messages to a peer queue up, or no longer.
    pub(super) fn set_congested(&mut self, peer: Sender, congested: bool) {
        self.asks.set_congested(peer, congested);
    }
}

impl Driver {
    /// Does what those want who ask and answer on a channel.
    pub(super) fn handle_ask_queues(&mut self, hub: &Arc<Hub>, ask_queues: AskQueues) {
        for asking in ask_queues.asking {
            let within = asking.new.within.saturating_sub(asking.made.elapsed());
            let until = self.clock.now() + (within / 4).min(UNTOLD);
            self.questions.held.push(HeldQuestion {
                hub: Arc::clone(hub),
                asking,
                until,
            });
        }
        self.ask_held();
        for reply in ask_queues.replies {
            self.questions.handled.remove(&(reply.asker, reply.number));
            self.with_asks(|asks, now| asks.reply(reply.asker, reply.number, reply.reply, now));
        }
        if ask_queues.left {
            self.withdraw_questions();
        }
    }

    /// Asks what waits, as soon as all peers have said whether they have the channel open; or when
    /// that takes too long.
    pub(super) fn ask_held(&mut self) {
        if self.questions.held.is_empty() {
            return;
        }
        let now = self.clock.now();
        for held in std::mem::take(&mut self.questions.held) {
            let HeldQuestion { hub, asking, until } = &held;
            if asking.events.is_closed() {
                // The caller has left.
            } else if *until <= now || self.untold(hub, asking.only).next().is_none() {
                self.ask_members(&held.hub, held.asking);
            } else {
                self.questions.held.push(held);
            }
        }
    }

    /// Those who may have the channel open and have not said so, of those who are to be asked: also
    /// those that can say nothing yet, since their session is not open.
    fn untold(&self, hub: &Hub, only: Option<PeerId>) -> impl Iterator<Item = Arc<Member>> {
        let untold = self.engine.untold(hub.name()).map(peer_id);
        let connected = self.peers.iter().map(|(peer, _)| *peer);
        let without_session = connected.filter(|peer| !self.sessions.is_open(peer));
        let all = untold.chain(without_session);
        let all = all.filter(move |peer| only.is_none_or(|only| only == *peer));
        all.filter_map(|peer| Some(Arc::clone(&self.peers.get(&peer)?.member)))
    }

    fn ask_members(&mut self, hub: &Hub, asking: Asking) {
        let Asking {
            new,
            only,
            made,
            permit,
            events,
        } = asking;
        let members: Vec<Arc<Member>> = self
            .engine
            .listeners(hub.name())
            .filter(|listener| only.is_none_or(|only| only == peer_id(*listener)))
            .filter(|listener| self.sessions.is_open(&peer_id(*listener)))
            .filter_map(|listener| self.peers.get(&peer_id(listener)))
            .map(|peer| Arc::clone(&peer.member))
            .collect();
        let named = only.and_then(|only| sender(&only));
        if let Some(only) = only
            && named.is_none()
        {
            return self.tell_nobody(only, &events);
        }
        let untold: Vec<_> = self.untold(hub, only).collect();
        let far = self.far(hub, only, &members, &untold);
        let known = members.iter().chain(&far).chain(&untold);
        // An error means that whoever asked has left, which is noticed below.
        let _ = events.send(AskEvent::Asked(known.cloned().collect()));
        let within = new.within.saturating_sub(made.elapsed());
        let new = NewQuestion { within, ..new };
        let senders = |of: &[Arc<Member>]| of.iter().map(|member| member.sender()).collect();
        let whom = AskTargets {
            peers: senders(&members),
            far: senders(&far),
            untold: senders(&untold),
            only: named,
        };
        let (now, wall) = (self.clock.now(), wall_time());
        let asked = self.questions.asks.ask(new, whom, now, wall);
        match asked {
            Ok(number) => {
                let _permit = permit;
                let waiting = Waiting {
                    events,
                    has_lost: false,
                    _permit,
                };
                self.questions.waiting.insert(number, waiting);
            }
            // There is a permit for each that may be asked, and its length was looked at, so this
            // does not happen.
            Err(error) => tracing::error!(%error, "a question was not asked"),
        }
        self.with_asks(|_, _| ());
    }

    /// Nobody has this id: it is not made of a key, as those of members are.
    fn tell_nobody(&self, only: PeerId, events: &UnboundedSender<AskEvent>) {
        let account = self.engine.budget().account(Payer::Ourselves);
        if let Some(charge) = Charge::new(account, 0) {
            let none = AskEvent::Replied(only, None, Err(NoReply::Absent), charge);
            // An error means that whoever asked has left.
            let _ = events.send(none);
        }
        let _ = events.send(AskEvent::Over(true));
    }

    /// Those known to be present that are to be asked and are no peers.
    fn far(
        &self,
        hub: &Hub,
        only: Option<PeerId>,
        members: &[Arc<Member>],
        untold: &[Arc<Member>],
    ) -> Vec<Arc<Member>> {
        let present = self.presence.others(hub.name());
        let present = present.filter(|it| only.is_none_or(|only| only == peer_id(it.sender())));
        let far = present.filter(|it| !members.contains(it) && !untold.contains(it));
        far.collect()
    }

    /// Withdraws the questions to which nobody waits for an answer.
    fn withdraw_questions(&mut self) {
        let left = self
            .questions
            .waiting
            .extract_if(|_, it| it.events.is_closed());
        for question in left.map(|(question, _)| question).collect::<Vec<_>>() {
            self.with_asks(|asks, _| asks.withdraw(question));
        }
    }

    pub(super) fn handle_ask(&mut self, peer: PeerId, message: AskMessage) {
        if let Some(sender) = sender(&peer) {
            let wall = wall_time();
            self.with_asks(|asks, now| asks.handle_message(sender, message, now, wall));
        }
    }

    pub(super) fn handle_ask_timeout(&mut self) {
        self.with_asks(Asks::handle_timeout);
    }

    /// There is a session with a peer.
    pub(super) fn begin_asks(&mut self, peer: Sender) {
        self.with_asks(|asks, now| asks.handle_peer_up(peer, now));
    }

    /// The session to a peer ended.
    pub(super) fn end_asks(&mut self, peer: Sender) {
        self.with_asks(|asks, now| asks.handle_peer_down(peer, now));
    }

    /// Calls the questions, and does what they want done.
    fn with_asks<R>(&mut self, act: impl FnOnce(&mut Asks, Time) -> R) -> R {
        let now = self.clock.now();
        let returned = act(&mut self.questions.asks, now);
        while let Some(output) = self.questions.asks.poll_output() {
            match output {
                AskOutput::Send(to, message) => {
                    self.send_sync(peer_id(to), &SyncMessage::Ask(message));
                }
                AskOutput::Replied {
                    question,
                    of,
                    member,
                    by,
                    reply,
                } => {
                    let len = cost(of == by, &reply);
                    let member = member.or_else(|| self.member_of(of));
                    let account = self.engine.budget().account(Payer::from(by));
                    let event = match Charge::new(account, len) {
                        Some(charge) => Some(AskEvent::Replied(peer_id(of), member, reply, charge)),
                        // However many whoever brings them makes up.
                        None if of != by && !self.questions.no_room.try_take(NO_ROOM, now) => None,
                        None => Some(AskEvent::NoRoom(peer_id(of), member)),
                    };
                    if let Some(waiting) = self.questions.waiting.get_mut(&question) {
                        waiting.has_lost |= event.is_none();
                        if let Some(event) = event {
                            // An error means that whoever asked has left.
                            let _ = waiting.events.send(event);
                        }
                    }
                }
                AskOutput::Over { question, whole } => {
                    if let Some(waiting) = self.questions.waiting.remove(&question) {
                        // The same.
                        let whole = whole && !waiting.has_lost;
                        let _ = waiting.events.send(AskEvent::Over(whole));
                    }
                }
                AskOutput::Asked(asked) => self.hand_to_handler(asked),
                AskOutput::Withdrawn(asker, question) => {
                    self.questions.handled.remove(&(asker, question));
                }
                AskOutput::Misbehaved { peer, offence } => {
                    self.handle_offence(peer_id(peer), offence, 1);
                }
            }
        }
        returned
    }

    fn hand_to_handler(&mut self, asked: Asked) {
        let Asked {
            asker,
            member,
            payer,
            question,
        } = asked;
        let hub = self.channels.get(&question.channel);
        let hub = hub.map(|channel| Arc::clone(&channel.hub));
        let is_open = hub.as_ref().is_some_and(|hub| hub.objects() > 0);
        let declined = match member {
            Some(_) if !is_open => Declined::NotOpen,
            _ => Declined::NoHandler,
        };
        let answerer = hub.and_then(|hub| Some((hub.answerer()?, hub)));
        let member = member.or_else(|| self.member_of(asker));
        let number = question.number;
        let (Some((answerer, hub)), Some(member)) = (answerer, member) else {
            let (reply, now) = (Reply::Declined(declined), self.clock.now());
            return self.questions.asks.reply(asker, number, reply, now);
        };
        let account = self.engine.budget().account(Payer::from(payer));
        let (withdraws, withdrawn) = oneshot::channel();
        self.questions.handled.insert((asker, number), withdraws);
        (answerer.answer)(Incoming {
            member,
            question,
            by: (payer, payer == asker),
            replier: Replier::new(
                move |reply| hub.reply_to_member(reply),
                asker,
                number,
                account,
            ),
            withdrawn,
        });
    }

    fn member_of(&self, peer: Sender) -> Option<Arc<Member>> {
        let peer = self.peers.get(&peer_id(peer))?;
        Some(Arc::clone(&peer.member))
    }
}

/// What a reply that waits is charged. One that came over others is of whom nobody may know: it
/// costs something whatever it says.
fn cost(is_by_session: bool, reply: &Result<Reply, NoReply>) -> usize {
    match reply {
        Ok(Reply::Answer(_, payload)) => ENTRY_BYTES + payload.len(),
        _ if is_by_session => 0,
        _ => ENTRY_BYTES,
    }
}

/// The rate at which answers that came over others and found no room are told, at a KiB each; the
/// burst is as many as there may be members. Of further ones the asker is told that some were lost.
const NO_ROOM: Rate = Rate::per_second(64, Duration::from_secs(64));

/// The time that a question waits for peers to say whether they have the channel open, and at most
/// a quarter of its own time: the rest is for answers. They say so within a round trip.
const UNTOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use meshcast_proto::Declined;

    use super::*;

    #[test]
    fn everything_that_comes_over_others_costs_the_peer_that_brings_it() {
        let busy = Ok(Reply::Declined(Declined::Busy));
        assert_eq!(
            [true, false].map(|near| cost(near, &busy)),
            [0, ENTRY_BYTES]
        );
    }
}
