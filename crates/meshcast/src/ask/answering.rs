//! The side that answers.

use std::{fmt, panic::AssertUnwindSafe, pin::pin, sync::Arc};

use futures::{
    FutureExt,
    future::{self, Either},
};
use meshcast_proto::{AskMessage, Declined, Reply};
use tokio::{runtime::Handle, time::timeout};

use super::{
    FromMember,
    places::{PLACES, Places},
};
use crate::channel::{Borrowed as _, BroadcastChannel, Incoming, Payload, decode_bytes};

/// Keeps answering questions; dropping it ends that. It keeps the channel object open.
#[must_use = "dropping it ends the answering"]
pub struct Answering<T: Payload> {
    channel: BroadcastChannel<T>,
    id: u64,
}

impl<T: Payload> BroadcastChannel<T> {
    /// Answers questions of other members on this channel by `handler`, until the returned guard is
    /// dropped or the channel is closed.
    ///
    /// In a process one handler answers for a channel name: a later one takes the place of an
    /// earlier. It is called on the Tokio runtime on which this is called, or else on that on which
    /// the node was spawned, each time in a task of its own: 512 at the same time, which are shared
    /// by the members that bring questions, their own or those of others. One that has its share
    /// has further questions declined as [busy](super::NoAnswerReason::Busy). One that takes longer
    /// than the asker waits is dropped at its next `.await`: its time is over, its asker has
    /// dropped the answers, or the connection to it has ended. Until then its question counts for
    /// the member that it came from, of which 64 are handled at the same time. One that panics, or
    /// answers more than 64 KiB, or a question that is no `Q`, is told to the asker as
    /// [failed](super::NoAnswerReason::Failed).
    pub fn on_ask<Q, A, F, Fut>(&self, handler: F) -> Answering<T>
    where
        Q: Payload,
        A: Payload,
        F: Fn(FromMember<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = A> + Send + 'static,
    {
        let hub = Arc::clone(self.hub());
        let runtime = Handle::try_current().unwrap_or_else(|_| hub.common().runtime().clone());
        let (handler, places) = (Arc::new(handler), Places::new(PLACES));
        let answer = move |incoming: Incoming| {
            let Incoming {
                member,
                question,
                by,
                replier,
                withdrawn,
            } = incoming;
            let Some(place) = places.take(by) else {
                return replier.reply(Reply::Declined(Declined::Busy));
            };
            let (handler, hub) = (Arc::clone(&handler), Arc::clone(&hub));
            runtime.spawn(async move {
                let _place = place;
                // Decoding and encoding run code of the user as well.
                let answered = AssertUnwindSafe(async {
                    let data = decode_bytes::<Q>(question.format, &question.payload).ok()?;
                    let answer = handler(FromMember { data, member }).await;
                    let encoded = answer.encoded(|format, bytes| {
                        let fits = bytes.len() <= AskMessage::MAX_PAYLOAD_LEN;
                        fits.then(|| Reply::Answer(format, bytes.to_vec().into()))
                    });
                    encoded.ok()?
                });
                let answered = timeout(question.within, answered.catch_unwind());
                match future::select(withdrawn, pin!(answered)).await {
                    Either::Right((Ok(Ok(reply)), _)) => {
                        replier.reply(reply.unwrap_or(Reply::Declined(Declined::Failed)));
                    }
                    Either::Right((Ok(Err(_)), _)) => {
                        hub.common().stats().handler_panicked();
                        tracing::error!(channel = ?hub.name(), "a handler of questions panicked");
                    }
                    // Nobody waits for it any more.
                    Either::Left(_) | Either::Right((Err(_), _)) => {}
                }
            });
        };
        let id = self.hub().answer_by(self.object_id(), Arc::new(answer));
        Answering {
            channel: self.clone(),
            id,
        }
    }
}

impl<T: Payload> Drop for Answering<T> {
    fn drop(&mut self) {
        self.channel.hub().end_answering(self.id);
    }
}

impl<T: Payload> fmt::Debug for Answering<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answering")
            .field(self.channel.name())
            .finish()
    }
}
