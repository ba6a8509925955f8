//! What one sender posts on one channel, as it arrives here.

use std::{sync::Arc, time::Duration};

use crate::{
    credential::Member,
    delivery::{Assembled, Assembler, GapReason},
    frame::Frame,
    id::Seq,
    time::Time,
    window::{Insert, Window},
};

/// The window of a sender, the value it is halfway through, and how long the lowest hole has been open.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) member: Arc<Member>,
    pub(crate) window: Window,
    assembler: Assembler,
    /// The first number of the lowest hole, and since when it is waited for.
    hole: Option<(Seq, Time)>,
    /// The last number of the value that is being put together, and since when it is the last.
    unfinished: Option<(Seq, Time)>,
}

/// The limits a flow works under; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowLimits {
    pub(crate) max_message_len: usize,
    pub(crate) max_held_bytes: usize,
    pub(crate) hole_timeout: Duration,
}

impl Flow {
    pub(crate) fn new(member: Arc<Member>, window: Window) -> Self {
        Self {
            member,
            window,
            assembler: Assembler::default(),
            hole: None,
            unfinished: None,
        }
    }

    /// Takes in a frame. Follow with [`Self::advance`].
    pub(crate) fn insert(&mut self, frame: Frame, limits: &FlowLimits, now: Time) -> Insert {
        self.window.insert(frame, limits.max_held_bytes, now)
    }

    /// Releases what is in order and gives up holes that were waited for long enough. Returns when to call
    /// it again although no frame came.
    pub(crate) fn advance(
        &mut self,
        limits: &FlowLimits,
        now: Time,
        out: &mut Vec<Assembled>,
    ) -> Option<Time> {
        self.window.settle(now);
        let mut gave_up = false;
        loop {
            while let Some((frame, seqs)) = self.window.release() {
                self.assembler
                    .push(&self.member, &frame, seqs, limits.max_message_len, out);
            }
            let Some(hole) = self.window.hole() else {
                self.hole = None;
                let settles = self.window.settles_at();
                return settles.or_else(|| self.give_up_unfinished(now, out));
            };
            let since = match self.hole {
                Some((first, since)) if first == hole.first() => since,
                // It was there, behind the one just given up, and was waited for like that one.
                _ if gave_up => self.window.hole_since().unwrap_or(now),
                // What is below it came just now: the rest may be on its way.
                _ => now,
            };
            self.hole = Some((hole.first(), since));
            let gives_up = since + limits.hole_timeout;
            if now < gives_up {
                return Some(gives_up);
            }
            if let Some(missed) = self.window.skip_hole() {
                let partial = self.assembler.abandon();
                let missed = partial.map_or(missed, |partial| partial.hull(missed));
                out.push(Assembled::Missed(missed, GapReason::Lost));
            }
            gave_up = true;
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

    /// How many bytes of frames and fragments wait for others.
    pub(crate) fn held_bytes(&self) -> usize {
        self.window.held_bytes() + self.assembler.held_bytes()
    }

    /// Hands out everything that is held, without waiting for anything any longer.
    pub(crate) fn finish(&mut self, limits: &FlowLimits, out: &mut Vec<Assembled>) {
        self.advance(limits, Time::ZERO + Duration::MAX, out);
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

/// How long the next fragment of a value is waited for. Well above what the slowest reader holds up an honest
/// sender, so that it is only reached by one that died halfway, whose fragments would be kept for ever.
pub(crate) const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
