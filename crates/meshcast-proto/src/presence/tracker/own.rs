//! What this node says of itself.

use std::sync::Arc;

use bytes::Bytes;

use super::PresenceTracker;
use crate::{
    presence::{
        present::{Opens, Presence, PresenceChange},
        room::{Room, SETTING},
    },
    wire::{ChannelName, Claim, PresenceRecord, Time, place_tag},
};

impl PresenceTracker {
    /// The state of this node on a channel that is open here, and whether it watches who is
    /// present. With a state that is too long nothing is changed.
    pub fn handle_own(
        &mut self,
        channel: &ChannelName,
        watching: bool,
        state: Option<Bytes>,
        opens: Opens,
        now: Time,
    ) {
        let too_long = |state: &Bytes| state.len() > PresenceRecord::MAX_STATE_LEN;
        if state.as_ref().is_some_and(too_long) {
            return;
        }
        if !watching && !self.rooms.contains_key(channel) {
            if !opens.is_present {
                self.leave_place(channel);
            }
            return;
        }
        self.begin_following(channel, &opens, now);
        let Some(room) = self.rooms.get_mut(channel) else {
            return;
        };
        let own = &mut room.own;
        if watching {
            room.watched = now;
        }
        let leaves = !opens.is_present && own.is_present;
        if opens.is_present {
            own.since = opens.since;
        }
        own.is_present = opens.is_present;
        own.watching = watching;
        own.state = state;
        self.say(channel, leaves, now);
    }

    /// A channel is no longer open here in any way.
    pub fn handle_gone(&mut self, channel: &ChannelName, now: Time) {
        if let Some(room) = self.rooms.get_mut(channel) {
            room.own.is_present = false;
            self.say(channel, true, now);
            self.end_following(channel, now);
        }
        self.leave_place(channel);
    }

    /// Signs of life do not say any more that this node is on a channel. It may have stopped to
    /// follow it meanwhile.
    fn leave_place(&mut self, channel: &ChannelName) {
        self.places.remove(&place_tag(self.me.sender(), channel));
    }

    /// This node is about to stop: it says so, and nothing more.
    pub fn handle_leaving(&mut self, now: Time) {
        let channels: Vec<_> = self.rooms.keys().cloned().collect();
        for channel in channels {
            self.handle_gone(&channel, now);
        }
        self.is_leaving = true;
    }

    /// Signs what this node says of itself if that is new, and tells all peers: at a bounded rate,
    /// but for the last word.
    pub(super) fn say(&mut self, channel: &ChannelName, at_once: bool, now: Time) {
        let Some(room) = self.rooms.get_mut(channel) else {
            return;
        };
        let own = &mut room.own;
        let announced = own.record.as_ref().filter(|record| !record.left);
        let is_announced = match announced {
            Some(record) => {
                own.is_present
                    && record.watching == own.watching
                    && record.state == own.state
                    && record.since == own.since
            }
            None => !own.is_present,
        };
        if is_announced || !(own.rate.try_take(SETTING, now) || at_once) {
            return;
        }
        self.version += 1;
        let before = announced.cloned();
        let claim = Claim {
            sender: self.me.sender(),
            channel,
            version: self.version,
            since: own.since,
            watching: own.watching,
            left: !own.is_present,
            state: own.state.as_deref().filter(|_| own.is_present),
            chain: self.identity.chain().as_bytes(),
        };
        let Ok(record) = PresenceRecord::sign(&self.identity, &claim) else {
            // State and chain have been measured, so this does not happen.
            return;
        };
        own.record = Some(record.clone());
        let tag = place_tag(self.me.sender(), channel);
        match own.is_present {
            true => self.places.insert(tag),
            false => self.places.remove(&tag),
        };
        let peers: Vec<_> = room.peers.iter().copied().collect();
        let change = self.own_change(channel, before.as_ref());
        if let Some(change) = change {
            self.report(channel, change);
        }
        for peer in peers {
            self.send_records(peer, vec![record.clone()]);
        }
    }

    /// The presence of this node as watchers here see it.
    fn own_change(
        &self,
        channel: &ChannelName,
        before: Option<&PresenceRecord>,
    ) -> Option<PresenceChange> {
        let room = self.rooms.get(channel)?;
        match (before, self.own_presence(room)) {
            (None, now) => now.map(PresenceChange::Joined),
            (Some(before), None) => Some(PresenceChange::Left(self.as_announced(before))),
            (Some(before), Some(now)) => {
                let differs = before.state != now.state || before.since != now.since;
                differs.then_some(PresenceChange::Updated(now))
            }
        }
    }

    /// This node, as it said last.
    pub(super) fn own_presence(&self, room: &Room) -> Option<Presence> {
        let announced = room.own.record.as_ref().filter(|record| !record.left);
        announced.map(|record| self.as_announced(record))
    }

    fn as_announced(&self, record: &PresenceRecord) -> Presence {
        Presence {
            member: Arc::clone(&self.me),
            since: record.since,
            state: record.state.clone(),
            is_silent: false,
        }
    }
}
