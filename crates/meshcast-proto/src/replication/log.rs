//! What one sender posts on one channel, as it arrives here.

use std::{sync::Arc, time::Duration};

use crate::{
    bounds::ENTRY_BYTES,
    flow_control::Checkpoints,
    identity::Member,
    log::{Assembled, GapReason, Insert, Reassembly, ReorderBuffer},
    replication::{
        fetch::{Fetch, Holes, Step, Surroundings},
        jitter::Jitter,
        neighbours::Neighbours,
    },
    wire::{ChannelName, Frame, Holding, Sender, Seq, SeqRange, Time},
};

/// The reorder buffer of a sender, what of it is fetched, and the value it is halfway through.
#[derive(Debug)]
pub(crate) struct Log {
    /// Who it is; not known before the first frame, if only others told of it.
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) reorder: ReorderBuffer,
    pub(crate) fetch: Fetch,
    /// How far it was lately, for those who hear of it through this node.
    pub(crate) checkpoints: Checkpoints,
    /// On the way to the sender: the sender itself, or the neighbour nearest to it, which is told
    /// how far this node is for the sender to know.
    pub(crate) upstream: Option<Sender>,
    /// How many links away the sender is.
    pub(crate) hops: u8,
    /// Where it was when readers in this process fell behind: the sender is not told of more.
    pub(crate) held: Option<Seq>,
    reassembly: Reassembly,
    /// The value that is being put together, and since when it stands like that.
    unfinished: Option<(Unfinished, Time)>,
    born: Born,
    /// What was given up before it was known of whom.
    unsaid: Option<SeqRange>,
    /// Where it may begin, while only neighbours tell of that who do not know for sure.
    unsure: Option<Unsure>,
    /// Somebody told where it begins who knows what was before and after.
    sure: bool,
}

/// When a sender began to post: not later, as far as is known.
#[derive(Debug, Clone, Copy, Default)]
struct Born {
    /// By the frames that came from it, by gossip or as its own answers.
    heard: Option<Time>,
    /// By what others say of the age of its frames, and who says so.
    told: Option<(Sender, Time)>,
}

/// When a frame was posted: not later, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posted {
    pub(crate) at: Time,
    /// Who says so, if it is not known at first hand.
    pub(crate) teller: Option<Sender>,
}

/// A value whose end has not come although no number is known to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unfinished {
    /// The last number of it that came.
    last: Seq,
    /// Whether its sender is there to go on.
    attended: bool,
}

/// What those say of a beginning who do not know it.
#[derive(Debug, Clone, Copy)]
struct Unsure {
    /// Here, say those who know what was before and after; but its sender is there and has not said
    /// so.
    exact: Option<Seq>,
    /// Nothing below is due: somebody knows of nothing that is. It may be behind itself.
    least: Option<Seq>,
    /// This is due: somebody began there itself, and does not know what was before.
    most: Seq,
    /// For so long others may come who know better.
    until: Time,
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
    /// To ask this neighbour for these numbers. It is to be told whether it was done by
    /// [`Fetch::asked`].
    Frames(Sender, SeqRange),
}

impl Log {
    pub(crate) fn new(reorder: ReorderBuffer) -> Self {
        Self {
            member: None,
            reorder,
            fetch: Fetch::default(),
            checkpoints: Checkpoints::default(),
            upstream: None,
            hops: Holding::FAR,
            held: None,
            reassembly: Reassembly::default(),
            unfinished: None,
            born: Born::default(),
            unsaid: None,
            unsure: None,
            sure: false,
        }
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
        if let Some(unsure) = self
            .unsure
            .take_if(|unsure| unsure.least.is_some_and(|least| seqs.contains(least)))
        {
            // As somebody said who knew of nothing before.
            self.reorder.begin(unsure.due());
        }
        // What is past comes late, for a neighbour that has it by now: no sign that this began too
        // high.
        let is_below = self.reorder.next().is_some_and(|next| seqs.last() < next);
        if is_below && !is_past && !self.fetch.wants(seqs) {
            self.reorder.retract(seqs.first());
        }
        match self.reorder.insert(frame, limits.max_held_bytes, now) {
            // Of no use here, but somebody waits for it.
            Insert::Duplicate if self.fetch.came(seqs, now) => Insert::Fresh,
            insert => insert,
        }
    }

    /// Takes in when a frame was posted. Returns when its sender began to post, as far as is known.
    pub(crate) fn hear_born(&mut self, frame: &Frame, posted: Posted) -> Time {
        let born = posted.at - frame.since_first();
        self.born.hear(born, posted.teller);
        self.born.known().unwrap_or(born)
    }

    /// Whether all of it was posted since then.
    pub(crate) fn is_born_since(&self, since: Time) -> bool {
        self.born.known().is_some_and(|born| since <= born)
    }

    /// When a frame was posted that is said to have been then. It may have waited long on its way;
    /// by what is known from others of its sender it can be told when it was posted, as far as
    /// clocks run alike. Nor is it much older than what came from its sender shows.
    pub(crate) fn posted(&self, frame: &Frame, said: Time) -> Time {
        let since_first = frame.since_first();
        let born = self.born.known();
        let latest = born.map_or(said, |born| {
            born + since_first + since_first / CLOCK_DRIFT + PROMPT
        });
        let posted = said.min(latest);
        let earliest = self.born.earliest_of(frame);
        earliest.map_or(posted, |earliest| posted.max(earliest))
    }

    /// Whether a frame was posted before then, which others may say by no more than [`HEARSAY`] of
    /// what came from its sender shows.
    pub(crate) fn is_before(&self, frame: &Frame, posted: Posted, since: Time) -> bool {
        let earliest = self.born.earliest_of(frame);
        earliest.map_or(posted.at, |earliest| posted.at.max(earliest)) + AGE_ERROR < since
    }

    /// It begins above this number, which is from before; by others' word on a sender that was not
    /// heard itself only if nobody told where who knows for sure.
    pub(crate) fn pass(&mut self, last: Seq, teller: Option<Sender>) {
        if teller.is_none() || self.born.heard.is_some() || !self.sure {
            self.reorder.pass(last);
        }
    }

    /// Its sender says that it begins at `due`. Follow with [`Self::advance`].
    pub(crate) fn begin(&mut self, due: Seq) {
        self.unsure = None;
        self.sure = true;
        self.reorder.raise(due, false);
        self.reorder.lower(due);
        self.reorder.begin_as_told(due);
    }

    /// A neighbour that is not its sender says that it begins at `due`; `trusted` if its sender is
    /// not there to say it. Follow with [`Self::advance`].
    pub(crate) fn begin_later(&mut self, due: Seq, holding: &Holding, trusted: bool, now: Time) {
        let exact = due == Seq::FIRST || (holding.begin < due && due < holding.next);
        if self.reorder.next().is_some() {
            if trusted && holding.begin < due {
                // What came is not before its beginning.
                let held = self.reorder.lowest_held();
                self.reorder
                    .raise(held.map_or(due, |held| due.min(held)), !exact);
            }
            if trusted && due < holding.next {
                self.reorder.lower(due);
            }
            return;
        }
        if exact && trusted {
            self.sure = true;
            self.unsure = None;
            self.reorder.begin_later(due);
        } else if !self.sure {
            let unsure = self.unsure.get_or_insert(Unsure {
                exact: None,
                least: None,
                most: due,
                until: now + UNTOLD,
            });
            if exact {
                unsure.exact = Some(unsure.exact.map_or(due, |exact| exact.min(due)));
            } else if holding.begin < due {
                unsure.least = unsure.least.max(Some(due));
            } else {
                unsure.most = unsure.most.min(due);
            }
        }
    }

    /// A neighbour asks for numbers that are not kept here. `true` if this node did not want them
    /// itself and tries to get them now. Follow with [`Self::advance`].
    pub(crate) fn relay(&mut self, peer: Sender, seqs: SeqRange, now: Time) -> bool {
        let below = self.reorder.begun().and_then(Seq::previous);
        let seqs = below.and_then(|last| SeqRange::new(seqs.first(), seqs.last().min(last)));
        seqs.is_some_and(|seqs| self.fetch.relay(peer, seqs, now))
    }

    /// Takes in what others than its sender say there is. That counts while the sender itself says
    /// nothing. Returns when to look again, if it may count by then.
    fn hear_rumours(&mut self, around: &Surroundings<'_>, now: Time) -> Option<Time> {
        let reached = self.reorder.newest().map_or(Seq::FIRST, Seq::next);
        let first = self.reorder.next()?.max(reached);
        let rumoured = self.fetch.claimed(first, around.sender, now);
        let counts_from = if around.neighbours.contains(around.sender) {
            around.neighbours.heard(around.sender) + QUIET
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
        let (next, begun) = (self.reorder.next()?, self.reorder.begun()?);
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
            let mut interests = around.neighbours.interests(around.channel);
            interests.any(|(peer, interest)| {
                let will_tell = interest.open.is_some() || peer == around.sender;
                !interest.has_told() || (will_tell && !fetch.holders().contains(peer))
            })
        };
        let withheld = self.is_withheld(around.sender, around.neighbours);
        if let Some(unsure) = self
            .unsure
            .take_if(|unsure| unsure.until <= now && !withheld)
        {
            self.reorder.begin_later(unsure.due());
            if unsure.exact.is_none() && unsure.least.is_some() {
                self.reorder.soften();
            }
        }
        // Somebody who has said nothing at all since it was asked may not have heard it.
        let patience = match untold(&self.fetch) {
            false => Duration::ZERO,
            true if around.neighbours.is_any_silent(around.channel) => SILENT,
            true => UNTOLD,
        };
        if self.unsure.is_none() && self.reorder.settles_at().is_some() {
            self.reorder.settle(now - patience);
        }
        let rumours = self.hear_rumours(around, now);
        // Whoever has come and not told may know where it should have begun; nothing lower is asked
        // for until then.
        if let Some(since) = self.reorder.hole_since()
            && self.reorder.is_soft()
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
        let begins = match (self.unsure, self.reorder.settles_at()) {
            _ if unfinished.is_some() || self.reorder.hole().is_some() => None,
            (Some(unsure), _) => Some(unsure.until).filter(|_| !withheld),
            (None, Some(due)) if SILENT <= patience => Some((due + SILENT).min(now + UNTOLD)),
            (None, Some(due)) => Some(due + patience),
            (None, None) => None,
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
    pub(crate) fn lowest(&self, channel: &ChannelName, neighbours: &Neighbours) -> Option<Seq> {
        self.lowest_of(|peer| neighbours.listens(peer, channel))
    }

    /// The same without this neighbour.
    pub(crate) fn lowest_but(
        &self,
        but: Sender,
        channel: &ChannelName,
        neighbours: &Neighbours,
    ) -> Option<Seq> {
        self.lowest_of(|peer| peer != but && neighbours.listens(peer, channel))
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
    pub(crate) fn update_route(&mut self, sender: Sender, neighbours: &Neighbours) -> bool {
        let way = if neighbours.contains(sender) {
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
        let next = self.reorder.next().filter(|_| self.reorder.is_fixed())?;
        Some(self.reassembly.begun().unwrap_or(next))
    }

    /// Somebody is to hear what was before the beginning: it stands from now on, unless it may yet
    /// be found to be lower. Then it is left alone, and nobody hears of what was before it.
    pub(crate) fn fix_beginning(&mut self, sender: Sender) {
        if self.sure || self.reorder.is_soft() || self.fetch.holders().contains(sender) {
            self.reorder.fix();
        }
    }

    /// Somebody waits for it to begin: nobody is waited for any longer who may know better where.
    pub(crate) fn begin_anyway(&mut self) {
        if let Some(unsure) = self.unsure.take() {
            self.reorder.begin(unsure.due());
            if unsure.exact.is_none() && unsure.least.is_some() {
                self.reorder.soften();
            }
        }
        self.reorder.settle(Time::ZERO + Duration::MAX);
    }

    /// Whether it has not begun, and something to begin with that its sender could only say.
    pub(crate) fn can_begin(&self, sender: Sender, neighbours: &Neighbours) -> bool {
        self.unsure.is_some() && !self.is_withheld(sender, neighbours)
    }

    /// Whether it may begin without anything more being told.
    pub(crate) fn begins_soon(&self, sender: Sender, neighbours: &Neighbours) -> bool {
        self.can_begin(sender, neighbours) || self.reorder.settles_at().is_some()
    }

    /// While its sender is there its own word on where it begins counts, and nothing before it.
    fn is_withheld(&self, sender: Sender, neighbours: &Neighbours) -> bool {
        neighbours.contains(sender) && !self.fetch.holders().contains(sender)
    }

    /// How many bytes of frames and fragments wait for others.
    pub(crate) fn held_bytes(&self) -> usize {
        let entries = self.reorder.held_frames() * ENTRY_BYTES;
        self.reorder.held_bytes() + entries + self.reassembly.held_bytes()
    }

    /// Hands out everything that is held, without waiting for anything any longer.
    pub(crate) fn finish(&mut self, limits: &LogLimits, out: &mut Vec<Assembled>) {
        self.reorder.settle(Time::ZERO + Duration::MAX);
        loop {
            self.release(limits, out);
            let Some(lost) = self.reorder.skip_hole() else {
                break;
            };
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
            attended: around.neighbours.contains(around.sender),
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

impl Born {
    fn hear(&mut self, born: Time, teller: Option<Sender>) {
        let Some(teller) = teller else {
            self.heard = Some(self.heard.map_or(born, |heard| heard.min(born)));
            return;
        };
        match &mut self.told {
            Some((by, told)) if *by == teller => *told = born.min(*told),
            // One alone makes nothing older: another's word counts where that is younger.
            Some((_, told)) if born <= *told => {}
            told => *told = Some((teller, born)),
        }
    }

    fn known(self) -> Option<Time> {
        let told = self.told.map(|(_, told)| told);
        match (self.heard, told) {
            (Some(heard), Some(told)) => Some(told.max(heard - HEARSAY).min(heard)),
            (heard, told) => heard.or(told),
        }
    }

    /// Before this a frame was not posted, whatever others say; `None` if nothing came from its
    /// sender.
    fn earliest_of(self, frame: &Frame) -> Option<Time> {
        let since_first = frame.since_first();
        let heard = self.heard?;
        Some(heard + since_first - since_first / CLOCK_DRIFT - HEARSAY)
    }
}

impl Unsure {
    fn due(self) -> Seq {
        self.exact.or(self.least).unwrap_or(self.most)
    }
}

/// What others say of a connected sender counts when it has said nothing itself for so long, of
/// anything. While it posts it speaks every half second at least, so that a link which works is
/// quiet for less than that again and again, and then what others say is as true and saves time;
/// one that is cut is told from it no later than by the next digest of somebody else.
const QUIET: Duration = Duration::from_millis(300);

/// A clock is wrong by one part in so many at most: 200 µs a second.
const CLOCK_DRIFT: u32 = 5_000;

/// What comes within so much of the fastest is as old as it says.
const PROMPT: Duration = Duration::from_secs(1);

/// What others say of ages makes a sender older by so much at most than what came from it shows: a
/// link may have held that up for as long, and hardly longer before it broke.
const HEARSAY: Duration = Duration::from_secs(30);

/// By so much the age of a frame may be overstated at most: by clocks that run apart while it is
/// kept.
const AGE_ERROR: Duration = Duration::from_secs(1);

/// How long a neighbour is waited for that has not told of a log, or one that knows more of it,
/// before it begins without.
const UNTOLD: Duration = Duration::from_secs(3);

/// The same for one that has said nothing at all since it was asked. Its link brings nothing, or
/// not what is said here: then it is given up within seconds, and no longer waited for. This bounds
/// what one does who keeps it up by gossip alone.
const SILENT: Duration = Duration::from_secs(60);

/// How long the next fragment of a value is waited for while its sender is connected. Well above
/// what the slowest reader holds up an honest sender, so that it is only reached by one that died
/// halfway, whose fragments would be kept for ever.
pub(crate) const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
