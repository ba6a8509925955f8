//! Logs that wait to ask a peer that may not be asked for more at the moment: a line for each such
//! peer, so that one that is slow to answer holds up nothing but what it alone is asked for.
//!
//! In a line, logs of which a frame came go first, in the order in which they joined it. Behind
//! them are logs that are only reported, and those who report them take turns: a peer that reports
//! thousands of logs that do not exist holds up nobody but itself.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use crate::wire::{LogKey, Sender, Subject};

/// The logs that wait, each in one place.
#[derive(Debug, Default)]
pub(super) struct AskQueue {
    peers: BTreeMap<Sender, Queues>,
    /// The last place that was given.
    tier: u64,
}

/// The logs that wait to ask one peer.
#[derive(Debug, Default)]
struct Queues {
    proven: BTreeMap<u64, LogKey>,
    reported: BTreeMap<Subject, BTreeMap<u64, LogKey>>,
    /// The peer that told of the reported log whose turn it was last.
    last: Option<Subject>,
}

/// A place in one of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    peer: Sender,
    line: Class,
    tier: u64,
}

/// In which line of a peer a log waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A frame of it came.
    Proven,
    /// This member told of it, and nothing came.
    Reported(Subject),
}

impl AskQueue {
    /// A log waits from now on to ask this peer. It keeps the place that it has; in another line it
    /// goes behind those that came before it.
    pub(super) fn push(
        &mut self,
        turn: Option<Turn>,
        peer: Sender,
        line: Class,
        key: &LogKey,
    ) -> Turn {
        let tier = match turn {
            Some(turn) if (turn.peer, turn.line) == (peer, line) => return turn,
            Some(turn) => {
                self.remove(turn);
                turn.tier
            }
            None => {
                self.tier += 1;
                self.tier
            }
        };
        let lines = self.peers.entry(peer).or_default();
        let waiting = match line {
            Class::Proven => &mut lines.proven,
            Class::Reported(teller) => lines.reported.entry(teller).or_default(),
        };
        waiting.insert(tier, key.clone());
        Turn { peer, line, tier }
    }

    /// A log waits no more.
    pub(super) fn remove(&mut self, Turn { peer, line, tier }: Turn) {
        let Some(lines) = self.peers.get_mut(&peer) else {
            return;
        };
        match line {
            Class::Proven => {
                lines.proven.remove(&tier);
            }
            Class::Reported(teller) => {
                if let Some(its) = lines.reported.get_mut(&teller) {
                    its.remove(&tier);
                    if its.is_empty() {
                        lines.reported.remove(&teller);
                    }
                }
            }
        }
        self.clear(peer);
    }

    /// The first of the peers behind this one that a log waits for.
    pub(super) fn peer_after(&self, peer: Option<Sender>) -> Option<Sender> {
        let behind = peer.map_or(Unbounded, Excluded);
        let next = self.peers.range((behind, Unbounded)).next();
        next.map(|(peer, _)| *peer)
    }

    /// The log whose turn it is to ask a peer, of those of which a frame came.
    pub(super) fn next_proven(&mut self, peer: Sender) -> Option<LogKey> {
        let (_, key) = self.peers.get_mut(&peer)?.proven.pop_first()?;
        self.clear(peer);
        Some(key)
    }

    /// The log whose turn it is to ask a peer, of those that are only reported.
    pub(super) fn next_reported(&mut self, peer: Sender) -> Option<LogKey> {
        let key = self.peers.get_mut(&peer)?.next_reported()?;
        self.clear(peer);
        Some(key)
    }

    /// Forgets a peer that nothing waits for.
    fn clear(&mut self, peer: Sender) {
        let lines = self.peers.get(&peer);
        if lines.is_some_and(|lines| lines.proven.is_empty() && lines.reported.is_empty()) {
            self.peers.remove(&peer);
        }
    }

    /// How many logs wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let reported = |lines: &Queues| lines.reported.values().map(BTreeMap::len).sum::<usize>();
        let lines = self.peers.values();
        lines
            .map(|lines| lines.proven.len() + reported(lines))
            .sum()
    }

    /// Whether a log waits there.
    #[cfg(test)]
    pub(super) fn contains(&self, Turn { peer, line, tier }: Turn, key: &LogKey) -> bool {
        let lines = self.peers.get(&peer);
        let its = lines.and_then(|lines| match line {
            Class::Proven => Some(&lines.proven),
            Class::Reported(teller) => lines.reported.get(&teller),
        });
        its.and_then(|its| its.get(&tier)) == Some(key)
    }
}

impl Queues {
    fn next_reported(&mut self) -> Option<LogKey> {
        let behind = self.last.map_or(Unbounded, Excluded);
        let after = self.reported.range_mut((behind, Unbounded)).next();
        let teller = match after {
            Some((teller, _)) => *teller,
            None => *self.reported.first_key_value()?.0,
        };
        self.last = Some(teller);
        let its = self.reported.get_mut(&teller)?;
        let (_, key) = its.pop_first()?;
        if its.is_empty() {
            self.reported.remove(&teller);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ChannelName;

    const PEER: Sender = Sender::new([1; 32]);
    const OTHER: Sender = Sender::new([2; 32]);

    fn key(n: u8) -> LogKey {
        let channel = ChannelName::new("channel").expect("valid");
        (channel, Sender::new([n; 32]))
    }

    fn teller(n: u8) -> Subject {
        [n; 32]
    }

    #[test]
    fn tellers_take_turns_however_much_one_of_them_tells() {
        let mut queue = AskQueue::default();
        for n in 0..100 {
            queue.push(None, PEER, Class::Reported(teller(1)), &key(n));
        }
        queue.push(None, PEER, Class::Reported(teller(2)), &key(200));
        queue.push(None, PEER, Class::Reported(teller(0)), &key(201));
        let order: Vec<_> = std::iter::from_fn(|| queue.next_reported(PEER)).collect();
        assert_eq!(order[..3], [key(201), key(0), key(200)]);
        assert_eq!(order[3..], (1..100).map(key).collect::<Vec<_>>());
        assert_eq!((queue.len(), queue.peer_after(None)), (0, None));
    }

    #[test]
    fn a_log_keeps_its_place_until_it_changes_the_line_or_goes() {
        let mut queue = AskQueue::default();
        let first = queue.push(None, PEER, Class::Reported(teller(1)), &key(1));
        queue.push(None, PEER, Class::Reported(teller(1)), &key(2));
        assert_eq!(
            queue.push(Some(first), PEER, Class::Reported(teller(1)), &key(1)),
            first
        );
        let proven = queue.push(Some(first), PEER, Class::Proven, &key(1));
        assert!(queue.contains(proven, &key(1)) && !queue.contains(first, &key(1)));
        assert_eq!(queue.len(), 2);
        queue.remove(proven);
        assert_eq!(queue.next_proven(PEER), None);
        assert_eq!(queue.next_reported(PEER), Some(key(2)));
        assert_eq!(queue.next_reported(PEER), None);
    }

    #[test]
    fn a_log_that_turns_to_another_peer_goes_before_later_ones() {
        let mut queue = AskQueue::default();
        let first = queue.push(None, PEER, Class::Proven, &key(1));
        queue.push(None, OTHER, Class::Proven, &key(2));
        queue.push(Some(first), OTHER, Class::Proven, &key(1));
        assert_eq!(queue.peer_after(None), Some(OTHER));
        assert_eq!(queue.peer_after(Some(OTHER)), None);
        let order = std::iter::from_fn(|| queue.next_proven(OTHER));
        assert_eq!(order.collect::<Vec<_>>(), [key(1), key(2)]);
    }
}
