//! Signs of life of those who are far: from whom they are had, and to whom they are handed on.

use super::{
    super::life::{BEAT, BEAT_PER_MEMBER, MAX_BEAT, Status},
    BTreeSet, Beat, Duration, PresenceMessage, PresenceTracker, Sender, Time, WallTime,
};
use crate::bounds::Payer;
use crate::wire::Places;

impl PresenceTracker {
    /// Follows somebody by those peers whom it takes now, and no others.
    pub(super) fn follow(&mut self, sender: Sender, now: Time) {
        let wanted = self.sources(sender, now);
        let Some(life) = self.lives.get_mut(&sender) else {
            return;
        };
        // A peer that did not know it when it was asked may know it by now.
        let again = life.upstream.is_none()
            && life.asked.is_none_or(|at| at + ASK_AGAIN <= now)
            && !wanted.is_empty();
        if again {
            life.asked = Some(now);
        }
        let (mut begin, mut end) = (Vec::new(), Vec::new());
        for (peer, link) in &mut self.links {
            let wants = wanted.contains(peer);
            if wants && (link.following.insert(sender) || again) {
                begin.push(*peer);
            } else if !wants && link.following.remove(&sender) {
                end.push(*peer);
            }
        }
        for peer in begin {
            self.send(peer, PresenceMessage::Follow(vec![sender]));
        }
        for peer in end {
            self.send(peer, PresenceMessage::Unfollow(vec![sender]));
        }
    }

    /// Needs nothing of somebody any more.
    pub(super) fn unfollow(&mut self, sender: Sender, _: Time) {
        let following = self.links.iter_mut().filter_map(|(peer, link)| {
            if link.followed.remove(&sender) {
                self.budget.release(Payer::from(*peer), FOLLOWED);
            }
            link.following.remove(&sender).then_some(*peer)
        });
        let peers: Vec<_> = following.collect();
        for peer in peers {
            self.send(peer, PresenceMessage::Unfollow(vec![sender]));
        }
    }

    /// The peers by whom somebody is followed: itself, if others need its beats; if it is far, the
    /// one they came from first and another, or as many as may be while none comes.
    fn sources(&self, sender: Sender, now: Time) -> BTreeSet<Sender> {
        let Some(life) = self.lives.get(&sender) else {
            return BTreeSet::new();
        };
        if self.links.contains_key(&sender) {
            let mut others = self.links.iter().filter(|(peer, _)| **peer != sender);
            let needed = others.any(|(_, link)| link.followed.contains(&sender));
            return needed.then_some(sender).into_iter().collect();
        }
        let rooms = life.rooms.iter().filter_map(|name| self.rooms.get(name));
        let rooms = rooms.filter(|room| {
            let entry = room.entries.get(&sender);
            entry.is_some_and(|entry| !entry.left && !entry.is_given_up(now))
        });
        let peers: BTreeSet<_> = rooms.flat_map(|room| room.peers.iter().copied()).collect();
        let Some(upstream) = life.upstream.filter(|upstream| peers.contains(upstream)) else {
            return peers.into_iter().take(SOUGHT).collect();
        };
        // Of the others always the same one, and for different members different ones.
        let others = peers.iter().filter(|peer| **peer != upstream);
        let other = others.min_by_key(|peer| {
            let distance = |i: usize| peer.key()[i] ^ sender.key()[i];
            [distance(0), distance(1), distance(2), distance(3)]
        });
        [upstream].into_iter().chain(other.copied()).collect()
    }

    pub(super) fn handle_follow(
        &mut self,
        peer: Sender,
        senders: Vec<Sender>,
        now: Time,
        wall: WallTime,
    ) {
        let account = self.budget.account(Payer::from(peer));
        let mut beats = Vec::new();
        for sender in senders {
            let is_me = sender == self.me.sender();
            let known = self.lives.get(&sender);
            let Some(link) = self.links.get_mut(&peer) else {
                return;
            };
            if sender == peer || !is_me && known.is_none() {
                continue;
            }
            let is_new = !link.followed.contains(&sender);
            if is_new && !account.try_charge(FOLLOWED) {
                self.counters.presence_refused += 1;
                continue;
            }
            link.followed.insert(sender);
            if is_me {
                if is_new {
                    beats.push((Duration::ZERO, self.fresh_beat(now, wall)));
                }
                continue;
            }
            if let Some((life, beat)) = known.and_then(|life| Some((life, life.beat.clone()?)))
                && life.status(now).is_some()
            {
                let evidence = life.evidence.unwrap_or(now);
                beats.push((now.saturating_since(evidence), beat));
            }
            self.follow(sender, now);
        }
        self.send_beats(peer, beats);
    }

    pub(super) fn handle_unfollow(&mut self, peer: Sender, senders: Vec<Sender>, now: Time) {
        for sender in senders {
            let link = self.links.get_mut(&peer);
            if link.is_some_and(|link| link.followed.remove(&sender)) {
                self.budget.release(Payer::from(peer), FOLLOWED);
                self.follow(sender, now);
            }
        }
    }

    /// Makes a sign of life if it is time to and somebody follows this node.
    pub(super) fn make_beat(&mut self, now: Time, wall: WallTime) {
        let due = self
            .beat
            .as_ref()
            .is_none_or(|(_, made)| *made + self.period() <= now);
        let me = self.me.sender();
        let followers = self
            .links
            .iter()
            .filter(|(_, link)| link.followed.contains(&me));
        let followers: Vec<_> = followers.map(|(peer, _)| *peer).collect();
        if due && !followers.is_empty() {
            let beat = self.new_beat(now, wall);
            for peer in followers {
                self.send_beats(peer, vec![(Duration::ZERO, beat.clone())]);
            }
        }
    }

    /// A sign of life that was made just now.
    fn fresh_beat(&mut self, now: Time, wall: WallTime) -> Beat {
        match &self.beat {
            Some((beat, made)) if *made == now => beat.clone(),
            _ => self.new_beat(now, wall),
        }
    }

    fn new_beat(&mut self, now: Time, wall: WallTime) -> Beat {
        // Later than the last whatever the clock does.
        let last = self
            .beat
            .as_ref()
            .map(|(beat, _)| beat.at + Duration::from_millis(1));
        let at = wall.max(last.unwrap_or(wall));
        // A heartbeat that is late within a check of it is not.
        let places = self.next_places();
        let beat = Beat::sign(&self.identity, at, self.period(), places);
        self.beat = Some((beat.clone(), now));
        self.counters.presence_beats += 1;
        beat
    }

    /// The channels that this node is on, as many as one heartbeat has room for: those after the
    /// ones that the last was about.
    fn next_places(&mut self) -> Places {
        let from = self.next_place;
        let mut rest = self.places.range(from..).copied();
        let tags: Vec<_> = rest.by_ref().take(Places::MAX_TAGS).collect();
        let (upto, next) = rest.next().map_or((u64::MAX, 0), |next| (next - 1, next));
        self.next_place = next;
        Places {
            version: self.version,
            from,
            upto,
            tags,
        }
    }

    /// The interval of this node's heartbeats: the more members there are the longer.
    fn period(&self) -> Duration {
        let own = self.rooms.values().filter(|room| room.own.is_present);
        let members = own.map(|room| room.entries.len()).max().unwrap_or(0);
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        BEAT_PER_MEMBER
            .saturating_mul(members)
            .clamp(BEAT, MAX_BEAT)
    }

    /// Somebody who was far is silent: its beats are sought by all ways there are.
    pub(super) fn seek_silent(&mut self, sender: Sender, now: Time) {
        if let Some(life) = self.lives.get_mut(&sender)
            && life.status(now) != Some(Status::Heard)
        {
            life.upstream = None;
        }
    }

    pub(super) fn send_beats(&mut self, to: Sender, beats: Vec<(Duration, Beat)>) {
        for beats in beats.chunks(PresenceMessage::MAX_BEATS) {
            self.send(to, PresenceMessage::Beats(beats.to_vec()));
        }
    }
}

/// The charge to a peer for each member whose signs of life it is to be handed.
pub(super) const FOLLOWED: usize = 64;

/// By how many peers somebody is sought of whom nothing is heard.
const SOUGHT: usize = 16;

/// How often they are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
