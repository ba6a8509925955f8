//! Whether a peer answers soon: one that does not is asked after others for a while.

use std::time::Duration;

use crate::wire::Time;

/// How often a peer was late, and for how long that counts.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// The number of times that it was, less those it was quick since.
    times: u32,
    /// When it was last.
    at: Time,
    /// Until then others are asked first.
    until: Time,
    /// It was tried since it was last late.
    is_tried: bool,
}

impl Lateness {
    /// Whether others are asked first.
    pub(super) fn counts(&self, now: Time) -> bool {
        now < self.until
    }

    /// It is asked. If it was late before, nothing more is tried before it can have shown itself;
    /// but once for each time that it was late, however often it is asked for what it alone has.
    pub(super) fn probe(&mut self, now: Time) {
        if self.times > 0 && !self.is_tried && self.until <= now {
            self.until = now + PROBE;
            self.is_tried = true;
        }
    }

    /// It has not answered soon. Requests to it of about the same time are one sign.
    pub(super) fn was_late(&mut self, now: Time) {
        if self.times == 0 || self.at + PROBE < now {
            self.times = (self.times + 1).min(MAX_TIMES);
            self.at = now;
            self.until = now + LATE * 2u32.pow(self.times - 1);
            self.is_tried = false;
        }
    }

    /// It has, with something of what it was asked for.
    pub(super) fn was_quick(&mut self, now: Time) {
        self.times = self.times.saturating_sub(1);
        self.until = self.until.min(now);
        self.is_tried = false;
    }
}

/// For how long it counts that a peer was late; doubled each time that it is again, up to 40 s.
const LATE: Duration = Duration::from_secs(5);
const MAX_TIMES: u32 = 4;

/// As long as an answer is waited for.
const PROBE: Duration = Duration::from_secs(3);
