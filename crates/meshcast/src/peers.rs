//! The connected peers, over which connections, and which of them have to go.
//!
//! May use: `address`, `event`, `ids` and `inspect`.
//! Must not: close or open a connection: it says which has to go.

mod skew;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use meshcast_proto::{Frame, Member, Rate, Time, TokenBucket, WallTime};

use self::skew::Skew;
use crate::{
    address::{Reach, reach},
    event::DisconnectReason,
    ids::peer_id,
    inspect::Direction,
};

/// The connected members.
#[derive(Debug)]
pub(crate) struct Peers {
    me: PeerId,
    peers: BTreeMap<PeerId, Peer>,
    /// Those to whom there is more than one connection.
    doubled: BTreeSet<PeerId>,
}

/// A connected member.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) member: Arc<Member>,
    pub(crate) rtt: Option<Duration>,
    skew: Skew,
    /// The listen addresses that it announced.
    pub(crate) addresses: Vec<Multiaddr>,
    /// That changed since others were told, and how often they may be.
    news: bool,
    spreading: TokenBucket,
    /// When it was connected, by both clocks.
    pub(crate) since: Time,
    pub(crate) since_wall: WallTime,
    /// When anything was last heard of it, or it was last excused for saying nothing.
    heard: Time,
    /// Looks in a row at which nothing had been sent to it since the one before.
    quiet: u32,
    /// Why it is about to be gone, as far as that is known before.
    leaving: Option<DisconnectReason>,
    /// Oldest first; never empty.
    connections: Vec<Connection>,
}

/// A connection to a member.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) remote: Multiaddr,
    since: Time,
    closing: bool,
    /// Whether the peer came back by another connection while nothing came by this one.
    dead: bool,
}

impl Peers {
    pub(crate) const fn new(me: PeerId) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            doubled: BTreeSet::new(),
        }
    }

    /// A connection is up. `true` if it is the only one to its peer. If the peer was silent,
    /// [`Self::take_surplus`] has those before it at once.
    pub(crate) fn handle_established(
        &mut self,
        member: Arc<Member>,
        (id, direction, remote): (ConnectionId, Direction, Multiaddr),
        now: Time,
        wall: WallTime,
    ) -> bool {
        let peer = peer_id(member.sender());
        let connection = Connection {
            id,
            direction,
            remote,
            since: now,
            closing: false,
            dead: false,
        };
        let known = self.peers.entry(peer).or_insert_with(|| Peer {
            member,
            rtt: None,
            skew: Skew::default(),
            addresses: Vec::new(),
            news: false,
            spreading: TokenBucket::default(),
            since: now,
            since_wall: wall,
            heard: now,
            quiet: 0,
            leaving: None,
            connections: Vec::new(),
        });
        if known.is_silent(now) {
            for before in &mut known.connections {
                before.dead = true;
            }
        }
        known.heard = now;
        known.leaving = None;
        known.connections.push(connection);
        let only = known.connections.len() == 1;
        if !only {
            self.doubled.insert(peer);
        }
        only
    }

    /// A connection is gone. Returns the peer if it was the last to it.
    pub(crate) fn handle_closed(&mut self, peer: PeerId, id: ConnectionId) -> Option<Peer> {
        let known = self.peers.get_mut(&peer)?;
        known.connections.retain(|connection| connection.id != id);
        if known.connections.len() < 2 {
            self.doubled.remove(&peer);
        }
        if known.connections.is_empty() {
            self.peers.remove(&peer)
        } else {
            None
        }
    }

    /// A peer will be gone for this reason, unless it comes back by another connection before.
    pub(crate) fn excuse(&mut self, peer: &PeerId, reason: DisconnectReason) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.leaving.get_or_insert(reason);
        }
    }

    /// Something came from a peer.
    pub(crate) fn handle_heard(&mut self, peer: &PeerId, now: Time) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.heard = now;
        }
    }

    /// This node stood still itself for so long, and nobody can be blamed for having said nothing
    /// meanwhile.
    pub(crate) fn excuse_silence(&mut self, still: Duration, now: Time) {
        for peer in self.peers.values_mut() {
            peer.heard = now.min(peer.heard + still);
        }
    }

    /// The round trip to a peer was measured.
    pub(crate) fn handle_ping(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.rtt = Some(rtt);
        }
    }

    /// A frame came by gossip from a peer, which may have posted it itself.
    pub(crate) fn handle_posted(
        &mut self,
        peer: &PeerId,
        frame: &Frame,
        wall: WallTime,
        now: Time,
    ) {
        if let Some(peer) = self.peers.get_mut(peer)
            && peer.member.sender() == frame.sender()
        {
            peer.skew.note(frame.posted_at(), wall, now);
        }
    }

    /// Takes leave of a peer, whatever connections there are to it.
    pub(crate) fn remove(&mut self, peer: &PeerId) -> Option<Peer> {
        self.doubled.remove(peer);
        self.peers.remove(peer)
    }

    /// A peer said where it listens.
    pub(crate) fn handle_addresses(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if let Some(peer) = self.peers.get_mut(&peer)
            && peer.addresses != addresses
        {
            peer.addresses = addresses.to_vec();
            peer.news = true;
        }
    }

    /// Whether others are to be told now where a peer listens: that is news, and not too often.
    pub(crate) fn take_news(&mut self, peer: &PeerId, now: Time) -> bool {
        let peer = self.peers.get_mut(peer);
        peer.is_some_and(|peer| {
            let due = peer.news && peer.spreading.try_take(SPREADING, now);
            peer.news &= !due;
            due
        })
    }

    /// Connections that double another one and have done so for long enough, each returned once.
    ///
    /// Of two nodes that dialled each other, the connections that the one with the smaller id
    /// dialled stay; of several dialled by one, the oldest stays, and only the dialler knows which
    /// that is. The surplus is left open for a while: gossip announces its topics once, on
    /// whichever connection is there, and the announcement must not be cut off.
    ///
    /// A connection that brought nothing for [`SILENCE`] before the peer came back by another goes
    /// at once, on both sides.
    pub(crate) fn take_surplus(&mut self, now: Time) -> Vec<(PeerId, ConnectionId)> {
        let mut closing = Vec::new();
        for id in &self.doubled {
            let peer = self.peers.get_mut(id).into_iter();
            let surplus = peer.flat_map(|peer| peer.surplus(self.me < *id));
            for (connection, _) in surplus.filter(|(_, due)| *due <= now) {
                connection.closing = true;
                closing.push((*id, connection.id));
            }
        }
        closing
    }

    /// When [`Self::take_surplus`] will have something.
    pub(crate) fn surplus_due(&mut self) -> Option<Time> {
        let mut first = None::<Time>;
        for id in &self.doubled {
            let peer = self.peers.get_mut(id).into_iter();
            let surplus = peer.flat_map(|peer| peer.surplus(self.me < *id));
            first = surplus.map(|(_, due)| due).chain(first).min();
        }
        first
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.peers.get(peer)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut Peer)> {
        self.peers.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }
}

impl Peer {
    /// The offset of its wall clock from ours, in microseconds, by its recent posts.
    pub(crate) fn clock_ahead_us(&self, now: Time) -> Option<i64> {
        self.skew.ahead_us(self.rtt, now)
    }

    /// Why it is gone, if it was known before.
    pub(crate) const fn leaving(&self) -> Option<DisconnectReason> {
        self.leaving
    }

    /// When anything was last heard of it.
    pub(crate) const fn heard(&self) -> Time {
        self.heard
    }

    /// The connection that stays.
    pub(crate) fn main(&self) -> Option<&Connection> {
        self.connections.first()
    }

    /// Notes what passed since it was looked at last, and tells whether it is time to send it a
    /// sign of life.
    pub(crate) fn look(&mut self, received: bool, sent: bool, now: Time) -> bool {
        if received {
            self.heard = now;
        }
        self.quiet = if sent { 0 } else { self.quiet + 1 };
        let due = self.quiet >= QUIET_LOOKS;
        if due {
            self.quiet = 0;
        }
        due
    }

    /// Whether its connections count as dead.
    pub(crate) fn is_dead(&self, now: Time) -> bool {
        now.saturating_since(self.heard) >= DEAD
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().map(|connection| connection.id)
    }

    /// Whether nothing at all was heard of it for a while, though it sends a sign of life when it
    /// has nothing to say.
    pub(crate) fn is_silent(&self, now: Time) -> bool {
        now.saturating_since(self.heard) >= SILENCE
    }

    /// The reach of its address: addresses that lead only so far make sense to it, and those it
    /// tells to us.
    pub(crate) fn reach(&self) -> Reach {
        let reaches = self.connections.iter().map(|it| reach(&it.remote));
        reaches.min().unwrap_or(Reach::Beyond)
    }

    /// The connections that are to be closed and are not yet, each with the time when. `mine_stay`
    /// if those that this node dialled are preferred.
    fn surplus(&mut self, mine_stay: bool) -> impl Iterator<Item = (&mut Connection, Time)> {
        let preferred = if mine_stay {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let alive = || {
            self.connections
                .iter()
                .filter(|connection| !connection.dead)
        };
        let stays = alive()
            .find(|connection| connection.direction == preferred)
            .or_else(|| alive().next())
            // Anything that came by another connection is gone: better this than none.
            .unwrap_or(&self.connections[0]);
        let (kept, direction, since) = (stays.id, stays.direction, stays.since);
        let surplus = self.connections.iter_mut().filter(move |connection| {
            let ours_to_close = connection.dead || connection.direction == Direction::Outbound;
            let doubles =
                connection.id != kept && (connection.direction != direction || ours_to_close);
            !connection.closing && doubles
        });
        // An old connection that a new one replaces may still have something on its way as well.
        surplus.map(move |connection| {
            let doubled = connection.since.max(since);
            let due = if connection.dead {
                doubled
            } else {
                doubled + KEEP_SURPLUS
            };
            (connection, due)
        })
    }
}

/// The time for which a duplicate connection is kept; an announcement takes one round trip.
const KEEP_SURPLUS: Duration = Duration::from_secs(3);

/// A peer of which nothing is heard for this long is dialled beside the connection there is. Two
/// signs of life; a peer that is only busy, or far away, sends one of them.
const SILENCE: Duration = Duration::from_secs(3);

/// Connections on which nothing is heard for this long are closed. With two looks a second on
/// either side of it that is within 5 s of when the last byte came, whatever the system makes of
/// the path.
pub(crate) const DEAD: Duration = Duration::from_secs(4);

/// After so many looks in a row with nothing sent since the one before, a sign of life is: once in
/// 1.5 s to whom there is nothing to say, since the look after it sees it as sent.
const QUIET_LOOKS: u32 = 2;

/// The rate of announcements that a peer has other addresses: at once for so many, since a node
/// that starts finds its addresses one after another, and then once in this time, with what is true
/// then. One that changes them all the time makes a node of 256 members send 26 messages a second.
const SPREAD_AT_ONCE: u32 = 16;
const SPREAD_INTERVAL: Duration = Duration::from_secs(10);
const SPREADING: Rate = Rate::every(SPREAD_INTERVAL, SPREAD_AT_ONCE);

#[cfg(test)]
mod tests;
