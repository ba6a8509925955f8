//! When a sender began to post, by which the age of its frames is told.

use std::time::Duration;

use crate::wire::{Frame, Sender, Time};

/// When a sender posted its first number on a channel: not later, as far as is known. All that it
/// posts has this in common, so a frame that waited long on its way does not seem young.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    /// By the frames that came from it, by gossip or as its own answers.
    heard: Option<Time>,
    /// By what others say of the age of its frames, and who says so.
    reported: Option<(Sender, Time)>,
}

/// When a frame was posted: not later, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posted {
    pub(crate) at: Time,
    /// The peer that says so, if it is not known at first hand.
    pub(crate) teller: Option<Sender>,
}

impl Origin {
    /// Of what this node posts itself.
    pub(crate) const fn of_ours(born: Time) -> Self {
        Self {
            heard: Some(born),
            reported: None,
        }
    }

    /// When its sender began to post, by what came from it.
    pub(crate) const fn heard(&self) -> Option<Time> {
        self.heard
    }

    /// Takes in when a frame was posted. Returns when its sender began to post, as far as is known.
    pub(crate) fn hear(&mut self, frame: &Frame, posted: Posted) -> Time {
        let origin = posted.at - frame.since_first();
        match (posted.teller, &mut self.reported) {
            (None, _) => self.heard = Some(self.heard.map_or(origin, |heard| heard.min(origin))),
            (Some(teller), Some((by, known))) if *by == teller => *known = origin.min(*known),
            // One alone makes nothing older: another's word counts where that is younger.
            (Some(_), Some((_, known))) if origin <= *known => {}
            (Some(teller), known) => *known = Some((teller, origin)),
        }
        self.known().unwrap_or(origin)
    }

    /// Whether anything came from the sender itself.
    pub(crate) const fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// Whether all of it was posted since then.
    pub(crate) fn is_since(&self, since: Time) -> bool {
        self.known().is_some_and(|origin| since <= origin)
    }

    /// When a frame was posted that is said to have been then. It may have waited long on its way;
    /// by what is known from others of its sender it can be told when it was posted, as far as
    /// clocks run alike. Nor is it much older than what came from its sender shows.
    pub(crate) fn posted(&self, frame: &Frame, claimed: Time) -> Time {
        let since_first = frame.since_first();
        let latest = self.known().map_or(claimed, |origin| {
            origin + since_first + since_first / CLOCK_DRIFT + PROMPT
        });
        let posted = claimed.min(latest);
        let earliest = self.earliest_of(frame);
        earliest.map_or(posted, |earliest| posted.max(earliest))
    }

    /// Whether a frame was posted before then, which others may say by no more than
    /// [`REPORT_ERROR`] of what came from its sender shows.
    pub(crate) fn is_before(&self, frame: &Frame, posted: Posted, since: Time) -> bool {
        let earliest = self.earliest_of(frame);
        earliest.map_or(posted.at, |earliest| posted.at.max(earliest)) + AGE_ERROR < since
    }

    fn known(&self) -> Option<Time> {
        let reported = self.reported.map(|(_, origin)| origin);
        match (self.heard, reported) {
            (Some(heard), Some(reported)) => Some(reported.max(heard - REPORT_ERROR).min(heard)),
            (heard, reported) => heard.or(reported),
        }
    }

    /// Before this a frame was not posted, whatever others say; `None` if nothing came from its
    /// sender.
    fn earliest_of(&self, frame: &Frame) -> Option<Time> {
        let since_first = frame.since_first();
        let heard = self.heard?;
        Some(heard + since_first - since_first / CLOCK_DRIFT - REPORT_ERROR)
    }
}

/// A clock is wrong by one part in so many at most: 200 µs a second.
const CLOCK_DRIFT: u32 = 5_000;

/// A frame that comes within so much of the fastest is as old as it says.
const PROMPT: Duration = Duration::from_secs(1);

/// Reports of others on ages make a sender older by so much at most than what came from it shows: a
/// link may have held that up for as long, and hardly longer before it broke.
const REPORT_ERROR: Duration = Duration::from_secs(30);

/// By so much the age of a frame may be overstated at most: by clocks that run apart while it is
/// kept.
const AGE_ERROR: Duration = Duration::from_secs(1);
