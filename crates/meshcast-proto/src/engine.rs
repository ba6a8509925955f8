//! The engine: one node's protocol, put together from the wings. It numbers what is posted, puts in
//! order what arrives, and keeps what others may ask for.
//!
//! `handle_*` takes in what happened; `poll_output` and `poll_timeout` give out what to do. After
//! each `handle_*` the caller drains [`Engine::poll_output`] to `None`. Time and identity are
//! arguments, so a whole mesh of engines runs in virtual time.
//!
//! The wings, and the types in the files beside this one, know nothing of each other: each returns
//! what came of a call. The engine hands that on. Its methods are here and in `frames`,
//! `messages`, `flow_control`, `backfill`, `handover` and `inspect`, each about one thing.

use std::{sync::Arc, time::Duration};

use crate::{
    bounds::Budget,
    flow_control::{Lagging, ReadersBehind, SendWindows},
    gossip_health::{MuteDetector, Sign},
    identity::{Identity, Member, VerifyError},
    log::{Arrival, History},
    replication::{Advertiser, Effects, Logs, Serving},
    wire::{ChannelName, Draft, Frame, Sender, SeqRange, SyncMessage, Time, WallTime},
};

use acks::Acks;
use backfill::Backfills;
use channels::{Channels, Counter, Opening};
use outputs::Outputs;
use reported::Reported;

pub use backfilled::{Backfilled, Backlog, Resumption};
pub use config::Config;
pub use counters::Counters;
pub use error::{OpenError, PostError};
pub use handover::{HandOver, Undelivered};
pub use inspect::SenderState;
pub use outcome::Taken;
pub use outputs::{Forward, Output};
pub use positions::Positions;
pub use since::Since;

/// The protocol of one node.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    identity: Identity,
    me: Arc<Member>,
    /// The names used here.
    channels: Channels,
    /// The logs of each: by whom, and who has what of it.
    logs: Logs,
    /// What is kept for others.
    history: History,
    history_expires: Option<Time>,
    /// What peers are still to be told.
    advertiser: Advertiser,
    /// Requests of peers, and when it is their turn.
    serving: Serving,
    /// Posts of this node that are in flight.
    windows: SendWindows,
    /// What of it was acknowledged.
    acks: Acks,
    /// Peers that fell behind.
    lagging: Lagging,
    /// Readers here that fell behind.
    readers: ReadersBehind,
    /// Requests to peers on behalf of readers that started late.
    backfills: Backfills,
    reported: Reports,
    /// Whose gossip arrives.
    health: MuteDetector,
    outputs: Outputs,
    counters: Counters,
}

/// Of whom something was told the caller that is not told again of each frame.
#[derive(Debug, Default)]
struct Reports {
    /// Senders whose frames were too old to be taken.
    stale: Reported,
    /// Senders whose logs found no room.
    without_room: Reported,
}

impl Engine {
    /// A node without channels. `me` is the verified form of what `identity` shows to others.
    /// `seed` decides small random choices: whom to ask first, and when.
    pub fn new(config: Config, identity: Identity, me: Arc<Member>, seed: u64) -> Self {
        Self {
            history: History::new(config.history),
            logs: Logs::new(
                me.sender(),
                config.logs_limits(),
                Budget::new(config.memory_bytes),
                seed,
            ),
            windows: SendWindows::new(config.history.bytes),
            channels: Channels::new(config.max_channels, config.max_closed_names),
            config,
            identity,
            me,
            history_expires: None,
            advertiser: Advertiser::default(),
            serving: Serving::default(),
            acks: Acks::default(),
            lagging: Lagging::default(),
            readers: ReadersBehind::default(),
            backfills: Backfills::default(),
            reported: Reports::default(),
            health: MuteDetector::default(),
            outputs: Outputs::default(),
            counters: Counters::default(),
        }
    }

    /// Opens a channel: its frames are taken in from now on. Until a sender is heard on it, opening
    /// it again can only make it begin earlier. After that, opening it again changes nothing, and
    /// [`Self::handle_backfill`] fetches what there is.
    ///
    /// # Errors
    /// [`OpenError::TooManyChannels`]; nothing was changed.
    pub fn handle_open(
        &mut self,
        channel: &ChannelName,
        since: Since,
        now: Time,
    ) -> Result<(), OpenError> {
        self.debug_assert_drained();
        let nothing_heard = || self.logs.of_others(channel).next().is_none();
        match self
            .channels
            .open(channel, since.at(now), nothing_heard, now)?
        {
            Opening::Unchanged => return Ok(()),
            Opening::Changed | Opening::New(None) => {}
            Opening::New(Some(Counter { next, born })) => {
                self.logs.resume_ours(channel, &self.me, (next, born), now);
            }
        }
        self.announce(channel, now);
        Ok(())
    }

    /// Closes a channel: its frames are no longer taken in, and what was known of its senders is
    /// forgotten. Once nothing is kept of it either, all is forgotten but its next number, and that
    /// too if nothing was posted on it.
    pub fn handle_close(&mut self, channel: &ChannelName) {
        self.debug_assert_drained();
        if !self.channels.close(channel) {
            return;
        }
        self.logs.close(channel);
        self.cancel_backfill(channel);
        self.logs.peers.untell(channel);
        let close = |peer| (peer, SyncMessage::Close(vec![channel.clone()]));
        self.outputs.send(self.logs.peers.iter().map(close));
        let gone = self.channels.retire(channel, &mut self.history);
        self.forget_channels(gone);
    }

    /// Closed channels of which nothing is kept any more.
    fn forget_channels(&mut self, names: Vec<ChannelName>) {
        for name in names {
            self.acks.forget(&name);
            self.outputs.writable(self.windows.forget(&name));
            let counter = self.logs.end_ours(&name);
            let counter = counter.map(|(next, born)| Counter { next, born });
            self.channels.forget(&name, counter);
        }
    }

    /// Posts the records of a draft as one frame: numbers, signs and keeps it. The channel must
    /// have been opened at least once.
    ///
    /// # Errors
    /// [`PostError`]; no number was used.
    pub fn handle_post(
        &mut self,
        channel: &ChannelName,
        draft: impl Into<Draft>,
        now: Time,
        wall: WallTime,
    ) -> Result<SeqRange, PostError> {
        self.debug_assert_drained();
        if self.channels.get(channel).is_none() {
            return Err(PostError::NeverOpened);
        }
        let ours = self.logs.ours(channel);
        let Counter { next, born } = match ours {
            Some((next, born)) => Counter { next, born },
            None => self.channels.beginning(now),
        };
        let since_first = now.saturating_since(born);
        let frame = Frame::build(&self.identity, channel, next, wall, since_first, draft)?;
        let seqs = frame.seqs();
        self.counters.posted += seqs.len();
        self.counters.frames_posted += 1;
        let mut effects = Effects::default();
        if ours.is_none() {
            self.logs.resume_ours(channel, &self.me, (next, born), now);
        }
        self.logs.post(&frame, &self.me, now, &mut effects);
        self.keep(frame.clone(), Duration::ZERO, Arrival::local(now));
        self.sent(channel, seqs, frame.bytes().len(), now);
        self.outputs.push(Output::Publish(frame));
        self.take_effect(effects, now);
        Ok(seqs)
    }

    /// There is a sign that the gossip of a peer does not arrive.
    fn suspect(&mut self, peer: Sender, sign: Sign, now: Time) {
        self.health.handle_sign(peer, sign, now);
        while let Some(peer) = self.health.poll_mute() {
            self.outputs.push(Output::Mute(peer));
        }
    }

    /// A member connected: there is a link that delivers messages in order.
    pub fn handle_peer_up(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        let mut effects = Effects::default();
        self.logs.handle_peer_up(peer, now, &mut effects);
        self.take_effect(effects, now);
        self.health.handle_up(peer, now);
        let open = self.channels.iter().filter(|(_, channel)| channel.is_open);
        let opening = self.logs.peers.tell(peer, now);
        let opened = open.map(|(name, channel)| channel.opened(name, opening, now));
        let opened: Vec<_> = opened.collect();
        let messages = opened
            .chunks(SyncMessage::MAX_CHANNELS)
            .map(|chunk| (peer, SyncMessage::Open(chunk.to_vec())));
        self.outputs.send(messages);
    }

    /// A member disconnected, or the link to it broke. Messages in flight are lost.
    pub fn handle_peer_down(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        self.health.handle_down(peer);
        self.deserted_by(peer, now);
        let mut effects = Effects::default();
        self.logs.handle_peer_down(peer, now, &mut effects);
        self.advertiser.forget(peer);
        if self.lagging.forget(peer) {
            self.outputs.push(Output::Lagging { peer, lags: false });
        }
        self.serving.forget(peer);
        self.take_effect(effects, now);
        self.continue_backfills(now);
    }

    /// Takes in a message of a peer. `verify` says of each of the frames in it, in order, which
    /// member sent it or why it is not believed, as [`Verifier`](crate::Verifier) does; a frame
    /// without a verdict is refused.
    ///
    /// Messages that are not about channels are ignored here.
    pub fn handle_sync(
        &mut self,
        peer: Sender,
        message: SyncMessage,
        now: Time,
        wall: WallTime,
        verify: impl FnOnce(&[Frame]) -> Vec<Result<Arc<Member>, VerifyError>>,
    ) {
        self.debug_assert_drained();
        if !self.logs.peers.hear(peer, now) {
            return;
        }
        match message {
            SyncMessage::Open(opened) => self.handle_opened(peer, &opened, now),
            SyncMessage::Close(channels) => self.handle_closed(peer, &channels, now),
            SyncMessage::Have(holdings) => self.handle_holdings(peer, &holdings, now),
            SyncMessage::Want(want) => self.handle_want(peer, want, now),
            SyncMessage::Frames(frames) => self.handle_answer(peer, frames, now, wall, verify),
            SyncMessage::Members(_)
            | SyncMessage::Ping(_)
            | SyncMessage::Pong(_)
            | SyncMessage::Ask(_)
            | SyncMessage::Presence(_)
            | SyncMessage::Leaving => {}
        }
    }

    /// The link to a peer is congested, or is not any more. Answers to what the peer opens wait
    /// here meanwhile, in little memory. May be called at any time; read [`Self::poll_timeout`]
    /// again afterwards.
    pub fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        if self.logs.peers.contains(peer) {
            self.advertiser
                .announcements
                .set_congested(peer, is_congested);
        }
    }

    /// Does what is due. Call it at [`Self::poll_timeout`]; calling it earlier is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.debug_assert_drained();
        let mut effects = Effects::default();
        self.logs.handle_timeout(now, &mut effects);
        self.take_effect(effects, now);
        self.continue_backfills(now);
        self.check_progress(now);
        self.serve(now);
        self.advertise(|advertiser, view| advertiser.acks(view, now));
        self.advertise(|advertiser, view| advertiser.notices(view, now));
        let changed = self.advertiser.digest.take_changed(now);
        self.logs.touch(&changed);
        self.advertise(|advertiser, view| advertiser.changed(&changed, view, now));
        self.advertise(|advertiser, view| advertiser.opened(view, now));
        if self.history_expires.is_some_and(|due| due <= now) {
            self.history_expires = self.history.expire(now);
            let gone = self.channels.retire_more(&mut self.history);
            self.forget_channels(gone);
        }
    }

    /// The next output; `None` once there is no more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.poll()
    }

    /// When to call [`Self::handle_timeout`]. It does a bounded part of what is due: if there is
    /// more, it is to be called again at the same time, after whatever else there is to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        [
            self.logs.poll_timeout(),
            self.advertiser.poll_timeout(),
            self.lagging.poll_timeout(),
            self.readers.poll_timeout(),
            self.serving.poll_timeout(),
            self.backfills.due(),
            self.history_expires,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn take_effect(&mut self, effects: Effects, now: Time) {
        let Effects {
            batches,
            wants,
            advances,
            acked,
            offences,
            passed_over,
            without_room,
        } = effects;
        // Unless that was just reported for the sender.
        for ((channel, sender), member) in without_room {
            if self.reported.without_room.reports(sender, now) {
                self.outputs.push(Output::NoRoom { channel, member });
            }
        }
        for peer in passed_over {
            self.suspect(peer, Sign::PassedOver, now);
        }
        for (peer, offence) in offences {
            self.outputs.push(Output::Misbehaved { peer, offence });
        }
        for batch in batches {
            let is_ours = batch.member.sender() == self.me.sender();
            self.outputs.deliver(batch, is_ours, &mut self.counters);
        }
        self.counters.requests += wants.len() as u64;
        let wants = wants.into_iter();
        self.outputs
            .send(wants.map(|(peer, want)| (peer, SyncMessage::Want(want))));
        self.acknowledged(acked);
        self.report(advances, now);
    }

    fn debug_assert_drained(&self) {
        debug_assert!(
            self.outputs.is_empty(),
            "outputs are drained before the next input"
        );
    }
}

mod acks;
mod backfill;
mod backfilled;
mod channels;
mod config;
mod counters;
mod error;
mod flow_control;
mod frames;
mod handover;
mod inspect;
mod inventory;
mod messages;
mod outcome;
mod outputs;
mod positions;
mod reported;
mod since;

#[cfg(test)]
use crate::{
    log::Via,
    wire::{Answer, Frames, Holding, Holdings, Opened, Seq, Want},
};
#[cfg(test)]
mod tests;
