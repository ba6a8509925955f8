//! The open channels of a node: the desired state that the driver follows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use meshcast_proto::ChannelName;

use super::{bell::Bell, common::Common, hub::Hub};
use crate::error::OpenError;

/// The hub of each name. Locks are taken in the order registry, hub, bell.
#[derive(Debug)]
pub(crate) struct Registry {
    common: Arc<Common>,
    bell: Arc<Bell<Hub>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    hubs: HashMap<ChannelName, HubEntry>,
    /// Hubs without an object, by when the last was closed: gossip stays subscribed for a while.
    /// They make way for others.
    lingering: BTreeMap<u64, ChannelName>,
    /// How many hubs lost their last object so far.
    closings: u64,
    /// The number of names that are closed, and yet have to be remembered.
    remembered: usize,
    stopped: bool,
}

#[derive(Debug)]
struct HubEntry {
    hub: Arc<Hub>,
    /// Its place among those that linger.
    lingers: Option<u64>,
}

impl Registry {
    pub(crate) fn new(common: Common) -> Self {
        Self {
            common: Arc::new(common),
            bell: Arc::default(),
            inner: Mutex::default(),
        }
    }

    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    pub(crate) fn bell(&self) -> &Bell<Hub> {
        &self.bell
    }

    /// The hub of a name, with one more object opened by `object`.
    ///
    /// # Errors
    /// [`OpenError`] but for `Name`.
    pub(crate) fn open<O>(
        &self,
        name: ChannelName,
        object: impl FnOnce(Arc<Hub>) -> O,
    ) -> Result<O, OpenError> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(OpenError::Closed);
        }
        let hub = match inner.hubs.get_mut(&name) {
            Some(entry) => {
                let (hub, lingers) = (Arc::clone(&entry.hub), entry.lingers.take());
                lingers.map(|place| inner.lingering.remove(&place));
                hub
            }
            None => self.make(&mut inner, name)?,
        };
        // Under the lock, so that the driver does not give the hub up in between.
        let first = hub.objects() == 0;
        let object = object(Arc::clone(&hub));
        if first {
            hub.change();
        }
        drop(inner);
        let asks = hub.has_to_request();
        if asks {
            self.bell.ask(&hub);
        } else if first {
            self.bell.wake();
        }
        Ok(object)
    }

    fn make(&self, inner: &mut Inner, name: ChannelName) -> Result<Arc<Hub>, OpenError> {
        let limit = self.common.limits().max_channels;
        if inner.hubs.len() >= limit && !inner.make_way() {
            return Err(OpenError::TooManyChannels { limit });
        }
        if inner.remembered + inner.hubs.len() >= MAX_NAMES {
            return Err(OpenError::TooManyNames { limit: MAX_NAMES });
        }
        // Names may be opened and closed faster than the driver looks: what it has never seen it
        // need not hear of.
        self.bell
            .shorten_changed(3 * limit, |hub| !hub.is_gone() || hub.is_followed());
        let (common, bell) = (Arc::clone(&self.common), Arc::clone(&self.bell));
        let hub = Arc::new(Hub::new(name.clone(), common, bell));
        let entry = HubEntry {
            hub: Arc::clone(&hub),
            lingers: None,
        };
        inner.hubs.insert(name, entry);
        Ok(hub)
    }

    /// The hubs that were opened and closed or made way, in that order, so many at most.
    pub(crate) fn take_changed(&self, limit: usize) -> Vec<Arc<Hub>> {
        let changed = self.bell.take_changed(limit);
        changed.iter().for_each(|hub| hub.set_seen());
        changed
    }

    /// Forgets a hub if it still has no object, and nothing to send. `true` if there is none of
    /// that name afterwards.
    pub(crate) fn remove_vacant(&self, name: &ChannelName) -> bool {
        let mut inner = self.lock();
        let vacant = inner
            .hubs
            .get(name)
            .is_none_or(|entry| entry.hub.is_vacant());
        if vacant {
            inner.remove(name);
        }
        vacant
    }

    /// The number of names that are closed, and yet have to be remembered.
    pub(crate) fn remember(&self, names: usize) {
        self.lock().remembered = names;
    }

    /// The hubs that have something to send, and how many records were posted on each so far.
    pub(crate) fn queued(&self) -> Vec<(Arc<Hub>, u64)> {
        let inner = self.lock();
        let queued = |hub: &Arc<Hub>| Some((Arc::clone(hub), hub.queued()?));
        let hubs = inner.hubs.values().map(|entry| &entry.hub);
        hubs.filter_map(queued).collect()
    }

    /// Nothing is opened or posted any more. Returns the hubs, whose outboxes do not fill again.
    pub(crate) fn refuse(&self) -> Vec<Arc<Hub>> {
        let mut inner = self.lock();
        inner.stopped = true;
        let hubs = inner.hubs.values().map(|entry| Arc::clone(&entry.hub));
        let hubs: Vec<_> = hubs.collect();
        self.bell.close();
        drop(inner);
        hubs.iter().for_each(|hub| hub.refuse());
        hubs
    }

    /// The node has stopped: nothing is opened or posted any more, streams end.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        let hubs = std::mem::take(&mut inner.hubs);
        drop(inner);
        self.bell.clear();
        hubs.values().for_each(|entry| entry.hub.end());
        self.common.stop();
    }

    /// Knows afterwards which hubs linger.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for hub in self.bell.take_vacated() {
            inner.linger(&hub);
        }
        inner
    }
}

impl Inner {
    /// A hub lost its last object, unless it got another since.
    fn linger(&mut self, hub: &Arc<Hub>) {
        let Some(entry) = self.hubs.get_mut(hub.name()) else {
            return;
        };
        if Arc::ptr_eq(&entry.hub, hub) && hub.objects() == 0 && entry.lingers.is_none() {
            self.closings += 1;
            entry.lingers = Some(self.closings);
            self.lingering.insert(self.closings, hub.name().clone());
        }
    }

    /// Lets go of the hub that has been without an object for longest and has sent everything.
    /// `false` if there is none.
    fn make_way(&mut self) -> bool {
        let is_vacant = |name: &&ChannelName| {
            self.hubs
                .get(*name)
                .is_some_and(|entry| entry.hub.is_vacant())
        };
        let Some(name) = self.lingering.values().find(is_vacant).cloned() else {
            return false;
        };
        if let Some(hub) = self.remove(&name) {
            hub.change();
        }
        true
    }

    fn remove(&mut self, name: &ChannelName) -> Option<Arc<Hub>> {
        let HubEntry { hub, lingers } = self.hubs.remove(name)?;
        lingers.map(|place| self.lingering.remove(&place));
        hub.let_go();
        Some(hub)
    }
}

/// Names that are open, or closed and still remembered: while the history keeps something of them,
/// and those whose last number is. Of the latter there are at most
/// [`max_closed_names`](meshcast_proto::Config::max_closed_names), so however many names a node
/// posts on in its life, it does not get here by that. Those that were only listened to do not
/// count.
pub(crate) const MAX_NAMES: usize = 1_048_576;
