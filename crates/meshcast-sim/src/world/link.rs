//! Links between hosts, and the connections on them.
//!
//! A link that is blocked holds up what is sent. If that takes too long, both ends notice, each in
//! its time, and what is under way is lost; once it is free again, they connect anew.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use meshcast_proto::{Sender, SyncMessage};

use super::{World, host::Input, plan::Action};
use crate::{
    at::{At, micros},
    scenario::Topology,
};

/// A place where two hosts can be connected.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [usize; 2],
    /// The number of faults that hold up what comes from each end.
    blocks: [u32; 2],
    conn: Option<Conn>,
    /// How many connections there were.
    conns: u64,
    /// Which process each end believes to be connected to.
    sees: [Option<(Sender, u64)>; 2],
    one_way: Duration,
}

#[derive(Debug)]
struct Conn {
    id: u64,
    /// Of what comes from each end.
    lanes: [Lane; 2],
    /// When nothing came through any more.
    broken: Option<At>,
    /// When gossip begins to use it.
    announced: At,
}

/// What is under way in one direction, in order.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Bytes>,
    /// The number of them that wait until the link is free.
    stuck: usize,
    /// When all before is sent.
    sent: At,
    /// When the last of them arrives.
    arrives: At,
}

impl Link {
    fn new(ends: [usize; 2], one_way: Duration) -> Self {
        Self {
            ends,
            blocks: [0; 2],
            conn: None,
            conns: 0,
            sees: [None; 2],
            one_way,
        }
    }

    /// Whether anything gets through from this end.
    pub(super) const fn is_free(&self, end: usize) -> bool {
        self.blocks[end] == 0
    }

    fn is_whole(&self) -> bool {
        self.blocks == [0; 2]
    }

    pub(super) const fn conn_id(&self) -> u64 {
        self.conns
    }

    /// From when on this end sends gossip, if it is connected.
    pub(super) fn gossips_from(&self, end: usize) -> Option<At> {
        let conn = self.conn.as_ref()?;
        self.knows(end, conn.id).then_some(conn.announced)
    }

    /// Whether a copy that was sent on that connection arrives at this end.
    pub(super) fn carries_gossip(&self, end: usize, conn: u64) -> bool {
        self.conn.as_ref().is_some_and(|open| open.id == conn)
            && self.is_free(1 - end)
            && self.knows(end, conn)
    }

    fn knows(&self, end: usize, conn: u64) -> bool {
        self.sees[end].is_some_and(|(_, id)| id == conn)
    }
}

impl World<'_> {
    /// Lays the links of the topology.
    pub(super) fn lay_links(&mut self) {
        let nodes = self.hosts.len();
        let regions = self.scenario.regions.len();
        for b in 0..nodes {
            for a in 0..b {
                let wanted = match self.scenario.topology {
                    Topology::Full => true,
                    Topology::Chain => a + 1 == b,
                    Topology::Regions => {
                        let (ra, rb) = (a % regions, b % regions);
                        let (ia, ib) = (a / regions, b / regions);
                        // Of two regions those with the same number, and one pair shifted, three at
                        // most.
                        ra == rb || (ia == ib && ia < 2) || (ib == ia + 1 && ia == 0)
                    }
                };
                if wanted {
                    let one_way = self
                        .scenario
                        .network
                        .one_way(self.scenario.region(a), self.scenario.region(b));
                    let link = self.links.len();
                    self.links.push(Link::new([a, b], one_way));
                    self.hosts[a].links.push((link, 0));
                    self.hosts[b].links.push((link, 1));
                }
            }
        }
    }

    /// How long something takes over a link this time.
    pub(super) fn one_way(&mut self, link: usize) -> Duration {
        let base = self.links[link].one_way;
        let jitter = base.mul_f64(self.scenario.network.jitter) + MIN_JITTER;
        base + self.rng.duration(Duration::ZERO, jitter)
    }

    /// Whether the two are connected, both know, and nothing is in the way.
    pub(super) fn is_connected(&self, link: usize, end: usize) -> bool {
        let link = &self.links[link];
        let conn = link.conn.as_ref().filter(|_| link.is_whole());
        conn.is_some_and(|conn| link.knows(end, conn.id) && link.knows(1 - end, conn.id))
    }

    /// Whether this end will be connected in a moment.
    pub(super) fn expects(&self, link: usize, end: usize) -> bool {
        let link = &self.links[link];
        let other = &self.hosts[link.ends[1 - end]];
        let knows = link
            .conn
            .as_ref()
            .is_some_and(|conn| link.knows(end, conn.id));
        link.is_whole() && other.process.is_some() && !other.paused && !knows
    }

    /// Sends a sync message to a peer.
    pub(super) fn send(&mut self, index: usize, peer: Sender, message: &SyncMessage) {
        let links = self.hosts[index].links.iter().copied();
        let found = links
            .filter_map(|(link, end)| Some((link, end, self.links[link].sees[end]?)))
            .find(|(_, _, (sender, _))| *sender == peer);
        let Some((link, end, (_, conn))) = found else {
            let name = &self.hosts[index].name;
            self.defects.push(format!(
                "{}: {name} sends to {peer}, which is not connected",
                self.now
            ));
            return;
        };
        let bytes = Bytes::from(message.encode());
        self.traffic.sync_messages += 1;
        self.traffic.sync_bytes += bytes.len() as u64;
        let way = self.one_way(link);
        let (now, bandwidth) = (self.now, self.scenario.network.bandwidth.max(1));
        let link_ = &mut self.links[link];
        let whole = link_.is_whole();
        let Some(open) = link_.conn.as_mut().filter(|open| open.id == conn) else {
            // It is gone already; this end will notice.
            return;
        };
        let lane = &mut open.lanes[end];
        let takes = Duration::from_micros(bytes.len() as u64 * 1_000_000 / bandwidth);
        lane.sent = lane.sent.max(now) + takes;
        lane.queue.push_back(bytes);
        let waiting = micros(lane.sent.since(now)) as u128 * u128::from(bandwidth) / 1_000_000;
        self.traffic.waiting = self.traffic.waiting.max(waiting as u64);
        if waiting > u128::from(self.scenario.network.queue) {
            self.traffic.overflows += 1;
            self.cut(link, None);
            return;
        }
        if !whole || lane.stuck > 0 {
            lane.stuck += 1;
            return;
        }
        lane.arrives = lane.arrives.max(lane.sent + way);
        let (at, end) = (lane.arrives, 1 - end);
        self.plan(at, Action::Sync { link, end, conn });
    }

    /// The next sync message arrives.
    pub(super) fn sync_arrives(&mut self, link: usize, end: usize, conn: u64) {
        let link_ = &mut self.links[link];
        let whole = link_.is_whole();
        let Some(open) = link_.conn.as_mut().filter(|open| open.id == conn) else {
            return;
        };
        let lane = &mut open.lanes[1 - end];
        if !whole || lane.stuck > 0 {
            // It is sent again when the link is free.
            lane.stuck += 1;
            return;
        }
        let Some(bytes) = lane.queue.pop_front() else {
            return;
        };
        let (index, other) = (link_.ends[end], link_.ends[1 - end]);
        let Some(peer) = self.hosts[other].sender() else {
            return;
        };
        self.give(index, Input::Sync { peer, bytes });
    }

    /// Nothing gets through from one host to another for one more reason, or one less.
    pub(super) fn block(&mut self, from: usize, to: usize, blocked: bool) {
        let links = self.hosts[from].links.iter();
        let Some((link, end)) = links
            .copied()
            .find(|(link, end)| self.links[*link].ends[1 - end] == to)
        else {
            return;
        };
        let was_whole = self.links[link].is_whole();
        let blocks = &mut self.links[link].blocks[end];
        *blocks = if blocked {
            *blocks + 1
        } else {
            blocks.saturating_sub(1)
        };
        match (was_whole, self.links[link].is_whole()) {
            (true, false) => self.watch(link),
            (false, true) => {
                self.go_on(link);
                self.plan_dial(link);
            }
            _ => {}
        }
    }

    /// Somebody will notice if nothing comes through from now on.
    pub(super) fn watch(&mut self, link: usize) {
        let detect = self.detection();
        let now = self.now;
        let Some(open) = &mut self.links[link].conn else {
            return;
        };
        let (conn, since) = (open.id, *open.broken.get_or_insert(now));
        self.plan_in(detect, Action::Detect { link, conn, since });
    }

    /// Messages that were held up go on.
    pub(super) fn go_on(&mut self, link: usize) {
        let again = self.rng.duration(MIN_RESEND, MAX_RESEND);
        let way = self.one_way(link);
        if self.links[link]
            .ends
            .iter()
            .any(|index| self.hosts[*index].paused)
        {
            return;
        }
        let now = self.now;
        let link_ = &mut self.links[link];
        if !link_.is_whole() {
            return;
        }
        let Some(open) = &mut link_.conn else {
            return;
        };
        open.broken = None;
        let conn = open.id;
        let mut plans = Vec::new();
        for (end, lane) in open.lanes.iter_mut().enumerate() {
            // Those that still are to arrive come after them, since they are taken from the front.
            lane.arrives = lane.arrives.max(now + again + way);
            for _ in 0..std::mem::take(&mut lane.stuck) {
                plans.push((
                    lane.arrives,
                    Action::Sync {
                        link,
                        end: 1 - end,
                        conn,
                    },
                ));
            }
        }
        for (at, action) in plans {
            self.plan(at, action);
        }
    }

    /// Nothing came through for long: the connection is given up.
    pub(super) fn detect(&mut self, link: usize, conn: u64, since: At) {
        let open = self.links[link].conn.as_ref();
        if open.is_some_and(|open| open.id == conn && open.broken == Some(since)) {
            self.cut(link, None);
        }
    }

    /// The connection is gone. Both ends notice in their time; one that is gone too never, and
    /// silently or not.
    pub(super) fn cut(&mut self, link: usize, gone: Option<(usize, bool)>) {
        self.links[link].conn = None;
        let quick = gone.is_some_and(|(_, silent)| !silent) && self.links[link].is_whole();
        for end in 0..2 {
            if gone.is_some_and(|(gone, _)| gone == end) {
                self.links[link].sees[end] = None;
                continue;
            }
            let Some((peer, _)) = self.links[link].sees[end] else {
                continue;
            };
            let delay = match (quick, gone) {
                (true, _) => self.one_way(link),
                // The time until the first of both noticed is over.
                (false, None) => self.detection() / 4,
                (false, Some(_)) => self.detection(),
            };
            self.plan_in(delay, Action::Down { link, end, peer });
        }
        self.plan_dial(link);
    }

    pub(super) fn dial_all(&mut self, index: usize) {
        for place in 0..self.hosts[index].links.len() {
            let (link, _) = self.hosts[index].links[place];
            self.plan_dial(link);
        }
    }

    pub(super) fn plan_dial(&mut self, link: usize) {
        let redial = Duration::from_millis(self.scenario.network.redial_ms);
        let delay = self.rng.duration(Duration::ZERO, redial);
        self.plan_in(delay, Action::Dial(link));
    }

    /// Connects two hosts, if they can be and are not.
    pub(super) fn dial(&mut self, link: usize) {
        let there = |index: &usize| {
            let host = &self.hosts[*index];
            host.process.is_some() && !host.paused
        };
        let link_ = &self.links[link];
        if link_.conn.is_some() || !link_.is_whole() || !link_.ends.iter().all(there) {
            return;
        }
        let warmup = self.rng.below(self.scenario.network.warmup_ms * 1000 + 1);
        let (first, second) = (self.one_way(link) * 2, self.one_way(link));
        let link_ = &mut self.links[link];
        link_.conns += 1;
        let (id, announced) = (link_.conns, self.now + Duration::from_micros(warmup));
        link_.conn = Some(Conn {
            id,
            lanes: [Lane::default(), Lane::default()],
            broken: None,
            announced,
        });
        // One end knows first; the other does before anything can come from there.
        let end = self.rng.index(2);
        self.plan_in(
            first,
            Action::Up {
                link,
                end,
                conn: id,
            },
        );
        let known = self.links[link].one_way.min(second);
        self.plan_in(
            first + known,
            Action::Up {
                link,
                end: 1 - end,
                conn: id,
            },
        );
    }

    pub(super) fn link_up(&mut self, link: usize, end: usize, conn: u64) {
        let index = self.links[link].ends[end];
        self.give(index, Input::Up { link, end, conn });
    }

    pub(super) fn link_down(&mut self, link: usize, end: usize, peer: Sender) {
        let index = self.links[link].ends[end];
        self.give(index, Input::Down { link, end, peer });
    }

    /// A process learns that it is connected, of a connection it knew that it is gone.
    pub(super) fn see_up(&mut self, link: usize, end: usize, conn: u64) {
        let [index, other] = [self.links[link].ends[end], self.links[link].ends[1 - end]];
        if self.links[link]
            .conn
            .as_ref()
            .is_none_or(|open| open.id != conn)
            || self.hosts[index].process.is_none()
        {
            return;
        }
        let Some(peer) = self.hosts[other].sender() else {
            return;
        };
        if let Some((was, _)) = self.links[link].sees[end] {
            self.see_down(link, end, was);
        }
        self.links[link].sees[end] = Some((peer, conn));
        self.watch_process(index, |name| format!("up: {}", name(peer)));
        // Gossip begins anew with a new connection.
        if let Some(process) = &mut self.hosts[index].process {
            process.lazy_peers.remove(&peer);
        }
        self.with_engine(index, |engine, now, _| engine.handle_peer_up(peer, now));
    }

    /// A process learns that a connection is gone.
    pub(super) fn see_down(&mut self, link: usize, end: usize, peer: Sender) {
        let index = self.links[link].ends[end];
        let Some((sender, conn)) = self.links[link].sees[end] else {
            return;
        };
        // It may be connected again by now.
        if sender != peer
            || self.links[link]
                .conn
                .as_ref()
                .is_some_and(|open| open.id == conn)
        {
            return;
        }
        self.links[link].sees[end] = None;
        self.watch_process(index, |name| format!("down: {}", name(peer)));
        self.with_engine(index, |engine, now, _| engine.handle_peer_down(peer, now));
    }

    /// In what time somebody notices.
    fn detection(&mut self) -> Duration {
        let detect = Duration::from_millis(self.scenario.network.detect_ms);
        self.rng.duration(detect / 2, detect)
    }
}

/// Even next door.
const MIN_JITTER: Duration = Duration::from_micros(200);

/// When what was held up is sent again.
const MIN_RESEND: Duration = Duration::from_millis(20);
const MAX_RESEND: Duration = Duration::from_millis(1500);
