//! The part of a hub that asks the driver for something.

use std::sync::{Arc, MutexGuard};

use super::{Hub, HubState};
use crate::{
    channel::{
        Since,
        awaited::Awaited,
        cursor::Cursor,
        exchange::AskQueues,
        ring::{ObjectGaps, ReaderId, Wanted},
    },
    clock::Instant,
};

/// What is asked of the driver.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Readers that were behind have caught up.
    pub(crate) caught_up: bool,
    /// Objects that came late.
    pub(crate) openings: Vec<Opening>,
    /// Who waits for peers to have something.
    pub(crate) awaited: Vec<Awaited>,
    /// The number of readers that ask for numbers they are behind with, and some of them.
    pub(crate) asking: usize,
    pub(crate) wanted: Vec<(ReaderId, Wanted)>,
    /// Questions, and answers to others.
    pub(crate) ask_queues: AskQueues,
}

/// An object that wants to hear what was posted before it was made.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) reader: ReaderId,
    pub(super) since: Since,
    pub(super) made: Instant,
}

impl Opening {
    /// Since when it wants to hear.
    pub(crate) fn since(&self) -> meshcast_proto::Since {
        self.since.wanted(self.made.elapsed())
    }

    /// The cursor that it resumes at, if it does.
    pub(crate) const fn cursor(&self) -> Option<&Cursor> {
        self.since.cursor()
    }
}

impl Hub {
    /// Requests to the driver since the last call; of readers that are behind so many at most, and
    /// the driver is asked again for the rest. For the driver.
    pub(crate) fn take_requests(self: &Arc<Self>, most: usize) -> Requests {
        let mut state = self.lock();
        state.requesting = false;
        let caught_up = state.has_caught_up();
        state.readers_behind &= !caught_up;
        let requests = Requests {
            caught_up,
            openings: std::mem::take(&mut state.openings),
            asking: state.ring.requesting(),
            wanted: state.ring.take_wanted(most),
            awaited: std::mem::take(&mut state.awaited),
            ask_queues: state.take_ask_queues(),
        };
        self.ask(state);
        requests
    }

    /// Lets go of the state, and tells the driver if it is asked something.
    pub(super) fn ask(self: &Arc<Self>, mut state: MutexGuard<'_, HubState>) {
        let tell = state.is_requesting() && !std::mem::replace(&mut state.requesting, true);
        let told = state.ring.told();
        let news = told.since(std::mem::replace(&mut state.told, told));
        drop(state);
        if news != ObjectGaps::default() {
            self.common.stats().told(news);
        }
        if tell {
            self.bell.ask(self);
        }
    }
}

impl HubState {
    pub(super) fn is_requesting(&self) -> bool {
        self.ring.is_requesting()
            || !self.openings.is_empty()
            || !self.awaited.is_empty()
            || self
                .ask_queues
                .as_ref()
                .is_some_and(|ask_queues| ask_queues.is_requesting())
            || self.has_caught_up()
    }

    /// Readers were behind and have caught up.
    pub(super) const fn has_caught_up(&self) -> bool {
        self.readers_behind && self.ring.is_below_low_watermark()
    }
}
