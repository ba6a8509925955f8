//! Comparison of what peers have, so that all come to know the same whatever was lost or skipped.

use std::{collections::BTreeMap, ops::Bound};

use super::{
    super::{link::Link, present::Opens},
    COMPARE_AFTER, ChannelName, Duration, PresenceMessage, PresenceTracker, Sender, Time,
};
use crate::wire::RollHash;

impl PresenceTracker {
    /// A hash of this node and its peers.
    pub(super) fn own_links(&self) -> [u8; 16] {
        let peers = self.links.keys().copied();
        Sender::hash_of(peers.chain([self.me.sender()]))
    }

    /// Tells a peer which peers this node has, if that is news.
    pub(super) fn tell_links(&mut self, peer: Sender) {
        let own = self.own_links();
        if let Some(link) = self.links.get_mut(&peer)
            && link.sent != Some(own)
        {
            link.sent = Some(own);
            self.send(peer, PresenceMessage::Links(own));
        }
    }

    /// The same, for all peers that have a channel open on which somebody watches.
    pub(super) fn tell_all_links(&mut self, _: Time) {
        for peer in self.neighbours() {
            self.tell_links(peer);
        }
    }

    /// The peers that have a channel open on which somebody watches.
    fn neighbours(&self) -> Vec<Sender> {
        let links = self.links.iter().filter(|(_, link)| !link.rooms.is_empty());
        links.map(|(peer, _)| *peer).collect()
    }

    pub(super) fn handle_links(&mut self, peer: Sender, links: [u8; 16], now: Time) {
        if let Some(link) = self.links.get_mut(&peer)
            && link.links.replace(links) != Some(links)
        {
            link.compare.get_or_insert(now + COMPARE_AFTER);
        }
    }

    /// Compares with those with whom it is time to, and with one more now and then.
    pub(super) fn compare(&mut self, now: Time) {
        let neighbours = self.neighbours();
        let mut due: Vec<_> = Vec::new();
        for peer in &neighbours {
            if let Some(link) = self.links.get_mut(peer)
                && link.compare.is_some_and(|at| at <= now)
            {
                link.compare = None;
                // One of the two is enough.
                let is_behind = std::mem::take(&mut link.is_behind);
                due.extend((is_behind || self.me.sender() < *peer).then_some(*peer));
            }
        }
        if self.next_compare <= now {
            self.next_compare = now + COMPARE_INTERVAL;
            let after = neighbours.iter().find(|peer| Some(**peer) > self.compared);
            self.compared = after.or_else(|| neighbours.first()).copied();
            due.extend(self.compared.filter(|peer| !due.contains(peer)));
        }
        for peer in due {
            if let Some(link) = self.links.get_mut(&peer) {
                link.to_compare = link.rooms.len();
            }
        }
        for peer in neighbours {
            self.compare_some(peer, now);
        }
    }

    /// Compares the next channels of those that are to be compared with a peer: so many at once,
    /// each in its turn.
    fn compare_some(&mut self, peer: Sender, now: Time) {
        let wants = |link: &&mut Link| link.to_compare > 0 && !link.is_congested;
        let Some(link) = self.links.get_mut(&peer).filter(wants) else {
            return;
        };
        let after = match &link.compared {
            Some(last) => (Bound::Excluded(last), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let upto = link.compared.iter();
        let upto = upto.flat_map(|last| link.rooms.range(..=last.clone()));
        let common = link.rooms.range::<ChannelName, _>(after).chain(upto);
        let most = self.shares.hashes.min(link.to_compare);
        let hash =
            |channel: &ChannelName| Some((channel.clone(), self.rooms.get(channel)?.hash(now)));
        let hashes: Vec<_> = common.take(most).filter_map(hash).collect();
        link.to_compare = match hashes.len() < most {
            true => 0,
            false => link.to_compare - most,
        };
        if let Some((last, _)) = hashes.last() {
            link.compared = Some(last.clone());
            self.send(peer, PresenceMessage::Hashes(hashes));
        }
    }

    pub(super) fn handle_hashes(
        &mut self,
        peer: Sender,
        hashes: Vec<(ChannelName, RollHash)>,
        opens: impl Fn(&ChannelName) -> Option<Opens>,
        now: Time,
    ) {
        // It would not be read; both are compared again.
        if let Some(link) = self.links.get_mut(&peer).filter(|link| link.is_congested) {
            return link.fall_behind(now);
        }
        for (channel, hash) in hashes {
            let rolls = match self.rooms.get(&channel) {
                Some(room) => room.hash(now) != hash,
                None => hash != RollHash::default() && opens(&channel).is_some(),
            };
            if rolls {
                let roll = self.roll(&channel, now);
                self.send(peer, PresenceMessage::Roll(channel, roll));
            }
        }
    }

    /// Which version of whose record others are told of.
    fn roll(&self, channel: &ChannelName, now: Time) -> Vec<(Sender, u64)> {
        let room = self.rooms.get(channel).into_iter();
        let entries = room.flat_map(|room| room.roll(now));
        entries.take(PresenceMessage::MAX_ENTRIES).collect()
    }

    pub(super) fn handle_roll(
        &mut self,
        peer: Sender,
        channel: ChannelName,
        roll: &[(Sender, u64)],
        now: Time,
    ) {
        let Some(room) = self.rooms.get_mut(&channel) else {
            return;
        };
        // They see members that were given up here, by records that are no news.
        let is_back = |(sender, version): &&(Sender, u64)| {
            let entry = room.entries.get_mut(sender);
            entry.is_some_and(|entry| entry.is_back(*version, now))
        };
        let back: Vec<_> = roll
            .iter()
            .filter(is_back)
            .map(|(sender, _)| *sender)
            .collect();
        let theirs: BTreeMap<_, _> = roll.iter().copied().collect();
        let lacks = room
            .offered(now)
            .filter(|record| {
                let known = theirs.get(&record.sender);
                record.sender != peer && known.is_none_or(|known| *known < record.version)
            })
            .map(|record| record.sender);
        let lacks: Vec<_> = lacks.collect();
        let me = self.me.sender();
        let wanted = roll.iter().filter(|(sender, version)| {
            *sender != me && room.version(*sender).is_none_or(|known| known < *version)
        });
        let wanted: Vec<_> = wanted.map(|(sender, _)| *sender).collect();
        self.serve(peer, &channel, &lacks, now);
        for sender in back {
            self.follow(sender, now);
        }
        if !wanted.is_empty() {
            self.send(peer, PresenceMessage::Fetch(channel, wanted));
        }
    }

    /// Gives a peer the records of these, as far as its share goes, which pays for each that is
    /// looked for. It finds the rest missing when it compares again.
    pub(super) fn serve(
        &mut self,
        peer: Sender,
        channel: &ChannelName,
        senders: &[Sender],
        now: Time,
    ) {
        let Some((room, link)) = self.rooms.get(channel).zip(self.links.get_mut(&peer)) else {
            return;
        };
        let mut records = Vec::new();
        for (n, sender) in senders.iter().enumerate() {
            if !link.may_serve(&self.shares, now) {
                // Nobody does wrong who lacks much, or asks for all that it lacks.
                link.fall_behind(now);
                self.counters.presence_limited += (senders.len() - n) as u64;
                break;
            }
            records.extend(room.offered_of(*sender, now).cloned());
        }
        self.send_records(peer, records);
    }
}

/// The interval at which a node compares its records with one of its peers, each in its turn: mends
/// what a rate or a full node made it skip.
const COMPARE_INTERVAL: Duration = Duration::from_secs(10);
