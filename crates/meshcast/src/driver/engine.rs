//! The engine, in a case that has one door: nobody can call it and forget to do what it wants.

use std::{ops::Deref, sync::Arc};

use meshcast_proto::{ChannelName, Engine, Output, Sender, SeqRange, Time};

use super::Driver;
use crate::{
    channel::{Gap, Item, Posters},
    event::{self, NodeEvent},
    ids::peer_id,
};

/// The engine. Anybody may read it; whoever changes it goes through [`Driver::with_engine`].
#[derive(Debug)]
pub(crate) struct EngineCell {
    engine: Engine,
}

impl EngineCell {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Whether a channel may be posted on now; if not, it is told later that it is writable. There
    /// is nothing to do afterwards.
    pub(super) fn may_post(&mut self, channel: &ChannelName) -> bool {
        self.engine.may_post(channel)
    }

    /// Of which numbers posted here one more peer has said since the last call that it has them.
    /// There is nothing to do afterwards.
    pub(super) fn poll_acked(&mut self) -> Option<(ChannelName, SeqRange)> {
        self.engine.poll_acked()
    }

    /// A peer brought a copy by gossip. There is nothing to do afterwards.
    pub(super) fn handle_copy(&mut self, from: Sender, now: Time) {
        self.engine.handle_copy(from, now);
    }

    /// The session to a peer takes nothing more, or does again. There is nothing to do afterwards,
    /// so this may also be called while what the engine wants is being done.
    pub(super) fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        self.engine.set_congested(peer, is_congested);
    }
}

impl Deref for EngineCell {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Driver {
    /// Calls the engine, and does what it wants done. Not to be called while that is being done.
    pub(super) fn with_engine<R>(&mut self, act: impl FnOnce(&mut Engine, Time) -> R) -> R {
        self.with_engine_then(act, |_, _| None)
    }

    /// The same, with a step between: `then` takes note of what the call returned before what the
    /// engine wants is done, and says who of this process posted what is delivered by it.
    pub(super) fn with_engine_then<R>(
        &mut self,
        act: impl FnOnce(&mut Engine, Time) -> R,
        then: impl FnOnce(&mut Self, &R) -> Option<Arc<Posters>>,
    ) -> R {
        let now = self.clock.now();
        let returned = act(&mut self.engine.engine, now);
        let posters = then(self, &returned);
        while let Some(output) = self.engine.engine.poll_output() {
            self.handle_output(output, posters.as_ref(), now);
        }
        returned
    }

    fn handle_output(&mut self, output: Output, posters: Option<&Arc<Posters>>, now: Time) {
        match output {
            Output::Publish(frame) => self.publish(&frame),
            Output::Forward(forward) => self.forward(&forward),
            Output::Deliver(channel, delivery) => {
                self.deliver(&channel, Item::Values(delivery, posters.cloned()));
            }
            Output::Mute(peer) => self.reconnect(peer_id(peer)),
            Output::Sync(peer, message) => self.send_sync(peer_id(peer), &message),
            Output::Writable(channel) => self.handle_writable(&channel),
            Output::Backfilled(channel, backfilled) => self.begin_late(&channel, &backfilled),
            Output::Lagging { peer, lags } => self.handle_lagging(peer_id(peer), lags),
            Output::Stale {
                channel,
                member,
                behind,
            } => {
                let (peer, name) = (peer_id(member.sender()), member.credential().name.clone());
                if let Some(suppressed) = self.reports.warnings.stale.pass(now) {
                    tracing::warn!(target: event::TARGET, ?channel, %peer, %name, ?behind,
                        suppressed,
                        "dropped a frame: posted too long ago by the clock of its sender, \
                         which is not connected; \
                         its clock is behind, or somebody repeats it");
                }
                self.emit(NodeEvent::Stale {
                    channel,
                    peer,
                    name,
                    behind,
                });
            }
            Output::NoRoom { channel, member } => {
                let (peer, name) = (peer_id(member.sender()), member.credential().name.clone());
                if let Some(suppressed) = self.reports.warnings.no_room.pass(now) {
                    tracing::warn!(target: event::TARGET, ?channel, %peer, %name, suppressed,
                        "dropped a frame: there is no memory to follow one more channel of this member");
                }
                self.emit(NodeEvent::NoRoom {
                    channel,
                    peer,
                    name,
                });
            }
            Output::Misbehaved { peer, offence } => self.handle_offence(peer_id(peer), offence, 1),
            Output::Missed(channel, gap) => {
                if let Some(suppressed) = self.reports.warnings.gap.pass(now) {
                    tracing::warn!(?channel, name = %gap.member.credential().name,
                        missed = %gap.missed,
                        reason = ?gap.reason, suppressed, "gap");
                }
                #[cfg(feature = "metrics")]
                let reason = gap.reason;
                let gap = Gap {
                    member: gap.member,
                    missed: gap.missed,
                    reason: gap.reason.into(),
                };
                #[cfg(feature = "metrics")]
                self.reports.measures.missed.add(reason, gap.missed.len());
                self.deliver(&channel, Item::Missed(gap));
            }
        }
    }
}
