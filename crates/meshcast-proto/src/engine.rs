//! The engine: one node's protocol, put together from the wings. It numbers what is posted, puts in
//! order what arrives, and keeps what others may ask for.
//!
//! `handle_*` takes in what happened; `poll_output` and `poll_timeout` give out what to do. After
//! each `handle_*` the caller drains [`Engine::poll_output`] to `None`. Time and identity are
//! arguments, so a whole mesh of engines runs in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    bounds::Budget,
    conduct::Offence,
    gossip_health::{CALLED_OFF_LEN, Sign, Watchdog},
    identity::{CLOCK_SKEW, Identity, Member, VerifyError},
    log::{Assembled, Delivery, Gap, GapReason, History, Insert, Reassembly},
    replication::{Batch, Effects, Heard, Logs, Posted, Serving, Telling},
    wire::{ChannelName, Draft, Frame, Sender, Seq, SeqRange, SyncMessage, Time, WallTime},
};

use backfill::Backfill;
use flow_control::{FlowControl, Outbound};
use retired::Retired;

pub use backfill::{Backfilled, Backlog};
pub use config::Config;
pub use counters::Counters;
pub use error::{OpenError, PostError};
pub use handover::{HandOver, Undelivered};
pub use outcome::{Repaired, Taken};

/// The protocol of one node.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    identity: Identity,
    me: Arc<Member>,
    channels: BTreeMap<ChannelName, Channel>,
    retired: Retired,
    logs: Logs,
    history: History,
    history_expires: Option<Time>,
    telling: Telling,
    flow: FlowControl,
    serving: Serving,
    /// Requests to peers on behalf of readers that started late.
    backfills: BTreeMap<ChannelName, Backfill>,
    backfills_begun: u64,
    /// More peers may connect in a moment.
    expecting: bool,
    /// Senders whose frames were too old to be taken, and when that was last reported.
    stale: BTreeMap<Sender, Time>,
    /// Whose gossip arrives.
    health: Watchdog,
    outputs: VecDeque<Output>,
    counters: Counters,
}

/// A channel name this node has used.
#[derive(Debug)]
struct Channel {
    open: bool,
    /// The number of our next record on it.
    next: Seq,
    /// When we first posted on it.
    born: Option<Time>,
    /// The channel hears what was posted since then, and at least this many numbers of each sender.
    since: Time,
    last: u64,
    /// When a peer that had it open was last lost.
    deserted: Option<Time>,
    /// The channel is closed and waits to be forgotten.
    retiring: bool,
    /// What we posted that is not acknowledged yet. It is made with the first post: most nodes only
    /// listen to most channels.
    outbound: Option<Box<Outbound>>,
    /// Reassembles our own fragments, for other channel objects of this process.
    own: Reassembly,
}

/// Work for the caller.
#[derive(Debug, Clone)]
pub enum Output {
    /// Give this frame to gossip.
    Publish(Frame),
    /// Give these values to the channel objects of that name. What this node posts comes here too,
    /// for the other objects of its process.
    Deliver(ChannelName, Delivery),
    /// Tell the channel objects of that name which numbers they will not get.
    Missed(ChannelName, Gap),
    /// The gossip of a peer does not arrive, though the links seem well. Close all connections to it
    /// and connect anew.
    Mute(Sender),
    /// Send this to a peer. If it cannot be sent, treat the link as broken and close it.
    Sync(Sender, SyncMessage),
    /// The search that [`Engine::handle_backfill`] began has an end: the history now holds what
    /// peers keep of the channel from before, as far as was asked for. What was delivered meanwhile
    /// is not part of it.
    Backfilled(ChannelName, Backfilled),
    /// The channel has room again, after [`Engine::may_post`] said that it had none.
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
    /// A peer did what an honest one never does, or does rarely.
    Misbehaved {
        /// Which.
        peer: Sender,
        /// What it did.
        offence: Offence,
    },
}

/// From when on a channel delivers what is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Since {
    /// From the moment it is opened.
    #[default]
    Now,
    /// Also what was posted in this time before, as far as anybody keeps it.
    Ago(Duration),
    /// Also this many numbers of each sender from before, as far as anybody keeps them.
    Last(u64),
}

impl Engine {
    /// A node without channels. `me` is the verified form of what `identity` shows to others.
    /// `seed` decides small random choices: whom to ask first, and when.
    pub fn new(config: Config, identity: Identity, me: Arc<Member>, seed: u64) -> Self {
        Self {
            history: History::new(config.history),
            logs: Logs::new(config.logs_limits(), Budget::new(config.memory_bytes), seed),
            flow: FlowControl::new(config.history.bytes),
            config,
            identity,
            me,
            channels: BTreeMap::new(),
            retired: Retired::default(),
            history_expires: None,
            telling: Telling::default(),
            serving: Serving::default(),
            backfills: BTreeMap::new(),
            backfills_begun: 0,
            expecting: false,
            stale: BTreeMap::new(),
            health: Watchdog::default(),
            outputs: VecDeque::new(),
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
        let (from, last) = since.at(now);
        if let Some(known) = self.channels.get_mut(channel) {
            let nothing_heard = self.logs.of(channel).next().is_none();
            if !known.open {
                (known.open, known.since, known.last) = (true, from, last);
                self.announce(channel, now);
            } else if nothing_heard && (from < known.since || last > known.last) {
                (known.since, known.last) = (from.min(known.since), last.max(known.last));
                self.announce(channel, now);
            }
            return Ok(());
        }
        let names = self.channels.len() + self.retired.counters();
        if names >= self.config.max_channels && !self.retired.contains(channel) {
            return Err(OpenError::TooManyChannels {
                limit: self.config.max_channels,
            });
        }
        let (next, born) = self.retired.take(channel).unwrap_or((Seq::FIRST, None));
        let new = Channel {
            open: true,
            next,
            born,
            since: from,
            last,
            deserted: None,
            retiring: false,
            outbound: None,
            own: Reassembly::default(),
        };
        self.channels.insert(channel.clone(), new);
        self.announce(channel, now);
        Ok(())
    }

    /// Closes a channel: its frames are no longer taken in, and what was known of its senders is
    /// forgotten. Once nothing is kept of it either, all is forgotten but its next number, and that
    /// too if nothing was posted on it.
    pub fn handle_close(&mut self, channel: &ChannelName) {
        self.debug_assert_drained();
        if let Some(known) = self.channels.get_mut(channel) {
            known.open = false;
            self.logs.close(channel);
            self.cancel_backfill(channel);
            self.logs.peers.untell(channel);
            let peers: Vec<_> = self.logs.peers.iter().collect();
            let close = |peer| Output::Sync(peer, SyncMessage::Close(vec![channel.clone()]));
            self.outputs.extend(peers.into_iter().map(close));
            self.retire(channel);
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
        let known = self
            .channels
            .get_mut(channel)
            .ok_or(PostError::NeverOpened)?;
        let since_first = known
            .born
            .map_or(Duration::ZERO, |born| now.saturating_since(born));
        let frame = Frame::build(
            &self.identity,
            channel,
            known.next,
            wall,
            since_first,
            draft,
        )?;
        known.born.get_or_insert(now);
        let seqs = frame.seqs();
        known.next = seqs.last().next();
        let mut assembled = Vec::with_capacity(1);
        known.own.push(
            &self.me,
            &frame,
            seqs,
            self.config.max_message_len,
            &mut assembled,
        );
        self.counters.posted += seqs.len();
        self.counters.frames_posted += 1;
        self.keep(frame.clone(), Duration::ZERO, now);
        self.telling
            .digest
            .changed((channel.clone(), self.me.sender()), now);
        self.sent(channel, seqs, frame.bytes().len(), now);
        self.outputs.push_back(Output::Publish(frame));
        self.outputs.extend(
            assembled
                .into_iter()
                .filter_map(|assembled| match assembled {
                    Assembled::Values(delivery) => Some(Output::Deliver(channel.clone(), delivery)),
                    // Such a value is over the limit for messages, and was refused before it came
                    // here.
                    Assembled::Missed(..) => None,
                }),
        );
        Ok(seqs)
    }

    /// Takes in a verified frame of another sender. A frame is refused as a replay if its sender is
    /// neither connected nor known, and by the wall clocks of both it was posted longer ago than
    /// anything is kept. `from` is the peer that gossip has it from. Returns what became of it.
    pub fn handle_frame(
        &mut self,
        from: Sender,
        frame: Frame,
        member: &Arc<Member>,
        now: Time,
        wall: WallTime,
    ) -> Taken {
        self.debug_assert_drained();
        self.health.handle_gossip(from, now);
        if frame.sender() == self.me.sender() || !self.is_open(frame.channel()) {
            self.counters.frames_unwanted += 1;
            return Taken::Unwanted;
        }
        if self.is_stale(&frame, wall) {
            self.counters.frames_stale += 1;
            self.decline(&frame, member, now, wall);
            return Taken::Stale;
        }
        let mut effects = Effects::default();
        let channel = frame.channel().clone();
        let heard = Heard {
            frame: frame.clone(),
            member: Arc::clone(member),
            posted: Posted {
                at: now,
                teller: None,
            },
            since: self
                .channels
                .get(frame.channel())
                .map(|channel| channel.since),
            may_pass: false,
        };
        let taken = match self.logs.hear(heard, now, &mut effects) {
            Insert::Fresh => {
                self.counters.frames_accepted += 1;
                if from != frame.sender() && frame.bytes().len() < CALLED_OFF_LEN {
                    self.suspect(frame.sender(), Sign::Detoured, now);
                }
                self.keep(frame, Duration::ZERO, now);
                Taken::New
            }
            Insert::Duplicate => {
                self.counters.frames_duplicate += 1;
                Taken::Duplicate
            }
            Insert::NoRoom => {
                self.counters.frames_without_room += 1;
                Taken::NoRoom
            }
        };
        self.take_effect(effects, now);
        self.backfill_channel(&channel, now);
        taken
    }

    /// A frame came by gossip from a peer that was known already, and that gossip kept to itself:
    /// the gossip of that peer arrives. There is nothing to do afterwards.
    pub fn handle_copy(&mut self, from: Sender, now: Time) {
        self.health.handle_gossip(from, now);
    }

    /// A peer did not pass on by gossip what [it gave](Repaired) when it was asked, though it has
    /// agreed to.
    pub fn handle_withheld(&mut self, by: Sender, age: Duration, now: Time) {
        self.debug_assert_drained();
        self.suspect(by, Sign::Withheld(age), now);
    }

    /// There is a sign that the gossip of a peer does not arrive.
    fn suspect(&mut self, peer: Sender, sign: Sign, now: Time) {
        self.health.handle_sign(peer, sign, now);
        while let Some(peer) = self.health.poll_mute() {
            self.outputs.push_back(Output::Mute(peer));
        }
    }

    /// A member connected: there is a link that delivers messages in order.
    pub fn handle_peer_up(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        self.logs.peers.add(peer, now);
        self.health.handle_up(peer, now);
        let open = self.channels.iter().filter(|(_, channel)| channel.open);
        let peers = &mut self.logs.peers;
        let opened: Vec<_> = open
            .map(|(name, channel)| {
                let opening = peers.ask(peer, name, Duration::ZERO, now);
                channel.opened(name, opening, now)
            })
            .collect();
        let messages = opened
            .chunks(SyncMessage::MAX_CHANNELS)
            .map(|chunk| SyncMessage::Open(chunk.to_vec()));
        self.outputs
            .extend(messages.map(|message| Output::Sync(peer, message)));
    }

    /// A member disconnected, or the link to it broke. What was on its way is lost.
    pub fn handle_peer_down(&mut self, peer: Sender, now: Time) {
        self.debug_assert_drained();
        self.health.handle_down(peer);
        self.deserted_by(peer, now);
        let mut effects = Effects::default();
        self.logs.handle_peer_down(peer, now, &mut effects);
        self.telling.forget(peer);
        if self.flow.forget(peer) {
            self.outputs
                .push_back(Output::Lagging { peer, lags: false });
        }
        self.serving.forget(peer);
        let listened = self.channels.iter();
        let listened = listened.filter(|(_, channel)| {
            let outbound = channel.outbound.as_ref();
            outbound.is_some_and(|outbound| outbound.listeners.contains_key(&peer))
        });
        let listened: Vec<_> = listened.map(|(name, _)| name.clone()).collect();
        listened
            .iter()
            .for_each(|name| self.unlisten(peer, name, now));
        self.take_effect(effects, now);
        self.continue_backfills(now);
    }

    /// Takes in a message of a peer. `verify` says of each of the frames in it, in order, which
    /// member sent it or why it is not believed, as [`Verifier`](crate::Verifier) does; a frame
    /// without a verdict is refused.
    ///
    /// Messages that are not about channels are ignored here. Returns what was repaired, if there
    /// is a question about it.
    pub fn handle_sync(
        &mut self,
        peer: Sender,
        message: SyncMessage,
        now: Time,
        wall: WallTime,
        verify: impl FnOnce(&[Frame]) -> Vec<Result<Arc<Member>, VerifyError>>,
    ) -> Option<Repaired> {
        self.debug_assert_drained();
        if !self.logs.peers.hear(peer, now) {
            return None;
        }
        match message {
            SyncMessage::Open(opened) => self.handle_opened(peer, &opened, now),
            SyncMessage::Close(channels) => self.handle_closed(peer, &channels, now),
            SyncMessage::Have(holdings) => self.handle_holdings(peer, &holdings, now),
            SyncMessage::Want(want) => self.handle_want(peer, want, now),
            SyncMessage::Frames(frames) => {
                return self.handle_answer(peer, frames, now, wall, verify);
            }
            SyncMessage::Members(_) | SyncMessage::Ping(_) | SyncMessage::Pong(_) => {}
        }
        None
    }

    /// The link to a peer is congested, or is not any more. Answers to what the peer opens wait
    /// here meanwhile, in little memory. May be called at any time; read [`Self::poll_timeout`]
    /// again afterwards.
    pub fn set_congested(&mut self, peer: Sender, is_congested: bool) {
        if self.logs.peers.contains(peer) {
            self.telling.announcements.set_congested(peer, is_congested);
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
        self.tell(|telling, view| telling.changed(view, now));
        self.tell(|telling, view| telling.opened(view, now));
        if self.history_expires.is_some_and(|due| due <= now) {
            self.history_expires = self.history.expire(now);
            self.retire_more();
        }
    }

    /// The next output; `None` once there is no more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        [
            self.logs.poll_timeout(),
            self.telling.poll_timeout(),
            self.flow.poll_timeout(),
            self.serving.poll_timeout(),
            self.backfills.values().filter_map(Backfill::due).min(),
            self.history_expires,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether frames of this channel are taken in.
    pub fn is_open(&self, channel: &ChannelName) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| channel.open)
    }

    /// The senders known on a channel and their highest numbers. This node is among them if it
    /// posted.
    pub fn senders(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, SenderState)> {
        let own = self
            .channels
            .get(channel)
            .and_then(|channel| channel.next.previous());
        let own = own.map(|newest| {
            (
                self.me.sender(),
                SenderState {
                    member: Arc::clone(&self.me),
                    newest,
                    next: Some(newest.next()),
                },
            )
        });
        let others = self.logs.of(channel).filter_map(|(sender, log)| {
            let newest = log.reorder.newest()?;
            let state = SenderState {
                member: log.member.clone()?,
                newest,
                next: log.reorder.next(),
            };
            Some((sender, state))
        });
        own.into_iter().chain(others)
    }

    /// How often the gossip of a peer was found not to arrive, without a steady minute since.
    pub fn times_mute(&self, peer: Sender) -> u32 {
        self.health.times(peer)
    }

    /// The counters so far.
    pub const fn counters(&self) -> Counters {
        Counters {
            frames_dropped: self.logs.shed_frames(),
            logs_refused: self.logs.refused.logs,
            claims_refused: self.logs.refused.claims,
            ..self.counters
        }
    }

    /// The budget of the node's memory. The driver charges its own queues to it too.
    pub const fn budget(&self) -> &Budget {
        &self.logs.budget
    }

    /// What is kept for others.
    pub const fn history(&self) -> &History {
        &self.history
    }

    fn take_effect(&mut self, effects: Effects, now: Time) {
        let Effects {
            batches,
            wants,
            advanced,
            acks_changed,
            route_changed,
            offences,
        } = effects;
        for (peer, offence) in offences {
            self.outputs.push_back(Output::Misbehaved { peer, offence });
        }
        batches.into_iter().for_each(|batch| self.emit(batch));
        self.counters.requests += wants.len() as u64;
        self.outputs.extend(
            wants
                .into_iter()
                .map(|(peer, want)| Output::Sync(peer, SyncMessage::Want(want))),
        );
        self.report(advanced, acks_changed, route_changed, now);
    }

    /// Gives out the values and gaps of one sender.
    fn emit(&mut self, batch: Batch) {
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
                    self.counters.delivered += delivery.seqs().len();
                    self.outputs
                        .push_back(Output::Deliver(channel.clone(), delivery));
                }
                Assembled::Missed(missed, reason) => {
                    // A sender may number as it likes, so one gap can be as long as the counter.
                    self.counters.missed = self.counters.missed.saturating_add(missed.len());
                    // The rest of a value that lost a fragment joins the gap it belongs to.
                    if gap_is_ours
                        && let Some(Output::Missed(_, gap)) = self.outputs.back_mut()
                        && (gap.reason == reason
                            || (gap.reason, reason) == (GapReason::Lost, GapReason::Incomplete))
                    {
                        gap.missed = gap.missed.hull(missed);
                        continue;
                    }
                    gap_is_ours = true;
                    self.counters.gaps += 1;
                    let gap = Gap {
                        member: Arc::clone(&member),
                        missed,
                        reason,
                    };
                    self.outputs.push_back(Output::Missed(channel.clone(), gap));
                }
            }
        }
    }

    /// Whether a frame of a sender not heard of before is older than anything that is kept.
    fn is_stale(&self, frame: &Frame, wall: WallTime) -> bool {
        let key = (frame.channel().clone(), frame.sender());
        let oldest = wall - self.config.history.age - CLOCK_SKEW;
        frame.posted_at() < oldest
            && !self.logs.has_heard(&key)
            && !self.logs.peers.contains(frame.sender())
    }

    /// Reports that a frame [is stale](Self::is_stale), unless that was just reported for its
    /// sender.
    fn decline(&mut self, frame: &Frame, member: &Arc<Member>, now: Time, wall: WallTime) {
        self.stale
            .retain(|_, said| now.saturating_since(*said) < STALE_AGAIN);
        if self.stale.len() < MAX_STALE && !self.stale.contains_key(&frame.sender()) {
            self.stale.insert(frame.sender(), now);
            self.outputs.push_back(Output::Stale {
                channel: frame.channel().clone(),
                member: Arc::clone(member),
                behind: Duration::from_millis(
                    wall.unix_millis()
                        .saturating_sub(frame.posted_at().unix_millis()),
                ),
            });
        }
    }

    fn keep(&mut self, frame: Frame, age: Duration, now: Time) {
        let key = (frame.channel().clone(), frame.sender());
        let log = self.logs.get(&key);
        if let Some(upstream) = log.and_then(|log| log.upstream) {
            self.telling.digest.came(upstream, frame.bytes().len());
        }
        let age = log.map_or(age, |log| {
            now.saturating_since(log.origin.posted(&frame, now - age))
        });
        self.history.insert(frame, age, now);
        self.history_expires
            .get_or_insert(now + self.config.history.age);
    }

    fn debug_assert_drained(&self) {
        debug_assert!(
            self.outputs.is_empty(),
            "outputs are drained before the next input"
        );
    }
}

/// How often old frames of one sender are reported, and of how many senders within that time:
/// somebody may replay old frames of many.
const STALE_AGAIN: Duration = Duration::from_secs(60);
const MAX_STALE: usize = 64;

/// What is known of a sender on a channel.
#[derive(Debug, Clone)]
pub struct SenderState {
    /// Who it is.
    pub member: Arc<Member>,
    /// The highest number known to exist.
    pub newest: Seq,
    /// The number that is delivered next, once the beginning is known.
    pub next: Option<Seq>,
}

mod backfill;
mod books;
mod config;
mod counters;
mod error;
mod flow_control;
mod handover;
mod outcome;
mod repairing;
mod retired;

#[cfg(test)]
use crate::wire::{Answer, Frames, Holding, Holdings, Opened, Want};
#[cfg(test)]
mod tests;
