//! The connected members, and what each has said of the channels that are open here.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Budget, INTEREST_BYTES, OPENED_AGAIN_BYTES, Payer},
    wire::{Answer, ChannelName, Opened, Sender, Time},
};

use lateness::Lateness;
use openings::{AnswerHeard, Answers, OpenChannel, OpenChannels, State};

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<Sender, PeerEntry>,
    /// The channels that are open here.
    here: OpenChannels,
    budget: Budget,
}

/// A connected member.
#[derive(Debug)]
struct PeerEntry {
    /// When it last said anything.
    heard: Time,
    /// When it last brought anything by gossip.
    brought: Time,
    /// What it has open.
    open: BTreeMap<ChannelName, Wanted>,
    /// The state of its answers about what is open here.
    answers: Answers,
    /// Requests to it that it has not answered.
    requests: usize,
    lateness: Lateness,
}

/// What a peer has said of a channel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interest {
    /// It has it open and wants to hear of what was posted from then on.
    pub(crate) open: Option<Wanted>,
    /// It has told all that it has of it.
    has_told: bool,
    /// The last that it said it has of a log of the channel found no room: of some it is not known
    /// any more what it has, nor that it gets them by way of this node.
    pub(crate) is_unknown: bool,
}

/// From where on a peer wants to hear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Posted since then, by this node's clock.
    pub(crate) since: Time,
    /// And at least so many numbers of each sender.
    pub(crate) last: u64,
    /// Which opening this is.
    pub(crate) opening: u64,
    /// When it came.
    pub(crate) came: Time,
}

/// The standing of a peer's report on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Have {
    /// It is news.
    Counts,
    /// It is, and the last of an answer; follow with [`Peers::has_answered`].
    CompletesAnswer,
    /// It was said before the channel was opened for the last time, and answers nothing that is
    /// still asked.
    Outdated,
    /// Its answer took longer on the way than was granted, so it may take this node to have opened
    /// the channel later than it did. The channel is to be opened once more, so much longer ago.
    TooLate {
        /// How long both ways took together.
        way: Duration,
    },
}

impl Interest {
    /// Whether it has told all it has of the channel.
    pub(crate) const fn has_told(&self) -> bool {
        self.has_told
    }
}

impl Peers {
    /// Channels that peers open are charged to this budget.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            peers: BTreeMap::new(),
            here: OpenChannels::default(),
            budget,
        }
    }

    pub(crate) fn add(&mut self, peer: Sender, now: Time) {
        self.peers.entry(peer).or_insert_with(|| PeerEntry {
            heard: now,
            brought: now,
            open: BTreeMap::new(),
            answers: Answers::default(),
            requests: 0,
            lateness: Lateness::default(),
        });
    }

    /// A peer says something. `false` if it is none.
    pub(crate) fn hear(&mut self, peer: Sender, now: Time) -> bool {
        let peer = self.peers.get_mut(&peer);
        peer.map(|peer| peer.heard = now).is_some()
    }

    /// When a peer last said anything.
    pub(crate) fn heard(&self, peer: Sender) -> Time {
        self.peers.get(&peer).map_or(Time::ZERO, |peer| peer.heard)
    }

    /// A peer brings something by gossip.
    pub(crate) fn bring(&mut self, peer: Sender, now: Time) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.brought = now;
        }
    }

    /// A first claim of a peer on a log of a channel that is open here is remembered, or there is
    /// no room for it.
    pub(crate) fn note(&mut self, peer: Sender, channel: &ChannelName, is_remembered: bool) {
        let entry = self.peers.get_mut(&peer);
        if let Some((entry, open)) = entry.zip(self.here.get(channel)) {
            entry.answers.heard_mut(open).is_unknown = !is_remembered;
        }
    }

    /// Whether there was no room for what a peer said it has of a channel.
    pub(crate) fn is_unknown(&self, peer: Sender, channel: &ChannelName) -> bool {
        let open = self.here.get(channel);
        let peer = self.peers.get(&peer);
        peer.is_some_and(|peer| peer.answers.heard(open).is_unknown)
    }

    /// When a peer last gave a sign of life, by gossip or otherwise.
    pub(crate) fn alive(&self, peer: Sender) -> Time {
        let peer = self.peers.get(&peer);
        peer.map_or(Time::ZERO, |peer| peer.heard.max(peer.brought))
    }

    pub(crate) fn remove(&mut self, peer: Sender) {
        let Some(entry) = self.peers.remove(&peer) else {
            return;
        };
        let charged = entry.charged();
        self.budget.release(Payer::from(peer), charged);
    }

    pub(crate) fn contains(&self, peer: Sender) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Sender> + Clone {
        self.peers.keys().copied()
    }

    /// A peer opened a channel. `false` if it has as many as it may, or there is no room to
    /// remember it.
    pub(crate) fn open(&mut self, peer: Sender, opened: &Opened, now: Time) -> bool {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return false;
        };
        let is_open = entry.open.contains_key(&opened.channel);
        if !is_open && entry.open.len() >= MAX_CHANNELS {
            return false;
        }
        let charged = cost(&opened.channel);
        if !is_open && !self.budget.try_charge(Payer::from(peer), charged) {
            return false;
        }
        let wanted = Wanted {
            since: now - opened.since - TRAVEL,
            last: opened.last,
            opening: opened.opening,
            came: now,
        };
        entry.open.insert(opened.channel.clone(), wanted);
        true
    }

    /// A peer closed a channel. `false` if it had not opened it.
    pub(crate) fn close(&mut self, peer: Sender, channel: &ChannelName) -> bool {
        let entry = self.peers.get_mut(&peer);
        let was_open = entry.is_some_and(|entry| entry.open.remove(channel).is_some());
        if was_open {
            self.budget.release(Payer::from(peer), cost(channel));
        }
        was_open
    }

    /// A peer is told of all channels that are open here: what it said of them before counts no
    /// longer. Returns the id that its answers repeat.
    pub(crate) fn tell(&mut self, peer: Sender, now: Time) -> u64 {
        let opening = self.here.new_opening(Duration::ZERO, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            let before = std::mem::take(&mut entry.answers);
            let charged = before.again() * OPENED_AGAIN_BYTES;
            self.budget.release(Payer::from(peer), charged);
            entry.answers.begin(&self.here, opening);
        }
        opening.id
    }

    /// All peers are told that a channel is open here: what they said of that before counts no
    /// longer. Returns the id that their answers repeat.
    pub(crate) fn tell_all(&mut self, channel: &ChannelName, now: Time) -> u64 {
        let open = self.here.open(channel, now);
        for (peer, entry) in &mut self.peers {
            entry.answers.await_answer(open);
            if entry.answers.end_again(open) {
                self.budget.release(Payer::from(*peer), OPENED_AGAIN_BYTES);
            }
        }
        open.opening()
    }

    /// A peer is told once more that a channel is open here, with so much added to the time since
    /// when it is. Returns the id that its answer repeats; nothing if there is no room to remember
    /// it, and then the peer counts as one that does not answer.
    pub(crate) fn tell_again(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        added: Duration,
        now: Time,
    ) -> Option<u64> {
        let (entry, open) = self.peers.get_mut(&peer).zip(self.here.get(channel))?;
        let has_room = entry.answers.is_again(open)
            || self
                .budget
                .try_charge(Payer::from(peer), OPENED_AGAIN_BYTES);
        let opening = has_room.then(|| self.here.new_opening(added, now))?;
        entry.answers.tell_again(open, opening);
        Some(opening.id)
    }

    /// The standing of a peer's report on a channel that is open here.
    pub(crate) fn hear_have(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        answer: Option<Answer>,
        now: Time,
    ) -> Have {
        let entry = self.peers.get_mut(&peer);
        let Some((entry, open)) = entry.zip(self.here.get(channel)) else {
            return Have::Outdated;
        };
        let opening = entry.answers.opening(open);
        let answers = answer.filter(|answer| answer.opening == opening.id);
        let heard = entry.answers.heard_mut(open);
        let answer = match (heard.state, answers) {
            (State::Complete, _) => return Have::Counts,
            (State::Awaited, Some(answer)) => {
                let way = now.saturating_since(opening.at).saturating_sub(answer.held);
                if way > TRAVEL + opening.added {
                    return Have::TooLate { way };
                }
                answer
            }
            (State::Partly, Some(answer)) => answer,
            // It comes behind the first part of the answer, so it was said after the opening.
            (State::Partly, None) if answer.is_none() => return Have::Counts,
            _ => return Have::Outdated,
        };
        if answer.more {
            heard.state = State::Partly;
            Have::Counts
        } else {
            Have::CompletesAnswer
        }
    }

    /// A peer has told all that it has of a channel that is open here.
    pub(crate) fn has_answered(&mut self, peer: Sender, channel: &ChannelName) {
        let open = *self.here.ensure(channel);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.answers.heard_mut(open).state = State::Complete;
            if entry.answers.end_again(open) {
                self.budget.release(Payer::from(peer), OPENED_AGAIN_BYTES);
            }
        }
    }

    /// A channel was closed here: what was said of it counts no longer.
    pub(crate) fn untell(&mut self, channel: &ChannelName) {
        let Some(open) = self.here.close(channel) else {
            return;
        };
        for (peer, entry) in &mut self.peers {
            *entry.answers.heard_mut(open) = AnswerHeard::default();
            if entry.answers.end_again(open) {
                self.budget.release(Payer::from(*peer), OPENED_AGAIN_BYTES);
            }
        }
    }

    /// From where on a peer wants to hear, if it has the channel open.
    pub(crate) fn wanted(&self, peer: Sender, channel: &ChannelName) -> Option<Wanted> {
        self.peers.get(&peer)?.open.get(channel).copied()
    }

    /// The count of openings of a channel by a peer; 0 if it has not.
    pub(crate) fn opening(&self, peer: Sender, channel: &ChannelName) -> u64 {
        self.wanted(peer, channel)
            .map_or(0, |wanted| wanted.opening)
    }

    /// Whether a peer has a channel open.
    pub(crate) fn listens(&self, peer: Sender, channel: &ChannelName) -> bool {
        self.wanted(peer, channel).is_some()
    }

    /// The channels that a peer has open.
    pub(crate) fn opened_by(&self, peer: Sender) -> impl Iterator<Item = &ChannelName> {
        let peer = self.peers.get(&peer).into_iter();
        peer.flat_map(|peer| peer.open.keys())
    }

    /// All peers, and what they said of a channel.
    pub(crate) fn interests(
        &self,
        channel: &ChannelName,
    ) -> impl Iterator<Item = (Sender, Interest)> {
        let open = self.here.get(channel);
        let peers = self.peers.iter();
        peers.map(move |(id, peer)| (*id, peer.interest(channel, open)))
    }

    /// Whether all have told what they have of a channel.
    pub(crate) fn all_told(&self, channel: &ChannelName) -> bool {
        self.interests(channel)
            .all(|(_, interest)| interest.has_told())
    }

    /// The number of peers that have not told all that they have of a channel.
    pub(crate) fn untold(&self, channel: &ChannelName) -> usize {
        let interests = self.interests(channel);
        interests.filter(|(_, it)| !it.has_told()).count()
    }

    /// Whether anybody has said nothing at all since it was told that a channel is open here.
    pub(crate) fn is_any_silent(&self, channel: &ChannelName) -> bool {
        let Some(open) = self.here.get(channel) else {
            return false;
        };
        self.peers.values().any(|peer| {
            let is_awaited = peer.answers.heard(Some(open)).state == State::Awaited;
            is_awaited && peer.heard <= peer.answers.opening(open).at
        })
    }

    /// Whether a peer may be asked for something more: of a log of which a frame came, or of one
    /// that is only reported. The last place is kept free of reported logs.
    pub(crate) fn may_ask(&self, peer: Sender, is_proven: bool) -> bool {
        let most = MAX_REQUESTS - usize::from(!is_proven);
        let peer = self.peers.get(&peer);
        peer.is_some_and(|peer| peer.requests < most)
    }

    /// Whether a peer may be asked beside another that is slow: one that answers soon, as far as
    /// known. The last place is kept free for what it alone is asked for.
    pub(crate) fn may_hedge(&self, peer: Sender, now: Time) -> bool {
        let may = |peer: &PeerEntry| peer.requests + 1 < MAX_REQUESTS && !peer.lateness.counts(now);
        self.peers.get(&peer).is_some_and(may)
    }

    /// A peer is asked for something of a log of which a frame came, or of one that is only
    /// reported. One that was late is tried by one request for what is proven before it is asked as
    /// ever: of what is reported there may be nothing, and who has nothing shows nothing.
    pub(crate) fn asked(&mut self, peer: Sender, is_proven: bool, now: Time) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.requests += 1;
            if is_proven {
                peer.lateness.probe(now);
            }
        }
    }

    /// Whether a peer was late so lately that others are asked first. If there are none it is asked
    /// like any other.
    pub(crate) fn is_late(&self, peer: Sender, now: Time) -> bool {
        let peer = self.peers.get(&peer);
        peer.is_some_and(|peer| peer.lateness.counts(now))
    }

    /// A peer has not answered soon. Requests of about the same time are one sign.
    pub(crate) fn was_late(&mut self, peer: Sender, now: Time) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.lateness.was_late(now);
        }
    }

    /// A peer answered soon, with something of what it was asked for.
    pub(crate) fn was_quick(&mut self, peer: Sender, now: Time) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.lateness.was_quick(now);
        }
    }

    pub(crate) fn answered(&mut self, peer: Sender) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.requests = peer.requests.saturating_sub(1);
        }
    }

    /// The charge to peers for what they have open, and for what they were told once more.
    #[cfg(test)]
    pub(crate) fn charged(&self) -> usize {
        self.peers.values().map(PeerEntry::charged).sum()
    }

    /// The opening of a channel that a peer has not answered, or 0.
    #[cfg(test)]
    pub(crate) fn unanswered(&self, peer: Sender, channel: &ChannelName) -> u64 {
        let entry = self.peers.get(&peer).zip(self.here.get(channel));
        entry.map_or(0, |(peer, open)| {
            match peer.answers.heard(Some(open)).state {
                State::Awaited | State::Partly => peer.answers.opening(open).id,
                State::NotAsked | State::Complete => 0,
            }
        })
    }

    /// How many requests to whom are under way.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> BTreeMap<Sender, usize> {
        let peers = self.peers.iter().map(|(id, peer)| (*id, peer.requests));
        let asked: BTreeMap<_, _> = peers.filter(|(_, requests)| *requests > 0).collect();
        assert!(asked.values().all(|requests| *requests <= MAX_REQUESTS));
        asked
    }
}

impl PeerEntry {
    fn interest(&self, channel: &ChannelName, open: Option<OpenChannel>) -> Interest {
        let AnswerHeard { state, is_unknown } = self.answers.heard(open);
        Interest {
            open: self.open.get(channel).copied(),
            has_told: state == State::Complete,
            is_unknown,
        }
    }

    /// What it is charged with.
    fn charged(&self) -> usize {
        let open: usize = self.open.keys().map(cost).sum();
        open + self.answers.again() * OPENED_AGAIN_BYTES
    }
}

/// The charge of a peer for a channel that it has open.
fn cost(channel: &ChannelName) -> usize {
    INTEREST_BYTES + channel.wire().len()
}

/// How many requests to one peer are under way at the same time. Three answers of 256 KiB are
/// on their way or wait in its queue of 1 MiB beside its other messages.
const MAX_REQUESTS: usize = 3;

/// The number of channels that a peer may have open, at about 100 bytes: as many as it may announce
/// to gossip.
const MAX_CHANNELS: usize = 16_384;

/// What is granted for the way of an `Open`: the first half of a round trip round the world, and a
/// little of a queue. The node that opened measures by the answer whether that was enough, and
/// opens once more with the time of the way added where it was not. Posts meanwhile are heard too:
/// rather a moment too much, as gossip under way brings it, than a loss.
const TRAVEL: Duration = Duration::from_millis(200);

mod lateness;
mod openings;

#[cfg(test)]
mod tests;
