//! The state machine: what this node says of itself, what it believes of others, and what it tells
//! whom.

mod comparing;
mod following;
mod hearing;
mod own;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    life::{Life, SILENT_AFTER, Status},
    link::{Link, Shares},
    present::{Opens, Presence, PresenceChange, PresenceCounters, PresenceOutput},
    room::{Room, UNWATCHED},
};
use crate::{
    bounds::{Budget, Payer},
    conduct::Offence,
    identity::{Identity, Member, Trust},
    wire::{
        Beat, ChannelName, PresenceMessage, PresenceRecord, Sender, SyncMessage, Time, WallTime,
    },
};

/// Tracks who is present on the channels of a node. As with the [`Engine`](crate::Engine),
/// `handle_*` takes in what happened, and [`Self::poll_output`] and [`Self::poll_timeout`] give out
/// what to do.
///
/// It says and remembers nothing as long as nobody watches who is present.
#[derive(Debug)]
pub struct PresenceTracker {
    identity: Identity,
    me: Arc<Member>,
    trust: Trust,
    budget: Budget,
    links: BTreeMap<Sender, Link>,
    rooms: BTreeMap<ChannelName, Room>,
    lives: BTreeMap<Sender, Life>,
    /// How many records of others there are in all rooms.
    entries: usize,
    /// The version of the last record of this node; no two have the same.
    version: u64,
    /// The tags of the channels on which this node is, by its last record of each.
    places: BTreeSet<u64>,
    /// The first that its next sign of life is about.
    next_place: u64,
    /// The last sign of life of this node, and when it was made.
    beat: Option<(Beat, Time)>,
    next_check: Option<Time>,
    /// When the next peer is compared with, and which was the last.
    next_compare: Time,
    compared: Option<Sender>,
    /// It has said its last word.
    is_leaving: bool,
    shares: Shares,
    outputs: VecDeque<PresenceOutput>,
    counters: PresenceCounters,
}

impl PresenceTracker {
    /// A tracker of nothing. `me` is the verified form of what `identity` shows to others.
    pub fn new(identity: Identity, me: Arc<Member>, trust: Trust, budget: Budget) -> Self {
        Self {
            identity,
            me,
            trust,
            budget,
            links: BTreeMap::new(),
            rooms: BTreeMap::new(),
            lives: BTreeMap::new(),
            entries: 0,
            version: 0,
            places: BTreeSet::new(),
            next_place: 0,
            beat: None,
            next_check: None,
            next_compare: Time::ZERO,
            compared: None,
            is_leaving: false,
            shares: Shares::default(),
            outputs: VecDeque::new(),
            counters: PresenceCounters::default(),
        }
    }

    /// Whether anybody watches any channel that is open here.
    pub fn is_active(&self) -> bool {
        !self.rooms.is_empty()
    }

    /// Whether somebody watches this channel.
    pub fn is_followed(&self, channel: &ChannelName) -> bool {
        self.rooms.contains_key(channel)
    }

    /// A member connected: there is a link that delivers messages in order.
    pub fn handle_peer_up(&mut self, peer: Sender, now: Time) {
        if let Some(before) = self.links.insert(peer, Link::new(now)) {
            self.release_followed(peer, &before);
            self.leave_rooms(peer, &before);
        }
        self.handle_change_of(peer, now);
    }

    /// A member disconnected, or the link to it broke.
    pub fn handle_peer_down(&mut self, peer: Sender, now: Time) {
        let Some(link) = self.links.remove(&peer) else {
            return;
        };
        self.release_followed(peer, &link);
        self.leave_rooms(peer, &link);
        if let Some(life) = self.lives.get_mut(&peer) {
            life.heard(link.heard);
            life.upstream = None;
        }
        self.handle_change_of(peer, now);
        for sender in link.following.into_iter().chain(link.followed) {
            if let Some(life) = self.lives.get_mut(&sender) {
                life.upstream = life.upstream.filter(|upstream| *upstream != peer);
            }
            self.follow(sender, now);
        }
    }

    /// The signs of life that a peer asked for are handed to it no more.
    fn release_followed(&self, peer: Sender, link: &Link) {
        let charged = link.followed.len() * following::FOLLOWED;
        self.budget.release(Payer::from(peer), charged);
    }

    /// A peer has nothing open any more.
    fn leave_rooms(&mut self, peer: Sender, link: &Link) {
        for channel in &link.rooms {
            if let Some(room) = self.rooms.get_mut(channel) {
                room.peers.remove(&peer);
            }
        }
    }

    /// When something was last heard of a connected member.
    pub fn handle_heard(&mut self, peer: Sender, at: Time) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.heard = link.heard.max(at);
        }
    }

    /// Messages to a peer queue up, or no longer. Meanwhile it is given no records that it asks
    /// for.
    pub fn set_congested(&mut self, peer: Sender, congested: bool) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.is_congested = congested;
        }
    }

    /// A peer has opened these channels.
    pub fn handle_opened<'a>(
        &mut self,
        peer: Sender,
        channels: impl IntoIterator<Item = &'a ChannelName>,
        now: Time,
    ) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let (mut own, mut any) = (Vec::new(), false);
        for channel in channels {
            if let Some(room) = self.rooms.get_mut(channel) {
                any = true;
                room.peers.insert(peer);
                link.rooms.insert(channel.clone());
                own.extend(room.own.record.clone());
            }
        }
        if !any {
            return;
        }
        link.compare.get_or_insert(now + COMPARE_AFTER);
        self.tell_links(peer);
        self.send_records(peer, own);
        self.handle_change_of(peer, now);
    }

    /// A peer has closed these channels.
    pub fn handle_closed<'a>(
        &mut self,
        peer: Sender,
        channels: impl IntoIterator<Item = &'a ChannelName>,
        now: Time,
    ) {
        for channel in channels {
            if let Some(link) = self.links.get_mut(&peer) {
                link.rooms.remove(channel);
            }
            if let Some(room) = self.rooms.get_mut(channel) {
                room.peers.remove(&peer);
                if let Some(entry) = room.entries.get_mut(&peer) {
                    entry.left = true;
                    self.show(channel, peer, now);
                }
            }
        }
    }

    /// Does what is due. Call it at [`Self::poll_timeout`]; calling it earlier is harmless.
    pub fn handle_timeout(&mut self, now: Time, wall: WallTime) {
        let Some(due) = self.next_check.filter(|due| *due <= now) else {
            return;
        };
        let late = now.saturating_since(due);
        if late >= STOOD_STILL {
            // This node stood still itself, and nobody can be blamed for that time.
            for life in self.lives.values_mut() {
                life.evidence = life.evidence.map(|at| now.min(at + late));
            }
            for link in self.links.values_mut() {
                link.heard = now.min(link.heard + late);
            }
        }
        let is_due = |(sender, life): (&Sender, &Life)| {
            let sought = life.upstream.is_none() && !self.links.contains_key(sender);
            let changed = life.rooms.iter().any(|name| {
                let room = self.rooms.get(name);
                let entry = room.and_then(|room| room.entries.get(sender));
                let shown = entry.and_then(|entry| entry.shown);
                shown != self.status(name, *sender, now)
            });
            (sought || changed).then_some(*sender)
        };
        let due: Vec<_> = self.lives.iter().filter_map(is_due).collect();
        for sender in due {
            self.handle_change_of(sender, now);
        }
        self.check_rooms(now);
        self.make_beat(now, wall);
        self.tell_all_links(now);
        self.compare(now);
        self.next_check = self.is_active().then_some(now + CHECK_INTERVAL);
    }

    /// When to call [`Self::handle_timeout`].
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.next_check
    }

    /// The next output; `None` once there is no more.
    pub fn poll_output(&mut self) -> Option<PresenceOutput> {
        self.outputs.pop_front()
    }

    /// Who is present on a channel that is watched: this node first, the others by key.
    pub fn present(&self, channel: &ChannelName) -> Vec<Presence> {
        let Some(room) = self.rooms.get(channel) else {
            return Vec::new();
        };
        let own = self.own_presence(room);
        own.into_iter().chain(self.others(channel)).collect()
    }

    /// Who else is.
    pub fn others(&self, channel: &ChannelName) -> impl Iterator<Item = Presence> {
        let room = self.rooms.get(channel).into_iter();
        room.flat_map(move |room| {
            let others = room.entries.keys();
            others.filter_map(move |sender| self.presence(room, *sender))
        })
    }

    /// The members that are present somewhere and not connected to this node, when they were last
    /// heard of, and whether they are silent.
    pub fn far(&self, now: Time) -> impl Iterator<Item = (&Arc<Member>, Time, bool)> {
        let lives = self.lives.iter();
        lives.filter_map(move |(sender, life)| {
            let status = life.status(now)?;
            let far = !self.links.contains_key(sender);
            let seen = self.rooms.values().any(|room| {
                let entry = room.entries.get(sender);
                entry.is_some_and(|entry| entry.shown.is_some())
            });
            let shown = (&life.member, life.evidence?, status == Status::Silent);
            (far && seen).then_some(shown)
        })
    }

    /// The counters so far.
    pub const fn counters(&self) -> PresenceCounters {
        self.counters
    }

    /// Follows who is present on a channel that is open here.
    fn begin_following(&mut self, channel: &ChannelName, opens: &Opens, now: Time) {
        if self.rooms.contains_key(channel) || self.is_leaving {
            return;
        }
        let mut room = Room::new(now);
        for peer in &opens.peers {
            if let Some(link) = self.links.get_mut(peer) {
                link.rooms.insert(channel.clone());
                room.peers.insert(*peer);
            }
        }
        self.rooms.insert(channel.clone(), room);
        self.next_check.get_or_insert(now + CHECK_INTERVAL);
        for peer in &opens.peers {
            self.tell_links(*peer);
        }
    }

    /// Forgets a channel.
    fn end_following(&mut self, channel: &ChannelName, now: Time) {
        let Some(room) = self.rooms.remove(channel) else {
            return;
        };
        for peer in &room.peers {
            if let Some(link) = self.links.get_mut(peer) {
                link.rooms.remove(channel);
            }
        }
        for (sender, entry) in room.entries {
            self.forget_entry(channel, sender, &entry, now);
        }
        if self.rooms.is_empty() {
            self.next_check = None;
            for link in self.links.values_mut() {
                // A node that begins again tells its peers again.
                (link.sent, link.compare) = (None, None);
            }
        }
    }

    fn forget_entry(
        &mut self,
        channel: &ChannelName,
        sender: Sender,
        entry: &super::room::Entry,
        now: Time,
    ) {
        entry
            .account
            .release(super::room::Entry::charged(&entry.record));
        self.entries -= 1;
        if let Some(life) = self.lives.get_mut(&sender) {
            life.rooms.remove(channel);
            if life.rooms.is_empty() {
                self.unfollow(sender, now);
                self.lives.remove(&sender);
            }
        }
    }

    /// Somebody else, if it is present.
    fn presence(&self, room: &Room, sender: Sender) -> Option<Presence> {
        let entry = room.entries.get(&sender)?;
        let status = entry.shown?;
        Some(Presence {
            member: Arc::clone(&self.lives.get(&sender)?.member),
            since: entry.record.since,
            state: entry.record.state.clone(),
            is_silent: status == Status::Silent,
        })
    }

    /// The status of another member on a channel; `None` if it has left or is lost, or nothing was
    /// ever heard of it.
    fn status(&self, channel: &ChannelName, sender: Sender, now: Time) -> Option<Status> {
        let room = self.rooms.get(channel)?;
        if room.entries.get(&sender)?.left {
            return None;
        }
        match self.links.get(&sender) {
            Some(link) if room.peers.contains(&sender) => {
                let silent = now.saturating_since(link.heard) >= SILENT_AFTER;
                // A link that is dead is closed; then it is judged by what else is heard of it.
                Some(if silent {
                    Status::Silent
                } else {
                    Status::Heard
                })
            }
            // A connected member that does not say that it has the channel open may have left
            // before.
            _ => self.lives.get(&sender)?.status(now),
        }
    }

    /// Somebody is connected, silent, heard again or lost: looks at it on all channels.
    fn handle_change_of(&mut self, sender: Sender, now: Time) {
        let Some(life) = self.lives.get(&sender) else {
            return;
        };
        let rooms: Vec<_> = life.rooms.iter().cloned().collect();
        self.seek_silent(sender, now);
        for channel in rooms {
            self.show(&channel, sender, now);
        }
        self.follow(sender, now);
    }

    /// Shows how somebody is doing now, and tells peers if it is new that it is present at all, or
    /// is not any more by its own word.
    fn show(&mut self, channel: &ChannelName, sender: Sender, now: Time) {
        let status = self.status(channel, sender, now);
        let Some(room) = self.rooms.get_mut(channel) else {
            return;
        };
        let before = self.lives.get(&sender).and_then(|life| {
            let entry = room.entries.get(&sender)?;
            Some(Presence {
                member: Arc::clone(&life.member),
                since: entry.record.since,
                state: entry.record.state.clone(),
                is_silent: entry.shown == Some(Status::Silent),
            })
        });
        let Some((entry, before)) = room.entries.get_mut(&sender).zip(before) else {
            return;
        };
        let was = std::mem::replace(&mut entry.shown, status);
        if was == status {
            return;
        }
        if was.is_some() != status.is_some() {
            entry.since = now;
        }
        entry.was_shown |= status.is_some();
        let (left, record) = (entry.left, entry.record.clone());
        let after = Presence {
            is_silent: status == Some(Status::Silent),
            ..before.clone()
        };
        let change = match (was, status) {
            (None, Some(_)) => PresenceChange::Joined(after),
            (Some(_), Some(Status::Silent)) => PresenceChange::Silent(after),
            (Some(_), Some(Status::Heard)) => PresenceChange::Heard(after),
            (_, None) if left => PresenceChange::Left(before),
            (_, None) => PresenceChange::Lost(before),
        };
        let is_news = was.is_none() || status.is_none() && record.left;
        self.report(channel, change);
        if is_news {
            self.pass_on(channel, &record, None);
        }
    }

    fn report(&mut self, channel: &ChannelName, change: PresenceChange) {
        let room = self.rooms.get(channel);
        if room.is_some_and(|room| room.own.watching) {
            let output = PresenceOutput::Changed(channel.clone(), change);
            self.outputs.push_back(output);
        }
    }

    /// Hands a record of somebody else to those peers that may not have it from where this node has
    /// it.
    fn pass_on(&mut self, channel: &ChannelName, record: &PresenceRecord, from: Option<Sender>) {
        let Some(room) = self.rooms.get(channel) else {
            return;
        };
        let own = self.own_links();
        let lacks = |peer: &&Sender| {
            let links = self.links.get(*peer).and_then(|link| link.links);
            **peer != record.sender && Some(**peer) != from && links.is_some_and(|it| it != own)
        };
        let peers: Vec<_> = room.peers.iter().filter(lacks).copied().collect();
        for peer in peers {
            self.send_records(peer, vec![record.clone()]);
        }
    }

    /// Forgets who is long gone, and channels that nobody watches.
    fn check_rooms(&mut self, now: Time) {
        let mut unwatched = Vec::new();
        let mut over = Vec::new();
        let mut unsaid = Vec::new();
        for (channel, room) in &mut self.rooms {
            let watches =
                |entry: &super::room::Entry| entry.shown.is_some() && entry.record.watching;
            if room.own.watching || room.entries.values().any(watches) {
                room.watched = now;
            } else if room.watched + UNWATCHED <= now {
                unwatched.push(channel.clone());
            }
            let gone = room.entries.iter().filter(|(_, entry)| entry.is_over(now));
            over.extend(gone.map(|(sender, _)| (channel.clone(), *sender)));
            unsaid.push(channel.clone());
        }
        for channel in unsaid {
            self.say(&channel, false, now);
        }
        for (channel, sender) in over {
            let room = self.rooms.get_mut(&channel);
            if let Some(entry) = room.and_then(|room| room.entries.remove(&sender)) {
                self.forget_entry(&channel, sender, &entry, now);
            }
        }
        for channel in unwatched {
            self.end_following(&channel, now);
        }
    }

    fn send_records(&mut self, to: Sender, records: Vec<PresenceRecord>) {
        let mut room = PresenceMessage::MAX_RECORDS_LEN;
        let mut batch = Vec::new();
        for record in records {
            if record.bytes.len() > room && !batch.is_empty() {
                self.send(to, PresenceMessage::Records(std::mem::take(&mut batch)));
                room = PresenceMessage::MAX_RECORDS_LEN;
            }
            room = room.saturating_sub(record.bytes.len());
            batch.push(record);
        }
        if !batch.is_empty() {
            self.send(to, PresenceMessage::Records(batch));
        }
    }

    fn send(&mut self, to: Sender, message: PresenceMessage) {
        self.counters.presence_messages += 1;
        let message = SyncMessage::Presence(message);
        self.outputs.push_back(PresenceOutput::Send(to, message));
    }

    fn blame(&mut self, peer: Sender, offence: Offence) {
        let output = PresenceOutput::Misbehaved { peer, offence };
        self.outputs.push_back(output);
    }
}

/// The interval of checks for silent members and of deferred work.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A look that comes this late means that this node stood still itself.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// The delay before records are compared after a peer opened a channel, or its peers changed: news
/// that is on its way has arrived by then.
const COMPARE_AFTER: Duration = Duration::from_millis(700);

#[cfg(test)]
mod tests;
