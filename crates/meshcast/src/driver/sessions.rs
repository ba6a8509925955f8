//! The sessions with the connected peers: what the engine has to say to them and they to it, and
//! what the drivers have to say to each other.

mod backlog;
mod share;

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use libp2p::PeerId;
use meshcast_proto::{
    Budget, ChannelName, Inbox, Offence, Owner, Payer, Sender, SyncMessage, Time,
};

use self::{backlog::Backlog, share::Share};
use super::{Driver, EngineCell, TrackerCell, asks::Questions};
use crate::{
    clock::wall_time,
    event::DisconnectReason,
    ids::{peer_id, sender},
    session::{SendError, SessionEvent},
};

/// Messages to peers and from them that still wait.
pub(super) struct PeerSessions {
    peers: HashMap<PeerId, PeerSession>,
    /// Messages of peers on open sessions that nobody took in yet. No more is read of these.
    inbox: Inbox,
    /// The cost of the messages that were taken in during this round of the loop.
    pub(super) worked: usize,
    /// Of the time, what that takes while the network has more to tell.
    share: Share,
}

/// The session with a peer.
enum PeerSession {
    /// Nothing can be said to it yet. This is what it said already.
    Early(Backlog),
    Open(Open),
    /// It was given up before anything could be said to it.
    GivenUp,
}

/// A session that is open.
#[derive(Default)]
struct Open {
    /// When something was heard on it first.
    heard: Option<Time>,
    /// The peer has told which channels it has open.
    told_channels: bool,
    /// What there was no room for. While something is in here, all else goes behind it.
    unsent: Option<Backlog>,
    /// No more is read of it, since something waits in the inbox.
    paused: bool,
    /// Something said on it was dropped, so its connections are being closed. Until then nothing is
    /// said or heard: the rest would be taken for all there was.
    given_up: bool,
}

impl PeerSessions {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            peers: HashMap::new(),
            inbox: Inbox::new(budget.clone()),
            worked: 0,
            share: Share::new(),
        }
    }

    pub(super) fn is_open(&self, peer: &PeerId) -> bool {
        self.open(peer).is_some()
    }

    /// Whether what is said to a peer now is not behind other things.
    pub(super) fn is_idle(&self, peer: &PeerId) -> bool {
        let open = self.open(peer);
        open.is_some_and(|open| open.unsent.is_none())
    }

    /// Whether a peer that has been connected since then may yet tell that it has channels open.
    /// That is the first it says, after where members are, if it has any.
    pub(super) fn may_tell_channels(&self, peer: &PeerId, since: Time, now: Time) -> bool {
        match self.open(peer) {
            Some(open) if open.told_channels => false,
            Some(Open {
                heard: Some(at), ..
            }) => *at + TELLING > now,
            _ => since + OPENING > now,
        }
    }

    /// Peers of which nothing more is read.
    pub(super) fn paused(&self) -> impl Iterator<Item = &PeerId> {
        let paused =
            |session: &PeerSession| matches!(session, PeerSession::Open(open) if open.paused);
        let peers = self.peers.iter();
        peers.filter_map(move |(peer, session)| paused(session).then_some(peer))
    }

    /// A peer is connected no more. An open session is closed by an event of its own.
    pub(super) fn handle_lost(&mut self, peer: &PeerId) {
        if !matches!(self.peers.get(peer), Some(PeerSession::Open(_))) {
            self.peers.remove(peer);
        }
    }

    /// Nothing more is said to a peer or heard of it until its connections are closed. `false` if
    /// that is so already.
    fn give_up(&mut self, peer: PeerId) -> bool {
        match self.peers.get_mut(&peer) {
            Some(PeerSession::Open(open)) => {
                open.unsent = None;
                !std::mem::replace(&mut open.given_up, true)
            }
            _ => {
                let before = self.peers.insert(peer, PeerSession::GivenUp);
                !matches!(before, Some(PeerSession::GivenUp))
            }
        }
    }

    /// A session opened. Returns what the peer said already.
    fn handle_opened(&mut self, peer: PeerId) -> Option<Backlog> {
        let before = self.peers.remove(&peer);
        let open = Open {
            given_up: matches!(before, Some(PeerSession::GivenUp)),
            ..Open::default()
        };
        self.peers.insert(peer, PeerSession::Open(open));
        match before {
            Some(PeerSession::Early(early)) => Some(early),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.inbox.handle_timeout(now);
    }

    /// When something of the inbox may be taken in.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.inbox.poll_timeout()
    }

    fn open(&self, peer: &PeerId) -> Option<&Open> {
        match self.peers.get(peer)? {
            PeerSession::Open(open) if !open.given_up => Some(open),
            _ => None,
        }
    }

    fn open_mut(&mut self, peer: &PeerId) -> Option<&mut Open> {
        match self.peers.get_mut(peer)? {
            PeerSession::Open(open) if !open.given_up => Some(open),
            _ => None,
        }
    }
}

impl Driver {
    pub(super) fn handle_session(&mut self, event: SessionEvent) {
        let now = self.clock.now();
        match event {
            SessionEvent::Opened { peer } => self.handle_opened(peer),
            SessionEvent::Message { peer, bytes } if self.sessions.is_open(&peer) => {
                self.peers.handle_heard(&peer, now);
                self.hear(peer, bytes);
            }
            // A connection that was given up may still bring something.
            SessionEvent::Message { peer, .. } if self.peers.get(&peer).is_none() => {}
            SessionEvent::Message { peer, bytes } => {
                let new = || PeerSession::Early(Backlog::new(self.engine.budget(), &peer));
                let session = self.sessions.peers.entry(peer).or_insert_with(new);
                if let PeerSession::Early(early) = session
                    && !early.push(bytes)
                {
                    self.give_up_session(peer);
                }
            }
            SessionEvent::Closed {
                peer,
                connection,
                reason,
            } => {
                tracing::debug!(%peer, %reason, "session closed");
                self.handle_closed(peer);
                if reason.is_final() {
                    self.network.swarm.modify().close_connection(connection);
                }
            }
            SessionEvent::Writable { peer } => self.send_unsent(peer),
        }
    }

    fn handle_opened(&mut self, peer: PeerId) {
        let early = self.sessions.handle_opened(peer);
        self.send_members(peer);
        // Those asked for before there was a session, and those that were lost with the one before.
        for number in self.waiters.pings.to(peer) {
            self.send_sync(peer, &SyncMessage::Ping(number));
        }
        if let Some(sender) = sender(&peer) {
            self.introduce(&peer, sender);
            self.with_engine(|engine, now| engine.handle_peer_up(sender, now));
            self.begin_asks(sender);
            self.with_tracker(|tracker, _, _, now| tracker.handle_peer_up(sender, now));
            // The first announcement may be more than it takes at once. Not all knew it by then.
            let open = self.sessions.open_mut(&peer);
            if open.is_some_and(|open| open.unsent.is_some()) {
                let tracker = &mut self.presence;
                tell_congested(&mut self.engine, &mut self.questions, tracker, &peer, true);
            }
        }
        for message in early.map(Backlog::into_messages).unwrap_or_default() {
            self.hear(peer, message);
        }
    }

    /// Says who it is that is charged for what this peer asks, claims and posts: that is known also
    /// when it is gone.
    fn introduce(&self, peer: &PeerId, process: Sender) {
        let Some(known) = self.peers.get(peer) else {
            return;
        };
        let credential = known.member.credential();
        for payer in [Payer::from(process), Payer::Member(credential.subject)] {
            self.engine.budget().introduce(payer, process, || Owner {
                name: credential.name.clone(),
                region: credential.region.clone(),
                process,
            });
        }
    }

    fn handle_closed(&mut self, peer: PeerId) {
        self.hear_last(peer);
        self.sessions.peers.remove(&peer);
        self.waiters.flushes.mark_due();
        if let Some(sender) = sender(&peer) {
            self.with_engine(|engine, now| engine.handle_peer_down(sender, now));
            self.end_asks(sender);
            self.with_tracker(|tracker, _, _, now| tracker.handle_peer_down(sender, now));
        }
    }

    /// A peer said something on its open session. If it cannot be taken in now, nothing more is
    /// read of it meanwhile: it waits there, and at most what the swarm has read already waits
    /// here.
    fn hear(&mut self, peer: PeerId, bytes: Bytes) {
        let Some(sender) = sender(&peer).filter(|_| self.sessions.is_open(&peer)) else {
            return;
        };
        if !self.sessions.inbox.push(sender, bytes) {
            return self.give_up_session(peer);
        }
        self.hear_inbox(false);
        if self.sessions.inbox.waits(sender) {
            self.pause(peer, true);
        }
    }

    /// Takes in what peers said, in fair shares, as much as is done in a round of the loop. While
    /// the network has more to tell than a round takes, the node is not `idle`, and that is a share
    /// of its time: one message may name thousands of things, and tens of milliseconds of each
    /// round would be theirs, however many frames wait.
    pub(super) fn hear_inbox(&mut self, idle: bool) {
        let now = self.clock.now();
        if !idle && !self.sessions.share.is_due(now) {
            return;
        }
        while self.sessions.worked < WORK_A_ROUND
            && let Some((sender, bytes)) = self.sessions.inbox.pop(now)
        {
            let peer = peer_id(sender);
            if !self.sessions.inbox.waits(sender) {
                self.pause(peer, false);
            }
            let cost = self.handle_message(peer, &bytes);
            self.sessions.inbox.charge(sender, cost, now);
            self.sessions.worked += cost;
        }
        self.sessions.share.charge(now, self.clock.now());
    }

    /// Takes in what is left of a peer whose session is closed: it may have said that before it
    /// left in peace.
    fn hear_last(&mut self, peer: PeerId) {
        let Some(sender) = sender(&peer) else { return };
        for bytes in self.sessions.inbox.take(sender) {
            let (cost, now) = (self.handle_message(peer, &bytes), self.clock.now());
            self.sessions.inbox.charge(sender, cost, now);
            self.sessions.worked += cost;
        }
        self.pause(peer, false);
    }

    /// Reads no more of what a peer says; or goes on.
    fn pause(&mut self, peer: PeerId, paused: bool) {
        if let Some(PeerSession::Open(open)) = self.sessions.peers.get_mut(&peer)
            && std::mem::replace(&mut open.paused, paused) != paused
        {
            self.network.sessions().set_paused(&peer, paused);
        }
    }

    /// Returns what it cost.
    fn handle_message(&mut self, peer: PeerId, bytes: &Bytes) -> usize {
        let now = self.clock.now();
        if let Some(open) = self.sessions.open_mut(&peer) {
            open.heard.get_or_insert(now);
        }
        match SyncMessage::decode(bytes) {
            Ok(message) => {
                let cost = message.cost(bytes.len());
                self.handle_sync(peer, message);
                cost
            }
            Err(error) => {
                if let Some(suppressed) = self.reports.warnings.unreadable.pass(self.clock.now()) {
                    tracing::warn!(%peer, %error, suppressed, "a member sends unreadable messages");
                }
                self.reports.counters.traffic.sync_invalid += 1;
                self.handle_offence(peer, Offence::Unreadable, 1);
                SyncMessage::cost_unread(bytes.len())
            }
        }
    }

    fn handle_sync(&mut self, peer: PeerId, message: SyncMessage) {
        let now = self.clock.now();
        match message {
            SyncMessage::Members(members) => self.handle_members(peer, &members),
            SyncMessage::Ping(number) => self.send_sync(peer, &SyncMessage::Pong(number)),
            SyncMessage::Pong(number) => self.waiters.pings.handle_pong(peer, number, now),
            SyncMessage::Ask(message) => self.handle_ask(peer, message),
            SyncMessage::Leaving => self.handle_goodbye(peer),
            SyncMessage::Presence(message) => {
                if let Some(sender) = sender(&peer) {
                    self.handle_presence(sender, message);
                }
            }
            about_channels => {
                let Some(sender) = sender(&peer) else { return };
                tracing::trace!(%peer, message = ?about_channels, "told");
                let (verifier, wall) = (self.network.verifier.clone(), wall_time());
                let mut invalid = 0;
                let verify = |frames: &[_]| {
                    let verdicts = verifier.verify_all(frames, wall);
                    invalid = verdicts.iter().filter(|verdict| verdict.is_err()).count();
                    verdicts
                };
                if matches!(about_channels, SyncMessage::Open(_))
                    && let Some(open) = self.sessions.open_mut(&peer)
                {
                    open.told_channels = true;
                    self.waiters.flushes.mark_due();
                }
                self.note_copies();
                let (opened, closed) = self.followed(&about_channels);
                self.with_engine(|engine, now| {
                    engine.handle_sync(sender, about_channels, now, wall, verify);
                });
                self.reports.counters.traffic.frames_invalid += invalid as u64;
                if !opened.is_empty() || !closed.is_empty() {
                    self.with_tracker(|tracker, _, _, now| {
                        tracker.handle_opened(sender, &opened, now);
                        tracker.handle_closed(sender, &closed, now);
                    });
                }
            }
        }
    }

    /// The channels that a peer opened and closed on which somebody watches who is present.
    fn followed(&self, message: &SyncMessage) -> (Vec<ChannelName>, Vec<ChannelName>) {
        match message {
            SyncMessage::Open(opened) => {
                let names = opened.iter().map(|opened| opened.channel.clone());
                (self.presence.followed(names), Vec::new())
            }
            SyncMessage::Close(closed) => {
                (Vec::new(), self.presence.followed(closed.iter().cloned()))
            }
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// Sends a message on the session to a peer, after those that wait. Without a session there is
    /// nobody to tell: a new one begins with everything.
    pub(super) fn send_sync(&mut self, to: PeerId, message: &SyncMessage) {
        tracing::trace!(peer = %to, ?message, "tell");
        let message = Bytes::from(message.encode());
        self.reports.counters.traffic.sync_bytes += message.len() as u64;
        self.send_or_keep(to, message);
    }

    /// Closes the connections to a peer that does not read or does not let itself be answered.
    pub(super) fn give_up_session(&mut self, peer: PeerId) {
        if !self.sessions.give_up(peer) {
            return;
        }
        if let Some(suppressed) = self.reports.warnings.silent.pass(self.clock.now()) {
            tracing::warn!(%peer, suppressed, "closing connections to a peer that does not keep up");
        }
        self.reports.counters.peers.unresponsive += 1;
        self.peers.excuse(&peer, DisconnectReason::Slow);
        // An error means that it is gone already.
        let _ = self.network.swarm.modify().disconnect_peer_id(peer);
    }

    /// Gives a message to the session, or keeps it for later. Without a session there is nobody to
    /// tell.
    fn send_or_keep(&mut self, to: PeerId, message: Bytes) {
        let Some(open) = self.sessions.open_mut(&to) else {
            return;
        };
        let message = match &open.unsent {
            Some(_) => message,
            None => match self.network.sessions().send(&to, message) {
                Ok(()) => return,
                Err(SendError::Full { message }) => {
                    let tracker = &mut self.presence;
                    tell_congested(&mut self.engine, &mut self.questions, tracker, &to, true);
                    message
                }
                Err(error) => {
                    tracing::debug!(peer = %to, %error, "a sync message was not sent");
                    return;
                }
            },
        };
        let new = || Backlog::new(self.engine.budget(), &to);
        if !open.unsent.get_or_insert_with(new).push(message) {
            self.give_up_session(to);
        }
    }

    /// There is room on a session again.
    fn send_unsent(&mut self, to: PeerId) {
        let Some(unsent) = self
            .sessions
            .open_mut(&to)
            .and_then(|open| open.unsent.take())
        else {
            return;
        };
        for message in unsent.into_messages() {
            self.send_or_keep(to, message);
        }
        let is_congested = !self.sessions.is_idle(&to);
        let (engine, questions) = (&mut self.engine, &mut self.questions);
        tell_congested(engine, questions, &mut self.presence, &to, is_congested);
    }
}

/// Messages of the engine to a peer, beside answers, wait there while its session is full; no
/// questions of others are handed on to it, and it is given no records of who is present.
fn tell_congested(
    engine: &mut EngineCell,
    questions: &mut Questions,
    tracker: &mut TrackerCell,
    peer: &PeerId,
    is_congested: bool,
) {
    if let Some(sender) = sender(peer) {
        engine.set_congested(sender, is_congested);
        questions.set_congested(sender, is_congested);
        tracker.set_congested(sender, is_congested);
    }
}

/// The time within which something is heard on the session of a peer half round the world or over a
/// bad path, once it is connected: each side opens a stream, which takes two round trips, and
/// packets get lost. Of whom nothing at all is heard for 4 s, the connections are closed.
const OPENING: Duration = Duration::from_secs(5);

/// The time within which a peer has told which channels it has open, if any, after it was heard
/// first. It says both at once; a packet that was lost between them comes within this.
const TELLING: Duration = Duration::from_secs(1);

/// The work on messages of peers before posts, gossip and everybody else on this thread have a
/// turn: some 5 ms of work, and one message more.
pub(super) const WORK_A_ROUND: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> (PeerSessions, PeerId) {
        (PeerSessions::new(&Budget::default()), PeerId::random())
    }

    #[test]
    fn on_a_session_that_was_given_up_nothing_more_is_said_or_heard_until_it_is_closed() {
        let (mut sessions, peer) = sessions();
        assert!(sessions.handle_opened(peer).is_none());
        assert!(sessions.is_open(&peer));
        assert!(sessions.give_up(peer));
        assert!(!sessions.give_up(peer), "it is told once");
        assert!(!sessions.is_open(&peer) && sessions.open_mut(&peer).is_none());
        // The connection is lost before the session is closed.
        sessions.handle_lost(&peer);
        assert!(!sessions.is_open(&peer));
        sessions.peers.remove(&peer);
        sessions.handle_opened(peer);
        assert!(sessions.is_open(&peer));
    }

    #[test]
    fn messages_before_a_session_with_a_hole_are_not_heard_once_it_opens() {
        let (mut sessions, peer) = sessions();
        let early = Backlog::new(&Budget::default(), &peer);
        sessions.peers.insert(peer, PeerSession::Early(early));
        assert!(sessions.give_up(peer));
        assert!(!sessions.give_up(peer), "it is told once");
        assert!(sessions.handle_opened(peer).is_none());
        assert!(!sessions.is_open(&peer));
        sessions.peers.remove(&peer);
        assert!(sessions.give_up(peer));
        sessions.handle_lost(&peer);
        sessions.handle_opened(peer);
        assert!(sessions.is_open(&peer), "on a new connection");
    }
}
