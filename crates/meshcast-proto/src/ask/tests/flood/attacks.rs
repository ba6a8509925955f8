//! One who holds the mesh key, and so makes up as many members as it likes, against what others ask
//! and answer.

use super::*;
use crate::{
    identity::Identity,
    wire::{NodeName, Region},
};

/// A member that nobody has heard of, as whoever holds the mesh key makes it up.
pub(super) fn made_up(n: usize) -> Identity {
    let n = n as u32;
    let entropy = std::array::from_fn(|i| (n >> (8 * (i % 4))) as u8 ^ (i as u8));
    Identity::from_mesh_key(
        &MeshKey::from_entropy([7; 48]),
        NodeName::new("made-up").expect("valid"),
        Region::new("fra").expect("valid"),
        entropy,
        WallTime::MIN,
    )
}

pub(super) fn asked_by(identity: &Identity, number: u64, len: usize, within: u64) -> AskMessage {
    let query = Query {
        asker: identity.sender(),
        number,
        channel: &channel(0),
        asked_at: WALL,
        within: Duration::from_millis(within),
        only: None,
        format: Format::Raw,
        payload: &vec![0; len],
        chain: identity.chain().as_bytes(),
    };
    AskMessage::Relay(Relayed {
        hops: 2,
        left: Duration::from_millis(within),
        inquiry: Inquiry::sign(identity, &query).expect("fits"),
    })
}

pub(super) fn replied_by(identity: &Identity, of: (Sender, u64), len: usize) -> AskMessage {
    let reply = Reply::Answer(Format::Raw, vec![0; len].into());
    AskMessage::Finding(Finding::sign(identity, of, &reply).expect("fits"))
}

/// One node with these peers.
pub(super) fn alone(n: usize, peers: impl IntoIterator<Item = usize>) -> (Asks, Budget) {
    let (trust, budget) = (
        Trust::from(&MeshKey::from_entropy([7; 48])),
        Budget::default(),
    );
    let mut asks = Asks::new(node(n).identity.clone(), trust, budget.clone());
    for peer in peers {
        asks.handle_peer_up(key(peer), at(0));
    }
    (asks, budget)
}

pub(super) fn says(asks: &mut Asks, from: usize, message: AskMessage, now: u64) -> Vec<AskOutput> {
    asks.handle_message(key(from), message, at(now), wall(now));
    drain(asks)
}

/// Its messages and requests until then.
pub(super) fn until(asks: &mut Asks, then: u64) -> Vec<AskOutput> {
    let mut outputs = drain(asks);
    while let Some(due) = asks.poll_timeout().filter(|due| *due <= at(then)) {
        asks.handle_timeout(due);
        outputs.extend(drain(asks));
        assert!(asks.poll_timeout().is_none_or(|next| next > due));
    }
    outputs
}

/// The last act of this node's handler for each question that it was given.
fn handled(asks: &mut Asks, outputs: &[AskOutput], now: u64) {
    for output in outputs {
        if let AskOutput::Asked(asked) = output {
            let nothing = Reply::Declined(Declined::Failed);
            asks.reply(asked.asker, asked.question.number, nothing, at(now));
            drain(asks);
        }
    }
}

pub(super) fn is_asked(outputs: &[AskOutput]) -> bool {
    outputs.iter().any(|it| matches!(it, AskOutput::Asked(_)))
}

pub(super) fn is_handed(outputs: &[AskOutput], to: usize) -> bool {
    let handed =
        |it: &AskOutput| matches!(it, AskOutput::Send(of, AskMessage::Relay(_)) if *of == key(to));
    outputs.iter().any(handed)
}

pub(super) fn has_reply(outputs: &[AskOutput], of: usize) -> bool {
    let is = |it: &AskOutput| match it {
        AskOutput::Send(_, AskMessage::Finding(finding)) => finding.answerer == key(of),
        _ => false,
    };
    outputs.iter().any(is)
}

/// However many members one makes up that ask meanwhile.
#[test]
fn a_question_that_is_said_again_while_it_is_believed_runs_no_handler() {
    let (mut asks, budget) = alone(1, [0, 2]);
    let first = asked_by(&node(5).identity, 1, 8, 60_000);
    assert!(is_asked(&says(&mut asks, 0, first.clone(), 0)));
    asks.reply(key(5), 1, own_answer(1), at(1));
    drain(&mut asks);
    for n in 0..4_200 {
        let (question, now) = (asked_by(&made_up(n), 1, 8, 1), n as u64 * 2);
        let outputs = says(&mut asks, 2, question, now);
        handled(&mut asks, &outputs, now + 1);
    }
    for now in [10_000, 100_000, 180_000, 400_000] {
        until(&mut asks, now);
        let again = says(&mut asks, 2, first.clone(), now);
        assert!(!is_asked(&again), "{now}");
        assert!(!is_handed(&again, 0), "{now}");
    }
    assert!(budget.used() < 8 * 1024 * 1024, "{}", budget.used());
    until(&mut asks, 1_000_000);
    assert_eq!(budget.used(), 0, "nothing is remembered for longer");
}

/// One that was handed a question answers it in the names of many it made up.
#[test]
fn answers_of_made_up_members_cost_nobody_else_an_answer() {
    for (many, len) in [(400, 64 * 1024 - 1), (4_090, 8)] {
        let (mut asks, budget) = alone(1, [0, 2, 3]);
        let question = asked_by(&node(5).identity, 1, 8, 60_000);
        assert!(is_asked(&says(&mut asks, 0, question, 0)));
        let mut outputs = Vec::new();
        for n in 0..many {
            let made_up = replied_by(&made_up(n), (key(5), 1), len);
            outputs.extend(says(&mut asks, 3, made_up, 0));
        }
        outputs.extend(says(
            &mut asks,
            2,
            replied_by(&node(6).identity, (key(5), 1), 8),
            0,
        ));
        asks.reply(key(5), 1, own_answer(1), at(0));
        outputs.extend(until(&mut asks, 200));
        assert!(has_reply(&outputs, 6), "{many}");
        assert!(has_reply(&outputs, 1), "{many}");
        let own = Payer::from(key(0));
        assert!(budget.statement(own).used < 8 * 1024, "{many}");
    }
}

/// Nobody reads at the asker's end meanwhile.
#[test]
fn answers_wait_for_a_peer_that_reads_slowly_and_come_in_turns() {
    let (mut asks, budget) = alone(1, [0, 2, 3]);
    let question = asked_by(&node(5).identity, 1, 8, 60_000);
    let asked = says(&mut asks, 0, question, 0);
    asks.set_congested(key(0), true);
    for n in 0..200 {
        says(
            &mut asks,
            3,
            replied_by(&made_up(n), (key(5), 1), 60_000),
            0,
        );
    }
    says(
        &mut asks,
        2,
        replied_by(&node(6).identity, (key(5), 1), 8),
        0,
    );
    assert_eq!(until(&mut asks, 100).len(), 0);
    asks.set_congested(key(0), false);
    asks.handle_timeout(at(100));
    let outputs = until(&mut asks, 110);
    assert!(has_reply(&outputs, 6), "{}", outputs.len());
    assert!(outputs.len() < 20, "{}", outputs.len());
    let (asker, question) = (key(5), 1);
    says(&mut asks, 0, AskMessage::Recall { asker, question }, 120);
    handled(&mut asks, &asked, 121);
    until(&mut asks, 400_000);
    assert_eq!(budget.used(), 0);
}

/// Handlers that do not end are those of one peer's questions alone, handed on or not.
#[test]
fn withdrawn_questions_of_made_up_members_count_until_their_handlers_have_ended() {
    let (mut asks, budget) = alone(1, [0, 2]);
    let mut asked = Vec::new();
    for n in 0..2 * Asks::MAX_ASKED {
        let now = n as u64 * 2;
        let outputs = says(&mut asks, 2, asked_by(&made_up(n), 1, 8, 1), now);
        asked.extend(
            outputs
                .into_iter()
                .filter(|it| matches!(it, AskOutput::Asked(_))),
        );
        until(&mut asks, now + 1);
    }
    assert_eq!(asked.len(), Asks::MAX_ASKED);
    let (other, now) = (asked_by(&node(5).identity, 1, 8, 1_000), 1_000);
    assert!(is_asked(&says(&mut asks, 0, other, now)), "of another peer");
    handled(&mut asks, &asked, now);
    let next = asked_by(&made_up(1_000), 1, 8, 1_000);
    assert!(is_asked(&says(&mut asks, 2, next, now)), "they have ended");
    assert!(budget.used() > 0);
}

/// One that fills all places of a peer with questions of others leaves it those for its own, and
/// other peers theirs, at each node behind it too.
#[test]
fn questions_of_made_up_members_take_no_place_of_others() {
    let (mut near, _) = alone(1, [2, 3, 4]);
    let (mut far, _) = alone(4, [1, 5]);
    let hand = |outputs: Vec<AskOutput>, far: &mut Asks| {
        let mut asked = Vec::new();
        for output in outputs {
            if let AskOutput::Send(to, message) = output
                && to == key(4)
            {
                asked.extend(says(far, 1, message, 0));
            }
        }
        asked
    };
    // Some 16 of each, so that none is too much for its asker.
    for n in 0..600 {
        let question = asked_by(&made_up(n / 16), 1 + n as u64 % 16, 8, 60_000);
        let outputs = says(&mut near, 2, question, 0);
        hand(outputs, &mut far);
    }
    assert!(near.relayed() <= 256 && far.relayed() <= 256);
    let question = asked_by(&node(7).identity, 1, 8, 5_000);
    let outputs = says(&mut near, 3, question, 0);
    assert!(is_asked(&outputs), "of another peer");
    let asked = hand(outputs, &mut far);
    assert!(is_asked(&asked), "and behind it");
    let own = asked_by(&node(1).identity, 1, 8, 5_000);
    assert!(is_asked(&says(&mut far, 1, own, 0)), "its own");
    let own = asked_by(&node(2).identity, 1, 8, 5_000);
    assert!(is_asked(&says(&mut near, 2, own, 0)), "its own");
}

/// Four that ask as much as they may leave a fifth its share.
#[test]
fn the_rate_of_questions_is_shared_by_those_that_bring_them() {
    let (mut asks, _) = alone(1, (2..12).chain([0]));
    let mut number = 0;
    for round in 0..100 {
        for peer in 2..6 {
            let question = asked_by(&made_up(peer * 1_000 + round), 1, 64_000, 1);
            says(&mut asks, peer, question, number);
        }
        number += 2;
        until(&mut asks, number);
    }
    let refused = asks.counters().asks_refused;
    assert!(refused > 100, "{refused}");
    let question = asked_by(&node(7).identity, 1, 64_000, 5_000);
    assert!(is_asked(&says(&mut asks, 0, question, number)));
}
