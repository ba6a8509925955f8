//! Whom to dial, and when: seeds for ever, members that others told of while there is hope.
//!
//! A state machine without sockets: time and seed are arguments. Waits grow with each failure and are drawn
//! evenly between nothing and the current maximum ("full jitter"), so that a fleet that lost a node does not
//! come back to it in step.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use meshcast_proto::Time;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Decides whom to dial.
#[derive(Debug)]
pub(crate) struct Dialer {
    me: PeerId,
    rng: StdRng,
    seeds: Vec<Seed>,
    /// Whether members are not dialled, but only seeds.
    seeds_only: bool,
    members: BTreeMap<PeerId, Member>,
    /// Who is connected, and since when.
    connected: BTreeMap<PeerId, Time>,
    /// Those of them that have not been heard for a while: dialled as if they were not connected.
    silent: BTreeSet<PeerId>,
    /// When somebody was lost last.
    lost: Option<Time>,
    /// Nobody is dialled any more.
    rests: bool,
    outputs: VecDeque<Dial>,
}

/// An address the user gave. With a DNS name it stands for all addresses the name has.
#[derive(Debug)]
struct Seed {
    given: Multiaddr,
    /// Its addresses; just itself without a DNS name.
    targets: BTreeMap<Multiaddr, Target>,
    /// The state of its DNS name, if it has one.
    lookup: Option<Lookup>,
    /// Whether every address was tried once, or the name does not resolve.
    tried: bool,
}

/// Looking up a DNS name, one look-up at a time.
#[derive(Debug, Clone, Copy)]
enum Lookup {
    /// To be looked up then.
    Due(Time),
    /// Under way. By then the name counts as one that does not resolve, for whoever waits for that.
    Running(Time),
}

/// A member that told of itself or that another member told of.
#[derive(Debug)]
struct Member {
    /// What it told itself.
    told: Vec<Multiaddr>,
    /// What others told, without what it told itself. Oldest first.
    heard: Vec<Multiaddr>,
    target: Target,
    /// When it was last connected or heard of.
    seen: Time,
}

/// Something to dial.
#[derive(Debug)]
struct Target {
    state: State,
    retry: Retry,
    /// When what it led to was lost, if it ever was.
    lost: Option<Time>,
    /// Whether the outcome of a dial is known.
    tried: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be dialled when the retry is due.
    Waiting,
    /// Being dialled.
    Dialling,
    /// Known to lead to this peer, which is connected (or was, when the next dial shows).
    Reaches(PeerId),
    /// Leads to this node.
    Ourselves,
}

/// When to try again.
#[derive(Debug)]
struct Retry {
    due: Time,
    failures: u32,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dial {
    /// Dial an address, whoever answers, and tell the outcome by `handle_seed_*`.
    Address(SeedId, Multiaddr),
    /// Dial a member, and tell the outcome by [`Dialer::handle_member_failed`].
    Member(PeerId, Vec<Multiaddr>),
    /// Look up a DNS name, and tell the outcome by [`Dialer::handle_resolved`].
    Resolve(SeedId, Multiaddr),
}

/// Names a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeedId(usize);

impl Dialer {
    pub(crate) fn new(me: PeerId, seeds: Vec<Multiaddr>, seed: u64, now: Time) -> Self {
        let seeds = seeds.into_iter().map(|given| Seed::new(given, now)).collect();
        Self {
            me,
            rng: StdRng::seed_from_u64(seed),
            seeds,
            seeds_only: false,
            members: BTreeMap::new(),
            connected: BTreeMap::new(),
            silent: BTreeSet::new(),
            lost: None,
            rests: false,
            outputs: VecDeque::new(),
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
                    seed.lookup = Some(Lookup::Running(now + LOOKUP_PATIENCE));
                    self.outputs.push_back(Dial::Resolve(id, seed.given.clone()));
                }
                Some(Lookup::Running(until)) if until <= now => seed.tried = true,
                _ => {}
            }
            for (address, target) in &mut seed.targets {
                if target.is_due(now) {
                    target.state = State::Dialling;
                    self.outputs.push_back(Dial::Address(id, address.clone()));
                }
            }
        }
        self.members.retain(|peer, member| {
            self.connected.contains_key(peer) || now.saturating_since(member.seen) < FORGET_MEMBER
        });
        for (peer, member) in &mut self.members {
            let wanted = !self.connected.contains_key(peer) || self.silent.contains(peer);
            if wanted && member.target.is_due(now) {
                member.target.state = State::Dialling;
                self.outputs.push_back(Dial::Member(*peer, member.addresses()));
            }
        }
    }

    /// A DNS name was looked up; empty if it has no address.
    pub(crate) fn handle_resolved(&mut self, seed: SeedId, addresses: Vec<Multiaddr>, now: Time) {
        let Some(seed) = self.seeds.get_mut(seed.0) else {
            return;
        };
        seed.lookup = Some(Lookup::Due(now + LOOKUP_INTERVAL));
        // An answer replaces the one before, but a failed look-up does not forget what is still dialled.
        if !addresses.is_empty() {
            seed.targets.retain(|address, _| addresses.contains(address));
            for address in addresses {
                if seed.targets.len() < MAX_TARGETS {
                    seed.targets.entry(address).or_insert_with(|| Target::new(now));
                }
            }
        }
        seed.update_tried();
    }

    /// The dial of a seed's address led to this peer.
    pub(crate) fn handle_seed_reached(&mut self, seed: SeedId, address: &Multiaddr, peer: PeerId) {
        self.conclude(seed, address, |target, _| target.state = State::Reaches(peer));
    }

    /// The dial of a seed's address led to this node itself.
    pub(crate) fn handle_seed_is_us(&mut self, seed: SeedId, address: &Multiaddr, now: Time) {
        self.conclude(seed, address, |target, _| {
            target.state = State::Ourselves;
            target.retry.failures = 0;
            target.retry.due = now + RETRY_OURSELVES;
        });
    }

    /// The dial of a seed's address failed.
    pub(crate) fn handle_seed_failed(&mut self, seed: SeedId, address: &Multiaddr, now: Time) {
        self.conclude(seed, address, |target, rng| target.fail(rng, now));
    }

    /// The dial of a member failed. `gone` if another process answers there now.
    pub(crate) fn handle_member_failed(&mut self, peer: PeerId, gone: bool, now: Time) {
        if gone {
            self.members.remove(&peer);
        } else if let Some(member) = self.members.get_mut(&peer) {
            member.target.fail(&mut self.rng, now);
        }
    }

    /// A peer is connected, whoever dialled.
    pub(crate) fn handle_connected(&mut self, peer: PeerId, now: Time) {
        self.connected.insert(peer, now);
        if let Some(member) = self.members.get_mut(&peer) {
            member.seen = now;
            member.target.state = State::Reaches(peer);
        }
    }

    /// A connected peer has not been heard for a while. Its connection may be dead, or slow to come alive again
    /// after the path was, so another is dialled beside it until the peer is heard.
    pub(crate) fn handle_silent(&mut self, peer: PeerId, now: Time) {
        if !self.connected.contains_key(&peer) || !self.silent.insert(peer) {
            return;
        }
        let first = self.first_wait(&peer);
        let seeds = self.seeds.iter_mut().flat_map(|seed| seed.targets.values_mut());
        let targets: Vec<_> = match self.members.get_mut(&peer) {
            Some(member) => vec![&mut member.target],
            None => seeds
                .filter(|target| target.state == State::Reaches(peer))
                .collect(),
        };
        for target in targets {
            target.lost = Some(now);
            if matches!(target.state, State::Reaches(_)) {
                target.state = State::Waiting;
                target.retry = Retry {
                    due: now + first,
                    failures: 0,
                };
            }
        }
    }

    /// A connected peer is heard.
    pub(crate) fn handle_heard(&mut self, peer: PeerId) {
        if self.silent.remove(&peer)
            && let Some(member) = self.members.get_mut(&peer)
        {
            member.target.state = State::Reaches(peer);
        }
    }

    /// The last connection to a peer is gone.
    pub(crate) fn handle_disconnected(&mut self, peer: PeerId, now: Time) {
        self.silent.remove(&peer);
        self.lost = Some(now);
        let since = self.connected.remove(&peer).unwrap_or(now);
        // Whoever lets us in and throws us out at once is no better than who does not answer.
        let lasted = now.saturating_since(since) >= LASTING;
        let first = self.first_wait(&peer);
        let seeds = self.seeds.iter_mut().flat_map(|seed| seed.targets.values_mut());
        for target in seeds.filter(|target| target.state == State::Reaches(peer)) {
            target.lose(&mut self.rng, lasted, now);
        }
        if let Some(member) = self.members.get_mut(&peer) {
            member.seen = now;
            member.target.lose(&mut self.rng, lasted, now);
            member.target.retry.due = member.target.retry.due + first;
        }
    }

    /// A connected member tells where it can be dialled itself. What was known before is forgotten.
    pub(crate) fn handle_own_addresses(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Time) {
        self.handle_member(peer, addresses, true, now);
    }

    /// Somebody tells where another member can be dialled. It may be wrong, or lie: nothing is forgotten for it.
    pub(crate) fn handle_hearsay(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Time) {
        self.handle_member(peer, addresses, false, now);
    }

    fn handle_member(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>, own: bool, now: Time) {
        if self.seeds_only || peer == self.me || addresses.is_empty() {
            return;
        }
        addresses.truncate(if own { MAX_ADDRESSES } else { MAX_HEARSAY });
        let first = self.first_wait(&peer);
        if let Some(known) = self.members.get_mut(&peer) {
            known.seen = now;
            if known.take_addresses(addresses, own) {
                // What was learned by dialling was about other addresses.
                if known.target.state == State::Waiting {
                    known.target = Target::new(now + first);
                }
            }
            return;
        }
        if self.members.len() >= MAX_MEMBERS {
            return;
        }
        let mut target = Target::new(now + first);
        if self.connected.contains_key(&peer) {
            target.state = State::Reaches(peer);
        }
        let (told, heard) = if own {
            (addresses, Vec::new())
        } else {
            (Vec::new(), addresses)
        };
        self.members.insert(
            peer,
            Member {
                told,
                heard,
                target,
                seen: now,
            },
        );
    }

    /// Whom to dial next, until there is nobody.
    pub(crate) fn poll_output(&mut self) -> Option<Dial> {
        self.outputs.pop_front()
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
        let seeds = self
            .seeds
            .iter()
            .flat_map(|seed| seed.targets.values())
            .filter_map(Target::due);
        let members = self.members.iter().flat_map(|(peer, member)| {
            let gone = !self.connected.contains_key(peer);
            let wanted = gone || self.silent.contains(peer);
            let forgotten = gone.then(|| member.seen + FORGET_MEMBER);
            let due = member.target.due().filter(|_| wanted);
            [forgotten, due].into_iter().flatten()
        });
        lookups.chain(seeds).chain(members).min()
    }

    /// Whether every seed was tried once.
    pub(crate) fn seeds_tried(&self) -> bool {
        self.seeds.iter().all(|seed| seed.tried)
    }

    /// Whether an address that the user gave leads to nobody who is connected.
    pub(crate) fn misses_seed(&self) -> bool {
        let missed = |target: &Target| match target.state {
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
        let seeds = self.seeds.iter_mut().flat_map(|seed| seed.targets.values_mut());
        let members = self.members.values_mut().map(|member| &mut member.target);
        for target in seeds
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

    /// Of two nodes that both learn of the other, the one with the smaller id dials at once; the other gives
    /// it a head start, so that they do not meet half-way.
    fn first_wait(&self, peer: &PeerId) -> Duration {
        if self.me < *peer {
            Duration::ZERO
        } else {
            HEAD_START
        }
    }

    fn conclude(
        &mut self,
        seed: SeedId,
        address: &Multiaddr,
        outcome: impl FnOnce(&mut Target, &mut StdRng),
    ) {
        let Some(seed) = self.seeds.get_mut(seed.0) else {
            return;
        };
        if let Some(target) = seed.targets.get_mut(address) {
            outcome(target, &mut self.rng);
            target.tried = true;
        }
        seed.update_tried();
    }
}

impl Seed {
    fn new(given: Multiaddr, now: Time) -> Self {
        let named = given.iter().any(|part| {
            matches!(
                part,
                Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)
            )
        });
        let targets = if named {
            BTreeMap::new()
        } else {
            BTreeMap::from([(given.clone(), Target::new(now))])
        };
        Self {
            given,
            targets,
            lookup: named.then_some(Lookup::Due(now)),
            tried: false,
        }
    }

    /// To be called when a target was tried, or the name looked up.
    fn update_tried(&mut self) {
        self.tried |= self.targets.values().all(|target| target.tried);
    }
}

impl Member {
    /// Where it may be: what it told itself first.
    fn addresses(&self) -> Vec<Multiaddr> {
        self.told.iter().chain(&self.heard).cloned().collect()
    }

    /// `true` if there is an address that was not known.
    fn take_addresses(&mut self, addresses: Vec<Multiaddr>, own: bool) -> bool {
        if own {
            let news = self.told != addresses;
            if news {
                self.told = addresses;
                self.heard.clear();
            }
            return news;
        }
        let mut news = false;
        for address in addresses {
            let known = self.told.contains(&address) || self.heard.contains(&address);
            if !known && self.heard.len() < MAX_HEARSAY {
                self.heard.push(address);
                news = true;
            }
        }
        news
    }
}

impl Target {
    fn new(due: Time) -> Self {
        Self {
            state: State::Waiting,
            retry: Retry { due, failures: 0 },
            lost: None,
            tried: false,
        }
    }

    /// The connection it led to is gone.
    fn lose(&mut self, rng: &mut StdRng, lasted: bool, now: Time) {
        if lasted {
            self.retry.failures = 0;
            self.lost = Some(now);
        }
        self.fail(rng, now);
    }

    fn due(&self) -> Option<Time> {
        matches!(self.state, State::Waiting | State::Ourselves).then_some(self.retry.due)
    }

    fn is_due(&self, now: Time) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    fn longest_wait(&self, now: Time) -> Duration {
        match self.lost {
            Some(lost) if now.saturating_since(lost) < RECENTLY => LONGEST_WAIT_RECENT,
            _ => LONGEST_WAIT,
        }
    }

    fn fail(&mut self, rng: &mut StdRng, now: Time) {
        let longest = BASE_WAIT
            .saturating_mul(1 << self.retry.failures.min(16))
            .min(self.longest_wait(now));
        self.state = State::Waiting;
        self.retry.due = now + SHORTEST_WAIT + jitter(rng, longest);
        self.retry.failures = self.retry.failures.saturating_add(1);
    }
}

fn jitter(rng: &mut StdRng, longest: Duration) -> Duration {
    longest.mul_f64(rng.random())
}

/// The first wait is drawn from up to this.
const BASE_WAIT: Duration = Duration::from_millis(250);
/// No wait is drawn from more: a seed that comes back is found within this.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// The same for what was connected [`RECENTLY`]: after a partition all are to be found soon.
const LONGEST_WAIT_RECENT: Duration = Duration::from_secs(2);
/// For how long whoever was lost is looked for with some effort. Partitions mostly end within this.
pub(crate) const RECENTLY: Duration = Duration::from_secs(300);
/// No wait is shorter: a refusing port must not be hammered.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// How long the node with the larger id waits for the other to dial.
const HEAD_START: Duration = Duration::from_secs(2);
/// DNS names are looked up this often: a fleet changes its addresses without telling.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a look-up is waited for before its seed counts as tried: as long as the dial of an address.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);
/// A connection that held for this long was a success, whatever ended it.
const LASTING: Duration = Duration::from_secs(10);
/// An address that leads to ourselves is tried again after this: it may be given to another machine.
const RETRY_OURSELVES: Duration = Duration::from_secs(60);
/// A member that was not reached for this long is gone: as long as messages are kept for it.
const FORGET_MEMBER: Duration = Duration::from_secs(600);
/// Members remembered, connected or not, at about 500 bytes each.
const MAX_MEMBERS: usize = 4096;
/// Addresses that one member may tell of itself.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// Addresses that others may tell of one member, besides its own: enough for what an honest one tells, so that
/// one can be found through those that know it.
const MAX_HEARSAY: usize = 16;
/// Addresses dialled for one name: each is an instance of its own.
const MAX_TARGETS: usize = 256;

#[cfg(test)]
mod tests;
