//! Connections that were not admitted, by why, for whoever inspects the node.

use std::collections::{BTreeMap, VecDeque};

use libp2p::Multiaddr;
use meshcast_proto::WallTime;

use crate::{
    gate::GateError,
    inspect::{Direction, RefusalInfo, RefusedLately},
};

/// The last of each kind, how many there were, and from where most came lately. There are as many
/// as [kinds](GateError::kind).
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<&'static str, Kind>);

#[derive(Debug)]
struct Kind {
    last: RefusalInfo,
    /// The last ones, the oldest first.
    recent: VecDeque<(WallTime, Multiaddr)>,
}

impl Refusals {
    pub(super) fn note(
        &mut self,
        error: GateError,
        address: Multiaddr,
        direction: Direction,
        now: WallTime,
    ) {
        let kind = error.kind();
        let before = self.0.remove(kind.as_str());
        let (times, mut recent) =
            before.map_or_else(Default::default, |it| (it.last.times, it.recent));
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((now, address.clone()));
        let last = RefusalInfo {
            kind,
            reason: error.to_string(),
            address,
            direction,
            at: now,
            times: times + 1,
            lately: None,
        };
        self.0.insert(kind.as_str(), Kind { last, recent });
    }

    /// By kind.
    pub(super) fn all(&self, now: WallTime) -> Vec<RefusalInfo> {
        let all = self.0.values().map(|kind| RefusalInfo {
            lately: kind.lately(now),
            ..kind.last.clone()
        });
        all.collect()
    }
}

impl Kind {
    fn lately(&self, now: WallTime) -> Option<RefusedLately> {
        let is_late = |at: WallTime| now.unix_millis().saturating_sub(at.unix_millis()) < LATELY;
        let mut places: BTreeMap<_, RefusedLately> = BTreeMap::new();
        for (_, address) in self.recent.iter().filter(|(at, _)| is_late(*at)) {
            // The dialling side has another port each time.
            let place = address.iter().next().map(|host| host.to_string());
            let place = places.entry(place).or_insert_with(|| RefusedLately {
                address: address.clone(),
                times: 0,
            });
            place.address = address.clone();
            place.times += 1;
        }
        places.into_values().max_by_key(|place| place.times)
    }
}

/// The number of refusals of a kind that are remembered one by one: a node that is refused dials
/// again some ten times in the time that counts, so a few such places fit.
const RECENT: usize = 64;
/// What counts as lately, in milliseconds: five minutes.
const LATELY: u64 = 300_000;

#[cfg(test)]
mod tests {
    use meshcast_proto::Reason;

    use super::*;
    use crate::reason::RefusalKind;

    #[test]
    fn of_each_kind_the_last_is_told_and_how_many_there_were() {
        let mut refusals = Refusals::default();
        let at = WallTime::from_unix_millis;
        let address = |port: u16| -> Multiaddr {
            format!("/ip4/10.0.0.1/tcp/{port}").parse().expect("valid")
        };
        let version = |theirs| Reason::Version { ours: 6, theirs };
        for (error, port, millis) in [
            (GateError::Reject(version(5)), 1, 1),
            (GateError::OtherMesh, 2, 2),
            (GateError::Refused(version(7)), 3, 3),
        ] {
            refusals.note(error, address(port), Direction::Inbound, at(millis));
        }
        let all = refusals.all(at(3));
        let told: Vec<_> = all.iter().map(|it| (it.kind, it.times, it.at)).collect();
        let expected = [
            (RefusalKind::OtherMesh, 1, at(2)),
            (RefusalKind::Version, 2, at(3)),
        ];
        assert_eq!(told, expected);
        assert_eq!(all[1].address, address(3));
        assert!(all[1].reason.contains("7 there"), "{}", all[1].reason);
    }

    #[test]
    fn from_where_most_came_in_the_last_minutes_is_told() {
        let mut refusals = Refusals::default();
        let at = |seconds: u64| WallTime::from_unix_millis(seconds * 1_000);
        let mut note = |host: u8, port: u16, seconds| {
            let address = format!("/ip4/10.0.0.{host}/tcp/{port}");
            let address = address.parse().expect("valid");
            refusals.note(GateError::HungUp, address, Direction::Inbound, at(seconds));
        };
        for seconds in 0..100 {
            note(9, 1, seconds);
        }
        note(1, 1, 400);
        note(1, 2, 500);
        note(2, 3, 550);
        let lately = |now| {
            let [all] = &refusals.all(at(now))[..] else {
                panic!("one kind")
            };
            let lately = all.lately.as_ref();
            (
                all.times,
                lately.map(|it| (it.address.to_string(), it.times)),
            )
        };
        let from = |address: &str, times| Some((address.to_owned(), times));
        assert_eq!(lately(600), (103, from("/ip4/10.0.0.1/tcp/2", 2)));
        assert_eq!(lately(840), (103, from("/ip4/10.0.0.2/tcp/3", 1)));
        assert_eq!(lately(1_000), (103, None));
    }
}
