//! Filling the holes of one flow: whom to ask for what, and when there is no hope.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    flow_control::{Checkpoints, Progress},
    replication::{
        jitter::Jitter,
        neighbours::{Neighbours, REQUEST_TIMEOUT},
    },
    wire::{ChannelName, Holding, Sender, Seq, SeqRange, Time},
};

/// Who has what of a flow, and what was asked of whom.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    holders: BTreeMap<Sender, Holder>,
    /// The highest `next` of any holder, or of one that said so before.
    highest: Option<Seq>,
    asked: Option<Asked>,
    /// The lowest hole, since when it is the lowest, and when to ask for it first.
    hole: Option<Hole>,
    /// An answer came since the last step: what is still missing is asked for without a pause.
    answered: bool,
    /// Requests that were given up, by number, and may be answered yet: it took too long, or the
    /// link broke and another connection brings it.
    given_up: BTreeMap<u64, Sender>,
    /// What is fetched for neighbours, although this node began above it.
    relay: Option<Relay>,
    /// What neighbours want as well, and nobody else may have at the moment.
    wished: Option<Relay>,
    /// What is fetched for readers of this process, although it is from before what the node keeps.
    past: Option<SeqRange>,
}

/// What a neighbour has of a flow.
#[derive(Debug, Clone, Copy)]
struct Holder {
    oldest: Seq,
    next: Seq,
    /// Below this it never waited for anything.
    begin: Seq,
    /// Numbers it was asked for and does not have.
    lacks: Option<SeqRange>,
    /// In which [opening](super::neighbours::Wanted::opening) of the channel it said so: it has the
    /// flow then, so it needs not be told where to begin.
    opening: u64,
    /// It says that there is more than is known for sure, and nobody who says so gave it: that
    /// counts no more until it says something else.
    dismissed: bool,
    /// Requests in a row that it did not honour although it says that it has what was asked for.
    unhonoured: Option<Unhonoured>,
    /// There were so many that what it says it has counts no more, until it gives something, but
    /// for a try now and then.
    discredited: bool,
    /// What it denied last of what it says it has.
    denied: Option<Seq>,
    failures: u32,
    not_before: Time,
    hops: u8,
    listener: Progress,
}

/// Requests in a row that a neighbour did not honour.
#[derive(Debug, Clone, Copy)]
struct Unhonoured {
    first: Time,
    /// The last of them after which it said something else: so many, the first of them then.
    heard: u32,
    heard_since: Time,
}

/// A request that was not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Who was asked.
    pub(crate) peer: Sender,
    /// From now on what it says it has counts no more.
    pub(crate) is_false_claim: bool,
}

/// What an answer says of a neighbour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) asked: SeqRange,
    /// All that it has of it up to here is there.
    pub(crate) upto: Seq,
    /// What came of it.
    pub(crate) came: Option<SeqRange>,
    /// Any of it is of use.
    pub(crate) helped: bool,
    /// Something came that this node does not take for a reason of its own.
    pub(crate) declined: bool,
    /// When the neighbour last said anything.
    pub(crate) heard: Time,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    peer: Sender,
    seqs: SeqRange,
    /// The number of the request.
    request: u64,
    until: Time,
}

/// What an answer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The request for these numbers; follow with [`Repair::judge`].
    InTime(SeqRange),
    /// A request that was given up. What it brings is of use, but what it lacks says nothing of
    /// what was asked since.
    Late,
}

#[derive(Debug)]
struct Hole {
    first: Seq,
    since: Time,
    ask_at: Time,
    /// Neighbours who have gone past it, and since when that is known.
    past: BTreeMap<Sender, Time>,
    /// Neighbours who are there and have not told what they have, and since when that is known.
    silent: BTreeMap<Sender, Time>,
}

/// What to do about a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before then.
    Wait(Time),
    /// Ask this neighbour for these numbers, and say so with [`Repair::asked`].
    Ask(Sender, SeqRange),
    /// Nobody keeps these, the lowest of the hole.
    GiveUp(SeqRange),
}

/// What a step is taken by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) neighbours: &'a Neighbours,
    pub(crate) channel: &'a ChannelName,
    /// Whose flow it is.
    pub(crate) sender: Sender,
    pub(crate) limits: RepairLimits,
}

/// How long is waited; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepairLimits {
    pub(crate) hole_timeout: Duration,
    pub(crate) retention: Duration,
}

impl Repair {
    /// A neighbour told what it has.
    pub(crate) fn handle_holding(
        &mut self,
        peer: Sender,
        holding: &Holding,
        checkpoints: &Checkpoints,
        now: Time,
    ) {
        let holder = self.holders.entry(peer).or_insert_with(|| Holder {
            oldest: holding.oldest,
            next: holding.next,
            begin: holding.begin,
            lacks: None,
            opening: 0,
            dismissed: false,
            unhonoured: None,
            discredited: false,
            denied: None,
            failures: 0,
            not_before: now,
            hops: holding.hops,
            listener: Progress::new(holding.next, holding.lowest, checkpoints, now),
        });
        // It waits for what it did not have when it was asked, or has got it.
        let hopes =
            |lacks: &mut SeqRange| holding.next <= lacks.first() || holding.oldest < holder.oldest;
        holder.lacks.take_if(hopes);
        let said = (holder.oldest, holder.next, holder.begin);
        holder.dismissed &= said == (holding.oldest, holding.next, holding.begin);
        (holder.oldest, holder.next, holder.begin) = (holding.oldest, holding.next, holding.begin);
        holder.hops = holding.hops;
        self.highest = self.highest.max(Some(holding.next));
        holder
            .listener
            .told(holding.next, holding.lowest, checkpoints, now);
        self.relay_told(peer, holding.next);
    }

    /// The neighbour that is nearest to the sender, and how many links it is away from it.
    pub(crate) fn nearest(&self) -> Option<(Sender, u8)> {
        let near = self
            .holders
            .iter()
            .filter(|(_, holder)| holder.hops < MAX_HOPS);
        near.map(|(peer, holder)| (*peer, holder.hops))
            .min_by_key(|(peer, hops)| (*hops, *peer))
    }

    /// The neighbours that told what they have, as listeners.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (Sender, &Progress)> {
        self.holders
            .iter()
            .map(|(peer, holder)| (*peer, &holder.listener))
    }

    /// The number that is waited for on account of a neighbour.
    pub(crate) fn gate(&self, peer: Sender) -> Option<Seq> {
        self.holders.get(&peer)?.listener.gate()
    }

    /// Looks again who keeps up.
    pub(crate) fn check_listeners(
        &mut self,
        checkpoints: &Checkpoints,
        neighbours: &Neighbours,
        now: Time,
    ) {
        for (peer, holder) in &mut self.holders {
            holder
                .listener
                .judge(checkpoints, neighbours.heard(*peer), now);
        }
    }

    /// A neighbour that [told what it has](Self::handle_holding) knows where it is since it opened
    /// the channel for this time. When it opens it again it may not any more.
    pub(crate) fn handle_known(&mut self, peer: Sender, opening: u64) {
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.opening = opening;
        }
    }

    /// A neighbour is gone. `true` if it was being asked.
    pub(crate) fn handle_gone(&mut self, peer: Sender) -> bool {
        self.holders.remove(&peer);
        self.relay_gone(peer);
        let asked = self.asked.take_if(|asked| asked.peer == peer);
        asked.inspect(|asked| self.give_up(*asked)).is_some()
    }

    fn give_up(&mut self, asked: Asked) {
        if self.given_up.len() >= MAX_GIVEN_UP {
            self.given_up.pop_first();
        }
        self.given_up.insert(asked.request, asked.peer);
    }

    /// Whether a neighbour may answer this request yet.
    pub(crate) fn awaits(&self, peer: Sender, request: u64) -> bool {
        self.asked.is_some_and(|asked| asked.is(peer, request))
            || self.given_up.get(&request) == Some(&peer)
    }

    /// A neighbour answered. `None` if it was not [asked](Self::awaits) that.
    pub(crate) fn handle_answer(&mut self, peer: Sender, request: u64) -> Option<Answered> {
        if let Some(asked) = self.asked.take_if(|asked| asked.is(peer, request)) {
            self.answered = true;
            return Some(Answered::InTime(asked.seqs));
        }
        if self.given_up.get(&request) != Some(&peer) {
            return None;
        }
        self.given_up.remove(&request);
        Some(Answered::Late)
    }

    /// An answer that came late was of use.
    pub(crate) fn helped_late(&mut self, peer: Sender) {
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.served();
        }
    }

    /// Takes in what an answer says of a neighbour: what was asked for and did not come it does not
    /// have. `true` if from now on what it says it has counts no more.
    pub(crate) fn judge(&mut self, peer: Sender, answer: &Answer, now: Time) -> bool {
        let Answer {
            asked,
            upto,
            came,
            helped,
            declined,
            heard,
        } = *answer;
        let Some(holder) = self.holders.get_mut(&peer) else {
            return false;
        };
        let lacks = match came {
            // It came without a hole of its own below: good.
            Some(came) if came.first() <= asked.first() => None,
            Some(came) => came
                .first()
                .previous()
                .and_then(|last| SeqRange::new(asked.first(), last)),
            None => SeqRange::new(asked.first(), upto.max(asked.first())),
        };
        // It waits for them itself, perhaps because it was asked.
        let waits = holder.next <= asked.first();
        if let Some(lacks) = lacks.filter(|_| !waits) {
            // Holes are filled from below, so an earlier one apart from this is of no interest any
            // more.
            let known = holder.lacks.filter(|known| known.touches(lacks));
            holder.lacks = Some(known.map_or(lacks, |known| known.hull(lacks)));
        }
        if came.is_none() {
            // Not a failure of the link, but no reason to ask it first next time either.
            holder.not_before = now + RETRY;
            // It may have lost it, or be about to fetch it; but not again and again.
            let claimed = holder.oldest <= asked.first() && !declined;
            let again = claimed && holder.denied == Some(asked.first());
            if claimed {
                holder.denied = Some(asked.first());
            }
            return again && holder.not_honoured(now, heard, now);
        }
        if helped {
            holder.served();
        } else {
            // It has what is asked for and there is no room for it: the same would come again at
            // once.
            holder.fail(now);
        }
        false
    }

    /// Something was asked.
    pub(crate) fn asked(&mut self, peer: Sender, seqs: SeqRange, request: u64, now: Time) {
        self.asked = Some(Asked {
            peer,
            seqs,
            request,
            until: now + REQUEST_TIMEOUT,
        });
    }

    /// Who was asked and has not answered in time, if anybody.
    pub(crate) fn expire(&mut self, neighbours: &Neighbours, now: Time) -> Option<Expired> {
        let late = self.asked.take_if(|asked| asked.until <= now)?;
        let heard = neighbours.heard(late.peer);
        let holder = self.holders.get_mut(&late.peer);
        let is_false_claim = holder
            .is_some_and(|holder| holder.not_honoured(late.until - REQUEST_TIMEOUT, heard, now));
        self.give_up(late);
        Some(Expired {
            peer: late.peer,
            is_false_claim,
        })
    }

    /// The highest number that anybody but the sender says there is, of those from `first` on that
    /// it has or may fetch.
    pub(crate) fn claimed(&mut self, first: Seq, sender: Sender, now: Time) -> Option<Seq> {
        // For nearly every frame that comes: nobody knows of more.
        self.highest.filter(|highest| first < *highest)?;
        let from = SeqRange::new(first, Seq::MAX)?;
        let offers = |(peer, holder): &(&Sender, &Holder)| {
            let offers = holder.covers(from, now).is_some() || holder.can_relay(first);
            **peer != sender && !holder.dismissed && offers
        };
        let offering = self.holders.iter().filter(offers);
        let highest = offering.map(|(_, holder)| holder.next).max();
        if highest.is_none() {
            self.highest = self.holders.values().map(|holder| holder.next).max();
        }
        highest?.previous()
    }

    /// What neighbours say of numbers from `first` on counts no more, until they say something
    /// else.
    pub(crate) fn dismiss(&mut self, first: Seq, sender: Sender) {
        for (peer, holder) in &mut self.holders {
            holder.dismissed |= *peer != sender && first < holder.next;
        }
    }

    /// Whether these numbers are among what is fetched although nobody waits for them but others
    /// and readers of the past.
    pub(crate) fn wants(&self, seqs: SeqRange) -> bool {
        let relay = self.relay.as_ref().map(|relay| relay.missing);
        let mut wanted = relay.into_iter().chain(self.past);
        wanted.any(|wanted| wanted.overlap(seqs).is_some())
    }

    /// Whether a neighbour told what it has.
    pub(crate) fn holds(&self, peer: Sender) -> bool {
        self.holders.contains_key(&peer)
    }

    /// Whether a neighbour told what it has, and nobody else says that there is more: otherwise it
    /// may get that by way of this node alone.
    pub(crate) fn knows_no_less(&self, peer: Sender) -> bool {
        let highest = self.holders.values().map(|holder| holder.next).max();
        self.holders
            .get(&peer)
            .is_some_and(|holder| Some(holder.next) >= highest)
    }

    /// Whether a neighbour told what it has since it opened the channel for this time.
    pub(crate) fn knows(&self, peer: Sender, opening: u64) -> bool {
        let holder = self.holders.get(&peer);
        holder.is_some_and(|holder| holder.opening == opening)
    }

    /// Who is being asked.
    pub(crate) fn asking(&self) -> Option<Sender> {
        self.asked.map(|asked| asked.peer)
    }

    /// Until when the answer is waited for.
    pub(crate) fn asked_until(&self) -> Option<Time> {
        self.asked.map(|asked| asked.until)
    }

    /// There is no hole.
    pub(crate) fn whole(&mut self) {
        self.hole = None;
    }

    /// What to do about the lowest hole. `known` is since when it is known, if that was before it
    /// became the lowest; then other paths have had their time, and so has the wait for somebody
    /// who keeps it.
    pub(crate) fn step(
        &mut self,
        hole: SeqRange,
        known: Option<Time>,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
    ) -> Step {
        let answered = std::mem::take(&mut self.answered);
        let mut current = match self.hole.take() {
            Some(current) if current.first == hole.first() => current,
            before => {
                let since = known.unwrap_or(now);
                let pause = if answered {
                    Duration::ZERO
                } else {
                    PATHS_RACE + jitter.upto(PATHS_RACE)
                };
                let (mut past, silent) = before
                    .filter(|_| known.is_some())
                    .map_or_else(Default::default, |before| (before.past, before.silent));
                for (peer, holder) in &self.holders {
                    if holder.next > hole.first() {
                        past.entry(*peer).or_insert(now);
                    }
                }
                Hole {
                    first: hole.first(),
                    since,
                    ask_at: since + pause,
                    past,
                    silent,
                }
            }
        };
        if current.since + around.limits.retention <= now {
            // For as long as anything is kept: no more tries for those who did not give it.
            let unhonoured =
                |holder: &&mut Holder| holder.unhonoured.is_some() && !holder.discredited;
            let holders = self.holders.values_mut().filter(unhonoured);
            holders.for_each(|holder| holder.discredit(now));
        }
        let step = self.step_on(&mut current, hole, around, jitter, now);
        self.hole = Some(current);
        step
    }

    /// Whether nobody who is there has the lowest hole, so that it can only be waited for.
    pub(crate) fn only_waits(&self, lowest: SeqRange, now: Time) -> bool {
        let raced = self.hole.as_ref().is_some_and(|hole| hole.ask_at <= now);
        let mut holders = self.holders.values();
        self.asked.is_none() && raced && !holders.any(|holder| holder.covers(lowest, now).is_some())
    }

    /// Whom to ask for the hole above one that [can only be waited for](Self::only_waits): what is
    /// kept of it may be pushed out until the lowest is given up.
    pub(crate) fn ask_ahead(
        &self,
        (hole, known): (SeqRange, Time),
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
    ) -> Option<(Sender, SeqRange)> {
        if now < known + 2 * PATHS_RACE {
            return None;
        }
        self.best(hole, around.neighbours, now, jitter)?.ok()
    }

    fn step_on(
        &self,
        current: &mut Hole,
        hole: SeqRange,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
    ) -> Step {
        if let Some(asked) = self.asked {
            return Step::Wait(asked.until);
        }
        if now < current.ask_at {
            return Step::Wait(current.ask_at);
        }
        match self.best(hole, around.neighbours, now, jitter) {
            Some(Ok((peer, seqs))) => return Step::Ask(peer, seqs),
            Some(Err(later)) => return Step::Wait(later),
            None => {}
        }
        let uncovered = self.uncovered_part(hole, now);
        if let Some((peer, seqs)) = self.relay_for(uncovered, around, now) {
            return Step::Ask(peer, seqs);
        }
        let at_last = current.since + around.limits.retention;
        let (lost, gives_up) = match self.hopeless_part(uncovered, current, around, now) {
            // Whatever neighbours say in turn.
            Some((lost, gives_up)) => (lost, gives_up.min(at_last)),
            None => (uncovered, at_last),
        };
        if gives_up <= now {
            Step::GiveUp(lost)
        } else {
            Step::Wait(gives_up.min(now + LOOK_AGAIN))
        }
    }

    /// Whom to ask for what, or when there will be somebody.
    fn best(
        &self,
        hole: SeqRange,
        neighbours: &Neighbours,
        now: Time,
        jitter: &mut Jitter,
    ) -> Option<Result<(Sender, SeqRange), Time>> {
        let covering: Vec<(Sender, Holder, SeqRange)> = self
            .holders
            .iter()
            .filter_map(|(peer, holder)| Some((*peer, *holder, holder.covers(hole, now)?)))
            .collect();
        // The lowest first, since nothing above is released before.
        let lowest = covering.iter().map(|(.., seqs)| seqs.first()).min()?;
        let ready = covering
            .iter()
            .filter(|(_, holder, _)| holder.not_before <= now);
        // Whoever has enough to do is asked when nobody else can be.
        let demerits = |(peer, holder, seqs): &(Sender, Holder, SeqRange)| {
            (
                seqs.first() != lowest,
                !neighbours.may_ask(*peer),
                holder.failures,
            )
        };
        let Some(best) = ready.clone().map(demerits).min() else {
            return covering
                .iter()
                .map(|(_, holder, _)| Err(holder.not_before))
                .reduce(|a, b| match (&a, &b) {
                    (Err(x), Err(y)) if y < x => b,
                    _ => a,
                });
        };
        let equals: Vec<_> = ready.filter(|holder| demerits(holder) == best).collect();
        let (peer, _, seqs) = equals.get(jitter.index(equals.len()))?;
        Some(Ok((*peer, *seqs)))
    }
}

impl Asked {
    fn is(&self, peer: Sender, request: u64) -> bool {
        (self.peer, self.request) == (peer, request)
    }
}

impl Holder {
    fn fail(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + RETRY * 2u32.saturating_pow(self.failures.min(6));
    }

    /// It did not give what it says it has, when `asked` for it then. `true` if that was once too
    /// often; `heard` is when it last said anything, so that a link that is cut is told from one
    /// that does not want.
    fn not_honoured(&mut self, asked: Time, heard: Time, now: Time) -> bool {
        let unhonoured = self.unhonoured.get_or_insert(Unhonoured {
            first: asked,
            heard: 0,
            heard_since: asked,
        });
        if asked <= heard {
            unhonoured.heard = unhonoured.heard.saturating_add(1);
        } else {
            (unhonoured.heard, unhonoured.heard_since) = (0, now);
        }
        let will_not =
            unhonoured.heard >= CLAIM_TRIES && unhonoured.heard_since + CLAIM_TIMEOUT <= now;
        let is_too_often = will_not || unhonoured.first + SILENT_CLAIM_TIMEOUT <= now;
        let is_news = is_too_often && !self.discredited;
        self.fail(now);
        if is_too_often || self.discredited {
            self.discredit(now);
        }
        is_news
    }

    fn discredit(&mut self, now: Time) {
        self.discredited = true;
        self.not_before = now + CLAIM_RETRY;
    }

    /// It gave what was asked of it.
    const fn served(&mut self) {
        self.failures = 0;
        self.unhonoured = None;
        self.denied = None;
        self.discredited = false;
    }

    /// The lowest part of a hole that it has, as far as what it says counts.
    fn covers(&self, hole: SeqRange, now: Time) -> Option<SeqRange> {
        if self.discredited && now < self.not_before {
            return None;
        }
        let mut first = hole.first().max(self.oldest);
        let last = hole.last().min(self.next.previous()?);
        if let Some(lacks) = self.lacks
            && lacks.contains(first)
        {
            first = lacks.last().next();
        }
        SeqRange::new(first, last)
    }
}

/// Who is further away from a sender knows no way to it: two that have lost theirs would tell each
/// other of longer and longer ones.
const MAX_HOPS: u8 = 16;

/// How long a hole is left alone: copies that take another path may be a little behind.
const PATHS_RACE: Duration = Duration::from_millis(40);

/// How soon it is looked again whether there is hope: neighbours come and go.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Requests of which it is remembered that they may be answered yet, at 40 bytes.
const MAX_GIVEN_UP: usize = 16;

/// How soon the same neighbour is asked again after it did not help; doubled with each failure.
const RETRY: Duration = Duration::from_millis(250);

/// What a neighbour says it has counts no more when it did not give it so often in a row, over so
/// long, and said other things each time. The first of two ways to be wrong is to give up what it
/// has: a link that brings what it says and not what it is asked may last a minute, so it is asked
/// six times with growing pauses, an answer that comes late counts as one, and a time of silence
/// begins the count anew. The other is to wait for what never comes.
const CLAIM_TRIES: u32 = 6;
const CLAIM_TIMEOUT: Duration = Duration::from_secs(90);

/// Whatever it says meanwhile: a link that is silent is given up long before.
const SILENT_CLAIM_TIMEOUT: Duration = Duration::from_secs(180);

/// How soon it is tried again.
const CLAIM_RETRY: Duration = Duration::from_secs(120);

mod back;
mod hope;
mod relay;

use relay::Relay;

#[cfg(test)]
mod tests;
