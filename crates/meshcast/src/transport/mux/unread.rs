//! Accounts for what a connection holds that nobody has read.

mod free;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use meshcast_proto::Account;

pub(in super::super) use self::free::{Free, FreeRooms};

use super::{FRAME, MAX_STREAMS};

/// Counts what was received of a connection and not read, and says whether there is room for more.
/// Clones are the same.
///
/// A stranger has a fixed room. A member has one, too, for all its connections, and what is held
/// beyond is charged to its account.
#[derive(Clone, Debug)]
pub(in super::super) struct Unread(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    /// As many as yamux has streams.
    streams: Vec<StreamUsage>,
    /// All frames of all streams.
    frames: usize,
    /// The owner of the connection, how much of its free room is taken, and how much more is
    /// charged.
    member: Option<Member>,
    free: usize,
    charged: usize,
    /// Who waits for room.
    waiting: Option<Waker>,
}

/// Who has been admitted.
#[derive(Debug)]
struct Member {
    account: Account,
    free: Arc<Free>,
}

/// What is held of a stream.
#[derive(Debug, Default)]
struct StreamUsage {
    stream: u32,
    bytes: usize,
    frames: usize,
    /// The most that `frames` was: the list of them does not become shorter.
    longest: usize,
}

impl Unread {
    /// Nobody has been admitted yet.
    pub(super) fn of_stranger() -> Self {
        Self(Arc::default())
    }

    /// From now on what is held is that of a member, who is charged for what has no place in its
    /// free room.
    pub(in super::super) fn admit(&self, account: Account, free: Arc<Free>) {
        let mut ledger = self.lock();
        ledger.member = Some(Member { account, free });
        ledger.wake();
    }

    /// Whether the other side may open this stream.
    pub(super) fn may_open(&self, stream: u32) -> bool {
        let ledger = self.lock();
        ledger.streams.len() < MAX_STREAMS && ledger.find(stream).is_none()
    }

    /// There is a stream, which may have brought something already.
    pub(super) fn open(&self, stream: u32) {
        let mut ledger = self.lock();
        if ledger.find(stream).is_none() {
            ledger.streams.push(StreamUsage {
                stream,
                ..StreamUsage::default()
            });
        }
    }

    /// A frame of a stream arrives; `false` if there is no such stream any more.
    pub(super) fn arrives(&self, stream: u32, bytes: usize) -> bool {
        let mut ledger = self.lock();
        let Some(at) = ledger.find(stream) else {
            return false;
        };
        // Without a byte it is not kept.
        if bytes > 0 {
            let held = &mut ledger.streams[at];
            held.bytes += bytes;
            held.frames += 1;
            held.longest = held.longest.max(held.frames);
            ledger.frames += 1;
        }
        true
    }

    /// A frame of a stream was read to its end.
    pub(super) fn read(&self, stream: u32, bytes: usize) {
        let mut ledger = self.lock();
        if let Some(at) = ledger.find(stream) {
            let held = &mut ledger.streams[at];
            held.bytes -= bytes;
            held.frames -= 1;
            ledger.frames -= 1;
        }
        ledger.settle();
    }

    /// A stream is no more.
    pub(super) fn close(&self, stream: u32) {
        let mut ledger = self.lock();
        if let Some(at) = ledger.find(stream) {
            let held = ledger.streams.swap_remove(at);
            ledger.frames -= held.frames;
        }
        ledger.settle();
    }

    /// Whether one more frame may be held. If not, the task is woken when it may.
    pub(super) fn has_room(&self, cx: &mut Context<'_>) -> bool {
        let mut ledger = self.lock();
        let has_room = ledger.make_room();
        ledger.waiting = (!has_room).then(|| cx.waker().clone());
        has_room
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lock().cost()
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn find(&self, stream: u32) -> Option<usize> {
        self.streams.iter().position(|it| it.stream == stream)
    }

    fn cost(&self) -> usize {
        self.streams.iter().map(StreamUsage::cost).sum()
    }

    /// Whether one more frame may be held; charges for it if need be.
    fn make_room(&mut self) -> bool {
        // Reading what is held wakes those who wait; so there must be something.
        if self.frames == 0 {
            return true;
        }
        if self.frames >= MAX_FRAMES {
            return false;
        }
        let need = self.cost() + FRAME;
        let Some(Member { account, free }) = &self.member else {
            return need <= STRANGER;
        };
        if need > MEMBER {
            return false;
        }
        let mut more = need
            .next_multiple_of(STEP)
            .saturating_sub(self.free + self.charged);
        if more > 0 {
            let taken = free.take(more);
            self.free += taken;
            more -= taken;
        }
        if more > 0 {
            // A refusal counts once, not as often as somebody asks again.
            let was_refused = self.waiting.is_some();
            if was_refused && !account.has_room(more) || !account.try_charge(more) {
                return false;
            }
            self.charged += more;
        }
        true
    }

    /// Something is held no more.
    fn settle(&mut self) {
        // Without a frame the next is taken in any case.
        let (next, slack) = match self.frames {
            0 => (0, 0),
            _ => (FRAME, SLACK),
        };
        let wanted = (self.cost() + next).next_multiple_of(STEP);
        let has = self.free + self.charged;
        if has >= wanted + slack {
            self.give_back(has - wanted);
        }
        self.wake();
    }

    /// Gives back what is not needed: what is charged first.
    fn give_back(&mut self, bytes: usize) {
        if let Some(Member { account, free }) = &self.member {
            let charged = self.charged.min(bytes);
            account.release(charged);
            free.give_back(bytes - charged);
            self.charged -= charged;
            self.free -= bytes - charged;
        }
    }

    fn wake(&mut self) {
        if self.waiting.is_some()
            && self.make_room()
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.give_back(self.free + self.charged);
    }
}

impl StreamUsage {
    fn cost(&self) -> usize {
        let places = match self.longest {
            0 => 0,
            longest => longest.next_power_of_two(),
        };
        self.bytes + self.frames * ALLOCATED + places * PLACE
    }
}

/// The most that a connection may hold before it is admitted: the messages of the gate have 2 KiB,
/// and one frame of what follows may be before them.
const STRANGER: usize = 2 * FRAME;

/// The most that a connection of a member may hold, with what is charged: all windows in frames of
/// the usual size.
const MEMBER: usize = super::WINDOWS;

/// How many frames it may hold. In frames of a byte, what is held is mostly the list of them.
const MAX_FRAMES: usize = 4_096;

/// What an allocation takes beside its bytes at most.
const ALLOCATED: usize = 32;

/// A place in the list of frames.
const PLACE: usize = 32;

/// In what steps is charged, and how much more stays charged than is needed, so that an account is
/// not asked for each frame.
const STEP: usize = 64 * 1024;
const SLACK: usize = 4 * STEP;
