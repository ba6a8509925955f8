//! Decides whom to dial, and when: seeds for ever, members that others reported for a limited time.
//!
//! A state machine without sockets: time and seed are arguments. Waits grow with each failure and
//! are drawn evenly between nothing and the current maximum ("full jitter"), so that a fleet that
//! lost a node does not come back to it in step.
//!
//! May use: nothing of the crate.
//! Must not: open a connection, look up a name or read a clock. It says what is to be done, and the
//! driver does it.

mod members;
mod seeds;
mod target;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::Time;
use rand::{SeedableRng, rngs::StdRng};

pub(crate) use self::{
    members::MAX_ADDRESSES,
    seeds::{SeedStatus, Status},
    target::RECENTLY,
};
use self::{
    members::{Members, Report},
    seeds::{Lookup, Seed, SeedTarget},
    target::{Retry, State},
};

/// Decides whom to dial.
#[derive(Debug)]
pub(crate) struct Dialer {
    me: PeerId,
    rng: StdRng,
    seeds: Vec<Seed>,
    /// Whether members are not dialled, but only seeds.
    seeds_only: bool,
    members: Members,
    /// Dials of seeds under way.
    seed_dials: usize,
    /// Who is connected, and since when.
    connected: BTreeMap<PeerId, Time>,
    /// Those of them that have not been heard for a while: dialled as if they were not connected.
    silent: BTreeSet<PeerId>,
    /// When somebody was lost last.
    lost: Option<Time>,
    /// Nobody is dialled any more.
    rests: bool,
    outputs: VecDeque<Dial>,
    /// Seeds of which something new is to be told.
    news: VecDeque<SeedId>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dial {
    /// Dial an address, whoever answers, and tell the outcome by `handle_seed_*`.
    Address(SeedId, Multiaddr),
    /// Dial a member, and tell the outcome by `handle_member_reached` or `handle_member_failed`.
    Member(PeerId, Vec<Multiaddr>),
    /// Look up a DNS name, and tell the outcome by [`Dialer::handle_resolved`].
    Resolve(SeedId, Multiaddr),
}

/// Names a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeedId(usize);

impl Dialer {
    pub(crate) fn new(me: PeerId, seeds: Vec<Multiaddr>, seed: u64, now: Time) -> Self {
        let seeds = seeds
            .into_iter()
            .map(|given| Seed::new(given, now))
            .collect();
        Self {
            me,
            rng: StdRng::seed_from_u64(seed),
            seeds,
            seeds_only: false,
            members: Members::new(seed),
            seed_dials: 0,
            connected: BTreeMap::new(),
            silent: BTreeSet::new(),
            lost: None,
            rests: false,
            outputs: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    /// Whether members that others tell of are dialled, as they are unless said otherwise.
    pub(crate) fn dial_members(&mut self, dial: bool) {
        self.seeds_only = !dial;
    }

    /// Dials whatever is due.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.rests {
            return;
        }
        for (id, seed) in self
            .seeds
            .iter_mut()
            .enumerate()
            .map(|(id, seed)| (SeedId(id), seed))
        {
            match seed.lookup {
                Some(Lookup::Due(due)) if due <= now => {
                    seed.lookup = Some(Lookup::Running(now + LOOKUP_TIMEOUT));
                    self.outputs
                        .push_back(Dial::Resolve(id, seed.given.clone()));
                }
                Some(Lookup::Running(until)) if until <= now => seed.tried = true,
                _ => {}
            }
            if seed.review(now) {
                self.news.push_back(id);
            }
        }
        self.dial_seeds(now);
        self.members
            .forget(|peer| self.connected.contains_key(peer), now);
        let wanted =
            |peer: &PeerId| !self.connected.contains_key(peer) || self.silent.contains(peer);
        self.members.dial(wanted, now, &mut self.outputs);
    }

    /// Dials the addresses of seeds that are due, those first that are for the longest time.
    fn dial_seeds(&mut self, now: Time) {
        let mut due: Vec<_> = Vec::new();
        for (id, seed) in self.seeds.iter().enumerate() {
            let targets = seed.targets.iter().filter(|(_, it)| it.target.is_due(now));
            due.extend(
                targets.map(|(address, it)| (it.target.retry.due, SeedId(id), address.clone())),
            );
        }
        due.sort();
        for (_, id, address) in due {
            if self.seed_dials >= SEED_DIALS {
                return;
            }
            if let Some(it) = self.seeds[id.0].targets.get_mut(&address) {
                it.target.state = State::Dialling;
                self.seed_dials += 1;
                self.outputs.push_back(Dial::Address(id, address));
            }
        }
    }

    /// A DNS name was looked up: its addresses, or why there are none.
    pub(crate) fn handle_resolved(
        &mut self,
        id: SeedId,
        found: Result<Vec<Multiaddr>, String>,
        now: Time,
    ) {
        let Some(seed) = self.seeds.get_mut(id.0) else {
            return;
        };
        seed.lookup = Some(Lookup::Due(now + LOOKUP_INTERVAL));
        match found {
            // An answer replaces the one before, but a failed look-up does not forget what is still
            // dialled.
            Ok(addresses) => {
                seed.unresolved = None;
                seed.targets
                    .retain(|address, _| addresses.contains(address));
                for address in addresses {
                    if seed.targets.len() < MAX_TARGETS {
                        seed.targets
                            .entry(address)
                            .or_insert_with(|| SeedTarget::new(now));
                    }
                }
            }
            Err(reason) => seed.unresolved = Some(reason),
        }
        self.review(id, now);
    }

    /// The dial of a seed's address led to this peer.
    pub(crate) fn handle_seed_reached(
        &mut self,
        seed: SeedId,
        address: &Multiaddr,
        peer: PeerId,
        now: Time,
    ) {
        self.conclude(seed, address, now, |it, _| {
            it.target.state = State::Reaches(peer);
            it.status.turn(SeedStatus::Connected(peer), None, now);
        });
    }

    /// The dial of a seed's address led to this node itself.
    pub(crate) fn handle_seed_is_us(&mut self, seed: SeedId, address: &Multiaddr, now: Time) {
        self.conclude(seed, address, now, |it, _| {
            it.target.state = State::Ourselves;
            it.target.retry.failures = 0;
            it.target.retry.due = now + RETRY_OURSELVES;
            it.status.turn(SeedStatus::Ourselves, None, now);
        });
    }

    /// The dial of a seed's address failed, and why.
    pub(crate) fn handle_seed_failed(
        &mut self,
        seed: SeedId,
        address: &Multiaddr,
        (is, reason): (SeedStatus, String),
        now: Time,
    ) {
        self.conclude(seed, address, now, |it, rng| {
            it.target.fail(rng, now);
            it.status.turn(is, Some(reason), now);
        });
    }

    /// The dial of a member led to it.
    pub(crate) fn handle_member_reached(&mut self, peer: PeerId) {
        self.members.handle_reached(&peer);
    }

    /// The dial of a member failed. `gone` if another process answers there now.
    pub(crate) fn handle_member_failed(&mut self, peer: PeerId, gone: bool, now: Time) {
        self.members.handle_failed(&peer, gone, now);
    }

    /// A peer is connected, whoever dialled.
    pub(crate) fn handle_connected(&mut self, peer: PeerId, now: Time) {
        self.connected.insert(peer, now);
        self.members.handle_connected(peer, now);
    }

    /// A connected peer has not been heard for a while. Its connection may be dead, or slow to come
    /// alive again after the path was, so another is dialled beside it until the peer is heard.
    pub(crate) fn handle_silent(&mut self, peer: PeerId, now: Time) {
        if !self.connected.contains_key(&peer) || !self.silent.insert(peer) {
            return;
        }
        let first = now + self.first_wait(&peer);
        if self.members.handle_silent(&peer, first, now) {
            return;
        }
        let seeds = self
            .seeds
            .iter_mut()
            .flat_map(|seed| seed.targets.values_mut());
        for it in seeds.filter(|it| it.target.state == State::Reaches(peer)) {
            it.target.silent(first, now);
        }
    }

    /// Whether a peer is dialled though it is connected.
    pub(crate) fn is_silent(&self, peer: &PeerId) -> bool {
        self.silent.contains(peer)
    }

    /// A connected peer is heard.
    pub(crate) fn handle_heard(&mut self, peer: PeerId) {
        if self.silent.remove(&peer) {
            self.members.handle_heard(&peer);
        }
    }

    /// The last connection to a peer is gone.
    pub(crate) fn handle_disconnected(&mut self, peer: PeerId, now: Time) {
        self.silent.remove(&peer);
        self.lost = Some(now);
        let since = self.connected.remove(&peer).unwrap_or(now);
        // A peer that lets us in and throws us out at once is no better than one that does not
        // answer.
        let lasted = now.saturating_since(since) >= LASTING;
        let first = self.first_wait(&peer);
        for id in (0..self.seeds.len()).map(SeedId) {
            let seed = &mut self.seeds[id.0];
            for it in seed.targets.values_mut() {
                if it.target.state == State::Reaches(peer) {
                    it.target.lose(&mut self.rng, lasted, now);
                }
                if it.status.is == SeedStatus::Connected(peer) {
                    let reason = "the connection was lost".to_owned();
                    it.status.turn(SeedStatus::Dialling, Some(reason), now);
                }
            }
            self.review(id, now);
        }
        self.members.handle_disconnected(&peer, lasted, first, now);
    }

    /// A connected member tells where it can be dialled itself. Earlier knowledge is forgotten.
    pub(crate) fn handle_own_addresses(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        now: Time,
    ) {
        if let Some(told) = self.told_of(peer, addresses, now) {
            self.members.handle_own(told, now);
        }
    }

    /// A member tells where another can be dialled. It may be wrong, or lie: nothing is forgotten
    /// for it, and it is charged for the dials that it causes in vain.
    pub(crate) fn handle_reported(
        &mut self,
        teller: PeerId,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        now: Time,
    ) {
        if let Some(told) = self.told_of(peer, addresses, now) {
            self.members.handle_reported(teller, told, now);
        }
    }

    /// The report of a member; `None` if it is not to be known.
    fn told_of(&self, peer: PeerId, addresses: Vec<Multiaddr>, now: Time) -> Option<Report> {
        let not = self.seeds_only || peer == self.me || addresses.is_empty();
        (!not).then(|| Report {
            first_dial: now + self.first_wait(&peer),
            is_connected: self.connected.contains_key(&peer),
            peer,
            addresses,
        })
    }

    /// Whom to dial next, until there is nobody.
    pub(crate) fn poll_output(&mut self) -> Option<Dial> {
        self.outputs.pop_front()
    }

    /// The next seed of which something new is to be told, until there is none. Meant for people: a
    /// seed that comes and goes all the time is told of now and then only.
    pub(crate) fn poll_news(&mut self) -> Option<SeedId> {
        self.news.pop_front()
    }

    /// Each seed: the address that was given, how it is doing, and its addresses if it has a DNS
    /// name.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = SeedView<'_>> {
        self.seeds.iter().map(SeedView)
    }

    /// One of them.
    pub(crate) fn seed(&self, id: SeedId) -> Option<SeedView<'_>> {
        self.seeds.get(id.0).map(SeedView)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.rests {
            return None;
        }
        let lookups = self.seeds.iter().filter_map(|seed| match seed.lookup? {
            Lookup::Due(due) => Some(due),
            Lookup::Running(until) => (!seed.tried).then_some(until),
        });
        let room = self.seed_dials < SEED_DIALS;
        let targets = self.seeds.iter().flat_map(|seed| seed.targets.values());
        let seeds = targets.filter_map(|it| it.target.due()).filter(|_| room);
        let news = self.seeds.iter().filter_map(Seed::tell_due);
        let connected = |peer: &PeerId| self.connected.contains_key(peer);
        let wanted = |peer: &PeerId| !connected(peer) || self.silent.contains(peer);
        let members = self.members.poll_timeout(connected, wanted);
        lookups.chain(seeds).chain(news).chain(members).min()
    }

    /// Whether every seed was tried once.
    pub(crate) fn seeds_tried(&self) -> bool {
        self.seeds.iter().all(|seed| seed.tried)
    }

    /// Whether an address that the user gave leads to nobody who is connected.
    pub(crate) fn misses_seed(&self) -> bool {
        let missed = |it: &SeedTarget| match it.target.state {
            State::Waiting | State::Dialling => true,
            State::Reaches(peer) => !self.connected.contains_key(&peer),
            State::Ourselves => false,
        };
        let mut seeds = self.seeds.iter();
        seeds.any(|seed| seed.targets.is_empty() || seed.targets.values().any(missed))
    }

    /// When the last connection to somebody went last.
    pub(crate) const fn lost(&self) -> Option<Time> {
        self.lost
    }

    /// There is little time left: everybody is dialled at once, and again soon.
    pub(crate) fn hurry(&mut self, now: Time) {
        let seeds = self.seeds.iter_mut();
        seeds.for_each(|seed| {
            if let Some(Lookup::Due(due)) = &mut seed.lookup {
                *due = now.min(*due);
            }
        });
        let seeds = self
            .seeds
            .iter_mut()
            .flat_map(|seed| seed.targets.values_mut());
        let members = self.members.targets_mut();
        for target in seeds
            .map(|it| &mut it.target)
            .chain(members)
            .filter(|target| target.state == State::Waiting)
        {
            target.retry = Retry {
                due: now.min(target.retry.due),
                failures: 0,
            };
        }
    }

    /// Nobody is dialled any more.
    pub(crate) fn rest(&mut self) {
        self.rests = true;
    }

    /// Whether somebody may be connected in a moment: a seed that was never tried or a member that
    /// is dialled for the first time, or, while nobody is connected, one that was lately.
    pub(crate) fn expects_somebody(&self, now: Time) -> bool {
        let lately = |lost| now.saturating_since(lost) < RECENTLY;
        let is_back = self.connected.is_empty() && self.lost.is_some_and(lately);
        is_back || !self.seeds_tried() || self.members.expects_somebody()
    }

    /// Of two nodes that both learn of the other, the one with the smaller id dials at once; the
    /// other gives it a head start, so that they do not meet half-way.
    fn first_wait(&self, peer: &PeerId) -> Duration {
        if self.me < *peer {
            Duration::ZERO
        } else {
            HEAD_START
        }
    }

    fn conclude(
        &mut self,
        id: SeedId,
        address: &Multiaddr,
        now: Time,
        outcome: impl FnOnce(&mut SeedTarget, &mut StdRng),
    ) {
        self.seed_dials = self.seed_dials.saturating_sub(1);
        let Some(seed) = self.seeds.get_mut(id.0) else {
            return;
        };
        if let Some(it) = seed.targets.get_mut(address) {
            outcome(it, &mut self.rng);
            it.target.tried = true;
        }
        self.review(id, now);
    }

    /// To be called after whatever may have changed how a seed is doing.
    fn review(&mut self, id: SeedId, now: Time) {
        if self
            .seeds
            .get_mut(id.0)
            .is_some_and(|seed| seed.review(now))
        {
            self.news.push_back(id);
        }
    }
}

/// A seed as others may see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeedView<'a>(&'a Seed);

impl<'a> SeedView<'a> {
    /// The address that was given.
    pub(crate) const fn address(self) -> &'a Multiaddr {
        &self.0.given
    }

    /// How it is doing as a whole.
    pub(crate) const fn status(self) -> &'a Status {
        self.0.status()
    }

    /// The addresses of its DNS name; none without a name.
    pub(crate) fn addresses(self) -> impl Iterator<Item = (&'a Multiaddr, &'a Status)> {
        let named = self.0.is_named();
        let targets = self.0.targets.iter().filter(move |_| named);
        targets.map(|(address, it)| (address, &it.status))
    }
}

/// How long the node with the larger id waits for the other to dial.
const HEAD_START: Duration = Duration::from_secs(2);
/// DNS names are looked up this often: a fleet changes its addresses without telling.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// The time after which a look-up that has not ended counts as a try of its seed: as long as the
/// dial of an address.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that held for this long was a success, whatever ended it.
const LASTING: Duration = Duration::from_secs(10);
/// An address that leads to ourselves is tried again after this: it may be given to another
/// machine.
const RETRY_OURSELVES: Duration = Duration::from_secs(60);
/// A member that was not reached for this long is gone: as long as messages are kept for it.
const FORGET_MEMBER: Duration = Duration::from_secs(600);
/// Addresses dialled for one name: each is an instance of its own.
const MAX_TARGETS: usize = 256;

/// Dials under way to addresses of seeds. More wait for their turn.
const SEED_DIALS: usize = 24;

/// All dials that may be under way. None that a seed or a member that was met needs is taken by
/// what others tell.
pub(crate) const MAX_DIALS: usize = SEED_DIALS + members::MET_DIALS + members::REPORTED_DIALS;

#[cfg(test)]
mod tests;
