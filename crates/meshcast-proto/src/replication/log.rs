//! What one sender posts on one channel, as it arrives here.

use std::{sync::Arc, time::Duration};

use crate::{
    bounds::ENTRY_BYTES,
    flow_control::Checkpoints,
    identity::Member,
    log::{
        Assembled, GapReason, Insert, Join, Reached, Reassembly, ReorderBuffer, UNTOLD, patience,
    },
    replication::{
        fetch::{Fetch, Holes, Step, Surroundings},
        jitter::Jitter,
        origin::Origin,
        peers::Peers,
    },
    wire::{ChannelName, Frame, Holding, Sender, Seq, SeqRange, Time},
};

/// The reorder buffer of a sender, what of it is fetched, and the value it is halfway through.
#[derive(Debug)]
pub(crate) struct Log {
    /// Who it is; not known before the first frame, if only others told of it.
    pub(crate) member: Option<Arc<Member>>,
    join: Join,
    pub(crate) reorder: ReorderBuffer,
    pub(crate) fetch: Fetch,
    /// How far it was lately, for those who hear of it through this node.
    pub(crate) checkpoints: Checkpoints,
    /// On the way to the sender: the sender itself, or the peer nearest to it, which is told
    /// how far this node is for the sender to know.
    pub(crate) upstream: Option<Sender>,
    /// How many links away the sender is.
    pub(crate) hops: u8,
    /// Where it was when readers in this process fell behind: the sender is not told of more.
    pub(crate) held: Option<Seq>,
    reassembly: Reassembly,
    /// The value that is being put together, and since when it stands like that.
    unfinished: Option<(Unfinished, Time)>,
    pub(crate) origin: Origin,
    /// What was given up before it was known of whom.
    unsaid: Option<SeqRange>,
}

/// A value whose end has not come although no number is known to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unfinished {
    /// The last number of it that came.
    last: Seq,
    /// Whether its sender is there to go on.
    attended: bool,
}

/// The limits a log works under; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) max_message_len: usize,
    pub(crate) max_held_bytes: usize,
}

/// What a log wants after it was advanced.
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

impl Log {
    /// A log that has heard nothing; what is heard first is waited with until `settled`.
    pub(crate) fn new(settled: Time) -> Self {
        Self::at(Join::new(settled), ReorderBuffer::new())
    }

    /// A log that goes on where it stopped when it was forgotten.
    pub(crate) fn resumed(next: Seq, now: Time) -> Self {
        Self::at(Join::resumed(next), ReorderBuffer::resume(next, now))
    }

    fn at(join: Join, reorder: ReorderBuffer) -> Self {
        Self {
            member: None,
            join,
            reorder,
            fetch: Fetch::default(),
            checkpoints: Checkpoints::default(),
            upstream: None,
            hops: Holding::FAR,
            held: None,
            reassembly: Reassembly::default(),
            unfinished: None,
            origin: Origin::default(),
            unsaid: None,
        }
    }

    /// Where it begins was found out, or found to be elsewhere.
    fn start(&mut self, first: Option<Seq>) {
        if let Some(first) = first {
            self.reorder.start(first);
        }
    }

    fn reached(&self) -> Reached {
        Reached(self.reorder.newest())
    }

    /// Takes in a frame; `is_past` if it is from before what is due here. Follow with
    /// [`Self::advance`].
    pub(crate) fn insert(
        &mut self,
        frame: Frame,
        member: &Arc<Member>,
        is_past: bool,
        limits: &LogLimits,
        now: Time,
    ) -> Insert {
        self.member.get_or_insert_with(|| Arc::clone(member));
        let seqs = frame.seqs();
        // What is past comes late, for a peer that has it by now: no sign that this began too
        // high.
        let is_below = self.reorder.next().is_some_and(|next| seqs.last() < next);
        if is_below && !is_past && !self.fetch.wants(seqs) {
            let first = self.join.refuted(seqs.first(), self.reached());
            self.start(first);
        }
        let first = self.join.heard(seqs);
        self.start(first);
        match self.reorder.insert(frame, limits.max_held_bytes, now) {
            // Of no use here, but somebody waits for it.
            Insert::Duplicate if self.fetch.came(seqs, now) => Insert::Fresh,
            insert => insert,
        }
    }

    /// Nothing up to this number is due: so a frame shows that is said to be from before.
    pub(crate) fn pass(&mut self, last: Seq, teller: Option<Sender>) {
        let hearsay = teller.is_some() && !self.origin.is_heard();
        let first = self.join.passed(last, hearsay);
        self.start(first);
    }

    /// Its sender says that it begins at `due`. Follow with [`Self::advance`].
    pub(crate) fn begin(&mut self, due: Seq) {
        let first = self.join.told_by_sender(due, self.reached());
        self.start(first);
    }

    /// A peer that is not its sender says that it begins at `due`; `trusted` if its sender is
    /// not there to say it. Follow with [`Self::advance`].
    pub(crate) fn begin_later(&mut self, due: Seq, holding: &Holding, trusted: bool, now: Time) {
        let held = self.reorder.lowest_held();
        let first = self.join.told_by_peer(due, holding, trusted, held, now);
        self.start(first);
    }

    /// Its sender says how far it got.
    pub(crate) fn heard_from_sender(&mut self, newest: Option<Seq>, now: Time) {
        let reached = newest.map_or(Seq::FIRST, Seq::next);
        if self.reorder.next().is_some_and(|next| reached < next) {
            let first = self.join.refuted(reached, self.reached());
            self.start(first);
        }
        self.reorder.heard_from_sender(newest, now);
    }

    /// A peer asks for numbers that are not kept here. `true` if this node did not want them
    /// itself and tries to get them now. Follow with [`Self::advance`].
    pub(crate) fn relay(&mut self, peer: Sender, seqs: SeqRange, now: Time) -> bool {
        let below = self.join.first().and_then(Seq::previous);
        let seqs = below.and_then(|last| SeqRange::new(seqs.first(), seqs.last().min(last)));
        seqs.is_some_and(|seqs| self.fetch.relay(peer, seqs, now))
    }

    /// Takes in what others than its sender say there is. That counts while the sender itself says
    /// nothing. Returns when to look again, if it may count by then.
    fn hear_rumours(&mut self, around: &Surroundings<'_>, now: Time) -> Option<Time> {
        let reached = self.reorder.newest().map_or(Seq::FIRST, Seq::next);
        let first = self.reorder.next()?.max(reached);
        let rumoured = self.fetch.claimed(first, around.sender, now);
        let counts_from = if around.peers.contains(around.sender) {
            around.peers.heard(around.sender) + QUIET
        } else {
            now
        };
        self.reorder
            .rumour(rumoured.filter(|_| counts_from <= now), now);
        rumoured.map(|_| counts_from).filter(|from| now < *from)
    }

    /// The number that is waited for, if its sender got as far for sure.
    pub(crate) fn next(&self) -> Option<Seq> {
        self.reorder.next().filter(|_| self.reorder.is_proven())
    }

    /// Nothing is waited for below this number, not for others either; and where it began.
    pub(crate) fn frontier(&self) -> Option<(Seq, Seq)> {
        let (next, begun) = (self.reorder.next()?, self.join.first()?);
        Some((
            self.fetch
                .relay_next()
                .map_or(next, |relay| relay.min(next)),
            begun,
        ))
    }

    /// Releases what is in order and gives up what nobody keeps.
    pub(crate) fn advance(
        &mut self,
        limits: &LogLimits,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> Want {
        // Whoever has not yet told of this log may know of earlier numbers: of those heard first,
        // some were lost.
        let untold = |fetch: &Fetch| {
            let mut interests = around.peers.interests(around.channel);
            interests.any(|(peer, interest)| {
                let will_tell = interest.open.is_some() || peer == around.sender;
                !interest.has_told() || (will_tell && !fetch.holders().contains(peer))
            })
        };
        let mut begins = None;
        if self.join.first().is_none() {
            let withheld = self.is_withheld(around.sender, around.peers);
            let silent = || around.peers.is_any_silent(around.channel);
            let untold = untold(&self.fetch);
            let patience = patience(untold, untold && silent());
            let first = self.join.wait(patience, withheld, now);
            self.start(first);
            begins = self.join.due(patience, withheld, now);
        }
        let rumours = self.hear_rumours(around, now);
        // Whoever has come and not told may know where it should have begun; nothing lower is asked
        // for until then.
        if let Some(since) = self.reorder.hole_since()
            && self.join.may_be_too_low()
            && self.reorder.hole().is_some()
            && now < since + UNTOLD
            && untold(&self.fetch)
        {
            return Want::Time(since + UNTOLD);
        }
        let (step, unfinished) = self.fill(limits, around, jitter, now, out);
        let due = match step {
            Step::Ask(peer, seqs) => return Want::Frames(peer, seqs),
            Step::Wait(due) => Some(due),
            Step::Rest | Step::GiveUp(_) => None,
        };
        let due = [due, unfinished, begins, rumours]
            .into_iter()
            .flatten()
            .min();
        due.map_or(Want::Nothing, Want::Time)
    }

    /// Releases what is in order and gives up what is lost. Returns what to do for the rest, and
    /// when to give up a value that is halfway, if there is one.
    fn fill(
        &mut self,
        limits: &LogLimits,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> (Step, Option<Time>) {
        let mut gave_up = false;
        loop {
            self.release(limits, out);
            let lowest = self.reorder.hole();
            let unfinished = match lowest {
                Some(_) => None,
                None => self.give_up_unfinished(around, now, out),
            };
            let reorder = &self.reorder;
            // A hole behind one that was just given up was waited for like that one.
            let known = if gave_up { reorder.hole_since() } else { None };
            let holes = Holes {
                lowest,
                known,
                above: &|| reorder.next_hole(),
            };
            let lost = match self.fetch.step(&holes, around, jitter, now) {
                Step::GiveUp(lost) => lost,
                step => return (step, unfinished),
            };
            if let Some(lost) = self.reorder.proven(lost) {
                self.join.fix();
                self.reorder.skip(lost.last());
                self.miss(lost, out);
                gave_up = true;
            } else {
                // Nobody has it who says that it is there: so perhaps it is not.
                self.fetch.dismiss(lost.first(), around.sender);
                self.reorder.rumour(None, now);
            }
        }
    }

    /// Gives up what is needed last of what takes memory: the highest frame that waits, which
    /// counts as missing then, or else the value that is halfway. Returns whether it was a frame.
    pub(crate) fn shed(&mut self, out: &mut Vec<Assembled>) -> bool {
        if self.reorder.drop_highest() {
            return true;
        }
        out.extend(self.reassembly.abandon());
        false
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

    fn lowest_of(&self, counts: impl Fn(Sender) -> bool) -> Option<Seq> {
        let gates = self
            .fetch
            .holders()
            .listeners()
            .filter_map(|(peer, listener)| listener.gate().filter(|_| counts(peer)));
        Some(gates.chain(self.held).fold(self.reorder.next()?, Seq::min))
    }

    /// Looks again which way the sender is. Returns whether that has changed.
    pub(crate) fn update_route(&mut self, sender: Sender, peers: &Peers) -> bool {
        let way = if peers.contains(sender) {
            (Some(sender), 1)
        } else if let Some((nearest, hops)) = self.fetch.holders().nearest() {
            (Some(nearest), hops + 1)
        } else {
            (None, Holding::FAR)
        };
        let before = (self.upstream, self.hops);
        (self.upstream, self.hops) = way;
        before != way
    }

    /// Everything below this number was given out; `None` while it is not certain where the log
    /// begins.
    pub(crate) fn given_out(&self) -> Option<Seq> {
        let next = self.reorder.next().filter(|_| self.join.is_fixed())?;
        Some(self.reassembly.begun().unwrap_or(next))
    }

    /// Somebody is to hear what was before the beginning: it stands from now on, unless it may yet
    /// be found to be lower. Then it is left alone, and nobody hears of what was before it.
    pub(crate) fn fix_beginning(&mut self, sender: Sender) {
        self.join
            .fix_for_readers(self.fetch.holders().contains(sender));
    }

    /// Somebody waits for it to begin: nobody is waited for any longer who may know better where.
    pub(crate) fn begin_anyway(&mut self) {
        let first = self.join.begin_now();
        self.start(first);
    }

    /// Where it began, once it did: nothing lower was ever waited for.
    pub(crate) const fn begun(&self) -> Option<Seq> {
        self.join.first()
    }

    /// Whether it may yet be found to begin elsewhere.
    pub(crate) const fn is_fixed(&self) -> bool {
        self.join.is_fixed()
    }

    /// Whether it has something to begin with, and only gives others their time.
    pub(crate) const fn is_settling(&self) -> bool {
        self.join.is_settling()
    }

    /// Whether it has not begun, and something to begin with that its sender could only say.
    pub(crate) fn can_begin(&self, sender: Sender, peers: &Peers) -> bool {
        self.join.has_hints() && !self.is_withheld(sender, peers)
    }

    /// Whether it may begin without anything more being told.
    pub(crate) fn begins_soon(&self, sender: Sender, peers: &Peers) -> bool {
        self.can_begin(sender, peers) || self.join.is_settling()
    }

    /// While its sender is there its own word on where it begins counts, and nothing before it.
    fn is_withheld(&self, sender: Sender, peers: &Peers) -> bool {
        peers.contains(sender) && !self.fetch.holders().contains(sender)
    }

    /// How many bytes of frames and fragments wait for others.
    pub(crate) fn held_bytes(&self) -> usize {
        let entries = self.reorder.held_frames() * ENTRY_BYTES;
        self.reorder.held_bytes() + entries + self.reassembly.held_bytes()
    }

    /// Hands out everything that is held, without waiting for anything any longer.
    pub(crate) fn finish(&mut self, limits: &LogLimits, out: &mut Vec<Assembled>) {
        self.begin_anyway();
        loop {
            self.release(limits, out);
            let Some(lost) = self.reorder.skip_hole() else {
                break;
            };
            self.join.fix();
            self.miss(lost, out);
        }
        out.extend(self.reassembly.abandon());
    }

    fn release(&mut self, limits: &LogLimits, out: &mut Vec<Assembled>) {
        // A frame is never there before the member is.
        let Some(member) = &self.member else { return };
        out.extend(
            self.unsaid
                .take()
                .map(|missed| Assembled::Missed(missed, GapReason::Lost)),
        );
        while let Some((frame, seqs)) = self.reorder.release() {
            self.join.fix();
            self.reassembly
                .push(member, &frame, seqs, limits.max_message_len, out);
        }
    }

    fn miss(&mut self, lost: SeqRange, out: &mut Vec<Assembled>) {
        let missed = match self.reassembly.give_up() {
            // It lost a fragment.
            Some((partial, GapReason::Incomplete)) => partial.hull(lost),
            Some((skipped, reason)) => {
                out.push(Assembled::Missed(skipped, reason));
                lost
            }
            None => lost,
        };
        if self.member.is_some() {
            out.push(Assembled::Missed(missed, GapReason::Lost));
        } else {
            self.unsaid = Some(self.unsaid.map_or(missed, |unsaid| unsaid.hull(missed)));
        }
    }

    /// Gives up a value whose end does not come although no number is known to be missing. Returns
    /// when to, if there is one. A sender that is not there may be on the other side of a
    /// partition, with those that have the rest: as long as for any other number.
    fn give_up_unfinished(
        &mut self,
        around: &Surroundings<'_>,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> Option<Time> {
        let unfinished = Unfinished {
            last: self.reassembly.halfway()?,
            attended: around.peers.contains(around.sender),
        };
        let since = match self.unfinished {
            Some((waiting, since)) if waiting == unfinished => since,
            _ => now,
        };
        self.unfinished = Some((unfinished, since));
        let patience = if unfinished.attended {
            UNFINISHED_TIMEOUT
        } else {
            around.limits.retention.max(UNFINISHED_TIMEOUT)
        };
        let gives_up = since + patience;
        if now < gives_up {
            return Some(gives_up);
        }
        out.extend(self.reassembly.abandon());
        None
    }
}

/// What others say of a connected sender counts when it has said nothing itself for so long, of
/// anything. While it posts it speaks every half second at least, so that a link which works is
/// quiet for less than that again and again, and then what others say is as true and saves time;
/// one that is cut is told from it no later than by the next digest of somebody else.
const QUIET: Duration = Duration::from_millis(300);

/// How long the next fragment of a value is waited for while its sender is connected. Well above
/// what the slowest reader holds up an honest sender, so that it is only reached by one that died
/// halfway, whose fragments would be kept for ever.
pub(crate) const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
