//! Messages of peers, and what of them is believed.

use super::{
    super::{
        life::{Life, MAX_BEAT},
        present::{Opens, PresenceChange},
        room::{Entry, HEARING, MAX_ALL_ENTRIES, MAX_ENTRIES},
    },
    Arc, BTreeMap, Beat, ChannelName, Duration, Member, Offence, PresenceMessage, PresenceRecord,
    PresenceTracker, Sender, Time, WallTime,
};
use crate::{
    bounds::{Payer, TokenBucket},
    identity::{CLOCK_SKEW, Sealed},
    wire::place_tag,
};

impl PresenceTracker {
    /// Takes in a message of a peer. `opens` says what is known of a channel, `None` if it is not
    /// open here.
    pub fn handle_message(
        &mut self,
        peer: Sender,
        message: PresenceMessage,
        opens: impl Fn(&ChannelName) -> Option<Opens>,
        now: Time,
        wall: WallTime,
    ) {
        if self.is_leaving {
            return;
        }
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        link.heard = link.heard.max(now);
        match message {
            PresenceMessage::Links(links) => self.handle_links(peer, links, now),
            PresenceMessage::Records(records) => {
                for record in records {
                    self.handle_record(peer, &record, &opens, now, wall);
                }
            }
            PresenceMessage::Beats(beats) => self.handle_beats(peer, beats, now, wall),
            PresenceMessage::Hashes(hashes) => self.handle_hashes(peer, hashes, opens, now),
            PresenceMessage::Roll(channel, roll) => self.handle_roll(peer, channel, &roll, now),
            PresenceMessage::Fetch(channel, senders) => self.serve(peer, &channel, &senders, now),
            PresenceMessage::Follow(senders) => self.handle_follow(peer, senders, now, wall),
            PresenceMessage::Unfollow(senders) => self.handle_unfollow(peer, senders, now),
        }
    }

    fn handle_record(
        &mut self,
        peer: Sender,
        record: &PresenceRecord,
        opens: impl Fn(&ChannelName) -> Option<Opens>,
        now: Time,
        wall: WallTime,
    ) {
        let (sender, channel) = (record.sender, &record.channel);
        if sender == self.me.sender() {
            return;
        }
        let room = self.rooms.get_mut(channel);
        let entry = room.and_then(|room| room.entries.get_mut(&sender));
        if let Some(entry) = entry {
            if record.version <= entry.record.version {
                if entry.is_back(record.version, now) {
                    self.follow(sender, now);
                }
                return;
            }
            // To leave is always heard: it is the last that is said for now.
            if !record.left && !entry.rate.is_due(HEARING, now) {
                self.counters.presence_limited += 1;
                // Others may hand on what came together.
                if peer == sender {
                    self.blame(peer, Offence::OverLimit);
                }
                return;
            }
        }
        let opened = match self.rooms.contains_key(channel) {
            true => None,
            false => match opens(channel) {
                Some(opens) => Some(opens),
                None => return,
            },
        };
        let Some(member) = self.verified(peer, record, now, wall) else {
            return;
        };
        if let Some(opens) = opened {
            // Somebody watches it, or it would not have been sent.
            self.begin_following(channel, &opens, now);
        }
        let record = record.detached();
        match self.known(&record) {
            true => self.replace(&record, now),
            false if !self.admit(peer, &record, &member, now) => return,
            false => {}
        }
        self.counters.presence_records += 1;
        let channel = &record.channel;
        let room = self.rooms.get(channel);
        let was_shown = room.and_then(|room| room.entries.get(&sender)?.shown);
        self.handle_change_of(sender, now);
        let room = self.rooms.get(channel);
        let is_shown = room.and_then(|room| room.entries.get(&sender)?.shown);
        // A member that was present and is has something new to say. Everything else was passed on
        // when it was shown.
        if was_shown.is_some() && is_shown.is_some() {
            self.pass_on(channel, &record, Some(peer));
        }
        // In a room that is new this node is present itself.
        self.say_present(channel, opens, now);
    }

    /// Whether there is an entry for a record.
    fn known(&self, record: &PresenceRecord) -> bool {
        let room = self.rooms.get(&record.channel);
        room.is_some_and(|room| room.entries.contains_key(&record.sender))
    }

    /// The signer of a record, if this mesh believes it. Signatures cost, so a peer may make this
    /// node check only so many.
    fn verified(
        &mut self,
        peer: Sender,
        record: &PresenceRecord,
        now: Time,
        wall: WallTime,
    ) -> Option<Arc<Member>> {
        let link = self.links.get_mut(&peer)?;
        if !link.may_check(&self.shares, now) {
            // It may be what this node asked for, or news of many at once.
            link.fall_behind(now);
            self.counters.presence_limited += 1;
            return None;
        }
        let known = self.lives.get(&record.sender);
        let known = known.filter(|life| life.chain == record.chain);
        let verdict = record.verify(&self.trust, known.map(|life| &life.member), wall);
        match verdict {
            Ok(member) => Some(member),
            Err(error) => {
                if error.is_forgery() {
                    self.counters.presence_forged += 1;
                    self.blame(peer, Offence::Forged);
                }
                None
            }
        }
    }

    /// Puts somebody on a channel down who was not there. `false` if there is no room.
    fn admit(
        &mut self,
        peer: Sender,
        record: &PresenceRecord,
        member: &Arc<Member>,
        now: Time,
    ) -> bool {
        let (sender, channel) = (record.sender, &record.channel);
        let tag = place_tag(sender, channel);
        let left = self.has_left(record, tag);
        let Some(room) = self.rooms.get_mut(channel) else {
            return false;
        };
        // There are only so many connections, so those who are connected always have room.
        let full = room.entries.len() >= MAX_ENTRIES || self.entries >= MAX_ALL_ENTRIES;
        let account = self.budget.account(Payer::from(peer));
        let charged = Entry::charged(record);
        if full && !self.links.contains_key(&sender) || !account.try_charge(charged) {
            self.counters.presence_refused += 1;
            return false;
        }
        let mut rate = TokenBucket::default();
        rate.take(1, HEARING, now);
        room.entries.insert(
            sender,
            Entry {
                left,
                tag,
                record: record.clone(),
                shown: None,
                since: now,
                told: now,
                was_shown: false,
                rate,
                account,
            },
        );
        self.entries += 1;
        let new = || Life::new(Arc::clone(member), record.chain.clone());
        let life = self.lives.entry(sender).or_insert_with(new);
        life.rooms.insert(channel.clone());
        true
    }

    /// Takes a newer record of somebody.
    fn replace(&mut self, record: &PresenceRecord, now: Time) {
        let left = self.has_left(record, place_tag(record.sender, &record.channel));
        let room = self.rooms.get_mut(&record.channel);
        let Some(entry) = room.and_then(|room| room.entries.get_mut(&record.sender)) else {
            return;
        };
        if !record.left {
            entry.rate.take(1, HEARING, now);
        }
        entry.account.release(Entry::charged(&entry.record));
        // It has room already; a longer state is no reason to lose it.
        entry.account.charge(Entry::charged(record));
        let before = std::mem::replace(&mut entry.record, record.clone());
        entry.left = left;
        // A member that says something new was there a moment ago, however long it was not heard.
        entry.told = now;
        let differs = before.state != record.state || before.since != record.since;
        let is_shown = entry.shown.is_some();
        if differs && is_shown && !left {
            let room = self.rooms.get(&record.channel);
            if let Some(presence) = room.and_then(|room| self.presence(room, record.sender)) {
                self.report(&record.channel, PresenceChange::Updated(presence));
            }
        }
    }

    /// Says that this node has a channel open too, if it was not said yet.
    fn say_present(
        &mut self,
        channel: &ChannelName,
        opens: impl Fn(&ChannelName) -> Option<Opens>,
        now: Time,
    ) {
        let Some(room) = self.rooms.get_mut(channel) else {
            return;
        };
        if room.own.is_present || room.own.record.is_some() {
            return;
        }
        if let Some(opens) = opens(channel).filter(|opens| opens.is_present) {
            room.own.is_present = true;
            room.own.since = opens.since;
            self.say(channel, true, now);
        }
    }

    fn handle_beats(
        &mut self,
        peer: Sender,
        beats: Vec<(Duration, Beat)>,
        now: Time,
        wall: WallTime,
    ) {
        let mut onward: BTreeMap<Sender, Vec<(Duration, Beat)>> = BTreeMap::new();
        for (age, beat) in beats {
            let sender = beat.sender;
            if !self.believes(peer, &beat, now, wall) {
                continue;
            }
            if let Some(life) = self.lives.get_mut(&sender) {
                life.heard(now - age);
                life.beat = Some(beat.clone());
                life.upstream.get_or_insert(peer);
            }
            self.believe_places(&beat);
            for (to, link) in &self.links {
                if *to != peer && link.followed.contains(&sender) {
                    onward.entry(*to).or_default().push((age, beat.clone()));
                }
            }
            self.handle_change_of(sender, now);
        }
        for (to, beats) in onward {
            self.send_beats(to, beats);
        }
    }

    /// A member that says where it is has left where it does not say so.
    fn believe_places(&mut self, beat: &Beat) {
        let Some(life) = self.lives.get(&beat.sender) else {
            return;
        };
        for name in &life.rooms {
            let room = self.rooms.get_mut(name);
            if let Some(entry) = room.and_then(|room| room.entries.get_mut(&beat.sender)) {
                entry.left |= beat.places.deny(entry.tag, entry.record.version);
            }
        }
    }

    /// Whether what somebody says of itself on a channel is known to be true no more.
    fn has_left(&self, record: &PresenceRecord, tag: u64) -> bool {
        let beat = self.lives.get(&record.sender);
        let beat = beat.and_then(|life| life.beat.as_ref());
        record.left || beat.is_some_and(|beat| beat.places.deny(tag, record.version))
    }

    /// Whether a beat says something new of somebody who is known.
    fn believes(&mut self, peer: Sender, beat: &Beat, now: Time, wall: WallTime) -> bool {
        let Some(life) = self.lives.get(&beat.sender) else {
            return false;
        };
        let is_old = life.beat.as_ref().is_some_and(|known| beat.at <= known.at);
        // As old frames are: or somebody could keep them until this node has forgotten the newer.
        let is_stale = beat.at + CLOCK_SKEW + STALE < wall;
        if is_old || is_stale {
            return false;
        }
        let member = Arc::clone(&life.member);
        let Some(link) = self.links.get_mut(&peer) else {
            return false;
        };
        if !link.may_beat(&self.shares, now) {
            self.counters.presence_limited += 1;
            return false;
        }
        if !beat.is_of(&member) {
            self.counters.presence_forged += 1;
            self.blame(peer, Offence::Forged);
            return false;
        }
        true
    }
}

/// The age that a beat may have beside the skew of clocks: nobody is taken for alive that long
/// after one.
const STALE: Duration = Duration::from_secs(5 * MAX_BEAT.as_secs());
