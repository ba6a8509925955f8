//! One log as this node takes part in it: the [log](Log) itself, what peers say of it, what is
//! fetched of it, and who hears of it through this node.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    flow_control::Checkpoints,
    identity::Member,
    log::{Arrival, Assembled, Beginning, Insert, Log, LogLimits, SENDER_UNTOLD, SILENT, UNTOLD},
    replication::{
        fetch::{Context, Fetch, Holes, Step},
        jitter::Jitter,
        origin::Origin,
        peers::Peers,
        route::rank,
        upstreams::Upstreams,
    },
    wire::{ChannelName, Frame, Holding, LogKey, Sender, Seq, SeqRange, Time},
};

/// A log, with what peers have of it.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) log: Log,
    pub(crate) fetch: Fetch,
    /// Its recent checkpoints, for those who hear of it through this node.
    pub(crate) checkpoints: Checkpoints,
    /// On the way to the sender: the sender itself, or the peer nearest to it, which is told
    /// how far this node is for the sender to know.
    pub(crate) upstream: Option<Sender>,
    pub(crate) upstreams: Upstreams,
    /// Peers that asked for what is not kept here, since they came.
    pub(crate) askers: BTreeSet<Sender>,
    /// How many links away the sender is; 0 only for a log of ours.
    pub(crate) hops: u8,
    /// Its position when readers in this process fell behind: the sender is not told of more.
    pub(crate) held: Option<Seq>,
    pub(crate) origin: Origin,
}

/// The context of an advance of a log.
pub(crate) struct Turn<'a> {
    pub(crate) limits: &'a LogLimits,
    pub(crate) around: Context<'a>,
    pub(crate) jitter: &'a mut Jitter,
}

/// The wish of a log after it was advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing until a frame comes.
    Nothing,
    /// To be advanced again then.
    Time(Time),
    /// To ask this peer for these numbers. It is to be told whether it was done by
    /// [`Fetch::asked`].
    Frames(Sender, SeqRange),
}

impl Replica {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            log,
            fetch: Fetch::default(),
            checkpoints: Checkpoints::default(),
            upstream: None,
            upstreams: Upstreams::default(),
            askers: BTreeSet::new(),
            hops: Holding::FAR,
            held: None,
            origin: Origin::default(),
        }
    }

    /// Of a log of ours, of which `next` is posted next. `born` is when the first number was.
    pub(crate) fn ours(member: &Arc<Member>, next: Seq, born: Time, now: Time) -> Self {
        Self {
            hops: 0,
            origin: Origin::of_ours(born),
            ..Self::new(Log::ours(member, next, now))
        }
    }

    /// Whether this node is its sender.
    pub(crate) const fn is_ours(&self) -> bool {
        self.hops == 0
    }

    /// Whether nothing came of it, and nobody who is there says that there is anything.
    pub(crate) fn is_reported_by_nobody(&self) -> bool {
        self.log.member().is_none() && self.fetch.holders().is_empty()
    }

    /// Takes in a frame; `is_past` if it is from before what is due here. Follow with
    /// [`Self::advance`].
    pub(crate) fn insert(
        &mut self,
        frame: Frame,
        member: &Arc<Member>,
        is_past: bool,
        room: usize,
        arrival: Arrival,
    ) -> Insert {
        let seqs = frame.seqs();
        // A frame that is past comes late, for a peer that has it by now: no sign that this began
        // too high.
        let expected = is_past || self.fetch.wants(seqs);
        match self.log.insert(frame, member, expected, room, arrival) {
            // Of no use here, but somebody waits for it.
            Insert::Duplicate if self.fetch.came(seqs, arrival.at) => Insert::Fresh,
            insert => insert,
        }
    }

    /// Takes in where a peer says that it begins, and the sender how far it got. Follow with
    /// [`Self::advance`].
    pub(crate) fn hear_beginning(
        &mut self,
        peer: Sender,
        holding: &Holding,
        peers: &Peers,
        now: Time,
    ) {
        let sender = holding.sender;
        match holding.due {
            Some(due) if peer == sender => self.log.begin(due),
            // Others may have come later than this node, and not know what was before.
            Some(due) => {
                let word = Beginning {
                    due,
                    holding,
                    trusted: !peers.contains(sender),
                };
                self.log.begin_by_peer(word, now);
            }
            None => {}
        }
        if peer == sender {
            self.log.heard_from_sender(holding.next.previous(), now);
        }
    }

    /// A peer asks for numbers that are not kept here. `true` if this node did not want them
    /// itself and tries to get them now. Follow with [`Self::advance`].
    pub(crate) fn relay(&mut self, peer: Sender, seqs: SeqRange, now: Time) -> bool {
        let below = self.log.begun().and_then(Seq::previous);
        let seqs = below.and_then(|last| SeqRange::new(seqs.first(), seqs.last().min(last)));
        seqs.is_some_and(|seqs| self.fetch.relay(peer, seqs, now))
    }

    /// Takes in what others than its sender say there is. That counts while the sender itself says
    /// nothing. Returns when to look again, if it may count by then.
    fn hear_reports(&mut self, around: &Context<'_>, now: Time) -> Option<Time> {
        let reorder = self.log.reorder();
        let reached = reorder.newest().map_or(Seq::FIRST, Seq::next);
        let first = reorder.next()?.max(reached);
        let reported = self.fetch.claimed(first, around.sender, now);
        let counts_from = if around.peers.contains(around.sender) {
            around.peers.alive(around.sender) + QUIET
        } else {
            now
        };
        let counting = reported.filter(|_| counts_from <= now);
        self.log.hear_reported(counting, now);
        reported.map(|_| counts_from).filter(|from| now < *from)
    }

    /// Nothing is waited for below this number, not for others either; and where it began.
    pub(crate) fn frontier(&self) -> Option<(Seq, Seq)> {
        let (next, begun) = (self.log.reorder().next()?, self.log.begun()?);
        let relay = self.fetch.relay_next();
        Some((relay.map_or(next, |relay| relay.min(next)), begun))
    }

    /// Releases what is in order and gives up what nobody keeps.
    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>, out: &mut Vec<Assembled>) -> Want {
        let around = turn.around;
        let now = around.now;
        let begins = match self.log.begun() {
            Some(_) => None,
            None => {
                let withheld = self.is_withheld(around.sender, around.peers);
                let patience = match self.is_any_unheard(&around) {
                    false => Duration::ZERO,
                    true if around.peers.is_any_silent(around.channel) => SILENT,
                    true if withheld => SENDER_UNTOLD,
                    true => UNTOLD,
                };
                self.log.wait(patience, withheld, now)
            }
        };
        let reports = self.hear_reports(&around, now);
        // A peer that has come and not told may know where it should have begun; nothing lower is
        // asked for until then.
        if let Some(until) = self.log.may_yet_begin_higher(now)
            && self.is_any_unheard(&around)
        {
            return Want::Time(until);
        }
        let (step, unfinished) = self.fill(turn, out);
        let due = match step {
            Step::Ask(peer, seqs) => return Want::Frames(peer, seqs),
            Step::Wait(due) => Some(due),
            Step::Idle | Step::GiveUp(_) => None,
        };
        let due = [due, unfinished, begins, reports]
            .into_iter()
            .flatten()
            .min();
        due.map_or(Want::Nothing, Want::Time)
    }

    /// Whether somebody has not yet told of this log: it may know of earlier numbers, since of
    /// those heard first some were lost.
    fn is_any_unheard(&self, around: &Context<'_>) -> bool {
        let mut interests = around.peers.interests(around.channel);
        interests.any(|(peer, interest)| {
            let will_tell = interest.open.is_some() || peer == around.sender;
            !interest.has_told() || (will_tell && !self.fetch.holders().contains(peer))
        })
    }

    /// Releases what is in order and gives up what is lost. Returns what to do for the rest, and
    /// when to give up a value that is halfway, if there is one.
    fn fill(&mut self, turn: &mut Turn<'_>, out: &mut Vec<Assembled>) -> (Step, Option<Time>) {
        let Turn {
            limits,
            around,
            jitter,
        } = turn;
        let (around, now) = (&*around, around.now);
        let mut gave_up = false;
        loop {
            self.log.release(limits, out);
            let lowest = self.log.reorder().hole();
            let unfinished = match lowest {
                // The rest of a value of ours comes when there is room in flight for it.
                None if !self.is_ours() => {
                    let attended = around.peers.contains(around.sender);
                    let retention = around.limits.retention;
                    self.log.give_up_unfinished(attended, retention, now, out)
                }
                _ => None,
            };
            let reorder = self.log.reorder();
            // A hole behind one that was just given up was waited for like that one.
            let known = if gave_up { reorder.hole_since() } else { None };
            let holes = Holes {
                lowest,
                known,
                above: &|| reorder.next_hole(),
            };
            let lost = match self.fetch.step(&holes, around, jitter) {
                Step::GiveUp(lost) => lost,
                step => return (step, unfinished),
            };
            if self.log.give_up(lost, out) {
                gave_up = true;
            } else {
                // Nobody has it who says that it is there: so perhaps it is not.
                self.fetch.dismiss(lost.first(), around.sender);
                self.log.hear_reported(None, now);
            }
        }
    }

    /// The lowest number that this node, or anybody who keeps up and hears of the log through it,
    /// waits for.
    pub(crate) fn lowest(&self, channel: &ChannelName, peers: &Peers) -> Option<Seq> {
        self.lowest_of(|peer| peers.listens(peer, channel))
    }

    /// The same without this peer.
    pub(crate) fn lowest_but(
        &self,
        but: Sender,
        channel: &ChannelName,
        peers: &Peers,
    ) -> Option<Seq> {
        self.lowest_of(|peer| peer != but && peers.listens(peer, channel))
    }

    /// The lowest number that any peer waits for which keeps up and hears of the log through this
    /// node.
    pub(crate) fn slowest(&self, channel: &ChannelName, peers: &Peers) -> Option<Seq> {
        self.gates(|peer| peers.listens(peer, channel)).min()
    }

    fn lowest_of(&self, counts: impl Fn(Sender) -> bool) -> Option<Seq> {
        let gates = self.gates(counts);
        let next = self.log.reorder().next()?;
        Some(gates.chain(self.held).fold(next, Seq::min))
    }

    fn gates(&self, counts: impl Fn(Sender) -> bool) -> impl Iterator<Item = Seq> {
        let listeners = self.fetch.holders().listeners();
        listeners.filter_map(move |(peer, listener)| listener.gate().filter(|_| counts(peer)))
    }

    /// Looks again which way the sender is. Returns whether that has changed.
    pub(crate) fn update_route(
        &mut self,
        me: Sender,
        (channel, sender): &LogKey,
        peers: &Peers,
        now: Time,
    ) -> bool {
        if self.is_ours() {
            return false;
        }
        let rank = |peer| rank(*sender, peer) ^ rank(*sender, me);
        let order = |peer| (self.upstreams.weight(peer, now), rank(peer));
        let listens = |peer| peers.listens(peer, channel);
        let route = if peers.contains(*sender) {
            (Some(*sender), 1)
        } else if let Some((nearest, hops)) = self.fetch.holders().nearest(order, listens) {
            (Some(nearest), hops + 1)
        } else {
            (None, Holding::FAR)
        };
        let before = (self.upstream, self.hops);
        if route.0 != self.upstream {
            self.upstreams.named(now);
        }
        (self.upstream, self.hops) = route;
        before != route
    }

    /// A frame came that is new, from a peer by gossip.
    pub(crate) fn handed_on(&mut self, from: Option<Sender>) {
        if from.is_some() && from == self.upstream {
            self.upstreams.gave();
        }
    }

    /// Frames came from a peer that was asked for them, each posted then. `true` if another is to
    /// be named as the next on the way; follow with [`Self::update_route`]. The sender's own posts
    /// have no better way than from it.
    pub(crate) fn fetched(
        &mut self,
        sender: Sender,
        from: Sender,
        posted: impl Iterator<Item = Time>,
        now: Time,
    ) -> bool {
        let others = self.upstream.filter(|it| *it != sender && *it != from);
        others.is_some_and(|upstream| self.upstreams.fetched(upstream, posted, now))
    }

    /// Somebody is to hear what was before the beginning; see [`Log::fix_beginning`].
    pub(crate) fn fix_beginning(&mut self, sender: Sender) {
        let by_sender = self.fetch.holders().contains(sender);
        self.log.fix_beginning(by_sender);
    }

    /// Whether it has not begun, and something to begin with that its sender could only say.
    pub(crate) fn can_begin(&self, sender: Sender, peers: &Peers) -> bool {
        self.log.has_hints() && !self.is_withheld(sender, peers)
    }

    /// Whether it may begin without anything more being told.
    pub(crate) fn begins_soon(&self, sender: Sender, peers: &Peers) -> bool {
        self.can_begin(sender, peers) || self.log.is_settling()
    }

    /// While its sender is there its own word on where it begins counts, and nothing before it.
    fn is_withheld(&self, sender: Sender, peers: &Peers) -> bool {
        peers.contains(sender) && !self.fetch.holders().contains(sender)
    }
}

/// Reports of others on a connected sender count when nothing came from it for so long, by gossip
/// or otherwise. Between its posts a link that works is quiet for longer, and then what others say
/// is as true: what it posts comes from itself first, since others tell of it a moment later. If a
/// queue makes its frames late they follow each other more closely than that.
const QUIET: Duration = Duration::from_millis(100);
