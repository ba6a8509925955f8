//! The claims of peers to have something of a log, how far they are believed, and who of them keeps
//! up.

use std::time::Duration;

use super::{
    Context, Step,
    few::Few,
    requests::{HEDGE, Requests},
};
use crate::{
    flow_control::{Checkpoints, Progress},
    replication::{jitter::Jitter, route::Route},
    wire::{Holding, Sender, Seq, SeqRange, Time},
};

/// The peers that told what they have of a log.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    peers: Few<Holder>,
    /// The highest `next` of any of them, or of one that said so before.
    highest: Option<Seq>,
}

/// What a peer has of a log. There may be thousands of each peer: what few need is by itself.
#[derive(Debug)]
struct Holder {
    oldest: Seq,
    next: Seq,
    /// Below this it never waited for anything.
    begin: Seq,
    /// In which [opening](crate::replication::Wanted::opening) of the channel it said so: it has
    /// the log then, so it needs not be told where to begin.
    opening: u64,
    /// It says that there is more than is known for sure, and nobody who says so gave it: that
    /// counts no more until it says something else.
    dismissed: bool,
    /// Requests that it did not fulfil.
    trouble: Option<Box<Trouble>>,
    /// It did not honour so many requests that its claim counts no more, until it gives something,
    /// but for a try now and then.
    discredited: bool,
    failures: u8,
    not_before: Time,
    hops: u8,
    /// This node is the next on its way to the sender.
    is_behind: bool,
    listener: Progress,
}

/// The requests that a peer did not fulfil. Few peers have any.
#[derive(Debug, Default)]
struct Trouble {
    /// Numbers it was asked for and does not have.
    lacks: Option<SeqRange>,
    /// Requests in a row that it did not honour although it says that it has what was asked for.
    unhonoured: Option<Unhonoured>,
    /// The number that it denied last of those it claims to have.
    denied: Option<Seq>,
}

/// Requests in a row that a peer did not honour.
#[derive(Debug, Clone, Copy)]
struct Unhonoured {
    first: Time,
    /// The last of them after which it said something else: so many, the first of them then.
    heard: u32,
    heard_since: Time,
}

/// What an answer in time says of a peer.
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
    /// When the peer last said anything.
    pub(crate) heard: Time,
}

/// A peer's claim to have something of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) peer: Sender,
    pub(crate) holding: &'a Holding,
    /// For which time it has the channel [open](crate::replication::Wanted::opening). It knows
    /// where it is then; when it opens the channel again it may not any more.
    pub(crate) opening: u64,
}

impl Holders {
    /// A peer says what it has.
    pub(super) fn handle_claim(&mut self, claim: &Claim<'_>, checkpoints: &Checkpoints, now: Time) {
        let Claim {
            peer,
            holding,
            opening,
        } = *claim;
        let holder = self.peers.get_or_insert_with(peer, || Holder {
            oldest: holding.oldest,
            next: holding.next,
            begin: holding.begin,
            opening,
            dismissed: false,
            trouble: None,
            discredited: false,
            failures: 0,
            not_before: now,
            hops: holding.hops,
            is_behind: false,
            listener: Progress::new(holding.next, holding.lowest, checkpoints, now),
        });
        // It waits for what it did not have when it was asked, or has got it.
        let keeps_more = holding.oldest < holder.oldest;
        let may_have_it = |lacks: &mut SeqRange| holding.next <= lacks.first() || keeps_more;
        holder.ease(|trouble| {
            trouble.lacks.take_if(may_have_it);
        });
        let before = (holder.oldest, holder.next, holder.begin);
        holder.dismissed &= before == (holding.oldest, holding.next, holding.begin);
        (holder.oldest, holder.next, holder.begin) = (holding.oldest, holding.next, holding.begin);
        (holder.opening, holder.hops) = (opening, holding.hops);
        holder.is_behind = holding.lowest.is_some();
        self.highest = self.highest.max(Some(holding.next));
        holder
            .listener
            .advanced(holding.next, holding.lowest, checkpoints, now);
    }

    pub(super) fn remove(&mut self, peer: Sender) {
        self.peers.remove(&peer);
    }

    /// Whether nobody told what it has.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether a peer told what it has.
    pub(crate) fn contains(&self, peer: Sender) -> bool {
        self.peers.contains(&peer)
    }

    /// Whether a peer told what it has, and nobody else says that there is more: otherwise it may
    /// get that by way of this node alone.
    pub(crate) fn knows_no_less(&self, peer: Sender) -> bool {
        let highest = self.peers.values().map(|holder| holder.next).max();
        self.peers
            .get(&peer)
            .is_some_and(|holder| Some(holder.next) >= highest)
    }

    /// Whether a peer told what it has since it opened the channel for this time.
    pub(crate) fn knows(&self, peer: Sender, opening: u64) -> bool {
        let holder = self.peers.get(&peer);
        holder.is_some_and(|holder| holder.opening == opening)
    }

    /// The peer that is nearest to the sender, and how many links it is away from it: one that
    /// `listens`, if there is any. Of those that are equally near it is the first in that order.
    pub(crate) fn nearest<T: Ord>(
        &self,
        order: impl Fn(Sender) -> T,
        listens: impl Fn(Sender) -> bool,
    ) -> Option<(Sender, u8)> {
        let near = self
            .peers
            .iter()
            .filter(|(_, holder)| holder.hops < MAX_HOPS);
        near.map(|(peer, holder)| (*peer, holder.hops))
            .min_by_key(|(peer, hops)| (!listens(*peer), *hops, order(*peer)))
    }

    /// The route by which a peer gets a frame that ends with this number; `None` if it has not
    /// told.
    pub(crate) fn route(&self, peer: Sender, last: Seq) -> Option<Route> {
        let holder = self.peers.get(&peer)?;
        // It has that one.
        let route = if last < holder.next {
            Route::ViaOther
        } else {
            holder.route()
        };
        Some(route)
    }

    /// How the peers come by frames that told.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (Sender, Route)> {
        self.peers
            .iter()
            .map(|(peer, holder)| (*peer, holder.route()))
    }

    /// The peers that told what they have, as listeners.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (Sender, &Progress)> {
        self.peers
            .iter()
            .map(|(peer, holder)| (*peer, &holder.listener))
    }

    /// How far a peer is, by its own word.
    pub(crate) fn listener(&self, peer: Sender) -> Option<&Progress> {
        self.peers.get(&peer).map(|holder| &holder.listener)
    }

    /// The number that is waited for on account of a peer.
    pub(crate) fn gate(&self, peer: Sender) -> Option<Seq> {
        self.peers.get(&peer)?.listener.gate()
    }

    /// The same, to check again who of them keeps up.
    pub(super) fn listeners_mut(&mut self) -> impl Iterator<Item = (Sender, &mut Progress)> {
        let peers = self.peers.iter_mut();
        peers.map(|(peer, holder)| (*peer, &mut holder.listener))
    }

    /// The highest number that anybody but the sender says there is, of those from `first` on that
    /// it has or may fetch.
    pub(super) fn claimed(&mut self, first: Seq, sender: Sender, now: Time) -> Option<Seq> {
        // For nearly every frame that comes: nobody knows of more.
        self.highest.filter(|highest| first < *highest)?;
        let from = SeqRange::new(first, Seq::MAX)?;
        let offers = |(peer, holder): &(&Sender, &Holder)| {
            let offers = holder.covers(from, now).is_some() || holder.can_relay(first);
            **peer != sender && !holder.dismissed && offers
        };
        let offering = self.peers.iter().filter(offers);
        let highest = offering.map(|(_, holder)| holder.next).max();
        if highest.is_none() {
            self.highest = self.peers.values().map(|holder| holder.next).max();
        }
        highest?.previous()
    }

    /// Reports of peers other than the sender on numbers from `first` on count no more, until they
    /// say something else.
    pub(super) fn dismiss(&mut self, first: Seq, sender: Sender) {
        for (peer, holder) in self.peers.iter_mut() {
            holder.dismissed |= *peer != sender && first < holder.next;
        }
    }

    /// The lowest of these numbers that a peer says it has.
    pub(crate) fn lowest_covered(&self, seqs: SeqRange, now: Time) -> Option<Seq> {
        let holders = self.peers.values();
        let covering = holders.filter_map(|holder| holder.covers(seqs, now));
        covering.map(|seqs| seqs.first()).min()
    }

    /// The lowest of these numbers that nobody covers, up to the first that somebody does.
    pub(super) fn uncovered_part(&self, seqs: SeqRange, now: Time) -> SeqRange {
        let covered = self.lowest_covered(seqs, now);
        let last = covered.and_then(Seq::previous);
        let last = last.unwrap_or_else(|| seqs.last());
        SeqRange::new(seqs.first(), last).unwrap_or(seqs)
    }

    /// The peer to ask, and for which of these numbers, or when there will be one; `None` if nobody
    /// else claims to have any.
    ///
    /// While somebody is, only the lowest numbers are asked for. Beside a request that is slow it
    /// is the first alone, of a peer that answers soon and has room: if the slow one answers after
    /// all, one frame comes twice.
    pub(super) fn best(
        &self,
        wanted: SeqRange,
        around: &Context<'_>,
        requests: &Requests,
        jitter: &mut Jitter,
    ) -> Option<Step> {
        let (peers, now) = (around.peers, around.now);
        let covering = self.peers.iter().filter_map(|(peer, holder)| {
            let seqs = holder.covers(wanted, now)?;
            Some((*peer, holder, seqs))
        });
        let covering: Vec<(Sender, &Holder, SeqRange)> = covering.collect();
        // The lowest first, since nothing above is released before.
        let lowest = covering.iter().map(|(.., seqs)| seqs.first()).min()?;
        let (is_beside, hedges) = (requests.until().is_some(), requests.slow(now).is_some());
        let others = covering.iter().filter(|(peer, ..)| !requests.asks(*peer));
        let ready = others.clone().filter(|(peer, holder, seqs)| {
            holder.not_before <= now
                && (!is_beside || seqs.first() == lowest)
                && (!hedges || peers.may_hedge(*peer, now))
        });
        // A peer that was late or did not help, or has enough to do, is asked when nobody else can
        // be. Of the first, one that is slow counts no less than one that gave nothing.
        let demerits = |(peer, holder, seqs): &(Sender, &Holder, SeqRange)| {
            (
                seqs.first() != lowest,
                peers.is_late(*peer, now) || holder.failures > 0,
                !peers.may_ask(*peer, around.is_proven),
                holder.failures,
            )
        };
        let Some(least) = ready.clone().map(demerits).min() else {
            let later = others.map(|(_, holder, _)| holder.not_before).min()?;
            let again = if is_beside { now + HEDGE } else { later };
            return Some(Step::Wait(later.max(again)));
        };
        let equals: Vec<_> = ready.filter(|it| demerits(it) == least).collect();
        let (peer, _, seqs) = equals.get(jitter.index(equals.len()))?;
        let seqs = if hedges {
            SeqRange::new(lowest, lowest)?
        } else {
            *seqs
        };
        Some(Step::Ask(*peer, seqs))
    }

    /// A peer to fetch these numbers, which it does not have itself because it began above them.
    pub(super) fn relay_for(
        &self,
        uncovered: SeqRange,
        around: &Context<'_>,
        now: Time,
    ) -> Option<(Sender, SeqRange)> {
        if self.contains(around.sender) {
            return None;
        }
        let ready = self.peers.iter().filter_map(|(peer, holder)| {
            let ready = holder.not_before <= now && around.peers.contains(*peer);
            let last = uncovered.last().min(holder.begin.previous()?);
            let seqs = SeqRange::new(uncovered.first(), last)?;
            (ready && holder.can_relay(seqs.first())).then_some((*peer, seqs))
        });
        ready.min_by_key(|(peer, _)| around.peers.is_late(*peer, now))
    }

    /// Whether any peer of which `counts` may come to have the first of these numbers.
    pub(super) fn may_get(&self, seqs: SeqRange, counts: impl Fn(&Sender) -> bool) -> bool {
        let first = seqs.first();
        self.peers.iter().any(|(peer, holder)| {
            let covers = !holder.discredited && holder.covers(seqs, Time::ZERO).is_some();
            let may_have = holder.next <= first || holder.can_relay(first) || covers;
            may_have && counts(peer)
        })
    }

    /// The peers that have gone past a number.
    pub(super) fn past(&self, seq: Seq) -> impl Iterator<Item = Sender> {
        let past = self.peers.iter().filter(move |(_, it)| it.next > seq);
        past.map(|(peer, _)| *peer)
    }

    /// Where a peer is that has gone past a number, and whether it waited for it itself.
    pub(super) fn gone_past(&self, peer: Sender, seq: Seq) -> Option<(Seq, bool)> {
        let holder = self.peers.get(&peer).filter(|holder| holder.next > seq)?;
        Some((holder.next, holder.begin <= seq))
    }

    /// Takes in what an answer says of a peer: what was asked for and did not come it does not
    /// have. `true` if from now on what it says it has counts no more.
    pub(super) fn judge(&mut self, peer: Sender, answer: &Answer, now: Time) -> bool {
        let Answer {
            asked,
            upto,
            came,
            helped,
            declined,
            heard,
        } = *answer;
        let Some(holder) = self.peers.get_mut(&peer) else {
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
            let known = holder.lacks().filter(|known| known.touches(lacks));
            let lacks = known.map_or(lacks, |known| known.hull(lacks));
            holder.trouble.get_or_insert_default().lacks = Some(lacks);
        }
        if came.is_none() {
            // Not a failure of the link, but no reason to ask it first next time either.
            holder.not_before = now + RETRY;
            // It may have lost it, or be about to fetch it; but not again and again.
            let claimed = holder.oldest <= asked.first() && !declined;
            let denied = claimed.then(|| {
                let trouble = holder.trouble.get_or_insert_default();
                trouble.denied.replace(asked.first())
            });
            let again = denied == Some(Some(asked.first()));
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

    /// An answer that came late was of use.
    pub(super) fn helped_late(&mut self, peer: Sender) {
        if let Some(holder) = self.peers.get_mut(&peer) {
            holder.served();
        }
    }

    /// A peer has not answered in time what it was asked then. `true` if from now on what it says
    /// it has counts no more.
    pub(super) fn not_answered(
        &mut self,
        peer: Sender,
        asked: Time,
        heard: Time,
        now: Time,
    ) -> bool {
        let holder = self.peers.get_mut(&peer);
        holder.is_some_and(|holder| holder.not_honoured(asked, heard, now))
    }

    /// No more tries for those who did not give what they were asked for.
    pub(super) fn discredit_unhonoured(&mut self, now: Time) {
        let unhonoured = |holder: &&mut Holder| {
            let trouble = holder.trouble.as_ref();
            trouble.is_some_and(|it| it.unhonoured.is_some()) && !holder.discredited
        };
        let holders = self.peers.values_mut().filter(unhonoured);
        holders.for_each(|holder| holder.discredit(now));
    }
}

impl Holder {
    const fn route(&self) -> Route {
        match self.hops {
            0 | 1 => Route::Direct,
            _ if self.is_behind => Route::ViaUs,
            2..MAX_HOPS => Route::ViaOther,
            _ => Route::None,
        }
    }

    fn fail(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + RETRY * 2u32.saturating_pow(u32::from(self.failures.min(6)));
    }

    /// It did not give what it says it has, when `asked` for it then. `true` if that was once too
    /// often; `heard` is when it last said anything, so that a link that is cut is told from one
    /// that does not want.
    fn not_honoured(&mut self, asked: Time, heard: Time, now: Time) -> bool {
        let trouble = self.trouble.get_or_insert_default();
        let unhonoured = trouble.unhonoured.get_or_insert(Unhonoured {
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
    fn served(&mut self) {
        self.failures = 0;
        self.discredited = false;
        self.ease(|trouble| (trouble.unhonoured, trouble.denied) = (None, None));
    }

    /// Takes back some of what it did not give.
    fn ease(&mut self, ease: impl FnOnce(&mut Trouble)) {
        if let Some(trouble) = &mut self.trouble {
            ease(trouble);
            if let Trouble {
                lacks: None,
                unhonoured: None,
                denied: None,
            } = **trouble
            {
                self.trouble = None;
            }
        }
    }

    /// The numbers it was asked for and does not have.
    fn lacks(&self) -> Option<SeqRange> {
        self.trouble.as_ref()?.lacks
    }

    /// The lowest part of these numbers that it has, as far as what it says counts.
    fn covers(&self, seqs: SeqRange, now: Time) -> Option<SeqRange> {
        if self.discredited && now < self.not_before {
            return None;
        }
        let mut first = seqs.first().max(self.oldest);
        let last = seqs.last().min(self.next.previous()?);
        if let Some(lacks) = self.lacks()
            && lacks.contains(first)
        {
            first = lacks.last().next();
        }
        SeqRange::new(first, last)
    }

    /// Whether it never waited for this number and has not said that it cannot get it.
    fn can_relay(&self, first: Seq) -> bool {
        let may = !self.discredited && self.next > first && self.begin > first;
        may && self.lacks().is_none_or(|lacks| !lacks.contains(first))
    }
}

/// A peer further away from a sender knows no way to it: two that have lost theirs would tell each
/// other of longer and longer ones.
const MAX_HOPS: u8 = 16;

/// The delay before the same peer is asked again after it did not help; doubled with each failure.
pub(super) const RETRY: Duration = Duration::from_millis(250);

/// A claim counts no more when the peer did not honour it so often in a row, over so long, and said
/// other things each time. The first of two ways to be wrong is to give up what it has: a link that
/// brings what it says and not what it is asked may last a minute, so it is asked six times with
/// growing pauses, an answer that comes late counts as one, and a time of silence begins the count
/// anew. The other is to wait for what never comes.
pub(super) const CLAIM_TRIES: u32 = 6;
const CLAIM_TIMEOUT: Duration = Duration::from_secs(90);

/// Its messages meanwhile do not matter: a link that is silent is given up long before.
const SILENT_CLAIM_TIMEOUT: Duration = Duration::from_secs(180);

/// How soon it is tried again.
const CLAIM_RETRY: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_silence_begins_the_count_of_what_was_not_honoured_anew() {
        let at = |secs| Time::from_start(Duration::from_secs(secs));
        let mut holder = Holder {
            oldest: Seq::FIRST,
            next: Seq::FIRST.next(),
            begin: Seq::FIRST,
            opening: 0,
            dismissed: false,
            trouble: None,
            discredited: false,
            failures: 0,
            not_before: Time::ZERO,
            hops: 1,
            is_behind: false,
            listener: Progress::new(Seq::FIRST, None, &Checkpoints::default(), Time::ZERO),
        };
        let mut is_too_often = |secs: u64, is_silent: bool| {
            let heard = if is_silent { 0 } else { secs + 1 };
            holder.not_honoured(at(secs), at(heard), at(secs + 3))
        };
        let tries = |from: u64, to: u64| (from..to).step_by(10);
        assert!(!tries(10, 70).any(|secs| is_too_often(secs, false)));
        assert!(!is_too_often(70, true));
        assert!(!tries(80, 160).any(|secs| is_too_often(secs, false)));
        assert!(is_too_often(160, false));
    }
}
