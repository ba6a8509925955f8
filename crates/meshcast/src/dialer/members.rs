//! Members: those that were met here, and those that others only tell of.
//!
//! Reports of others may be wrong, or lies. So they cause only a share of the dials under way, each
//! dial is charged to a member that reported the address, and no reporter takes the room or the
//! dials of another.

mod member;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{Rate, Time};
use rand::{SeedableRng, rngs::StdRng};

use self::member::{Member, Teller, untell};
use super::{
    Dial, FORGET_MEMBER,
    target::{State, Target},
};

/// All members that are remembered.
#[derive(Debug)]
pub(super) struct Members {
    /// For the waits of those that were met, and of the others: what is told of these changes
    /// nothing for those.
    rngs: [StdRng; 2],
    members: BTreeMap<PeerId, Member>,
    tellers: BTreeMap<PeerId, Teller>,
    /// Dials under way, each with who is charged for it; nobody for a member that was met.
    dials: BTreeMap<PeerId, Option<PeerId>>,
}

/// What is told of a member, by itself or by another.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    /// When it is dialled first, if this is news.
    pub(super) first_dial: Time,
    pub(super) is_connected: bool,
}

impl Members {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rngs: [1, 2].map(|n| StdRng::seed_from_u64(seed.wrapping_add(n))),
            members: BTreeMap::new(),
            tellers: BTreeMap::new(),
            dials: BTreeMap::new(),
        }
    }

    pub(super) fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.members.values_mut().map(|member| &mut member.target)
    }

    /// Whether a member is being dialled for the first time.
    pub(super) fn expects_somebody(&self) -> bool {
        let target = |peer| Some(&self.members.get(peer)?.target);
        let mut dialled = self.dials.keys().filter_map(target);
        dialled.any(|target| target.state == State::Dialling && target.retry.failures == 0)
    }

    /// A connected member tells of itself. Earlier knowledge is forgotten.
    pub(super) fn handle_own(&mut self, told: Report, now: Time) {
        let Report {
            peer,
            mut addresses,
            first_dial,
            is_connected,
        } = told;
        addresses.truncate(MAX_ADDRESSES);
        if let Some(known) = self.members.get_mut(&peer) {
            (known.seen, known.met) = (now, true);
            if known.told != addresses {
                untell(&mut self.tellers, &known.heard);
                (known.told, known.heard) = (addresses, Vec::new());
                // The results of earlier dials are about other addresses.
                if known.target.state == State::Waiting {
                    known.target = Target::new(first_dial);
                }
            }
            return;
        }
        if self.members.len() < MAX_MEMBERS || self.make_room(0) {
            let mut member = Member::new(first_dial, now);
            (member.told, member.met) = (addresses, true);
            if is_connected {
                member.target.state = State::Reaches(peer);
            }
            self.members.insert(peer, member);
        }
    }

    /// A member tells of another.
    pub(super) fn handle_reported(&mut self, teller: PeerId, told: Report, now: Time) {
        let Report {
            peer,
            addresses,
            first_dial,
            is_connected,
        } = told;
        let told_of = self.tellers.get(&teller).map_or(0, |teller| teller.members);
        if let Some(known) = self.members.get_mut(&peer) {
            if !known.met {
                known.seen = now;
            }
            let before = known.tells(&teller);
            if !before && told_of >= MAX_TOLD {
                return;
            }
            let alone = known.heard.iter().all(|(other, _)| *other == teller);
            if !known.hear(teller, addresses, &mut self.tellers) {
                return;
            }
            // Its earlier reporter is charged for it too, and others cannot cut its waits short.
            if !known.met && alone && known.target.state == State::Waiting {
                known.target = Target::new(first_dial);
            }
            return;
        }
        let room = self.members.len() < MAX_MEMBERS || self.make_room(told_of + 1);
        if told_of >= MAX_TOLD || !room {
            return;
        }
        let mut member = Member::new(first_dial, now);
        if is_connected {
            (member.met, member.target.state) = (true, State::Reaches(peer));
        }
        member.hear(teller, addresses, &mut self.tellers);
        self.members.insert(peer, member);
    }

    /// Forgets a member that was only told of by whoever told of most, and of more than `most`.
    /// `false` if there is none.
    fn make_room(&mut self, most: usize) -> bool {
        let heaviest = self.tellers.iter().max_by_key(|(_, teller)| teller.members);
        let Some((&heaviest, _)) = heaviest.filter(|(_, teller)| teller.members > most) else {
            return false;
        };
        let theirs = |(peer, member): &(&PeerId, &Member)| {
            !member.met && !self.dials.contains_key(peer) && member.tells(&heaviest)
        };
        let oldest = self
            .members
            .iter()
            .filter(theirs)
            .min_by_key(|(_, it)| it.seen);
        let Some(oldest) = oldest.map(|(peer, _)| *peer) else {
            return false;
        };
        self.remove(&oldest);
        true
    }

    fn remove(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.remove(peer) {
            untell(&mut self.tellers, &member.heard);
        }
    }

    /// Forgets those that were not connected for long.
    pub(super) fn forget(&mut self, connected: impl Fn(&PeerId) -> bool, now: Time) {
        let old = |(peer, member): &(&PeerId, &Member)| {
            !connected(peer) && now.saturating_since(member.seen) >= FORGET_MEMBER
        };
        let old: Vec<_> = self
            .members
            .iter()
            .filter(old)
            .map(|(peer, _)| *peer)
            .collect();
        old.iter().for_each(|peer| self.remove(peer));
        self.tellers.retain(|_, teller| teller.is_needed(now));
    }

    /// Dials those of the wanted that are due, as far as there is room for more dials.
    pub(super) fn dial(
        &mut self,
        wanted: impl Fn(&PeerId) -> bool,
        now: Time,
        outputs: &mut VecDeque<Dial>,
    ) {
        let is_due = |(peer, member): &(&PeerId, &Member)| {
            member.target.is_due(now) && wanted(peer) && !self.dials.contains_key(peer)
        };
        let due = self.members.iter().filter(is_due);
        let (met, mut heard): (Vec<_>, Vec<_>) = due
            .map(|(peer, member)| (member.target.retry.due, *peer, member.met))
            .partition(|(.., met)| *met);
        let mut dials: Vec<_> = met
            .into_iter()
            .map(|(due, peer, _)| (due, peer, None))
            .collect();
        dials.sort();
        dials.truncate(MET_DIALS.saturating_sub(self.met_dials()));
        for (_, peer, charged) in dials {
            self.start(peer, charged, outputs);
        }
        heard.sort();
        while self.heard_dials() < REPORTED_DIALS {
            // Of those who may cause another dial, whoever has the fewest under way.
            let best = heard.iter().enumerate().filter_map(|(at, (_, peer, _))| {
                let teller = self.payer(peer, now)?;
                Some((self.tellers.get(&teller)?.dials, at, teller))
            });
            let Some((_, at, teller)) = best.min() else {
                return;
            };
            let (_, peer, _) = heard.remove(at);
            if let Some(it) = self.tellers.get_mut(&teller) {
                it.bucket.take(1, REPORTED_RATE, now);
                it.dials += 1;
            }
            self.start(peer, Some(teller), outputs);
        }
    }

    /// The reporter of a member that is charged for dialling it now: of those who may cause another
    /// dial, the one with the fewest under way.
    fn payer(&self, peer: &PeerId, now: Time) -> Option<PeerId> {
        let heard = &self.members.get(peer)?.heard;
        let runs = heard.chunk_by(|(one, _), (next, _)| one == next);
        let tellers = runs.filter_map(|run| {
            let (teller, _) = run.first()?;
            let it = self.tellers.get(teller)?;
            (it.bucket.is_due(REPORTED_RATE, now) && it.has_room()).then_some((it.dials, *teller))
        });
        tellers.min().map(|(_, teller)| teller)
    }

    fn start(&mut self, peer: PeerId, charged: Option<PeerId>, outputs: &mut VecDeque<Dial>) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.target.state = State::Dialling;
            self.dials.insert(peer, charged);
            outputs.push_back(Dial::Member(peer, member.addresses()));
        }
    }

    /// The dial of a member led to it.
    pub(super) fn handle_reached(&mut self, peer: &PeerId) {
        if let Some(Some(teller)) = self.end_dial(peer)
            && let Some(teller) = self.tellers.get_mut(&teller)
        {
            teller.bucket.put_back(REPORTED_RATE);
        }
    }

    /// The dial of a member failed. `gone` if another process answers there now.
    pub(super) fn handle_failed(&mut self, peer: &PeerId, gone: bool, now: Time) {
        self.end_dial(peer);
        if gone {
            self.remove(peer);
        } else if let Some(member) = self.members.get_mut(peer) {
            let rng = &mut self.rngs[usize::from(!member.met)];
            member.target.fail(rng, now);
        }
    }

    fn end_dial(&mut self, peer: &PeerId) -> Option<Option<PeerId>> {
        let charged = self.dials.remove(peer)?;
        if let Some(teller) = charged.and_then(|teller| self.tellers.get_mut(&teller)) {
            teller.dials -= 1;
        }
        Some(charged)
    }

    /// A member is connected.
    pub(super) fn handle_connected(&mut self, peer: PeerId, now: Time) {
        if let Some(member) = self.members.get_mut(&peer) {
            (member.seen, member.met) = (now, true);
            member.target.state = State::Reaches(peer);
        }
    }

    /// The last connection to a member is gone. It is dialled `first` later than others are.
    pub(super) fn handle_disconnected(
        &mut self,
        peer: &PeerId,
        lasted: bool,
        first: Duration,
        now: Time,
    ) {
        if let Some(member) = self.members.get_mut(peer) {
            member.seen = now;
            member.target.lose(&mut self.rngs[0], lasted, now);
            member.target.retry.due = member.target.retry.due + first;
        }
    }

    /// A connected member has not been heard for a while. `false` if it is not known here.
    pub(super) fn handle_silent(&mut self, peer: &PeerId, first: Time, now: Time) -> bool {
        let Some(member) = self.members.get_mut(peer) else {
            return false;
        };
        member.target.silent(first, now);
        true
    }

    /// A member that was silent is heard again.
    pub(super) fn handle_heard(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.get_mut(peer) {
            member.target.state = State::Reaches(*peer);
        }
    }

    /// When [`Self::dial`] or [`Self::forget`] has something to do.
    pub(super) fn poll_timeout(
        &self,
        connected: impl Fn(&PeerId) -> bool,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Option<Time> {
        let met = self.met_dials() < MET_DIALS;
        let heard = self.heard_dials() < REPORTED_DIALS;
        let all = self.members.iter().flat_map(|(peer, member)| {
            let forgotten = (!connected(peer)).then(|| member.seen + FORGET_MEMBER);
            let room = if member.met { met } else { heard };
            let due = member.target.due();
            let due = due.filter(|_| room && wanted(peer) && !self.dials.contains_key(peer));
            let due = due.and_then(|due| Some(due.max(self.affordable(member)?)));
            [forgotten, due].into_iter().flatten()
        });
        all.min()
    }

    /// When somebody can be charged for dialling a member.
    fn affordable(&self, member: &Member) -> Option<Time> {
        if member.met {
            return Some(Time::ZERO);
        }
        let runs = member.heard.chunk_by(|(one, _), (next, _)| one == next);
        let tellers = runs.filter_map(|run| self.tellers.get(&run.first()?.0));
        let tellers = tellers.filter(|teller| teller.has_room());
        let due = tellers.map(|teller| teller.bucket.due(REPORTED_RATE));
        due.map(Option::unwrap_or_default).min()
    }

    fn met_dials(&self) -> usize {
        self.dials
            .values()
            .filter(|charged| charged.is_none())
            .count()
    }

    fn heard_dials(&self) -> usize {
        self.dials
            .values()
            .filter(|charged| charged.is_some())
            .count()
    }

    #[cfg(test)]
    pub(super) const fn all(&self) -> &BTreeMap<PeerId, Member> {
        &self.members
    }
}

/// Members remembered, connected or not, at about 500 bytes each.
pub(super) const MAX_MEMBERS: usize = 4096;
/// Members that one may tell of: as many as it may be connected to, with some that have gone.
pub(super) const MAX_TOLD: usize = 1024;
/// Addresses that one member may tell of itself.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// Addresses that others may tell of one member, besides its own: enough for what an honest one
/// tells, so that one can be found through those that know it.
pub(super) const MAX_REPORTED: usize = 16;
/// Dials under way to members that were met, and to those that others only tell of. With those of
/// seeds they are as many as the swarm lets be set up at the same time.
pub(super) const MET_DIALS: usize = 16;
pub(super) const REPORTED_DIALS: usize = 24;

/// Those of them that one teller may have under way: there is room for another's beside them.
pub(super) const TELLER_DIALS: usize = 16;

/// Dials that lead nowhere which one teller may cause at once, and one more per interval. A fleet
/// of that many of which nobody can be reached is tried at once; invented ones are a few
/// connections a second, whatever is told.
pub(super) const REPORTED_BURST: u32 = 64;
const REPORTED_RATE: Rate = Rate::every(Duration::from_millis(500), REPORTED_BURST);
