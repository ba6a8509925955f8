//! A bounded number of places, shared fairly between address ranges.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Who holds which place. A newcomer always gets one; if there is none left, the oldest of whoever
/// has most makes way: first of the range with the most places, in it of the host with the most.
///
/// Some hosts have a few places of their own, which do not count when it is looked for who has
/// most.
#[derive(Debug)]
pub(super) struct Places<T> {
    room: usize,
    taken: usize,
    ranges: BTreeMap<IpAddr, BTreeMap<IpAddr, BTreeMap<u64, T>>>,
}

impl<T> Places<T> {
    pub(super) const fn new(room: usize) -> Self {
        Self {
            room,
            taken: 0,
            ranges: BTreeMap::new(),
        }
    }

    /// Gives a place to a newcomer, whose number is the highest so far. Returns who made way.
    pub(super) fn insert(
        &mut self,
        host: IpAddr,
        id: u64,
        holder: T,
        has_own: impl Fn(&IpAddr) -> bool,
    ) -> Option<T> {
        let hosts = self.ranges.entry(range_of(host)).or_default();
        if hosts.entry(host).or_default().insert(id, holder).is_none() {
            self.taken += 1;
        }
        if self.taken <= self.room {
            return None;
        }
        self.displace(has_own)
    }

    /// Takes the place of whoever would make way next.
    pub(super) fn displace(&mut self, has_own: impl Fn(&IpAddr) -> bool) -> Option<T> {
        let (host, id) = self.next_to_go(has_own)?;
        self.remove(host, id)
    }

    pub(super) fn remove(&mut self, host: IpAddr, id: u64) -> Option<T> {
        let range = range_of(host);
        let hosts = self.ranges.get_mut(&range)?;
        let held = hosts.get_mut(&host)?;
        let holder = held.remove(&id)?;
        self.taken -= 1;
        if held.is_empty() {
            hosts.remove(&host);
            if hosts.is_empty() {
                self.ranges.remove(&range);
            }
        }
        Some(holder)
    }

    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    fn next_to_go(&self, has_own: impl Fn(&IpAddr) -> bool) -> Option<(IpAddr, u64)> {
        let counted = |host: &IpAddr, held: &BTreeMap<u64, T>| match has_own(host) {
            true => held.len().saturating_sub(OWN),
            false => held.len(),
        };
        // The host that has most; of several the one that was there first; all by what counts, and
        // if nothing does, by all.
        let ranges = self.ranges.values().filter_map(|hosts| {
            let hosts = hosts.iter().filter_map(|(host, held)| {
                let (first, _) = held.first_key_value()?;
                Some((counted(host, held), held.len(), Reverse(*first), *host))
            });
            let (sum, all, host) = hosts.fold((0, 0, None), |(sum, all, most), host| {
                (sum + host.0, all + host.1, most.max(Some(host)))
            });
            host.map(|(_, _, first, host)| (sum, all, first, host))
        });
        let (_, _, Reverse(id), host) = ranges.max()?;
        Some((host, id))
    }
}

/// The host behind an address: IPv6 gives one host at least 2^64 of them.
pub(in crate::gate) fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => masked(ip, 64),
    }
}

/// Addresses that are mostly in one hand: a /24, or the /48 that a site gets. All of loopback is
/// this machine.
pub(in crate::gate) fn range_of(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00).into(),
        IpAddr::V6(ip) => masked(ip, 48),
    }
}

fn masked(ip: Ipv6Addr, bits: u32) -> IpAddr {
    Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - bits))).into()
}

/// Places that a host has of its own. As many as nodes of one service may start at once on a
/// machine that had members before.
pub(super) const OWN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    const fn nobody(_: &IpAddr) -> bool {
        false
    }

    #[test]
    fn the_oldest_of_the_range_and_host_with_most_makes_way() {
        let mut places = Places::new(5);
        let crowd = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.1.0.1", "10.1.0.1"];
        for (id, host) in (0..).zip(crowd) {
            assert_eq!(places.insert(ip(host), id, id, nobody), None);
        }
        // Of 10.0.0.0/24 there are three.
        assert_eq!(places.insert(ip("192.0.2.1"), 5, 5, nobody), Some(1));
        // Now both ranges have two, and the first of all is in the first.
        assert_eq!(places.insert(ip("192.0.2.1"), 6, 6, nobody), Some(0));
        // Two, two, and three of the newcomer, whose oldest goes.
        assert_eq!(places.insert(ip("192.0.2.1"), 7, 7, nobody), Some(5));
        assert_eq!(places.taken(), 5);
    }

    #[test]
    fn places_of_ones_own_go_last() {
        let mut places = Places::new(2 * OWN);
        let (known, other) = (ip("10.0.0.1"), ip("10.9.0.1"));
        let is_known = |host: &IpAddr| *host == known;
        let own = u64::try_from(OWN).expect("few");
        for id in 0..own {
            places.insert(known, id, id, is_known);
        }
        for id in own..2 * own {
            assert_eq!(places.insert(other, id, id, is_known), None);
        }
        for id in 2 * own..10 * own {
            assert_eq!(places.insert(other, id, id, is_known), Some(id - own));
        }
        // Further ones count like those of any other.
        for id in 10 * own..10 * own + own / 2 {
            assert_eq!(places.insert(known, id, id, is_known), Some(id - own));
        }
        assert_eq!(places.insert(known, 11 * own, 11 * own, is_known), Some(0));
    }

    #[test]
    fn hosts_and_ranges_are_those_of_one_hand() {
        let both = |text: &str| {
            let host = host_of(ip(text));
            (host.to_string(), range_of(host).to_string())
        };
        let pair = |host: &str, range: &str| (host.to_owned(), range.to_owned());
        assert_eq!(both("203.0.113.77"), pair("203.0.113.77", "203.0.113.0"));
        assert_eq!(
            both("::ffff:203.0.113.77"),
            pair("203.0.113.77", "203.0.113.0")
        );
        assert_eq!(both("127.9.8.7"), pair("127.9.8.7", "127.0.0.1"));
        assert_eq!(
            both("2001:db8:1:2:3::4"),
            pair("2001:db8:1:2::", "2001:db8:1::")
        );
    }

    proptest! {
        /// Against the simplest model: a list of who is there.
        #[test]
        fn nobody_makes_way_while_another_has_more(
            steps in prop::collection::vec((0..4_u8, 0..4_u8, any::<bool>()), 1..80),
            room in 1..9_usize,
        ) {
            let mut places = Places::new(room);
            let mut there: Vec<(IpAddr, u64)> = Vec::new();
            for (id, (net, host, stays)) in (0..).zip(steps) {
                let host = IpAddr::from([10, 0, net, host]);
                there.push((host, id));
                let gone = places.insert(host, id, id, nobody);
                prop_assert_eq!(gone.is_some(), there.len() > room);
                if let Some(gone) = gone {
                    let at = there.iter().position(|(_, id)| *id == gone).expect("was there");
                    let (who, _) = there[at];
                    let of_range = |ip: IpAddr| {
                        there.iter().filter(|(other, _)| range_of(*other) == range_of(ip)).count()
                    };
                    let of_host = |ip: IpAddr| {
                        there.iter().filter(|(other, _)| *other == ip).count()
                    };
                    for (other, _) in &there {
                        prop_assert!(of_range(who) >= of_range(*other));
                        if range_of(who) == range_of(*other) {
                            prop_assert!(of_host(who) >= of_host(*other));
                        }
                    }
                    prop_assert!(there.iter().all(|(other, id)| *other != who || *id >= gone));
                    there.remove(at);
                }
                if !stays {
                    let (host, id) = there.remove(0);
                    prop_assert_eq!(places.remove(host, id), Some(id));
                }
                prop_assert_eq!(places.taken(), there.len());
            }
        }
    }
}
