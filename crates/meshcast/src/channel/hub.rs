//! Everything this process has of one channel name: the outbox, the ring, and which objects are
//! open.

mod asks;
mod handlers;
mod reading;
mod requests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use litemap::LiteMap;
use meshcast_proto::{ChannelName, Format, Payer, SenderPrefix, Seq, SeqRange, Time};
use tokio::sync::Notify;

pub(crate) use handlers::{Dispatch, Due};
pub(crate) use reading::Read;
pub(crate) use requests::{Opening, Requests};

use super::{
    ChannelOptions, ObjectId, Since,
    awaited::{AckError, Awaited},
    bell::Bell,
    board::Board,
    common::Common,
    cursor::Place,
    exchange::AskQueues,
    outbox::{Outbox, Poster, Section},
    ring::{Item, ObjectGaps, ReaderId, Ring},
    spans,
};
use crate::{
    clock::{Instant, moment},
    error::PostError,
};

/// Shared by the channel objects of one name, the driver, and the task that calls handlers.
///
/// The mutex is a plain one: nothing awaits or calls out while it is held. Wakers are called after
/// it is released.
pub(crate) struct Hub {
    name: ChannelName,
    place: Place,
    /// A sender not heard for so long has nothing that is kept, unless it is here.
    max_idle: Duration,
    common: Arc<Common>,
    bell: Arc<Bell<Self>>,
    state: Mutex<HubState>,
    /// Rung when the outbox has room again, or there is no point in waiting.
    room: Notify,
    /// The registry has no more of it, and gives another to whoever opens the name.
    gone: AtomicBool,
    /// It waits for the driver to look at it.
    noted: AtomicBool,
    /// The driver knows it.
    followed: AtomicBool,
    /// Made when somebody asks who is present.
    board: OnceLock<Arc<Board>>,
    /// Some reader says to have read what nobody here knows of.
    doubtful: AtomicBool,
}

struct HubState {
    outbox: Outbox,
    ring: Ring,
    /// Open objects, each with the reader it was born with unless that was claimed. Mostly one.
    objects: LiteMap<ObjectId, Option<ReaderId>>,
    next_object: ObjectId,
    /// Somebody had it open who does not only look, or posted.
    used: bool,
    /// When the first of the objects was made that are open.
    opened: Instant,
    /// Objects with handlers: who reads for them and who calls them.
    dispatch: LiteMap<ObjectId, (ReaderId, Arc<dyn Dispatch>)>,
    /// Whether a task calls handlers, and how to make it look again.
    dispatching: bool,
    dispatcher: Option<Waker>,
    /// Where the last handler was registered.
    registered_on: Option<tokio::runtime::Handle>,
    /// Whether the registry knows that there is something to send.
    queued: bool,
    /// Whether the registry knows that something is asked of the driver.
    requesting: bool,
    /// Readers were behind and have not caught up since.
    readers_behind: bool,
    /// Numbers not read in time that are counted for the node.
    told: ObjectGaps,
    /// Objects that came late, and wait to be told what there was.
    openings: Vec<Opening>,
    /// Receipts that wait for peers, of which the driver does not know yet.
    awaited: Vec<Awaited>,
    /// Questions and answers, once there was any.
    ask_queues: Option<Box<AskQueues>>,
    /// The number of the first record that is still in the outbox, or was last taken out of it.
    numbered: Option<(u64, Seq)>,
    /// The node is about to stop: nothing is posted any more.
    refusing: bool,
    /// The node has stopped: nothing is delivered any more.
    ended: bool,
}

impl Hub {
    pub(super) fn new(name: ChannelName, common: Arc<Common>, bell: Arc<Bell<Self>>) -> Self {
        let limits = common.limits();
        let account = common.budget().account(Payer::Ourselves);
        let state = HubState {
            outbox: Outbox::new(name.clone(), limits.outbox_bytes, account.clone()),
            ring: Ring::charged(limits.unread_bytes, account),
            objects: LiteMap::with_capacity(1),
            next_object: ObjectId::default(),
            used: false,
            opened: moment(),
            dispatch: LiteMap::new_vec(),
            dispatching: false,
            dispatcher: None,
            registered_on: None,
            queued: false,
            requesting: false,
            readers_behind: false,
            told: ObjectGaps::default(),
            openings: Vec::new(),
            awaited: Vec::new(),
            ask_queues: None,
            numbered: None,
            refusing: false,
            ended: false,
        };
        Self {
            place: common.place(&name),
            name,
            max_idle: limits.history_age.saturating_mul(KEPT_ELSEWHERE),
            common,
            bell,
            state: Mutex::new(state),
            room: Notify::new(),
            gone: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            board: OnceLock::new(),
            doubtful: AtomicBool::new(false),
        }
    }

    pub(crate) const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What cursors call it.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// Makes an object that receives from now on, and what was posted since then. The driver has to
    /// be [told](Self::has_to_request) of the latter.
    pub(crate) fn open_object(&self, options: ChannelOptions) -> ObjectId {
        let ChannelOptions {
            since,
            echo,
            observer,
        } = options;
        let mut state = self.lock();
        let made = moment();
        if state.objects.is_empty() {
            state.opened = made;
        }
        state.used |= !observer;
        let mut id = state.next_object.with_echo(echo).with_observer(observer);
        state.next_object = id.next();
        let reader = match since {
            Since::Now => state.ring.add_unclaimed(id),
            _ => {
                id = id.late();
                let reader = state.ring.add_late(id, since.cursor().cloned());
                state.openings.push(Opening {
                    reader,
                    since,
                    made,
                });
                reader
            }
        };
        state.objects.insert(id, Some(reader));
        id
    }

    /// The same, while another object is open.
    pub(crate) fn open_beside(self: &Arc<Self>, options: ChannelOptions) -> ObjectId {
        let id = self.open_object(options);
        self.ask(self.lock());
        id
    }

    /// Since when the objects want to hear that the driver does not know yet: since they were made,
    /// not since it finds the time to look; and from before, if all of them do.
    pub(crate) fn since(&self) -> meshcast_proto::Since {
        let state = self.lock();
        let opened = Since::Now.wanted(state.opened.elapsed());
        if state.begins_now() {
            return opened;
        }
        let since = state.openings.iter().map(Opening::since);
        since.fold(opened, |earlier, since| since.or_before(earlier))
    }

    /// Whether an object is open that wants nothing from before it was made.
    pub(crate) fn begins_now(&self) -> bool {
        self.lock().begins_now()
    }

    /// Closes an object: nothing more is delivered to it, what it posted still goes out.
    pub(crate) fn close_object(self: &Arc<Self>, object: ObjectId) {
        let mut state = self.lock();
        if state.objects.remove(&object).is_none() {
            return;
        }
        let wakers = state.ring.remove_object(object);
        let handlers = state.dispatch.remove(&object);
        let answerer = state.take_answerer(object);
        let vacant = state.objects.is_empty();
        drop(state);
        tracing::debug!(channel = ?self.name, object = object.number, "object closed");
        // Not under the lock: dropping handlers may drop what closes another object.
        drop((handlers, answerer));
        wakers.into_iter().for_each(Waker::wake);
        // A task that waits for room on behalf of this object learns that it is closed.
        self.room.notify_waiters();
        if vacant {
            self.bell.vacate(self);
            self.note();
        }
    }

    /// Appends a value to the outbox. Returns which of all records posted here is its last, counted
    /// from 0.
    ///
    /// # Errors
    /// [`PostError`] but for `Encode`; nothing was appended.
    pub(crate) fn post(
        self: &Arc<Self>,
        object: ObjectId,
        format: Format,
        value: &[u8],
        who: Poster,
    ) -> Result<u64, PostError> {
        let (size, limit) = (value.len(), self.common.limits().max_message_bytes);
        if size > limit {
            return Err(PostError::TooLarge { size, limit });
        }
        let mut state = self.lock();
        if state.refusing || !state.objects.contains_key(&object) {
            return Err(PostError::Closed);
        }
        if !state.outbox.has_room(value.len(), who) {
            return Err(PostError::Full {
                limit: state.outbox.limit(),
            });
        }
        let span = spans::post(self.place, self.common.me());
        let _inside = span.enter();
        let later = state.next_object;
        state.outbox.push(object, later, format, value);
        state.used = true;
        let record = state.outbox.pushed() - 1;
        let ring_the_bell = !std::mem::replace(&mut state.queued, true);
        drop(state);
        tracing::trace!(channel = ?self.name, object = object.number, bytes = value.len(), "post queued");
        if ring_the_bell {
            self.bell.ready(self);
        }
        Ok(record)
    }

    /// Waits until the outbox may have room; see [`Self::post`]. Cancel-safe.
    pub(crate) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }

    /// The section that leaves next, and whether there is more. For the driver.
    pub(crate) fn take_section(&self) -> (Option<Section>, bool) {
        let mut state = self.lock();
        if !state.openings.is_empty() {
            // First they are told what there was before, of which this is no part.
            return (None, state.queued);
        }
        let section = state.outbox.pop();
        state.queued = !state.outbox.is_empty();
        let more = state.queued;
        drop(state);
        self.room.notify_waiters();
        (section, more)
    }

    /// The section taken last got these numbers. For the driver.
    pub(crate) fn numbered(&self, seqs: SeqRange) {
        let mut state = self.lock();
        let first = state.outbox.left().saturating_sub(seqs.len());
        state.numbered = Some((first, seqs.first()));
    }

    /// The number of records posted, if not all of them have left.
    pub(crate) fn queued(&self) -> Option<u64> {
        let state = self.lock();
        (!state.outbox.is_empty()).then(|| state.outbox.pushed())
    }

    /// The number that a record got; `None` while it is in the outbox.
    pub(crate) fn number_of(&self, record: u64) -> Option<Seq> {
        let state = self.lock();
        let (first, seq) = state.numbered.filter(|_| record < state.outbox.left())?;
        // All records of this hub have numbers that follow on each other.
        Seq::new((seq.get() + record).checked_sub(first)?)
    }

    /// Lets somebody wait until peers have a record.
    ///
    /// # Errors
    /// [`AckError`]; nobody waits.
    pub(crate) fn await_acks(self: &Arc<Self>, awaited: Awaited) -> Result<(), AckError> {
        let mut state = self.lock();
        if state.ended {
            return Err(AckError::Closed);
        }
        if state.awaited.len() >= Awaited::MOST {
            return Err(AckError::TooMany {
                limit: Awaited::MOST,
            });
        }
        state.awaited.push(awaited);
        self.ask(state);
        Ok(())
    }

    /// Whether the registry has to put this hub among those that ask, which it is told once.
    pub(crate) fn has_to_request(&self) -> bool {
        let mut state = self.lock();
        state.is_requesting() && !std::mem::replace(&mut state.requesting, true)
    }

    /// Hands an item to all readers; `posted` when that was known by this node's clock, if it is
    /// [in doubt](Self::is_doubtful). That they have caught up is
    /// [requested](Requests::caught_up). For the driver.
    pub(crate) fn deliver(&self, item: Item, posted: Option<Time>) -> Delivered {
        let mut state = self.lock();
        if state.ended {
            return Delivered::default();
        }
        let seqs = item.seqs();
        if self.is_doubtful() {
            let doubtful = state.ring.settle(&item, posted);
            self.doubtful.store(doubtful, Ordering::Relaxed);
        }
        let wakers = state.ring.push(item);
        let has_many_senders = state.ring.take_has_many_senders();
        let waiting = state.ring.bytes();
        let readers_behind = state.ring.is_above_high_watermark()
            && !std::mem::replace(&mut state.readers_behind, true);
        drop(state);
        tracing::trace!(channel = ?self.name, %seqs, waiting, "delivered");
        wakers.into_iter().for_each(Waker::wake);
        Delivered {
            readers_behind,
            has_many_senders,
        }
    }

    /// Whether some reader claims to have read numbers that nobody here knows of, so that it
    /// matters when something [was posted](Self::deliver). For the driver.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }

    /// Forgets senders of which nothing is kept: they were not heard for long and are not `here`.
    /// For the driver.
    pub(crate) fn forget_idle(&self, here: impl Fn(&SenderPrefix) -> bool) {
        self.lock().ring.forget_idle(self.max_idle, moment(), here);
    }

    pub(crate) fn is_open(&self, object: ObjectId) -> bool {
        self.lock().objects.contains_key(&object)
    }

    /// What it has in common with all channels of the node.
    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    /// Whether nobody would miss it: no object is open, and all that was posted has left.
    pub(crate) fn is_vacant(&self) -> bool {
        let state = self.lock();
        state.objects.is_empty() && state.outbox.is_empty()
    }

    /// Whether it was only looked at so far.
    pub(crate) fn is_unused(&self) -> bool {
        !self.lock().used
    }

    /// The registry lets go of it.
    pub(crate) fn let_go(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the registry let go of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Something else is to be said of this node on the channel, or somebody watches who is present
    /// there: the driver is to look at it.
    pub(crate) fn note(self: &Arc<Self>) {
        if !self.is_gone() {
            self.change();
        }
        self.bell.wake();
    }

    /// The same, also if the registry let go of it; the bell is left to the caller.
    pub(super) fn change(self: &Arc<Self>) {
        if !self.noted.swap(true, Ordering::AcqRel) {
            self.bell.change(self);
        }
    }

    /// The driver looks at it, and has to be told of what changes from now on.
    pub(super) fn set_seen(&self) {
        // Not a store: what was changed before it was found to be noted is seen from now on.
        self.noted.swap(false, Ordering::AcqRel);
    }

    /// The driver knows it from now on. For the driver.
    pub(crate) fn set_followed(&self) {
        self.followed.store(true, Ordering::Release);
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    /// The meeting point of the driver and of those who watch presence; made now if there is none.
    pub(crate) fn make_board(&self) -> Arc<Board> {
        Arc::clone(self.board.get_or_init(Arc::default))
    }

    /// The same, if there is one.
    pub(crate) fn board(&self) -> Option<Arc<Board>> {
        self.board.get().cloned()
    }

    /// How many objects are open.
    pub(crate) fn objects(&self) -> usize {
        self.lock().objects.len()
    }

    /// How many of them are there only to look.
    pub(crate) fn observers(&self) -> usize {
        let state = self.lock();
        let objects = state.objects.keys();
        objects.filter(|object| object.is_observer()).count()
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        Load {
            outbox_bytes: state.outbox.bytes(),
            unread_bytes: state.ring.bytes(),
        }
    }

    /// Refuses all posts from now on: the node is about to stop.
    pub(crate) fn refuse(&self) {
        let mut state = self.lock();
        state.refusing = true;
        // Nothing may keep what is in the outbox from leaving.
        state.openings.clear();
        drop(state);
        self.room.notify_waiters();
    }

    /// Ends all streams once they are read: the node has stopped.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.refusing = true;
        state.ended = true;
        state.ring.give_up();
        let awaited = std::mem::take(&mut state.awaited);
        let ask_queues = state.ask_queues.take();
        let wakers = state.ring.take_wakers();
        drop(state);
        drop((awaited, ask_queues));
        if let Some(board) = self.board.get() {
            board.end();
        }
        wakers.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        // Nothing that can panic half-way changes the state, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubState {
    fn begins_now(&self) -> bool {
        self.objects.keys().any(|object| !object.is_late())
    }
}

/// How full a hub is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Bytes posted that have not left.
    pub(crate) outbox_bytes: usize,
    /// Bytes delivered that some reader has not read.
    pub(crate) unread_bytes: usize,
}

/// What the driver has to see to after it delivered something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivered {
    /// Readers are behind since then.
    pub(crate) readers_behind: bool,
    /// There is one more sender among many.
    pub(crate) has_many_senders: bool,
}

/// Others may have fetched late what this node would have dropped, and keep it for as long once
/// more.
const KEPT_ELSEWHERE: u32 = 2;

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hub").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests;
