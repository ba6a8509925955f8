//! The part of a hub that those who ask and answer share with the driver.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Hub, State};
use crate::channel::{
    ObjectId,
    exchange::{Answerer, Asking, Desk, Incoming, Replying},
};

impl Hub {
    /// One of so many questions that may wait for answers on this node; `None` if there are as
    /// many.
    pub(crate) fn may_ask(&self) -> Option<OwnedSemaphorePermit> {
        self.common.may_ask()
    }

    /// Has the driver ask a question. `false` if the node has stopped, or nobody has the channel
    /// open.
    pub(crate) fn ask_members(self: &Arc<Self>, asking: Asking) -> bool {
        let mut state = self.lock();
        if state.refusing || state.objects.is_empty() {
            return false;
        }
        state.desk().asking.push(asking);
        self.ask(state);
        true
    }

    /// Somebody who asked does not wait any more.
    pub(crate) fn asker_left(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.ended {
            state.desk().left = true;
        }
        self.ask(state);
    }

    /// Has the driver send a reply.
    pub(crate) fn reply_to_member(self: &Arc<Self>, reply: Replying) {
        let mut state = self.lock();
        if !state.ended {
            state.desk().replies.push(reply);
        }
        self.ask(state);
    }

    /// From now on an object answers. Returns what [ends](Self::end_answering) that.
    pub(crate) fn answer_by(
        &self,
        object: ObjectId,
        answer: Arc<dyn Fn(Incoming) + Send + Sync>,
    ) -> u64 {
        let mut state = self.lock();
        let is_open = !state.ended && state.objects.contains_key(&object);
        let desk = state.desk();
        desk.answerers += 1;
        let id = desk.answerers;
        let answerer = is_open.then_some(Answerer { id, object, answer });
        let before = std::mem::replace(&mut desk.answerer, answerer);
        drop(state);
        // Not under the lock: it is code of the user.
        drop(before);
        id
    }

    /// Nobody answers any more, unless another does by now.
    pub(crate) fn end_answering(&self, id: u64) {
        let mut state = self.lock();
        let ended = state.desk().answerer.take_if(|it| it.id == id);
        drop(state);
        drop(ended);
    }

    /// Who answers. For the driver.
    pub(crate) fn answerer(&self) -> Option<Answerer> {
        self.lock().desk.as_ref()?.answerer.clone()
    }
}

impl State {
    pub(super) fn desk(&mut self) -> &mut Desk {
        self.desk.get_or_insert_default()
    }

    /// What was asked and answered since the driver looked last.
    pub(super) fn take_desk(&mut self) -> Desk {
        let Some(desk) = &mut self.desk else {
            return Desk::default();
        };
        Desk {
            asking: std::mem::take(&mut desk.asking),
            left: std::mem::take(&mut desk.left),
            replies: std::mem::take(&mut desk.replies),
            answerer: None,
            answerers: 0,
        }
    }

    /// An object is closed: it answers no more. Drop what this returns without the lock.
    pub(super) fn take_answerer(&mut self, of: ObjectId) -> Option<Answerer> {
        let desk = self.desk.as_mut()?;
        desk.answerer.take_if(|it| it.object == of)
    }
}
