use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use proptest::prelude::*;

use super::*;
use crate::{
    bounds::{Budget, ENTRY_BYTES, Payer},
    fixture::{channel, peer},
    identity::{MeshKey, Trust},
    wire::{AskMessage, Declined, Format, Question, Reply, Sender, Time, WallTime},
};

mod flood;

fn who(n: usize) -> Sender {
    peer(n).member.sender()
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn new(within: u64, payload: &'static [u8]) -> NewQuestion {
    NewQuestion {
        channel: channel(0),
        within: Duration::from_millis(within),
        format: Format::Raw,
        payload: payload.into(),
    }
}

fn drain(asks: &mut Asks) -> Vec<AskOutput> {
    std::iter::from_fn(|| asks.poll_output()).collect()
}

fn answer(payload: &'static [u8]) -> Reply {
    Reply::Answer(Format::Raw, payload.into())
}

/// The questions of the `n`th peer.
fn asks(n: usize, budget: Budget) -> Asks {
    let trust = Trust::from(&MeshKey::from_entropy([7; 48]));
    Asks::new(peer(n).identity.clone(), trust, budget)
}

/// These peers, by their sessions.
fn whom(peers: impl IntoIterator<Item = Sender>) -> AskTargets {
    AskTargets {
        peers: peers.into_iter().collect(),
        ..AskTargets::default()
    }
}

const WALL: WallTime = WallTime::from_unix_millis(1_767_225_600_000);

fn replied(question: u64, n: usize, reply: Result<Reply, NoReply>) -> AskOutput {
    AskOutput::Replied {
        question,
        of: who(n),
        member: None,
        by: who(n),
        reply,
    }
}

fn reply(question: u64, reply: Reply) -> AskMessage {
    AskMessage::Reply { question, reply }
}

#[test]
fn a_question_is_over_as_soon_as_all_have_replied_one_way_or_another() {
    let mut asks = asks(0, Budget::default());
    let number = asks
        .ask(new(200, b"?"), whom((1..5).map(who)), at(0), WALL)
        .expect("few");
    assert_eq!(drain(&mut asks).len(), 4);
    asks.handle_message(who(1), reply(number, answer(b"!")), at(1), WALL);
    // Twice, and of one that was not asked.
    asks.handle_message(who(1), reply(number, answer(b"!!")), at(1), WALL);
    asks.handle_message(who(7), reply(number, answer(b"me too")), at(1), WALL);
    let declined = Reply::Declined(Declined::NoHandler);
    asks.handle_message(who(2), reply(number, declined.clone()), at(2), WALL);
    asks.handle_peer_down(who(3), at(0));
    assert_eq!(
        drain(&mut asks),
        [
            replied(number, 1, Ok(answer(b"!"))),
            replied(number, 2, Ok(declined)),
            replied(number, 3, Err(NoReply::Gone)),
        ]
    );
    assert_eq!(asks.poll_timeout(), Some(at(200)));
    asks.handle_timeout(at(199));
    assert_eq!(drain(&mut asks), []);
    asks.handle_timeout(at(200));
    let silent = replied(number, 4, Err(NoReply::Silent));
    assert_eq!(
        drain(&mut asks),
        [
            silent,
            AskOutput::Over {
                question: number,
                whole: true
            }
        ]
    );
    asks.handle_message(who(4), reply(number, answer(b"late")), at(201), WALL);
    assert_eq!((drain(&mut asks), asks.poll_timeout()), (vec![], None));
}

#[test]
fn a_question_to_nobody_is_over_at_once() {
    let mut asks = asks(0, Budget::default());
    let number = asks
        .ask(new(200, b"?"), whom([]), at(0), WALL)
        .expect("few");
    assert_eq!(
        drain(&mut asks),
        [AskOutput::Over {
            question: number,
            whole: true
        }]
    );
    assert_eq!(asks.poll_timeout(), None);
}

#[test]
fn what_is_too_much_or_too_long_is_refused_by_name() {
    let mut asks = asks(0, Budget::default());
    let limit = AskMessage::MAX_PAYLOAD_LEN;
    let long = NewQuestion {
        payload: vec![0; limit + 1].into(),
        ..new(1, b"")
    };
    let len = limit + 1;
    assert_eq!(
        asks.ask(long, whom([who(1)]), at(0), WALL),
        Err(AskRefused::TooLarge { len, limit })
    );
    for _ in 0..Asks::MAX_ASKING {
        asks.ask(new(200, b"?"), whom([who(1)]), at(0), WALL)
            .expect("room");
    }
    let limit = Asks::MAX_ASKING;
    let one_more = |asks: &mut Asks, now| asks.ask(new(200, b"?"), whom([who(1)]), now, WALL);
    assert_eq!(
        one_more(&mut asks, at(0)),
        Err(AskRefused::TooMany { limit })
    );
    asks.handle_timeout(at(200));
    assert!(one_more(&mut asks, at(200)).is_ok());
}

fn question(number: u64, within: u64, payload: Bytes) -> AskMessage {
    AskMessage::Question(Question {
        number,
        channel: channel(0),
        within: Duration::from_millis(within),
        format: Format::Raw,
        payload,
    })
}

#[test]
fn who_asks_too_much_is_told_so_and_pays_for_what_waits() {
    let budget = Budget::default();
    let mut asks = asks(0, budget.clone());
    let used = |budget: &Budget| budget.statement(Payer::from(who(1))).used;
    for number in 0..100 {
        asks.handle_message(
            who(1),
            question(number, 1_000, Bytes::from_static(b"?")),
            at(0),
            WALL,
        );
    }
    asks.handle_message(
        who(2),
        question(0, 1_000, Bytes::from_static(b"?")),
        at(0),
        WALL,
    );
    let busy = |output: &AskOutput| {
        matches!(output, AskOutput::Send(_, AskMessage::Reply { reply, .. })
            if *reply == Reply::Declined(Declined::Busy))
    };
    let outputs = drain(&mut asks);
    let (declined, asked) = outputs.iter().partition::<Vec<_>, _>(|it| busy(it));
    assert_eq!((declined.len(), asked.len()), (36, Asks::MAX_ASKED + 1));
    assert_eq!(used(&budget), Asks::MAX_ASKED * (ENTRY_BYTES + 1));
    // One is answered, one withdrawn, the others' time is over.
    asks.reply(who(1), 0, answer(b"!"), at(1));
    asks.handle_message(who(1), AskMessage::Withdrawn(1), at(1), WALL);
    asks.handle_timeout(at(1_000));
    assert_eq!(asks.poll_timeout(), None);
    let outputs = drain(&mut asks);
    let withdrawn = outputs.iter().filter_map(|it| match it {
        AskOutput::Withdrawn(asker, question) => Some((*asker, *question)),
        _ => None,
    });
    let withdrawn: Vec<_> = withdrawn.collect();
    assert_eq!(withdrawn.len(), Asks::MAX_ASKED);
    for (asker, question) in withdrawn {
        asks.reply(asker, question, answer(b"too late"), at(1_001));
    }
    assert_eq!((drain(&mut asks), used(&budget)), (vec![], 0));
}

/// A handler runs until its next pause at least, however soon the question is withdrawn.
#[test]
fn a_question_that_is_withdrawn_counts_as_long_as_it_is_handled() {
    let budget = Budget::default();
    let mut asks = asks(0, budget.clone());
    asks.handle_peer_up(who(1), at(0));
    let most = Asks::MAX_ASKED as u64;
    let ask = |asks: &mut Asks, number, now| {
        let message = question(number, 1_000, Bytes::from_static(b"?"));
        asks.handle_message(who(1), message, at(now), WALL);
        let outputs = drain(asks);
        outputs.iter().any(|it| matches!(it, AskOutput::Asked(_)))
    };
    for number in 0..most {
        assert!(ask(&mut asks, number, 0));
        if number % 2 == 0 {
            asks.handle_message(who(1), AskMessage::Withdrawn(number), at(0), WALL);
        }
    }
    assert!(!ask(&mut asks, most, 1));
    // Nor does their time end them, or that the asker comes anew.
    asks.handle_timeout(at(1_000));
    assert!(!ask(&mut asks, most + 1, 1_000));
    asks.handle_peer_down(who(1), at(1_001));
    asks.handle_peer_up(who(1), at(1_001));
    assert!(!ask(&mut asks, most + 2, 1_001));
    assert_eq!(budget.used(), Asks::MAX_ASKED * (ENTRY_BYTES + 1));
    let failed = Reply::Declined(Declined::Failed);
    asks.reply(who(1), 7, failed, at(1_002));
    assert_eq!(drain(&mut asks), [], "nobody is told");
    assert!(ask(&mut asks, most + 3, 1_002));
}

/// Two that are large fill the share of a peer in a small budget.
#[test]
fn what_waits_to_be_answered_is_bounded_by_the_share_of_who_asks() {
    let budget = Budget::new(512 * 1024);
    let mut asks = asks(0, budget.clone());
    for number in 0..20 {
        let payload = Bytes::from(vec![0; 60 * 1024]);
        asks.handle_message(who(1), question(number, 1_000, payload), at(0), WALL);
    }
    assert!(budget.used() <= 256 * 1024, "{}", budget.used());
    asks.handle_peer_down(who(1), at(0));
    for output in drain(&mut asks) {
        if let AskOutput::Withdrawn(asker, question) = output {
            asks.reply(asker, question, Reply::Declined(Declined::Failed), at(0));
        }
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn an_answer_that_is_too_long_is_a_failure() {
    let mut asks = asks(0, Budget::default());
    asks.handle_message(who(1), question(5, 1_000, Bytes::new()), at(0), WALL);
    drain(&mut asks);
    let long = Reply::Answer(Format::Raw, vec![0; AskMessage::MAX_PAYLOAD_LEN + 1].into());
    asks.reply(who(1), 5, long, at(1));
    let failed = reply(5, Reply::Declined(Declined::Failed));
    assert_eq!(drain(&mut asks), [AskOutput::Send(who(1), failed)]);
}

#[derive(Debug, Clone)]
enum Op {
    Ask(Vec<usize>, u64),
    Withdraw(u64),
    /// The nth question that waits somewhere is answered.
    Answer(prop::sample::Index),
    /// The session between two breaks, and what is on it is lost.
    Break(usize, usize),
    /// So much time passes, and messages arrive.
    Pass(u64),
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let op = prop_oneof![
        (prop::collection::vec(0..NODES, 0..4), 0..300_u64).prop_map(|(of, ms)| Op::Ask(of, ms)),
        (1..20_u64).prop_map(Op::Withdraw),
        any::<prop::sample::Index>().prop_map(Op::Answer),
        (0..NODES, 0..NODES).prop_map(|(a, b)| Op::Break(a, b)),
        (0..200_u64).prop_map(Op::Pass),
    ];
    (0..NODES, op)
}

const NODES: usize = 3;

proptest! {
    /// In any order of questions, withdrawals, answers and losses: of each who was asked exactly
    /// one reply comes before the question is over, and nothing is left anywhere in the end.
    #[test]
    fn of_each_who_was_asked_comes_exactly_one_reply(ops in prop::collection::vec(op(), 1..60)) {
        let budgets: Vec<Budget> = (0..NODES).map(|_| Budget::default()).collect();
        let nodes = budgets.iter().cloned().enumerate();
        let mut nodes: Vec<Asks> = nodes.map(|(n, budget)| asks(n, budget)).collect();
        let mut wires: BTreeMap<(usize, usize), Vec<AskMessage>> = BTreeMap::new();
        let mut due: BTreeMap<(usize, u64), BTreeSet<Sender>> = BTreeMap::new();
        let (mut waiting, mut now): (Vec<(usize, Sender, u64)>, u64) = (Vec::new(), 0);
        let number = |sender: Sender| (0..NODES).find(|n| who(*n) == sender).expect("one of them");
        let end = (0..NODES).map(|n| (n, Op::Pass(60_001)));
        for (node, op) in ops.into_iter().chain(end) {
            match op {
                Op::Ask(of, within) => {
                    let of: BTreeSet<Sender> = of.into_iter().map(who).collect();
                    let asked = nodes[node].ask(
                        new(within, b"?"),
                        whom(of.clone()),
                        at(now),
                        WALL,
                    ).expect("few");
                    due.insert((node, asked), of);
                }
                Op::Withdraw(question) => {
                    nodes[node].withdraw(question);
                    due.remove(&(node, question));
                }
                Op::Answer(nth) => {
                    if !waiting.is_empty() {
                        let (of, peer, question) = waiting.remove(nth.index(waiting.len()));
                        nodes[of].reply(peer, question, answer(b"!"), at(now));
                    }
                }
                Op::Break(a, b) => {
                    wires.remove(&(a, b));
                    wires.remove(&(b, a));
                    nodes[a].handle_peer_down(who(b), at(0));
                    nodes[b].handle_peer_down(who(a), at(0));
                }
                Op::Pass(ms) => {
                    now += ms;
                    for ((from, to), messages) in std::mem::take(&mut wires) {
                        for message in messages {
                            nodes[to].handle_message(who(from), message, at(now), WALL);
                        }
                    }
                    for asks in &mut nodes {
                        asks.handle_timeout(at(now));
                        prop_assert!(asks.poll_timeout().is_none_or(|due| due > at(now)));
                    }
                }
            }
            for (node, asks) in nodes.iter_mut().enumerate() {
                while let Some(output) = asks.poll_output() {
                    match output {
                        AskOutput::Send(to, message) => {
                            wires.entry((node, number(to))).or_default().push(message);
                        }
                        AskOutput::Replied { question, of: peer, .. } => {
                            let due = due.get_mut(&(node, question)).expect("it is not withdrawn");
                            prop_assert!(due.remove(&peer), "twice, or not asked");
                        }
                        AskOutput::Over { question, .. } => {
                            prop_assert_eq!(due.remove(&(node, question)), Some(BTreeSet::new()));
                        }
                        AskOutput::Asked(Asked { asker, question, .. }) => waiting.push(
                            (node, asker, question.number)
                        ),
                        AskOutput::Misbehaved { .. } => prop_assert!(false, "all are honest"),
                        AskOutput::Withdrawn(peer, question) => {
                            waiting.retain(|it| *it != (node, peer, question));
                            let failed = Reply::Declined(Declined::Failed);
                            asks.reply(peer, question, failed, at(now));
                        }
                    }
                }
            }
        }
        prop_assert_eq!(due, BTreeMap::new());
        prop_assert!(budgets.iter().all(|budget| budget.used() == 0));
    }
}

/// However long a peer says that it waits.
#[test]
fn nobody_is_answered_for_longer_than_a_minute() {
    let mut asks = asks(0, Budget::default());
    asks.handle_message(who(1), question(1, u64::MAX, Bytes::new()), at(0), WALL);
    let asked = drain(&mut asks);
    let [AskOutput::Asked(asked)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(asked.question.within, Asks::MAX_WITHIN);
    assert_eq!(asks.poll_timeout(), Some(Time::ZERO + Asks::MAX_WITHIN));
}

#[test]
fn what_becomes_of_questions_is_counted_once_for_each_who_is_asked_at_both_ends() {
    let (mut here, mut there) = (asks(0, Budget::default()), asks(1, Budget::default()));
    let number = here
        .ask(new(200, b"?"), whom((1..5).map(who)), at(0), WALL)
        .expect("few");
    here.handle_message(who(1), reply(number, answer(b"!")), at(1), WALL);
    let declined = Reply::Declined(Declined::NoHandler);
    here.handle_message(who(2), reply(number, declined.clone()), at(1), WALL);
    here.handle_peer_down(who(3), at(1));
    here.handle_timeout(at(200));
    drain(&mut here);
    let expected = AskCounters {
        asks_made: 1,
        ask_answers: 1,
        ask_declines: 1,
        ask_gone: 1,
        ask_silent: 1,
        ..AskCounters::default()
    };
    assert_eq!(here.counters(), expected);

    let ask = |number| {
        AskMessage::Question(Question {
            number,
            channel: channel(0),
            within: Duration::from_millis(200),
            format: Format::Raw,
            payload: Bytes::new(),
        })
    };
    for number in 1..=3 {
        there.handle_message(who(0), ask(number), at(0), WALL);
    }
    there.reply(who(0), 1, answer(b"!"), at(1));
    there.reply(who(0), 2, declined, at(1));
    there.handle_message(who(0), AskMessage::Withdrawn(3), at(1), WALL);
    there.reply(who(0), 3, answer(b"late"), at(2));
    there.reply(who(0), 4, answer(b"not asked"), at(2));
    // More than may wait are declined without a handler.
    for number in 0..=Asks::MAX_ASKED as u64 {
        there.handle_message(who(0), ask(10 + number), at(3), WALL);
    }
    drain(&mut there);
    let expected = AskCounters {
        asks_answered: 1,
        asks_declined: 2,
        asks_withdrawn: 1,
        ..AskCounters::default()
    };
    assert_eq!(there.counters(), expected);
}
