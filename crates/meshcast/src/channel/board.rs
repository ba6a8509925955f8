//! The meeting point of the driver and those who watch a channel: it holds what this node says of
//! itself there, and who is present.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use meshcast_proto::{Presence, PresenceChange, Sender};
use tokio::sync::broadcast;

/// Of one channel. The mutex is a plain one: nothing awaits or calls out while it is held.
#[derive(Debug)]
pub(crate) struct Board(Mutex<BoardState>);

#[derive(Debug)]
struct BoardState {
    /// How many watch.
    watchers: usize,
    /// What this node says of itself.
    own: Option<Bytes>,
    /// The members that are present, or were when there was nothing more to tell; `None` before the
    /// driver has looked.
    members: Option<BTreeMap<Sender, Presence>>,
    /// `None` when there is nothing more to tell.
    changes: Option<broadcast::Sender<Audience>>,
}

/// What those who watch are told.
#[derive(Debug, Clone)]
pub(crate) enum Audience {
    /// All who are present.
    Everybody(Arc<[Presence]>),
    Change(PresenceChange),
}

impl Default for Board {
    fn default() -> Self {
        Self(Mutex::new(BoardState {
            watchers: 0,
            own: None,
            members: None,
            changes: Some(broadcast::channel(UNREAD).0),
        }))
    }
}

impl Board {
    /// One more watches.
    pub(crate) fn enter(&self) {
        self.lock().watchers += 1;
    }

    /// One watches no more. With the last what this node said of itself is gone.
    pub(crate) fn exit(&self) {
        let mut state = self.lock();
        state.watchers -= 1;
        if state.watchers == 0 {
            state.own = None;
            state.members = None;
        }
    }

    /// `false` if the channel is closed.
    pub(crate) fn set(&self, own: Option<Bytes>) -> bool {
        let mut state = self.lock();
        let open = state.changes.is_some();
        if open {
            state.own = own;
        }
        open
    }

    pub(crate) fn members(&self) -> Vec<Presence> {
        let state = self.lock();
        let open = state.changes.is_some();
        state.known().filter(|_| open).unwrap_or_default()
    }

    /// The members that are present, if known yet, and all changes from then on.
    pub(crate) fn subscribe(&self) -> (Option<Vec<Presence>>, broadcast::Receiver<Audience>) {
        let state = self.lock();
        match &state.changes {
            Some(changes) => (state.known(), changes.subscribe()),
            // A closed channel has nothing to tell.
            None => (None, broadcast::channel(1).1),
        }
    }

    /// The same for somebody who has missed changes: once there is nothing more to tell, who was
    /// present then. That it ended is no reason for all to be gone.
    pub(crate) fn catch_up(&self) -> (Vec<Presence>, broadcast::Receiver<Audience>) {
        let state = self.lock();
        let changes = state.changes.as_ref().map(broadcast::Sender::subscribe);
        let known = state.known().unwrap_or_default();
        (known, changes.unwrap_or_else(|| broadcast::channel(1).1))
    }

    /// Whether somebody watches, and what this node says of itself. For the driver.
    pub(crate) fn wanted(&self) -> (bool, Option<Bytes>) {
        let state = self.lock();
        (state.watchers > 0, state.own.clone())
    }

    /// Begins with those who are present, if it has not begun yet. For the driver.
    pub(crate) fn begin(&self, present: impl FnOnce() -> Vec<Presence>) {
        let mut state = self.lock();
        if state.members.is_some() || state.watchers == 0 || state.changes.is_none() {
            return;
        }
        let present = present();
        // Some may wait for it already.
        if let Some(changes) = &state.changes {
            let _ = changes.send(Audience::Everybody(present.clone().into()));
        }
        let key = |presence: Presence| (presence.member.sender(), presence);
        state.members = Some(present.into_iter().map(key).collect());
    }

    /// For the driver.
    pub(crate) fn tell(&self, change: PresenceChange) {
        let mut state = self.lock();
        let BoardState {
            members: Some(members),
            changes: Some(changes),
            ..
        } = &mut *state
        else {
            return;
        };
        let presence = change.presence().clone();
        let sender = presence.member.sender();
        if change.is_gone() {
            members.remove(&sender);
        } else {
            members.insert(sender, presence);
        }
        // An error means that nobody reads.
        let _ = changes.send(Audience::Change(change));
    }

    /// Ends all streams once they are read: there is nothing more to tell.
    pub(crate) fn end(&self) {
        self.lock().changes = None;
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        // Nothing that can panic half-way changes it, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardState {
    fn known(&self) -> Option<Vec<Presence>> {
        let members = self.members.as_ref()?;
        Some(members.values().cloned().collect())
    }
}

/// The number of changes kept for a watcher that does not read.
const UNREAD: usize = 256;
