//! The connected members, and what each has said of the channels that are open here.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bounds::{Budget, INTEREST_BYTES, Payer},
    wire::{ChannelName, Opened, Sender, Time},
};

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    peers: BTreeMap<Sender, Neighbour>,
    budget: Budget,
}

/// A connected member.
#[derive(Debug)]
struct Neighbour {
    /// Since when it is connected.
    since: Time,
    /// When it last said anything.
    heard: Time,
    channels: BTreeMap<ChannelName, Interest>,
    /// How often it opened a channel.
    openings: u64,
    /// Requests to it that it has not answered.
    requests: usize,
}

/// What a neighbour has said of a channel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interest {
    /// It has it open and wants to hear of what was posted from then on.
    pub(crate) open: Option<Wanted>,
    /// It has told what it has of it.
    pub(crate) told: bool,
    /// It was asked to, and has not.
    asked: Option<Asked>,
}

/// A neighbour was told that a channel is open here.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Time,
    /// For the second time.
    again: bool,
}

/// From where on a neighbour wants to hear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Posted since then, by this node's clock.
    pub(crate) since: Time,
    /// And at least so many numbers of each sender.
    pub(crate) last: u64,
    /// Each time that a neighbour opens a channel has another number, from 1 on.
    pub(crate) opening: u64,
}

impl Neighbours {
    /// What neighbours open is charged to this budget.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            peers: BTreeMap::new(),
            budget,
        }
    }

    pub(crate) fn add(&mut self, peer: Sender, now: Time) {
        self.peers.entry(peer).or_insert_with(|| Neighbour {
            since: now,
            heard: now,
            channels: BTreeMap::new(),
            openings: 0,
            requests: 0,
        });
    }

    /// How long a neighbour has been connected.
    pub(crate) fn linked(&self, peer: Sender, now: Time) -> Duration {
        let peer = self.peers.get(&peer);
        peer.map_or(Duration::ZERO, |peer| now.saturating_since(peer.since))
    }

    /// A neighbour says something. `false` if it is none.
    pub(crate) fn hear(&mut self, peer: Sender, now: Time) -> bool {
        let peer = self.peers.get_mut(&peer);
        peer.map(|peer| peer.heard = now).is_some()
    }

    /// When a neighbour last said anything.
    pub(crate) fn heard(&self, peer: Sender) -> Time {
        self.peers.get(&peer).map_or(Time::ZERO, |peer| peer.heard)
    }

    pub(crate) fn remove(&mut self, peer: Sender) {
        let Some(neighbour) = self.peers.remove(&peer) else {
            return;
        };
        let open = neighbour.channels.iter();
        let open = open.filter(|(_, interest)| interest.open.is_some());
        let charged = open.map(|(channel, _)| cost(channel)).sum();
        self.budget.release(Payer::from(peer), charged);
    }

    pub(crate) fn contains(&self, peer: Sender) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Sender> + Clone {
        self.peers.keys().copied()
    }

    /// A neighbour opened a channel. `false` if it has as many as it may, or there is no room to
    /// remember it.
    pub(crate) fn open(&mut self, peer: Sender, opened: &Opened, now: Time) -> bool {
        let Some(neighbour) = self.peers.get_mut(&peer) else {
            return false;
        };
        if neighbour.channels.len() >= MAX_CHANNELS
            && !neighbour.channels.contains_key(&opened.channel)
        {
            return false;
        }
        let interest = neighbour.channels.get(&opened.channel);
        let is_open = interest.is_some_and(|interest| interest.open.is_some());
        if !is_open
            && !self
                .budget
                .try_charge(Payer::from(peer), cost(&opened.channel))
        {
            return false;
        }
        // A link may hold a message up for seconds without breaking.
        let held_up = now
            .saturating_since(neighbour.since)
            .saturating_sub(opened.linked);
        neighbour.openings += 1;
        let wanted = Wanted {
            since: now - opened.since - held_up - TRAVEL,
            last: opened.last,
            opening: neighbour.openings,
        };
        neighbour
            .channels
            .entry(opened.channel.clone())
            .or_default()
            .open = Some(wanted);
        true
    }

    /// A neighbour closed a channel. `false` if it had not opened it.
    pub(crate) fn close(&mut self, peer: Sender, channel: &ChannelName) -> bool {
        let mut was_open = false;
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            neighbour.change(channel, |interest| {
                was_open = interest.open.take().is_some()
            });
        }
        if was_open {
            self.budget.release(Payer::from(peer), cost(channel));
        }
        was_open
    }

    /// A neighbour has begun to tell what it has of a channel that is open here: it knows that it
    /// is.
    pub(crate) fn tells(&mut self, peer: Sender, channel: &ChannelName) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.channels.entry(channel.clone()).or_default().asked = None;
        }
    }

    /// A neighbour has told all that it has of a channel that is open here. `false` if it had
    /// before.
    pub(crate) fn told(&mut self, peer: Sender, channel: &ChannelName) -> bool {
        self.peers.get_mut(&peer).is_some_and(|peer| {
            let interest = peer.channels.entry(channel.clone()).or_default();
            interest.asked = None;
            !std::mem::replace(&mut interest.told, true)
        })
    }

    /// A neighbour is told that a channel is open here.
    pub(crate) fn ask(&mut self, peer: Sender, channel: &ChannelName, now: Time) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            let interest = peer.channels.entry(channel.clone()).or_default();
            if !interest.told {
                interest.asked = Some(Asked {
                    at: now,
                    again: false,
                });
            }
        }
    }

    /// A neighbour tells what it has of a channel. If that took longer than what is granted for the
    /// way, it may take this node to have opened the channel later than it did: then how much
    /// later. It counts as asked again.
    pub(crate) fn slow_to_tell(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        now: Time,
    ) -> Option<Duration> {
        let interest = self.peers.get_mut(&peer)?.channels.get_mut(channel)?;
        let asked = interest.asked.as_mut().filter(|asked| !asked.again)?;
        let took = now.saturating_since(asked.at);
        (took > TRAVEL).then(|| {
            *asked = Asked {
                at: now,
                again: true,
            };
            took
        })
    }

    /// A channel was closed here: what was said of it counts no longer.
    pub(crate) fn untell(&mut self, channel: &ChannelName) {
        for peer in self.peers.values_mut() {
            peer.change(channel, |interest| {
                (interest.told, interest.asked) = (false, None)
            });
        }
    }

    /// From where on a neighbour wants to hear, if it has the channel open.
    pub(crate) fn wanted(&self, peer: Sender, channel: &ChannelName) -> Option<Wanted> {
        self.peers.get(&peer)?.channels.get(channel)?.open
    }

    /// Which time it is that a neighbour opened a channel; 0 if it has not.
    pub(crate) fn opening(&self, peer: Sender, channel: &ChannelName) -> u64 {
        self.wanted(peer, channel)
            .map_or(0, |wanted| wanted.opening)
    }

    /// Whether a neighbour has a channel open.
    pub(crate) fn listens(&self, peer: Sender, channel: &ChannelName) -> bool {
        self.wanted(peer, channel).is_some()
    }

    /// The channels that a neighbour has open.
    pub(crate) fn opened_by(&self, peer: Sender) -> impl Iterator<Item = &ChannelName> {
        let channels = self
            .peers
            .get(&peer)
            .into_iter()
            .flat_map(|peer| &peer.channels);
        channels.filter_map(|(name, interest)| interest.open.map(|_| name))
    }

    /// All neighbours, and what they said of a channel.
    pub(crate) fn interests(
        &self,
        channel: &ChannelName,
    ) -> impl Iterator<Item = (Sender, Interest)> {
        let interest = |peer: &Neighbour| peer.channels.get(channel).copied().unwrap_or_default();
        self.peers
            .iter()
            .map(move |(id, peer)| (*id, interest(peer)))
    }

    /// Whether all have told what they have of a channel.
    pub(crate) fn all_told(&self, channel: &ChannelName) -> bool {
        self.interests(channel).all(|(_, interest)| interest.told)
    }

    /// Whether anybody has said nothing at all since it was told that a channel is open here.
    pub(crate) fn is_any_silent(&self, channel: &ChannelName) -> bool {
        self.peers.values().any(|peer| {
            let interest = peer.channels.get(channel);
            let asked = interest.and_then(|interest| interest.asked);
            asked.is_some_and(|asked| peer.heard <= asked.at)
        })
    }

    /// Whether a neighbour may be asked for something more.
    pub(crate) fn may_ask(&self, peer: Sender) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.requests < MAX_REQUESTS)
    }

    pub(crate) fn asked(&mut self, peer: Sender) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.requests += 1;
        }
    }

    pub(crate) fn answered(&mut self, peer: Sender) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.requests = peer.requests.saturating_sub(1);
        }
    }

    /// What neighbours are charged with for what they have open.
    #[cfg(test)]
    pub(crate) fn charged(&self) -> usize {
        let open = self.peers.values().flat_map(|peer| &peer.channels);
        let open = open.filter(|(_, interest)| interest.open.is_some());
        open.map(|(channel, _)| cost(channel)).sum()
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

impl Neighbour {
    /// Changes what it has said of a channel, and forgets the channel if nothing is left of that.
    fn change(&mut self, channel: &ChannelName, change: impl FnOnce(&mut Interest)) {
        if let Some(interest) = self.channels.get_mut(channel) {
            change(interest);
            if interest.open.is_none() && !interest.told && interest.asked.is_none() {
                self.channels.remove(channel);
            }
        }
    }
}

/// What a neighbour is charged with for a channel that it has open.
fn cost(channel: &ChannelName) -> usize {
    INTEREST_BYTES + channel.wire().len()
}

/// How many requests to one neighbour are under way at the same time. Three answers of 256 KiB are
/// on their way or wait in its queue of 1 MiB beside its other messages.
const MAX_REQUESTS: usize = 3;

/// How many channels a neighbour may have open, at about 100 bytes: as many as it may announce to
/// gossip.
const MAX_CHANNELS: usize = 16_384;

/// How long it may have taken to come that a channel was opened, half round the world. What it was
/// held up besides, in queues or a process that did not get to it, is told by how long the link has
/// been there at both ends; and where the link itself came late to an end, by how long it took
/// until there was an answer. What was posted meanwhile is heard too: rather a moment too much, as
/// gossip under way brings it, than a loss.
const TRAVEL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
