//! The admitted members.

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{Member, Rate, Reason, Time, TokenBucket};

use super::door::{host_of, range_of};
use crate::clock::Clock;

/// The members behind the connections that passed the gate. Clones are the same table.
///
/// An entry lives exactly as long as a connection of its peer: each connection holds a [`Ticket`]
/// to it and gives it up when it is dropped, be it because it closed, because the Swarm denied it,
/// or because the gate's last message did not arrive. Only members get in, and when there is no
/// room for another one it is refused.
///
/// But for three. For one that was inside before and lost its connection, whoever has been inside
/// for the shortest time makes way, if that is less than it was itself. For a newcomer from where
/// fewer are, the last that came from where most are makes way: places are shared between address
/// ranges, and within a range between hosts. So one that has the key and comes as many from one
/// place keeps out neither those who were there before nor newcomers from elsewhere; and has no
/// means to push out anybody who has been there longer than it could hold a place. And for a seed,
/// which answers where the user told this node to dial, the last that came makes way in any case.
#[derive(Clone)]
pub(crate) struct Admitted {
    table: Arc<Mutex<Table>>,
    room: usize,
    clock: Clock,
}

#[derive(Default)]
struct Table {
    entries: HashMap<PeerId, AdmittedMember>,
    /// Those who were inside lately.
    gone: HashMap<PeerId, LeftMember>,
    /// How often peers came from each host lately.
    came: HashMap<IpAddr, TokenBucket>,
    /// Addresses of seeds that are being dialled, each as often as it is.
    seeds: HashMap<Multiaddr, usize>,
}

struct AdmittedMember {
    member: Arc<Member>,
    connections: usize,
    /// When it came, or as much earlier as it was inside before.
    since: Time,
    /// Its connections are to be closed.
    makes_way: bool,
    caller: Caller,
}

/// From where a peer comes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caller {
    /// Its address, if the transport has one.
    pub(crate) ip: Option<IpAddr>,
    /// It answered at the address of a seed.
    pub(crate) is_seed: bool,
}

struct LeftMember {
    /// How long it was inside.
    stayed: Duration,
    left: Time,
}

impl Admitted {
    /// Nobody is in yet. `room` is for how many peers at the same time there is room, at about 400
    /// bytes each.
    pub(super) fn new(room: usize) -> Self {
        Self {
            table: Arc::default(),
            room,
            clock: Clock::start(),
        }
    }

    /// The member behind a peer that has a connection.
    ///
    /// `None` for a connection that the Swarm just reported means that it broke in the meantime,
    /// and that its end will be reported next.
    pub(crate) fn get(&self, peer: &PeerId) -> Option<Arc<Member>> {
        let table = self.lock();
        table
            .entries
            .get(peer)
            .map(|entry| Arc::clone(&entry.member))
    }

    /// How many peers are inside.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Those who make way for others and are not gone yet: their connections are to be closed, also
    /// those that the Swarm has not reported so far.
    pub(crate) fn leaving(&self) -> Vec<PeerId> {
        self.lock().leaving()
    }

    /// A seed is dialled at this address, until that has [ended](Self::end_seed_dial).
    pub(crate) fn begin_seed_dial(&self, address: &Multiaddr) {
        *self.lock().seeds.entry(address.clone()).or_default() += 1;
    }

    /// A dial has ended.
    pub(crate) fn end_seed_dial(&self, address: &Multiaddr) {
        if let hash_map::Entry::Occupied(mut dials) = self.lock().seeds.entry(address.clone()) {
            *dials.get_mut() -= 1;
            if *dials.get() == 0 {
                dials.remove();
            }
        }
    }

    /// Whether a seed is being dialled at this address.
    pub(crate) fn is_seed(&self, address: &Multiaddr) -> bool {
        self.lock().seeds.contains_key(address)
    }

    /// Lets in one connection of a peer. A later credential replaces an earlier one.
    pub(super) fn admit(
        &self,
        peer: PeerId,
        member: Member,
        caller: Caller,
    ) -> Result<Ticket, Reason> {
        let member = Arc::new(member);
        let mut table = self.lock();
        // Behind the lock, so that who comes later is not the earlier one.
        let now = self.clock.now();
        table.admit(peer, member, caller, self.room, now)?;
        drop(table);
        Ok(Ticket {
            admitted: self.clone(),
            peer,
        })
    }

    /// No code panics while it holds the lock, and each change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn admit(
        &mut self,
        peer: PeerId,
        member: Arc<Member>,
        caller: Caller,
        room: usize,
        now: Time,
    ) -> Result<(), Reason> {
        if !self.may_come(caller, now) {
            return Err(Reason::Full);
        }
        if let Some(known) = self.entries.get_mut(&peer) {
            // Also as a seed it comes back when it is gone.
            if known.makes_way {
                return Err(Reason::Full);
            }
            known.caller.is_seed |= caller.is_seed;
            known.member = member;
            known.connections += 1;
            return Ok(());
        }
        self.gone
            .retain(|_, gone| now.saturating_since(gone.left) < REMEMBERED);
        let stayed = self
            .gone
            .get(&peer)
            .map_or(Duration::ZERO, |gone| gone.stayed);
        let since = now - stayed;
        if self.entries.len() >= room {
            self.make_way(room, since, caller)?;
        }
        self.gone.remove(&peer);
        let entry = AdmittedMember {
            member,
            connections: 1,
            since,
            makes_way: false,
            caller,
        };
        self.entries.insert(peer, entry);
        Ok(())
    }

    /// Whether another connection of a caller may be let in. Each begins a session, in which it is
    /// told of all that is open here: whoever comes and goes in a loop, and as another each time,
    /// comes from a host.
    fn may_come(&mut self, caller: Caller, now: Time) -> bool {
        // Programs of this machine have other means to take its time.
        let ip = caller
            .ip
            .filter(|ip| !caller.is_seed && !ip.to_canonical().is_loopback());
        let Some(host) = ip.map(host_of) else {
            return true;
        };
        if self.came.len() >= MAX_HOSTS && !self.came.contains_key(&host) {
            self.came.retain(|_, came| !came.is_full(now));
            if self.came.len() >= MAX_HOSTS {
                let least = self.came.iter().min_by_key(|(_, came)| came.due(COMING));
                let least = least.map(|(host, _)| *host);
                least.map(|host| self.came.remove(&host));
            }
        }
        let came = self.came.entry(host).or_default();
        came.try_take(COMING, now)
    }

    /// Makes room for one that counts as inside since then, or for a seed.
    fn make_way(&mut self, room: usize, since: Time, caller: Caller) -> Result<(), Reason> {
        let leaving = self
            .entries
            .values()
            .filter(|entry| entry.makes_way)
            .count();
        if self.entries.len() - leaving < room {
            return Ok(());
        }
        if leaving >= MAX_LEAVING {
            return Err(Reason::Full);
        }
        let makes_way = self
            .last_but(|entry| caller.is_seed || since < entry.since)
            .or_else(|| self.last_of_most(caller));
        let entry = makes_way.and_then(|peer| self.entries.get_mut(&peer));
        entry.ok_or(Reason::Full)?.makes_way = true;
        Ok(())
    }

    /// Those who may have to make way.
    fn staying(&self) -> impl Iterator<Item = (&PeerId, &AdmittedMember)> {
        let entries = self.entries.iter();
        entries.filter(|(_, entry)| !entry.makes_way && !entry.caller.is_seed)
    }

    /// The last that came, if it gives way.
    fn last_but(&self, gives_way: impl Fn(&AdmittedMember) -> bool) -> Option<PeerId> {
        let last = self
            .staying()
            .max_by_key(|(peer, entry)| (entry.since, **peer));
        last.filter(|(_, entry)| gives_way(entry))
            .map(|(peer, _)| *peer)
    }

    /// The last that came from where most are, if from where the caller is there are fewer, with
    /// itself.
    fn last_of_most(&self, caller: Caller) -> Option<PeerId> {
        let (mut ranges, mut hosts) = (BTreeMap::new(), BTreeMap::new());
        let ips = self.staying().filter_map(|(_, entry)| entry.caller.ip);
        for host in ips.map(host_of) {
            *ranges.entry(range_of(host)).or_insert(0) += 1;
            *hosts.entry(host).or_insert(0) += 1;
        }
        let count = |of: &BTreeMap<IpAddr, usize>, ip: &IpAddr| of.get(ip).copied().unwrap_or(0);
        let crowd = |ip: IpAddr| (count(&ranges, &range_of(ip)), count(&hosts, &ip));
        let from = host_of(caller.ip?);
        let candidates = self.staying().filter_map(|(peer, entry)| {
            let host = host_of(entry.caller.ip?);
            Some(((crowd(host), entry.since, *peer), host))
        });
        let (((in_range, at_host), _, peer), host) = candidates.max()?;
        let (ours_in_range, ours_at_host) = crowd(from);
        let is_fewer = match range_of(host) == range_of(from) {
            true => ours_at_host + 1 < at_host,
            false => ours_in_range + 1 < in_range,
        };
        is_fewer.then_some(peer)
    }

    fn leaving(&self) -> Vec<PeerId> {
        let leaving = self.entries.iter().filter(|(_, entry)| entry.makes_way);
        leaving.map(|(peer, _)| *peer).collect()
    }

    fn leave(&mut self, peer: PeerId, now: Time) {
        let hash_map::Entry::Occupied(mut entry) = self.entries.entry(peer) else {
            return;
        };
        entry.get_mut().connections -= 1;
        if entry.get().connections > 0 {
            return;
        }
        let stayed = now.saturating_since(entry.remove().since);
        self.gone.insert(peer, LeftMember { stayed, left: now });
        if self.gone.len() > MAX_GONE {
            let least = self.gone.iter().min_by_key(|(_, gone)| gone.stayed);
            let least = least.map(|(peer, _)| *peer);
            least.map(|peer| self.gone.remove(&peer));
        }
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admitted({} peers)", self.len())
    }
}

/// One connection's claim on an entry, given up when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admitted: Admitted,
    peer: PeerId,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.admitted.clock.now();
        self.admitted.lock().leave(self.peer, now);
    }
}

/// The time for which former members are remembered: as long as members that are gone are dialled.
const REMEMBERED: Duration = Duration::from_secs(600);

/// And how many that were, at about 100 bytes; whoever was inside for the shortest time is
/// forgotten first. As many as there may be members.
const MAX_GONE: usize = 4_096;

/// The rate of connections that are let in from a host: as many at once as four full nodes have
/// there, and then 16 a second. A session with 16,000 channels takes some 10 ms to begin.
const COMING: Rate = Rate::every(Duration::from_micros(62_500), 1_024);

/// Hosts of which that is remembered, at about 50 bytes; of further ones the host that came least
/// is forgotten.
const MAX_HOSTS: usize = 4_096;

/// The number of members inside that may be on their way out for others.
const MAX_LEAVING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::fixture::Source;

    fn member() -> Member {
        Member::clone(&Source::new(1).member)
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    /// A table in a time of its own.
    struct Inside {
        table: Table,
        room: usize,
        member: Arc<Member>,
    }

    impl Inside {
        fn new(room: usize) -> Self {
            Self {
                table: Table::default(),
                room,
                member: Arc::new(member()),
            }
        }

        fn comes(&mut self, peer: PeerId, second: u64) -> bool {
            let member = Arc::clone(&self.member);
            self.table
                .admit(peer, member, Caller::default(), self.room, at(second))
                .is_ok()
        }

        fn answers_as_seed(&mut self, peer: PeerId, second: u64) -> bool {
            let member = Arc::clone(&self.member);
            let caller = Caller {
                is_seed: true,
                ..Caller::default()
            };
            self.table
                .admit(peer, member, caller, self.room, at(second))
                .is_ok()
        }

        fn comes_from(&mut self, ip: [u8; 4], second: u64) -> bool {
            let member = Arc::clone(&self.member);
            let caller = Caller {
                ip: Some(ip.into()),
                is_seed: false,
            };
            self.table
                .admit(PeerId::random(), member, caller, self.room, at(second))
                .is_ok()
        }

        /// Closes who makes way, and says who that was.
        fn make_way(&mut self, second: u64) -> Vec<PeerId> {
            let leaving = self.table.leaving();
            leaving
                .iter()
                .for_each(|peer| self.table.leave(*peer, at(second)));
            leaving
        }
    }

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    #[test]
    fn who_was_there_before_comes_back_though_one_that_came_as_many_has_taken_its_place() {
        let mut inside = Inside::new(256);
        let (honest, crowd) = (peers(10), peers(1_000));
        assert!(honest.iter().all(|peer| inside.comes(*peer, 0)));
        let entered = crowd.iter().filter(|peer| inside.comes(**peer, 60));
        assert_eq!(entered.count(), 246);
        for (second, peer) in (100..).zip(&honest) {
            inside.table.leave(*peer, at(second));
            let newcomer = crowd
                .iter()
                .find(|peer| !inside.table.entries.contains_key(*peer));
            assert!(inside.comes(*newcomer.expect("there are more"), second));
            assert!(inside.comes(*peer, second + 5), "{second}");
            assert_eq!(inside.make_way(second + 5).len(), 1);
        }
        assert_eq!(inside.table.entries.len(), 256);
    }

    #[test]
    fn one_that_comes_as_many_from_one_place_keeps_no_newcomers_from_elsewhere_out() {
        let mut inside = Inside::new(256);
        for _ in 0..4 {
            assert!(inside.comes_from([10, 0, 0, 1], 0));
        }
        let entered = (0..300).filter(|_| inside.comes_from([192, 0, 2, 1], 10));
        assert_eq!(entered.count(), 252);
        // A rolling restart: others, from where few are.
        for second in 20..40 {
            assert!(inside.comes_from([10, 0, 0, 2], second), "{second}");
            assert_eq!(inside.make_way(second).len(), 1);
        }
        let ip = |entry: &&AdmittedMember| entry.caller.ip == Some([192, 0, 2, 1].into());
        let crowd = inside.table.entries.values().filter(ip);
        assert_eq!(crowd.count(), 232, "nobody else made way");
        assert!(!inside.comes_from([192, 0, 2, 1], 41), "it has most");
    }

    #[test]
    fn who_comes_and_goes_in_a_loop_as_another_each_time_is_let_in_at_a_rate() {
        let mut inside = Inside::new(8);
        let coming = |inside: &mut Inside, ip: [u8; 4], second: u64| {
            let entered = (0..3_000).filter(|_| {
                let entered = inside.comes_from(ip, second);
                let all: Vec<_> = inside.table.entries.keys().copied().collect();
                all.iter()
                    .for_each(|peer| inside.table.leave(*peer, at(second)));
                entered
            });
            entered.count()
        };
        assert_eq!(coming(&mut inside, [192, 0, 2, 1], 0), 1_024);
        assert_eq!(coming(&mut inside, [192, 0, 2, 1], 10), 160);
        assert_eq!(coming(&mut inside, [192, 0, 2, 2], 10), 1_024, "another");
        assert_eq!(coming(&mut inside, [127, 0, 0, 1], 10), 3_000, "this one");
        // It does not keep its own out for longer.
        assert!(inside.comes_from([192, 0, 2, 1], 11));
        for n in 0..2 * MAX_HOSTS {
            let [.., high, low] = n.to_be_bytes();
            inside.comes_from([10, 0, high, low], 12);
        }
        assert!(inside.table.came.len() <= MAX_HOSTS);
    }

    #[test]
    fn places_are_shared_between_hosts_of_a_range_and_nobody_pushes_in_turn() {
        let mut inside = Inside::new(4);
        for _ in 0..4 {
            assert!(inside.comes_from([192, 0, 2, 1], 0));
        }
        for second in 1..3 {
            assert!(inside.comes_from([192, 0, 2, 2], second));
            assert_eq!(inside.make_way(second).len(), 1);
        }
        assert!(!inside.comes_from([192, 0, 2, 2], 3), "both have two");
        assert!(!inside.comes_from([192, 0, 2, 1], 3));
        assert!(
            !inside.comes(PeerId::random(), 3),
            "nobody knows from where"
        );
    }

    #[test]
    fn nobody_who_was_there_for_longer_makes_way() {
        let mut inside = Inside::new(2);
        let [old, young, other] = [PeerId::random(), PeerId::random(), PeerId::random()];
        assert!(inside.comes(old, 0) && inside.comes(young, 10));
        assert!(!inside.comes(other, 20), "it was never there");
        // It was there for ten seconds, and whoever took its place has been for twenty.
        inside.table.leave(young, at(20));
        assert!(inside.comes(other, 20));
        assert!(!inside.comes(young, 40));
        // For less than that it gets its place back.
        let mut inside = Inside::new(2);
        assert!(inside.comes(old, 0) && inside.comes(young, 10));
        inside.table.leave(young, at(20));
        assert!(inside.comes(other, 20) && inside.comes(young, 25));
        assert!(!inside.comes(other, 25), "it is on its way out");
        let leaving = [inside.table.leaving(), inside.table.leaving()];
        assert_eq!(leaving, [[other], [other]], "until it is gone");
        assert_eq!(inside.make_way(26), [other]);
        assert_eq!(inside.table.entries.len(), 2);
        // And whoever made way does not take it again.
        assert!(!inside.comes(other, 27));
    }

    #[test]
    fn for_a_seed_the_last_that_came_makes_way_and_a_seed_makes_way_for_nobody() {
        let mut inside = Inside::new(3);
        let (crowd, seeds) = (peers(3), peers(4));
        for (second, peer) in (0..).zip(&crowd) {
            assert!(inside.comes(*peer, second));
        }
        // It was never there, and a seed that started anew has another key.
        assert!(!inside.comes(seeds[0], 10));
        for (second, (seed, last)) in (20..).zip(seeds.iter().zip(crowd.iter().rev())) {
            assert!(inside.answers_as_seed(*seed, second));
            assert_eq!(inside.make_way(second), [*last]);
        }
        assert!(
            !inside.answers_as_seed(seeds[3], 30),
            "all places are theirs"
        );
        // A member that was there for longer than a seed does not get its place either.
        assert!(!inside.comes(crowd[0], 40));
        inside.table.leave(seeds[0], at(50));
        assert!(inside.comes(crowd[0], 51));
    }

    #[test]
    fn an_address_is_that_of_a_seed_for_as_long_as_one_is_dialled_there() {
        let admitted = Admitted::new(1);
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().expect("an address");
        assert!(!admitted.is_seed(&address));
        admitted.begin_seed_dial(&address);
        admitted.begin_seed_dial(&address);
        admitted.end_seed_dial(&address);
        assert!(admitted.is_seed(&address));
        admitted.end_seed_dial(&address);
        admitted.end_seed_dial(&address);
        assert!(!admitted.is_seed(&address));
    }

    #[test]
    fn who_was_there_is_remembered_for_ten_minutes_and_the_longest_there_for_longest() {
        let mut inside = Inside::new(1);
        let (honest, late) = (PeerId::random(), PeerId::random());
        assert!(inside.comes(honest, 0));
        inside.table.leave(honest, at(100));
        for peer in peers(2 * MAX_GONE) {
            assert!(inside.comes(peer, 100));
            inside.table.leave(peer, at(101));
        }
        assert_eq!(inside.table.gone.len(), MAX_GONE);
        assert!(inside.comes(late, 650) && inside.comes(honest, 699));
        assert_eq!(inside.make_way(699), [late]);
        inside.table.leave(honest, at(700));
        assert!(inside.comes(late, 1_299) && !inside.comes(honest, 1_301));
    }
}
