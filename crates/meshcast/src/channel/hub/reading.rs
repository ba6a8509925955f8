//! The part of a hub that is read: each reader is a cursor into the ring.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use meshcast_proto::{Backfilled, Sender, SenderPrefix, Seq};

use super::{Hub, HubState};
use crate::{
    channel::{
        ObjectId,
        cursor::{Cursor, Marks},
        ring::{BackfillStart, Item, ReadPosition, ReaderId, Tally},
    },
    clock::moment,
};

/// What a reader gets next.
#[derive(Debug)]
pub(crate) enum Read {
    /// This, and whether it is of the past that it began with.
    Item(Item, bool),
    /// It has read all of that.
    CaughtUp,
}

impl Hub {
    /// So much was delivered of a sender before there was this hub. For the driver.
    pub(crate) fn was_delivered(&self, sender: Sender, read: Seq) {
        self.lock().ring.was_delivered(sender, read);
    }

    /// The position of a reader; `None` if there is no such reader.
    pub(crate) fn read_position(&self, reader: ReaderId) -> Option<ReadPosition> {
        self.lock().ring.read_position(reader, moment())
    }

    /// Makes a cursor of what was read, and forgets of that what [nobody](Self::forget_idle) keeps.
    pub(crate) fn cursor(&self, read: &mut Marks, is_crowded: bool) -> Cursor {
        let now = moment();
        if is_crowded {
            let state = self.lock();
            let here = |sender: &SenderPrefix| state.ring.delivered().contains(sender);
            read.forget_idle(self.max_idle, now, here);
        }
        Cursor::new(self.place, read, now)
    }

    /// A reader for an object: the one it was born with if nobody has it, else one that begins now.
    pub(crate) fn claim_reader(&self, object: ObjectId) -> Option<ReaderId> {
        self.lock().claim_reader(object)
    }

    /// Gives a reader back; what it has not read is dropped.
    pub(crate) fn release_reader(&self, reader: ReaderId) {
        self.lock().ring.remove_reader(reader);
    }

    /// The next item for a reader; `None` when its object is closed or the node has stopped.
    pub(crate) fn poll_read(
        self: &Arc<Self>,
        reader: ReaderId,
        cx: &Context<'_>,
    ) -> Poll<Option<Read>> {
        let mut state = self.lock();
        if state.ring.take_caught_up(reader) {
            return Poll::Ready(Some(Read::CaughtUp));
        }
        let is_history = state.ring.is_backfilling(reader);
        let poll = match state.ring.read(reader) {
            Some(item) => Poll::Ready(Some(Read::Item(item, is_history))),
            None if state.ring.take_caught_up(reader) => Poll::Ready(Some(Read::CaughtUp)),
            None if state.ended || !state.ring.wait(reader, cx.waker()) => Poll::Ready(None),
            None => Poll::Pending,
        };
        self.ask(state);
        poll
    }

    /// An object that came late hears everything delivered from now on; the messages from before it
    /// are [handed over](Self::begin). For the driver.
    pub(crate) fn skip_to_end(&self, reader: ReaderId) {
        self.lock().ring.skip_to_end(reader);
    }

    /// Lets an object that came late begin with these numbers. For the driver.
    pub(crate) fn begin(&self, reader: ReaderId, found: &Backfilled) {
        let past = BackfillStart {
            logs: &found.logs,
            untold: found.untold,
            came: found.came,
            now: moment(),
        };
        let mut state = self.lock();
        let waker = state.ring.begin(reader, past);
        if state.ring.is_doubtful(reader) {
            self.doubtful.store(true, Ordering::Relaxed);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The number of members that had not told in time what they keep from before a reader began.
    pub(crate) fn untold(&self, reader: ReaderId) -> usize {
        self.lock().ring.untold(reader)
    }

    /// Counts of what became of the posts of others.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().ring.tally()
    }

    /// Hands a reader what it asked for, up to this number. For the driver.
    pub(crate) fn recall(&self, reader: ReaderId, items: Vec<Item>, upto: Seq) {
        let waker = self.lock().ring.recall(reader, items, upto);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl HubState {
    pub(super) fn claim_reader(&mut self, object: ObjectId) -> Option<ReaderId> {
        match self.objects.get_mut(&object)?.take() {
            Some(born) => {
                self.ring.claim(born);
                Some(born)
            }
            None => Some(self.ring.add_reader(object)),
        }
    }
}
