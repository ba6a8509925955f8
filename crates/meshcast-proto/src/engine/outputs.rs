//! What is to be done, in order: the outputs of the engine that were not polled yet.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    conduct::Offence,
    identity::Member,
    log::{Assembled, Delivery, Gap, GapReason},
    replication::Batch,
    wire::{ChannelName, Frame, Sender, SyncMessage},
};

use super::{backfilled::Backfilled, counters::Counters};

/// Work for the caller.
#[derive(Debug, Clone)]
pub enum Output {
    /// Give this frame to gossip.
    Publish(Frame),
    /// Hand a frame of another on by gossip, to those whom
    /// [`Engine::recipients`](super::Engine::recipients) names, if it [is
    /// signed](crate::is_signed).
    Forward(Forward),
    /// Give these values to the channel objects of that name. Posts of this node come here too, for
    /// the other objects of its process.
    Deliver(ChannelName, Delivery),
    /// Tell the channel objects of that name which numbers they will not get.
    Missed(ChannelName, Gap),
    /// The gossip of a peer does not arrive, though the links seem well. Close all connections to
    /// it and connect anew.
    Mute(Sender),
    /// Send this to a peer. If it cannot be sent, treat the link as broken and close it.
    Sync(Sender, SyncMessage),
    /// The search that [`Engine::handle_backfill`](super::Engine::handle_backfill) began has an
    /// end: the history now holds what peers keep of the channel from before, as far as was asked
    /// for. Messages delivered meanwhile are not part of it.
    Backfilled(ChannelName, Backfilled),
    /// The channel has room again, after [`Engine::may_post`](super::Engine::may_post) said that it
    /// had none.
    Writable(ChannelName),
    /// A peer fell behind with gossip, or caught up. A peer that lags fetches what it lacks, so it
    /// need not be sent gossip.
    Lagging {
        /// Which peer. When a lagging peer is lost, it is reported as no longer lagging.
        peer: Sender,
        /// Whether it lags.
        lags: bool,
    },
    /// A frame was refused as too old. Its sender is not connected and was not heard before, and by
    /// its own clock it posted the frame longer ago than anything is kept. Either somebody replays
    /// the frame, or the sender's clock is behind. Reported at most once a minute for each sender.
    Stale {
        /// On which channel.
        channel: ChannelName,
        /// Who posted it.
        member: Arc<Member>,
        /// How much too old it is, by the wall clocks of both.
        behind: Duration,
    },
    /// A sender is not heard on a channel: the budget has no room to follow one more log for its
    /// member. Its frames are only handed on. Reported at most once a minute for each sender.
    NoRoom {
        /// On which channel.
        channel: ChannelName,
        /// Who posted.
        member: Arc<Member>,
    },
    /// A peer did what an honest one never does, or does rarely.
    Misbehaved {
        /// Which.
        peer: Sender,
        /// What it did.
        offence: Offence,
    },
}

/// A frame of another to be handed on.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The frame.
    pub frame: Frame,
    /// Who gave it.
    pub from: Sender,
    /// Also to some of those of whom it is not known how they come by it.
    pub(crate) strangers: bool,
}

/// Outputs that wait to be polled.
#[derive(Debug, Default)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(super) fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    pub(super) fn extend(&mut self, outputs: impl IntoIterator<Item = Output>) {
        self.0.extend(outputs);
    }

    /// Messages, each with the peer it goes to.
    pub(super) fn send(&mut self, messages: impl IntoIterator<Item = (Sender, SyncMessage)>) {
        let messages = messages.into_iter();
        self.extend(messages.map(|(peer, message)| Output::Sync(peer, message)));
    }

    /// Channels that have room again.
    pub(super) fn writable(&mut self, channels: Vec<ChannelName>) {
        self.extend(channels.into_iter().map(Output::Writable));
    }

    /// The values and gaps of one sender; `is_ours` if that is this node. They are counted.
    pub(super) fn deliver(&mut self, batch: Batch, is_ours: bool, counters: &mut Counters) {
        let Batch {
            channel,
            member,
            assembled,
        } = batch;
        // Only gaps of this batch are joined: one from before may be of another sender or channel.
        let mut gap_is_ours = false;
        for assembled in assembled {
            match assembled {
                Assembled::Values(delivery) => {
                    gap_is_ours = false;
                    counters.delivered += if is_ours { 0 } else { delivery.seqs().len() };
                    self.push(Output::Deliver(channel.clone(), delivery));
                }
                // A value of ours over the limit for messages was refused before it came here.
                Assembled::Missed(..) if is_ours => {}
                Assembled::Missed(missed, reason) => {
                    // A sender may number as it likes, so one gap can be as long as the counter.
                    counters.missed = counters.missed.saturating_add(missed.len());
                    // The rest of a value that lost a fragment joins the gap it belongs to.
                    if gap_is_ours
                        && let Some(Output::Missed(_, gap)) = self.0.back_mut()
                        && (gap.reason == reason
                            || (gap.reason, reason) == (GapReason::Lost, GapReason::Incomplete))
                    {
                        gap.missed = gap.missed.hull(missed);
                        continue;
                    }
                    gap_is_ours = true;
                    counters.gaps += 1;
                    let gap = Gap {
                        member: Arc::clone(&member),
                        missed,
                        reason,
                    };
                    self.push(Output::Missed(channel.clone(), gap));
                }
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
