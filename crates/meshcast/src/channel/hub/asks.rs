//! The part of a hub that those who ask and answer share with the driver.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Hub, HubState};
use crate::channel::{
    ObjectId,
    exchange::{Answerer, AskQueues, Asking, Incoming, Replying},
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
        state.ask_queues().asking.push(asking);
        self.ask(state);
        true
    }

    /// Somebody who asked does not wait any more.
    pub(crate) fn asker_left(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.ended {
            state.ask_queues().left = true;
        }
        self.ask(state);
    }

    /// Has the driver send a reply.
    pub(crate) fn reply_to_member(self: &Arc<Self>, reply: Replying) {
        let mut state = self.lock();
        if !state.ended {
            state.ask_queues().replies.push(reply);
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
        let ask_queues = state.ask_queues();
        ask_queues.answerers += 1;
        let id = ask_queues.answerers;
        let answerer = is_open.then_some(Answerer { id, object, answer });
        let before = std::mem::replace(&mut ask_queues.answerer, answerer);
        drop(state);
        // Not under the lock: it is code of the user.
        drop(before);
        id
    }

    /// Nobody answers any more, unless another does by now.
    pub(crate) fn end_answering(&self, id: u64) {
        let mut state = self.lock();
        let ended = state.ask_queues().answerer.take_if(|it| it.id == id);
        drop(state);
        drop(ended);
    }

    /// Who answers. For the driver.
    pub(crate) fn answerer(&self) -> Option<Answerer> {
        self.lock().ask_queues.as_ref()?.answerer.clone()
    }
}

impl HubState {
    pub(super) fn ask_queues(&mut self) -> &mut AskQueues {
        self.ask_queues.get_or_insert_default()
    }

    /// Questions and answers since the driver looked last.
    pub(super) fn take_ask_queues(&mut self) -> AskQueues {
        let Some(ask_queues) = &mut self.ask_queues else {
            return AskQueues::default();
        };
        AskQueues {
            asking: std::mem::take(&mut ask_queues.asking),
            left: std::mem::take(&mut ask_queues.left),
            replies: std::mem::take(&mut ask_queues.replies),
            answerer: None,
            answerers: 0,
        }
    }

    /// An object is closed: it answers no more. Drop what this returns without the lock.
    pub(super) fn take_answerer(&mut self, of: ObjectId) -> Option<Answerer> {
        let ask_queues = self.ask_queues.as_mut()?;
        ask_queues.answerer.take_if(|it| it.object == of)
    }
}
