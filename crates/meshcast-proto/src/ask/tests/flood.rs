//! Questions that travel over members, in meshes of every shape, with links that break and members
//! that lie.

use std::{cmp::Reverse, collections::BinaryHeap, sync::LazyLock};

use super::*;
use crate::{
    conduct::Offence,
    fixture::{Peer, restarted},
    wire::{Finding, Inquiry, Query, Relayed},
};

mod attacks;
mod lost;
mod room;

const MOST: usize = 24;

fn node(n: usize) -> &'static Peer {
    static ALL: LazyLock<Vec<Peer>> =
        LazyLock::new(|| (0..MOST).map(|n| restarted(n as u8)).collect());
    &ALL[n]
}

fn key(n: usize) -> Sender {
    node(n).member.sender()
}

fn number_of(sender: Sender) -> usize {
    (0..MOST).find(|n| key(*n) == sender).expect("one of them")
}

/// The faults of a member in handing on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It hands nothing on, and says nothing.
    Drops,
    /// It hands nothing on, and says that nothing more comes.
    SaysDone,
    /// It changes what is asked.
    Changes,
    /// It replies in the name of others.
    Forges,
    /// It hands questions on, and keeps what comes back.
    Swallows,
    /// It replies to whoever asks, also if another is asked.
    Replies,
}

/// What is on its way.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
enum Event {
    Message(usize, usize, AskMessage),
    Answer(usize, Sender, u64),
}

struct World {
    nodes: Vec<Asks>,
    budgets: Vec<Budget>,
    links: BTreeMap<(usize, usize), u64>,
    lies: BTreeMap<usize, Lie>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    sent: u64,
    now: u64,
    /// How long a handler takes.
    takes: u64,
    /// Members that do not have the channel open.
    closed: BTreeSet<usize>,
    /// Of whom the first does not know whether they do.
    untold: BTreeSet<usize>,
    /// By whom what came back, of which question of whom.
    told: Vec<(usize, Result<Reply, NoReply>)>,
    over: Option<u64>,
    whole: bool,
    copies: usize,
    echoes: usize,
    findings: usize,
    blamed: BTreeSet<usize>,
}

impl World {
    fn new(size: usize, links: &BTreeMap<(usize, usize), u64>) -> Self {
        let budgets: Vec<Budget> = (0..size).map(|_| Budget::default()).collect();
        let trust = Trust::from(&MeshKey::from_entropy([7; 48]));
        let make =
            |n: usize| Asks::new(node(n).identity.clone(), trust.clone(), budgets[n].clone());
        let mut world = Self {
            nodes: (0..size).map(make).collect(),
            budgets,
            links: BTreeMap::new(),
            lies: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sent: 0,
            now: 0,
            takes: 5,
            closed: BTreeSet::new(),
            untold: BTreeSet::new(),
            told: Vec::new(),
            over: None,
            whole: false,
            copies: 0,
            echoes: 0,
            findings: 0,
            blamed: BTreeSet::new(),
        };
        for ((a, b), latency) in links {
            world.links.insert((*a, *b), *latency);
            world.links.insert((*b, *a), *latency);
            world.nodes[*a].handle_peer_up(key(*b), at(0));
            world.nodes[*b].handle_peer_up(key(*a), at(0));
        }
        // What peers each has is told.
        world.run(1_000);
        world
    }

    fn neighbours(&self, of: usize) -> BTreeSet<usize> {
        let links = self.links.range((of, 0)..=(of, usize::MAX));
        links.map(|((_, to), _)| *to).collect()
    }

    /// The first asks all that it knows of.
    fn ask(&mut self, far: impl IntoIterator<Item = usize>, only: Option<usize>, within: u64) {
        let peers = self.neighbours(0);
        let without = &self.closed | &self.untold;
        let peers = peers.difference(&without).copied();
        let peers = peers.filter(|peer| only.is_none_or(|only| only == *peer));
        let whom = AskTargets {
            peers: peers.map(key).collect(),
            far: far.into_iter().map(key).collect(),
            untold: self.untold.iter().copied().map(key).collect(),
            only: only.map(key),
        };
        let asked = self.nodes[0].ask(new(within, b"?"), whom, at(self.now), wall(self.now));
        asked.expect("few");
        self.drain(0);
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a, b)).is_none() {
            return;
        }
        self.links.remove(&(b, a));
        self.nodes[a].handle_peer_down(key(b), at(self.now));
        self.nodes[b].handle_peer_down(key(a), at(self.now));
        self.drain(a);
        self.drain(b);
    }

    /// Until then.
    fn run(&mut self, until: u64) {
        loop {
            let due = (0..self.nodes.len()).filter_map(|n| self.nodes[n].poll_timeout());
            let due = due
                .min()
                .map(|due| due.since_start().as_micros().div_ceil(1_000) as u64);
            let next = self.queue.peek().map(|Reverse((at, _))| *at);
            let Some(next) = next.into_iter().chain(due).min().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            for n in 0..self.nodes.len() {
                self.nodes[n].handle_timeout(at(self.now));
                self.drain(n);
            }
            while let Some(Reverse((when, id))) = self.queue.peek().copied()
                && when <= self.now
            {
                self.queue.pop();
                match self.events.remove(&id) {
                    Some(Event::Message(from, to, message))
                        if self.links.contains_key(&(from, to)) =>
                    {
                        let (now, wall) = (at(self.now), wall(self.now));
                        self.nodes[to].handle_message(key(from), message, now, wall);
                        self.drain(to);
                    }
                    Some(Event::Answer(of, asker, question)) => {
                        let reply = match self.closed.contains(&of) {
                            true => Reply::Declined(Declined::NotOpen),
                            false => own_answer(of),
                        };
                        self.nodes[of].reply(asker, question, reply, at(self.now));
                        self.drain(of);
                    }
                    Some(Event::Message(..)) | None => {}
                }
            }
        }
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].poll_output() {
            match output {
                AskOutput::Send(to, message) => {
                    for (to, message) in self.said(n, number_of(to), message) {
                        self.send(n, to, message);
                    }
                }
                AskOutput::Replied {
                    of, reply, member, ..
                } => {
                    assert!(member.is_none_or(|member| member.sender() == of));
                    self.told.push((number_of(of), reply));
                }
                AskOutput::Over { whole, .. } => {
                    assert_eq!(self.over, None, "once");
                    self.whole = whole;
                    self.over = Some(self.now);
                }
                AskOutput::Asked(asked) => {
                    let takes = match self.closed.contains(&n) {
                        true => 0,
                        false => self.takes,
                    };
                    let event = Event::Answer(n, asked.asker, asked.question.number);
                    self.push(self.now + takes, event);
                }
                // Its handler ends, and what it says later is too late.
                AskOutput::Withdrawn(asker, question) => {
                    let failed = Reply::Declined(Declined::Failed);
                    self.nodes[n].reply(asker, question, failed, at(self.now));
                }
                AskOutput::Misbehaved { peer, offence } => {
                    assert_eq!(offence, Offence::Forged);
                    self.blamed.insert(number_of(peer));
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: AskMessage) {
        let Some(latency) = self.links.get(&(from, to)).copied() else {
            return;
        };
        match message {
            AskMessage::Relay(_) => self.copies += 1,
            AskMessage::Echo { .. } => self.echoes += 1,
            AskMessage::Finding(_) => self.findings += 1,
            _ => {}
        }
        self.push(self.now + latency, Event::Message(from, to, message));
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sent += 1;
        self.queue.push(Reverse((at, self.sent)));
        self.events.insert(self.sent, event);
    }

    /// What a member says in place of what it should.
    fn said(&self, n: usize, to: usize, message: AskMessage) -> Vec<(usize, AskMessage)> {
        let lie = self.lies.get(&n).copied();
        let said = match (lie, message) {
            (None, message) | (_, message @ AskMessage::Links(_)) => vec![message],
            (Some(Lie::Drops), _) => vec![],
            (Some(Lie::SaysDone), AskMessage::Relay(relayed)) => {
                let echo = AskMessage::Echo {
                    asker: relayed.inquiry.asker,
                    question: relayed.inquiry.number,
                    whole: true,
                };
                let all = self.neighbours(n).into_iter();
                return all.map(|to| (to, echo.clone())).collect();
            }
            (Some(Lie::SaysDone), message @ AskMessage::Echo { .. }) => vec![message],
            (Some(Lie::SaysDone), _) => vec![],
            (Some(Lie::Changes), AskMessage::Relay(relayed)) => {
                let mut bytes = relayed.inquiry.bytes.to_vec();
                let last = bytes.len() - 70;
                bytes[last] ^= 1;
                let inquiry = Inquiry::decode(&bytes.into());
                let changed =
                    inquiry.map(|inquiry| AskMessage::Relay(Relayed { inquiry, ..relayed }));
                changed.into_iter().collect()
            }
            (Some(Lie::Changes), message) => vec![message],
            (Some(Lie::Forges), AskMessage::Finding(finding)) => {
                let of = (finding.asker, finding.question);
                let others = (1..self.nodes.len()).filter(|other| *other != n);
                let forged = others.map(|other| {
                    let chain = node(other).identity.chain().as_bytes();
                    let forged = answer(b"forged");
                    Finding::build(of, (key(other), chain), &forged, |_| [9; 64])
                });
                let forged = forged.map(|forged| AskMessage::Finding(forged.expect("fits")));
                forged.chain([AskMessage::Finding(finding)]).collect()
            }
            (Some(Lie::Forges), message) => vec![message],
            (Some(Lie::Swallows), AskMessage::Finding(_) | AskMessage::Reply { .. }) => vec![],
            (Some(Lie::Swallows), message) => vec![message],
            (Some(Lie::Replies), AskMessage::Relay(relayed)) => {
                let question = relayed.inquiry.number;
                let reply = own_answer(n);
                let lie = (0, AskMessage::Reply { question, reply });
                return vec![lie, (to, AskMessage::Relay(relayed))];
            }
            (Some(Lie::Replies), message) => vec![message],
        };
        said.into_iter().map(|message| (to, message)).collect()
    }

    /// Whom the first reaches within so many links, over members that do not lie.
    fn reached(&self, hops: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([0]);
        let mut rim = reached.clone();
        for _ in 0..hops {
            let next = rim.iter().flat_map(|n| self.neighbours(*n));
            let next = next.filter(|n| !reached.contains(n) && !self.lies.contains_key(n));
            rim = next.collect();
            reached.extend(&rim);
        }
        reached.remove(&0);
        reached
    }

    fn answered(&self) -> Vec<usize> {
        let answered = self.told.iter().filter(|(_, reply)| reply.is_ok());
        let mut answered: Vec<_> = answered.map(|(of, _)| *of).collect();
        answered.sort_unstable();
        answered
    }

    /// Nobody is told of twice, and whatever is an answer is that of whom it is said to be.
    fn check_told(&self) {
        let mut seen = BTreeSet::new();
        for (of, reply) in &self.told {
            assert!(seen.insert(*of), "{of} twice: {:?}", self.told);
            if let Ok(Reply::Answer(..)) = reply {
                assert_eq!(reply.as_ref(), Ok(&own_answer(*of)));
            }
        }
    }

    fn check_empty(&mut self) {
        // Until nobody believes any more what was asked.
        self.run(self.now + 400_000);
        for (n, asks) in self.nodes.iter().enumerate() {
            assert_eq!(asks.relayed(), 0, "{n}");
            assert_eq!(asks.poll_timeout(), None, "{n}");
            assert_eq!(self.budgets[n].used(), 0, "{n}");
        }
    }
}

fn own_answer(n: usize) -> Reply {
    Reply::Answer(Format::Raw, vec![n as u8].into())
}

fn wall(now: u64) -> WallTime {
    WALL + Duration::from_millis(now)
}

/// All with one latency.
fn even(pairs: impl IntoIterator<Item = (usize, usize)>) -> BTreeMap<(usize, usize), u64> {
    pairs.into_iter().map(|pair| (pair, 10)).collect()
}

fn chain(size: usize) -> BTreeMap<(usize, usize), u64> {
    even((1..size).map(|n| (n - 1, n)))
}

fn full(size: usize) -> BTreeMap<(usize, usize), u64> {
    even((0..size).flat_map(|a| (a + 1..size).map(move |b| (a, b))))
}

#[test]
fn a_question_travels_along_a_chain_and_the_answers_come_back() {
    let mut world = World::new(4, &chain(4));
    world.ask([], None, 5_000);
    world.run(5_000);
    assert_eq!(world.answered(), [1, 2, 3]);
    // As soon as all have: there and back, and what the last handler takes.
    assert_eq!(world.over, Some(1_000 + 2 * 30 + 5));
    assert_eq!((world.copies, world.echoes, world.findings), (3, 3, 5));
    assert!(world.whole);
    world.check_empty();
}

#[test]
fn where_all_are_linked_nothing_travels_over_members() {
    let mut world = World::new(5, &full(5));
    assert!(world.nodes.iter().all(Asks::reaches_all));
    world.ask([], None, 5_000);
    world.run(2_000);
    assert_eq!(world.answered(), [1, 2, 3, 4]);
    assert_eq!((world.copies, world.echoes, world.findings), (0, 0, 0));
    assert_eq!(world.over, Some(1_000 + 25));
}

#[test]
fn no_member_farther_than_sixteen_links_is_reached_and_that_is_told() {
    let mut world = World::new(20, &chain(20));
    world.ask([18], None, 5_000);
    world.run(10_000);
    assert_eq!(world.answered(), (1..=16).collect::<Vec<_>>());
    assert_eq!(world.told.last(), Some(&(18, Err(NoReply::Unreached))));
    assert!(!world.whole);
    world.check_empty();
}

#[test]
fn one_member_alone_is_asked_over_others_and_no_more_is_said_once_it_has_answered() {
    let mut world = World::new(4, &chain(4));
    world.ask([], Some(2), 5_000);
    world.run(3_000);
    assert_eq!(world.told, [(2, Ok(own_answer(2)))]);
    assert_eq!(
        (world.copies, world.findings),
        (2, 2),
        "the last is not asked"
    );
    assert_eq!(world.over, Some(1_000 + 2 * 20 + 5));
    assert!(world.whole);
    world.check_empty();
}

#[test]
fn a_member_that_nobody_reaches_is_known_to_be_so_once_all_were_asked() {
    let mut world = World::new(4, &chain(3));
    world.ask([], Some(3), 5_000);
    world.run(5_000);
    assert_eq!(world.told, [(3, Err(NoReply::Absent))]);
    assert_eq!(world.over, Some(1_000 + 2 * 20));
}

#[test]
fn those_that_do_not_have_the_channel_open_hand_it_on_and_say_so_only_if_they_alone_are_asked() {
    let mut world = World::new(4, &chain(4));
    world.closed = BTreeSet::from([1, 2]);
    world.ask([2, 3], None, 5_000);
    world.run(5_000);
    assert_eq!(
        world.told,
        [(3, Ok(own_answer(3))), (2, Err(NoReply::Absent))]
    );
    world.told.clear();
    world.over = None;
    world.ask([], Some(2), 5_000);
    world.run(6_000);
    let not_open = Reply::Declined(Declined::NotOpen);
    assert_eq!(world.told, [(2, Ok(not_open))]);
}

#[test]
fn a_member_that_may_have_been_reached_before_a_link_broke_is_named_as_unreached() {
    let mut world = World::new(4, &chain(4));
    world.takes = 1_000;
    world.ask([2, 3], None, 5_000);
    world.run(1_100);
    world.cut(1, 2);
    world.run(5_000);
    let told: BTreeMap<_, _> = world.told.iter().cloned().collect();
    let unreached = Err(NoReply::Unreached);
    let expected = [
        (1, Ok(own_answer(1))),
        (2, unreached.clone()),
        (3, unreached),
    ];
    assert_eq!(told, BTreeMap::from(expected));
    assert_eq!(world.over, Some(1_000 + 1_000 + 20));
    world.check_empty();
}

#[test]
fn a_question_is_withdrawn_everywhere() {
    let mut world = World::new(4, &chain(4));
    world.takes = 4_000;
    world.ask([], None, 5_000);
    world.run(1_100);
    assert!(world.nodes[1..3].iter().all(|node| node.relayed() == 1));
    world.nodes[0].withdraw(1);
    world.drain(0);
    world.run(1_200);
    assert!(world.nodes.iter().all(|node| node.relayed() == 0));
    world.run(10_000);
    assert_eq!((world.told.len(), world.over), (0, None));
}

#[test]
fn a_question_that_is_said_again_by_who_kept_it_goes_nowhere() {
    let mut world = World::new(4, &chain(4));
    world.ask([], None, 1_000);
    world.run(1_011);
    let inquiry = inquiry_of(0, 1, 1_000, 1_000);
    let again = |world: &mut World, now: u64| {
        let relayed = Relayed {
            hops: 1,
            left: Duration::from_secs(60),
            inquiry: inquiry.clone(),
        };
        let copies = world.copies;
        let message = AskMessage::Relay(relayed);
        world.nodes[2].handle_message(key(3), message, at(now), wall(now));
        world.drain(2);
        world.copies - copies
    };
    world.run(3_000);
    let copies = world.copies;
    assert_eq!(again(&mut world, 3_000), 0);
    assert_eq!(again(&mut world, 100_000), 0);
    // A member that does not remember it goes by its time.
    world.nodes[2] = World::new(4, &chain(4)).nodes.remove(2);
    assert_eq!(again(&mut world, 1_000_000), 0);
    assert_eq!(world.copies, copies);
    assert!(world.blamed.is_empty());
}

fn inquiry_of(n: usize, number: u64, now: u64, within: u64) -> Inquiry {
    let me = node(n);
    let query = Query {
        asker: key(n),
        number,
        channel: &channel(0),
        asked_at: wall(now),
        within: Duration::from_millis(within),
        only: None,
        format: Format::Raw,
        payload: b"?",
        chain: me.identity.chain().as_bytes(),
    };
    Inquiry::sign(&me.identity, &query).expect("fits")
}

#[test]
fn who_hands_on_too_much_is_refused_and_others_are_not() {
    let mut world = World::new(4, &even([(0, 1), (1, 2), (1, 3)]));
    let budget = world.budgets[1].clone();
    let hand = |world: &mut World, from: usize, asker: usize, number: u64| {
        let relayed = Relayed {
            hops: 2,
            left: Duration::from_secs(5),
            inquiry: inquiry_of(asker, number, world.now, 5_000),
        };
        let (copies, now) = (world.copies, world.now);
        let message = AskMessage::Relay(relayed);
        world.nodes[1].handle_message(key(from), message, at(now), wall(now));
        world.drain(1);
        world.copies - copies
    };
    // Of members that are not linked: 64 of each, and 256 in all while nobody else wants them.
    let mut taken = [0; 5];
    for (asker, taken) in taken.iter_mut().enumerate() {
        let numbers = 1..=70;
        *taken = numbers
            .filter(|number| hand(&mut world, 2, 5 + asker, *number) == 2)
            .count();
    }
    assert_eq!(taken, [64, 64, 64, 64, 0]);
    assert_eq!(world.nodes[1].counters().asks_refused, 5 * 70 - 256);
    let paid = budget.statement(Payer::from(key(2))).used;
    assert!(paid > 256 * ENTRY_BYTES && paid == budget.used(), "{paid}");
    assert_eq!(hand(&mut world, 3, 10, 1), 2);
    assert_eq!(world.nodes[1].relayed(), 256, "another makes way");
    world.run(20_000);
    world.check_empty();
}

#[test]
fn nothing_is_handed_on_to_a_peer_that_does_not_read() {
    let mut world = World::new(4, &even([(0, 1), (1, 2), (1, 3)]));
    world.nodes[1].set_congested(key(2), true);
    world.ask([2, 3], None, 5_000);
    world.run(6_000);
    let told: BTreeMap<_, _> = world.told.iter().cloned().collect();
    assert_eq!(told[&2], Err(NoReply::Unreached));
    assert_eq!(told[&3], Ok(own_answer(3)));
    assert_eq!(world.nodes[1].counters().asks_lost, 1);
    assert!(!world.whole);
}

/// The shapes that there are, with a latency for each link.
fn mesh() -> impl Strategy<Value = (usize, BTreeMap<(usize, usize), u64>)> {
    let pairs = (2..13_usize, 0..4_u8).prop_flat_map(|(size, shape)| {
        let all: Vec<(usize, usize)> = match shape {
            0 => (1..size).map(|n| (n - 1, n)).collect(),
            1 => (1..size)
                .map(|n| (n - 1, n))
                .chain([(0, size - 1)])
                .collect(),
            2 => (0..size - 1).map(|n| (n, size - 1)).collect(),
            _ => full(size).into_keys().collect(),
        };
        let most = all.len();
        // Of those of a ring or a star few are lost, of all that may be many.
        let kept: u8 = if shape < 3 { 8 } else { 3 };
        let keep = prop::collection::vec((0..10_u8, 1..40_u64), most);
        (Just(size), Just(all), keep, Just(kept))
    });
    pairs.prop_map(|(size, all, keep, kept)| {
        let links = all.into_iter().zip(keep);
        let links = links.filter(|(_, (chance, _))| *chance <= kept);
        let links = links.filter(|((a, b), _)| a != b);
        let links = links.map(|(pair, (_, latency))| (pair, latency));
        (size, links.collect::<BTreeMap<_, _>>())
    })
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        Just(Lie::Drops),
        Just(Lie::SaysDone),
        Just(Lie::Changes),
        Just(Lie::Forges),
        Just(Lie::Replies),
    ]
}

proptest! {
    /// Each member that can be reached answers exactly once, at a bounded cost, and nothing is
    /// left.
    #[test]
    fn all_who_can_be_reached_answer_once(
        (size, links) in mesh(),
        closed in prop::collection::btree_set(1..13_usize, 0..3),
        takes in 0..100_u64,
        far in prop::collection::btree_set(1..13_usize, 0..13),
    ) {
        let mut world = World::new(size, &links);
        (world.closed, world.takes) = (closed, takes);
        let far: BTreeSet<usize> = far.into_iter().filter(|n| *n < size).collect();
        let peers = world.neighbours(0);
        world.ask(far.difference(&peers).copied(), None, 30_000);
        world.run(40_000);
        world.check_told();
        world.check_empty();
        let reached: Vec<_> = world.reached(16).difference(&world.closed).copied().collect();
        prop_assert_eq!(world.answered(), reached.clone());
        prop_assert!(world.copies <= 2 * links.len());
        prop_assert!(world.echoes <= world.copies);
        prop_assert!(world.over.expect("over") < 1_000 + 30_000, "it is over before its time");
        for n in far.difference(&peers).filter(|n| !reached.contains(n)) {
            prop_assert!(world.told.contains(&(*n, Err(NoReply::Absent))), "{n}");
        }
        prop_assert!(world.blamed.is_empty());
    }

    /// Links that break meanwhile: nobody is told of twice or in another's name, of each who is
    /// known something is told, and nothing is left.
    #[test]
    fn after_any_fault_each_known_member_is_told_of_once(
        (size, links) in mesh(),
        cuts in prop::collection::vec((0..100_usize, 0..40_u64), 0..8),
        takes in 0..100_u64,
    ) {
        let mut world = World::new(size, &links);
        world.takes = takes;
        let peers = world.neighbours(0);
        let far: Vec<usize> = (1..size).filter(|n| !peers.contains(n)).collect();
        world.ask(far, None, 10_000);
        let pairs: Vec<(usize, usize)> = links.keys().copied().collect();
        for (which, after) in cuts {
            world.run(world.now + after);
            if !pairs.is_empty() {
                let (a, b) = pairs[which % pairs.len()];
                world.cut(a, b);
            }
        }
        world.run(20_000);
        world.check_told();
        world.check_empty();
        prop_assert!(world.over.is_some_and(|over| over <= 11_000));
        prop_assert_eq!(world.told.len(), size - 1);
    }

    /// Members that lie: whoever can be reached over others answers all the same, and they
    /// themselves are told of if they are known.
    #[test]
    fn who_lies_changes_nobody_elses_answer(
        (size, links) in mesh(),
        lies in prop::collection::btree_map(1..13_usize, lie(), 1..3),
        only in prop::option::of(1..13_usize),
    ) {
        let mut world = World::new(size, &links);
        world.lies = lies.into_iter().filter(|(n, _)| *n < size).collect();
        let peers = world.neighbours(0);
        let far: Vec<usize> = (1..size).filter(|n| !peers.contains(n)).collect();
        let only = only.filter(|only| *only < size);
        world.ask(far.into_iter().filter(|_| only.is_none()), only, 10_000);
        world.run(20_000);
        world.check_told();
        world.check_empty();
        let mut asked: BTreeSet<_> = only.map_or_else(|| (1..size).collect(), |only| [only].into());
        prop_assert!(world.told.iter().all(|(of, _)| asked.remove(of)), "{:?}", world.told);
        prop_assert!(asked.is_empty(), "each is told of");
        let answered = world.answered();
        for n in world.reached(16).into_iter().filter(|n| only.is_none_or(|only| only == *n)) {
            prop_assert!(answered.contains(&n), "{n} of {answered:?}");
        }
        for (n, lie) in &world.lies {
            if matches!(lie, Lie::Drops | Lie::SaysDone) {
                prop_assert!(!answered.contains(n));
            }
        }
        let blamed = world.blamed.iter().all(|n| world.lies.contains_key(n));
        prop_assert!(blamed, "{:?}", world.blamed);
    }

    /// One that keeps what comes back can only keep it: it is told of those whose reply it has.
    #[test]
    fn who_keeps_replies_can_make_none_up(
        (size, links) in mesh(),
        who in 1..13_usize,
    ) {
        let mut world = World::new(size, &links);
        world.lies = BTreeMap::from([(who.min(size - 1), Lie::Swallows)]);
        let peers = world.neighbours(0);
        let far: Vec<usize> = (1..size).filter(|n| !peers.contains(n)).collect();
        world.ask(far, None, 10_000);
        world.run(20_000);
        world.check_told();
        world.check_empty();
        prop_assert_eq!(world.told.len(), size - 1, "each is told of");
        prop_assert!(world.blamed.is_empty());
    }
}
