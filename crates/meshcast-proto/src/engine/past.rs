//! The half of the engine that looks back: for readers in this process that did not keep up or came late.

use super::*;
use crate::history::Recall;

impl Engine {
    /// Numbers that were delivered on a channel, as far as they are kept: as they were then, in order, with
    /// what is missing named. They begin and end with a value. It stops after `room` bytes, but not before the
    /// end of a value.
    pub fn recall(&self, channel: &ChannelName, member: &Arc<Member>, seqs: SeqRange, room: usize) -> Recall {
        let limit = self.config.max_message_len;
        self.history.recall(channel, member, seqs, room, limit)
    }

    /// The senders of a channel, this node included, and the number below which all was delivered of each, or
    /// given up; what comes yet is from there on.
    pub fn delivered(&self, channel: &ChannelName) -> Vec<(Sender, Seq)> {
        let own = self.channels.get(channel).into_iter().filter_map(|own| {
            own.next.previous()?;
            Some((self.me.sender(), own.own.begun().unwrap_or(own.next)))
        });
        let others = self.flows.of(channel);
        own.chain(others.filter_map(|(sender, flow)| Some((sender, flow.given_out()?))))
            .collect()
    }

    /// Which of the numbers below `before` somebody hears who wants to hear from then on, as far as they are
    /// kept here, and of whom: from the first that is, and from the beginning of a value.
    pub fn past(
        &self,
        channel: &ChannelName,
        sender: Sender,
        before: Seq,
        since: Since,
        now: Time,
    ) -> Option<(Arc<Member>, SeqRange)> {
        let member = if sender == self.me.sender() {
            Arc::clone(&self.me)
        } else {
            self.flows.get(&(channel.clone(), sender))?.member.clone()?
        };
        let (from, last) = since.at(now);
        Some((member, self.history.past(channel, sender, before, from, last)?))
    }

    /// Somebody wants to hear of a channel that is open here from then on: what neighbours keep of it and this node
    /// does not is fetched, for [`LOOK_BACK`] at most. Then there is an [`Output::LookedBack`]; at once if nothing
    /// is to be fetched. What comes is kept like anything else, and nothing that is kept has to make way for it.
    pub fn handle_look_back(&mut self, channel: &ChannelName, since: Since, now: Time) {
        self.debug_assert_drained();
        self.flows.fix_beginnings(channel);
        let look = self.looks.entry(channel.clone()).or_insert_with(|| LookBack {
            from: None,
            last: 0,
            until: now + LOOK_BACK,
            flows: BTreeMap::new(),
        });
        let (from, last) = since.at(now);
        let from = Some(from).filter(|from| *from < now);
        look.from = look.from.into_iter().chain(from).min();
        look.last = look.last.max(last);
        for (sender, flow) in self.flows.of(channel) {
            if let Some(before) = flow.given_out() {
                let depth = look.flows.entry(sender).or_insert(Depth {
                    before,
                    reached: None,
                });
                depth.reached = None;
            }
        }
        self.look_back(now);
    }

    /// Asks for what is wanted next from before, and says where that is over.
    pub(super) fn look_back(&mut self, now: Time) {
        let mut effects = Effects::default();
        for channel in self.looks.keys().cloned().collect::<Vec<_>>() {
            let Some(mut look) = self.looks.remove(&channel) else {
                continue;
            };
            let over = look.until <= now;
            look.flows = std::mem::take(&mut look.flows)
                .into_iter()
                .filter_map(|(sender, mut depth)| {
                    let key = (channel.clone(), sender);
                    let goes_on = !over && self.look_deeper(&key, &look, &mut depth, now, &mut effects);
                    if !goes_on {
                        self.flows.look_back_no_more(&key);
                    }
                    goes_on.then_some((sender, depth))
                })
                .collect();
            if look.flows.is_empty() {
                self.outputs.push_back(Output::LookedBack(channel));
            } else {
                self.looks.insert(channel, look);
            }
        }
        self.take_effect(effects, now);
    }

    /// Asks for what lies below all that is kept of a flow, if nothing is being fetched. `false` if there is nothing
    /// to be had.
    fn look_deeper(
        &mut self,
        key: &Key,
        look: &LookBack,
        depth: &mut Depth,
        now: Time,
        effects: &mut Effects,
    ) -> bool {
        let looks = |flows: &Flows| flows.get(key).is_some_and(|flow| flow.repair.looks_back());
        while !looks(&self.flows) {
            let Some(seqs) = self.deeper(key, look, depth) else {
                return false;
            };
            self.flows.look_back(key, seqs, now, effects);
        }
        true
    }

    /// What is to be fetched next of a flow: about as much as fits an answer.
    fn deeper(&self, (channel, sender): &Key, look: &LookBack, depth: &mut Depth) -> Option<SeqRange> {
        let below = SeqRange::new(Seq::FIRST, depth.before.previous()?)?;
        let lowest = self.history.frames(channel, *sender, below).next();
        let floor = lowest.map_or(depth.before, |kept| kept.seqs.first());
        // As long as it gets lower somebody may have more.
        if depth.reached.replace(floor) == Some(floor) {
            return None;
        }
        let is_wanted = |from| lowest.is_none_or(|kept| from <= kept.posted);
        let by_time = look.from.is_some_and(is_wanted);
        let bottom = if by_time {
            Seq::FIRST
        } else {
            Seq::new(depth.before.get().saturating_sub(look.last)).unwrap_or(Seq::FIRST)
        };
        let has_room = self.history.bytes() + SyncMessage::MAX_FRAMES_LEN <= self.config.history.bytes;
        let count = lowest.map_or(GUESS, |kept| {
            let (bytes, numbers) = (kept.bytes.len() as u64, kept.seqs.len());
            (SyncMessage::MAX_FRAMES_LEN as u64).saturating_mul(numbers) / bytes.max(1)
        });
        let first = Seq::new(floor.get().saturating_sub(count.max(1))).unwrap_or(Seq::FIRST);
        SeqRange::new(first.max(bottom), floor.previous()?).filter(|_| has_room)
    }

    /// A channel was closed: nobody wants to hear of it.
    pub(super) fn end_look_back(&mut self, channel: &ChannelName) {
        if self.looks.remove(channel).is_some() {
            self.outputs.push_back(Output::LookedBack(channel.clone()));
        }
    }
}

/// What readers of this process want of a channel from before what is kept.
#[derive(Debug)]
pub(super) struct LookBack {
    /// Posted since then.
    from: Option<Time>,
    /// And so many numbers of each sender.
    last: u64,
    until: Time,
    /// Those of whom there may be more.
    flows: BTreeMap<Sender, Depth>,
}

/// How far back a flow is known.
#[derive(Debug)]
struct Depth {
    /// What readers hear from here on is delivered to them anyway.
    before: Seq,
    /// What the lowest was when something below was asked for.
    reached: Option<Seq>,
}

impl LookBack {
    pub(super) const fn until(&self) -> Time {
        self.until
    }
}

impl Since {
    /// The same, for somebody who wanted it so long ago. Of a count it stays as it is.
    pub fn wanted(self, ago: Duration) -> Self {
        match self {
            Self::Now => Self::Ago(ago),
            Self::Ago(before) => Self::Ago(before.saturating_add(ago)),
            Self::Last(last) => Self::Last(last),
        }
    }

    /// Whichever goes back further. Of a time and a count neither does: then it is this one.
    pub fn or_before(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, other) => other,
            (Self::Ago(ago), Self::Ago(longer)) => Self::Ago(ago.max(longer)),
            (Self::Last(last), Self::Last(more)) => Self::Last(last.max(more)),
            (this, _) => this,
        }
    }

    /// From when on, and how many numbers of each sender at least.
    pub(super) fn at(self, now: Time) -> (Time, u64) {
        match self {
            Self::Now => (now, 0),
            Self::Ago(ago) => (now - ago, 0),
            Self::Last(last) => (now, last),
        }
    }
}

/// For how long neighbours are asked for what was before: a reader waits for it, and whoever came before it with
/// what came after. As long as it takes to fetch a whole history, and one neighbour that does not answer.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(5);

/// How many numbers are asked for of somebody of whom nothing is kept.
const GUESS: u64 = 16;
