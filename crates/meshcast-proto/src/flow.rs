//! What one sender posts on one channel, as it arrives here.

use std::{sync::Arc, time::Duration};

use crate::{
    credential::Member,
    delivery::{Assembled, Assembler, GapReason},
    frame::Frame,
    id::{Sender, Seq, SeqRange},
    jitter::Jitter,
    name::ChannelName,
    neighbours::Neighbours,
    pace::Marks,
    repair::{Repair, Step, Surroundings},
    sync::Holding,
    time::Time,
    window::{Insert, Window},
};

/// The window of a sender, the repair of its holes, and the value it is halfway through.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Who it is; not known before the first frame, if only others told of it.
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) window: Window,
    pub(crate) repair: Repair,
    /// How far it was lately, for those who hear of it through this node.
    pub(crate) marks: Marks,
    /// On the way to the sender: the sender itself, or the neighbour nearest to it, which is told how far this node
    /// is for the sender to know.
    pub(crate) upstream: Option<Sender>,
    /// How many links away the sender is.
    pub(crate) hops: u8,
    assembler: Assembler,
    /// The last number of the value that is being put together, and since when it is the last.
    unfinished: Option<(Seq, Time)>,
    /// What was given up before it was known of whom.
    unsaid: Option<SeqRange>,
}

/// The limits a flow works under; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowLimits {
    pub(crate) max_message_len: usize,
    pub(crate) max_held_bytes: usize,
}

/// What a flow wants after it was advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing until a frame comes.
    Nothing,
    /// To be advanced again then.
    Time(Time),
    /// To ask this neighbour for these numbers. It is to be told whether it was done by [`Repair::asked`].
    Frames(Sender, SeqRange),
}

impl Flow {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            member: None,
            window,
            repair: Repair::default(),
            marks: Marks::default(),
            upstream: None,
            hops: Holding::FAR,
            assembler: Assembler::default(),
            unfinished: None,
            unsaid: None,
        }
    }

    /// Takes in a frame. Follow with [`Self::advance`].
    pub(crate) fn insert(
        &mut self,
        frame: Frame,
        member: &Arc<Member>,
        limits: &FlowLimits,
        now: Time,
    ) -> Insert {
        self.member.get_or_insert_with(|| Arc::clone(member));
        self.window.insert(frame, limits.max_held_bytes, now)
    }

    /// Releases what is in order and gives up what nobody keeps.
    pub(crate) fn advance(
        &mut self,
        limits: &FlowLimits,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> Want {
        // Whoever has not yet told of this flow may know of earlier numbers: of those heard first, some were lost.
        let untold = around
            .neighbours
            .interests(around.channel)
            .any(|(peer, interest)| {
                let will_tell = interest.open.is_some() || peer == around.sender;
                !interest.told || (will_tell && !self.repair.holds(peer))
            });
        self.window.settle(if untold { now - UNTOLD } else { now });
        let mut gave_up = false;
        loop {
            self.release(limits, out);
            let Some(hole) = self.window.hole() else {
                self.repair.whole();
                let settles = self
                    .window
                    .settles_at()
                    .map(|due| if untold { due + UNTOLD } else { due });
                let due = settles.or_else(|| self.give_up_unfinished(now, out));
                // Also who was asked for what came otherwise has to be let off some time.
                let due = due.into_iter().chain(self.repair.asked_until()).min();
                return due.map_or(Want::Nothing, Want::Time);
            };
            // A hole behind one that was just given up was waited for like that one.
            let known = if gave_up { self.window.hole_since() } else { None };
            match self.repair.step(hole, known, around, jitter, now) {
                Step::Wait(until) => return Want::Time(until),
                Step::Ask(peer, seqs) => return Want::Frames(peer, seqs),
                Step::GiveUp(lost) => {
                    self.window.skip(lost.last());
                    self.miss(lost, out);
                    gave_up = true;
                }
            }
        }
    }

    /// Gives up what is needed last of what takes memory: the highest frame that waits, which counts as missing
    /// then, or else the value that is halfway. Returns whether it was a frame.
    pub(crate) fn shed(&mut self, out: &mut Vec<Assembled>) -> bool {
        if self.window.drop_highest() {
            return true;
        }
        let missed = self.assembler.abandon();
        out.extend(missed.map(|missed| Assembled::Missed(missed, GapReason::Incomplete)));
        false
    }

    /// The lowest number that this node, or anybody who keeps up and hears of the flow through it, waits for.
    pub(crate) fn lowest(&self, channel: &ChannelName, neighbours: &Neighbours) -> Option<Seq> {
        let listening = self
            .repair
            .listeners()
            .filter(|(peer, _)| neighbours.listens(*peer, channel));
        let gates = listening.filter_map(|(_, listener)| listener.gate());
        Some(gates.fold(self.window.next()?, Seq::min))
    }

    /// Looks again which way the sender is. Returns whether that has changed.
    pub(crate) fn turn(&mut self, sender: Sender, neighbours: &Neighbours) -> bool {
        let way = if neighbours.contains(sender) {
            (Some(sender), 1)
        } else if let Some((nearest, hops)) = self.repair.nearest() {
            (Some(nearest), hops + 1)
        } else {
            (None, Holding::FAR)
        };
        let before = (self.upstream, self.hops);
        (self.upstream, self.hops) = way;
        before != way
    }

    /// Everything below this number was given out; `None` while it is not known where the flow begins.
    pub(crate) fn given_out(&self) -> Option<Seq> {
        let next = self.window.next()?;
        Some(self.assembler.begun().unwrap_or(next))
    }

    /// How many bytes of frames and fragments wait for others.
    pub(crate) fn held_bytes(&self) -> usize {
        self.window.held_bytes() + self.assembler.held_bytes()
    }

    /// Hands out everything that is held, without waiting for anything any longer.
    pub(crate) fn finish(&mut self, limits: &FlowLimits, out: &mut Vec<Assembled>) {
        self.window.settle(Time::ZERO + Duration::MAX);
        loop {
            self.release(limits, out);
            let Some(lost) = self.window.skip_hole() else {
                break;
            };
            self.miss(lost, out);
        }
        let missed = self.assembler.abandon();
        out.extend(missed.map(|missed| Assembled::Missed(missed, GapReason::Incomplete)));
    }

    fn release(&mut self, limits: &FlowLimits, out: &mut Vec<Assembled>) {
        // A frame is never there before the member is.
        let Some(member) = &self.member else { return };
        out.extend(
            self.unsaid
                .take()
                .map(|missed| Assembled::Missed(missed, GapReason::Lost)),
        );
        while let Some((frame, seqs)) = self.window.release() {
            self.assembler
                .push(member, &frame, seqs, limits.max_message_len, out);
        }
    }

    fn miss(&mut self, lost: SeqRange, out: &mut Vec<Assembled>) {
        let partial = self.assembler.abandon();
        let missed = partial.map_or(lost, |partial| partial.hull(lost));
        if self.member.is_some() {
            out.push(Assembled::Missed(missed, GapReason::Lost));
        } else {
            self.unsaid = Some(self.unsaid.map_or(missed, |unsaid| unsaid.hull(missed)));
        }
    }

    /// Gives up a value whose end does not come although no number is known to be missing. Returns when to,
    /// if there is one.
    fn give_up_unfinished(&mut self, now: Time, out: &mut Vec<Assembled>) -> Option<Time> {
        let last = self.assembler.halfway()?;
        let since = match self.unfinished {
            Some((waiting, since)) if waiting == last => since,
            _ => now,
        };
        self.unfinished = Some((last, since));
        let gives_up = since + UNFINISHED_TIMEOUT;
        if now < gives_up {
            return Some(gives_up);
        }
        let missed = self.assembler.abandon();
        out.extend(missed.map(|missed| Assembled::Missed(missed, GapReason::Incomplete)));
        None
    }
}

/// How long a neighbour is waited for that has not told of a flow, before it begins without.
const UNTOLD: Duration = Duration::from_secs(3);

/// How long the next fragment of a value is waited for. Well above what the slowest reader holds up an honest
/// sender, so that it is only reached by one that died halfway, whose fragments would be kept for ever.
pub(crate) const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
