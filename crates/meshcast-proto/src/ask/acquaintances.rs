//! Members whose questions and replies came over others: who they are, and which of their
//! questions were taken in already.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    identity::Member,
    wire::{Sender, Time},
};

#[derive(Debug, Default)]
pub(super) struct Acquaintances {
    members: BTreeMap<Sender, Acquaintance>,
    /// How many processes of each member there are.
    counts: BTreeMap<[u8; 32], usize>,
}

#[derive(Debug)]
struct Acquaintance {
    member: Arc<Member>,
    /// Whose process it was when it was first met.
    subject: [u8; 32],
    /// The chain that showed it.
    chain: Bytes,
    /// When it was last met.
    met: Time,
    /// The highest number of its questions, and which of the [`WINDOW`] up to it were taken in.
    highest: u64,
    taken: [u64; WORDS],
    /// Of which of these all that can come has come back.
    whole: [u64; WORDS],
}

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Taken {
        /// All that can come of it has come back.
        whole: bool,
    },
    /// Too long ago to tell.
    Old,
}

impl Acquaintances {
    /// The member that has shown this chain.
    pub(super) fn get(&self, sender: Sender, chain: &Bytes) -> Option<&Arc<Member>> {
        let known = self.members.get(&sender)?;
        (known.chain == chain).then_some(&known.member)
    }

    /// Remembers a member that was verified.
    pub(super) fn meet(&mut self, member: &Arc<Member>, chain: &Bytes, now: Time) {
        self.remember(member.sender(), member, chain, now);
    }

    fn remember(&mut self, sender: Sender, member: &Arc<Member>, chain: &Bytes, now: Time) {
        if let Some(known) = self.members.get_mut(&sender) {
            known.met = now;
            if known.chain != chain {
                // Not as a part of the message that it came in.
                known.chain = Bytes::copy_from_slice(chain);
                known.member = Arc::clone(member);
            }
            return;
        }
        if self.members.len() >= MAX_MEMBERS {
            self.forget_one();
        }
        let subject = member.credential().subject;
        *self.counts.entry(subject).or_default() += 1;
        let known = Acquaintance {
            member: Arc::clone(member),
            subject,
            chain: Bytes::copy_from_slice(chain),
            met: now,
            highest: 0,
            taken: [0; WORDS],
            whole: [0; WORDS],
        };
        self.members.insert(sender, known);
    }

    /// Forgets the process that was met longest ago, of the member that has most: whoever makes up
    /// processes takes the place of its own.
    fn forget_one(&mut self) {
        let most = self.counts.iter().max_by_key(|(_, count)| **count);
        let most = most.filter(|(_, count)| **count > 1).map(|(of, _)| *of);
        let known = self.members.iter();
        let known = known.filter(|(_, it)| most.is_none_or(|most| most == it.subject));
        let oldest = known.min_by_key(|(_, known)| known.met);
        let Some((sender, of)) = oldest.map(|(sender, it)| (*sender, it.subject)) else {
            return;
        };
        self.members.remove(&sender);
        if let Some(count) = self.counts.get_mut(&of) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&of);
            }
        }
    }

    /// Whether a question was taken in.
    pub(super) fn seen(&self, asker: Sender, number: u64) -> Seen {
        let Some(known) = self.members.get(&asker) else {
            return Seen::New;
        };
        match known.highest.checked_sub(number) {
            None => Seen::New,
            Some(back) if back >= WINDOW => Seen::Old,
            Some(_) if has(&known.taken, number) => Seen::Taken {
                whole: has(&known.whole, number),
            },
            Some(_) => Seen::New,
        }
    }

    /// Takes in a question of a member that was [met](Self::meet).
    pub(super) fn take(&mut self, asker: Sender, number: u64) {
        let Some(known) = self.members.get_mut(&asker) else {
            return;
        };
        if number > known.highest {
            // Of those between nothing was taken in.
            let skipped = (number - known.highest).min(WINDOW);
            for number in number - skipped + 1..number {
                set(&mut known.taken, number, false);
            }
            known.highest = number;
        }
        set(&mut known.taken, number, true);
        set(&mut known.whole, number, false);
    }

    /// All that can come of a question has come back.
    pub(super) fn end(&mut self, asker: Sender, number: u64) {
        if let Some(known) = self.members.get_mut(&asker)
            && known
                .highest
                .checked_sub(number)
                .is_some_and(|back| back < WINDOW)
        {
            set(&mut known.whole, number, true);
        }
    }
}

fn has(numbers: &[u64; WORDS], number: u64) -> bool {
    let (word, bit) = place(number);
    numbers.get(word).is_some_and(|word| word & bit != 0)
}

fn set(numbers: &mut [u64; WORDS], number: u64, is: bool) {
    let (word, bit) = place(number);
    if let Some(word) = numbers.get_mut(word) {
        *word = if is { *word | bit } else { *word & !bit };
    }
}

fn place(number: u64) -> (usize, u64) {
    let bit = number % WINDOW;
    ((bit / 64) as usize, 1 << (bit % 64))
}

/// How many processes are remembered, at up to 1.5 KiB: as many as may be present on a channel.
/// What one that is forgotten asked before is refused by its time, or handed on once more.
const MAX_MEMBERS: usize = 4_096;

/// How far apart the questions of a member may come: as many as it may have waiting.
const WINDOW: u64 = 256;

const WORDS: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::peer;

    #[test]
    fn a_number_is_new_once_in_whatever_order_they_come() {
        let (mut all, member) = (Acquaintances::default(), &peer(1).member);
        let asker = member.sender();
        assert_eq!(all.seen(asker, 7), Seen::New);
        all.meet(member, &Bytes::from_static(b"chain"), Time::ZERO);
        for number in [7, 3, 300, 299, 45, 1_000, 999] {
            assert_eq!(all.seen(asker, number), Seen::New, "{number}");
            all.take(asker, number);
            let whole = false;
            assert_eq!(all.seen(asker, number), Seen::Taken { whole }, "{number}");
        }
        all.end(asker, 999);
        all.end(asker, 3);
        let whole = [999, 1_000].map(|number| all.seen(asker, number));
        assert_eq!(whole, [true, false].map(|whole| Seen::Taken { whole }));
        assert_eq!(all.seen(asker, 744), Seen::Old);
        assert_eq!(all.seen(asker, 745), Seen::New);
        assert_eq!(all.seen(asker, 998), Seen::New);
    }

    #[test]
    fn no_more_members_are_remembered_than_there_is_room_for() {
        let mut all = Acquaintances::default();
        let chain = Bytes::from_static(b"chain");
        for n in 0..3 {
            all.meet(&peer(n).member, &chain, Time::ZERO);
        }
        assert!(all.get(peer(0).member.sender(), &chain).is_some());
        assert!(all.get(peer(0).member.sender(), &Bytes::new()).is_none());
        assert!(all.get(peer(5).member.sender(), &chain).is_none());
    }

    /// However many processes a member makes up, what others asked is not forgotten.
    #[test]
    fn of_the_member_with_most_processes_one_is_forgotten_first() {
        let (mut all, chain) = (Acquaintances::default(), Bytes::from_static(b"chain"));
        let member = &peer(1).member;
        all.meet(member, &chain, Time::ZERO);
        all.take(member.sender(), 1);
        let at = |n: usize| Time::from_start(Duration::from_millis(n as u64));
        let made_up = Arc::clone(&peer(0).member);
        for n in 0..=MAX_MEMBERS {
            let sender = Sender::new(std::array::from_fn(|i| (n >> (8 * (i % 2))) as u8));
            all.remember(sender, &made_up, &chain, at(n));
        }
        assert_eq!(all.members.len(), MAX_MEMBERS);
        assert_eq!(all.counts.values().sum::<usize>(), MAX_MEMBERS);
        assert_ne!(all.seen(member.sender(), 1), Seen::New);
    }
}
