//! The fate of questions and replies when somebody's share of the memory is used up.

use super::{
    attacks::{alone, asked_by, has_reply, is_asked, is_handed, made_up, replied_by, says, until},
    *,
};
use crate::bounds::Payer;

/// Takes all that a peer may have.
fn fill(budget: &Budget, peer: usize) {
    let payer = Payer::from(key(peer));
    budget.charge(payer, budget.limit() - budget.used());
}

/// It comes back the way that the question came first, until the asker itself is a peer.
#[test]
fn a_reply_that_goes_another_way_keeps_the_room_it_has() {
    let (mut asks, budget) = alone(1, [0, 2, 5]);
    let question = asked_by(&node(5).identity, 1, 8, 60_000);
    assert!(is_asked(&says(&mut asks, 0, question.clone(), 0)));
    for to in [0, 5] {
        asks.set_congested(key(to), true);
    }
    says(
        &mut asks,
        2,
        replied_by(&node(6).identity, (key(5), 1), 8),
        1,
    );
    fill(&budget, 2);
    says(&mut asks, 5, question, 2);
    let used = budget.used();
    asks.set_congested(key(5), false);
    asks.handle_timeout(at(3));
    let outputs = until(&mut asks, 10);
    assert!(has_reply(&outputs, 6), "{outputs:?}");
    assert_eq!(asks.counters().asks_lost, 0);
    assert!(budget.used() < used, "and gives it back when it goes");
}

#[test]
fn no_question_makes_way_for_one_that_finds_no_room_itself() {
    let (mut asks, budget) = alone(1, [0, 2, 3]);
    let mut number = 0;
    while asks.relayed() < Asks::MAX_RELAYED {
        number += 1;
        let question = asked_by(&made_up(number / 16), number as u64, 8, 60_000);
        says(&mut asks, 2, question, number as u64 * 2);
        assert!(number < 1_000);
    }
    let (refused, now) = (asks.counters().asks_refused, number as u64 * 2 + 2);
    fill(&budget, 3);
    let question = asked_by(&node(7).identity, 1, 8, 60_000);
    let outputs = says(&mut asks, 3, question, now);
    assert!(!is_asked(&outputs) && !is_handed(&outputs, 0));
    assert_eq!(asks.relayed(), Asks::MAX_RELAYED);
    assert_eq!(asks.counters().asks_refused, refused + 1);
}

#[test]
fn a_reply_whose_bringer_has_no_room_left_is_counted_as_lost() {
    let (mut asks, budget) = alone(1, [0, 2]);
    let question = asked_by(&node(5).identity, 1, 8, 60_000);
    assert!(is_asked(&says(&mut asks, 0, question, 0)));
    fill(&budget, 2);
    let reply = replied_by(&node(6).identity, (key(5), 1), 8);
    let outputs = says(&mut asks, 2, reply, 1);
    assert!(!has_reply(&outputs, 6));
    assert_eq!(asks.counters().asks_lost, 1);
}

/// Its clock is an hour behind, so nobody else could be shown that it asks now.
#[test]
fn a_question_that_this_node_alone_answers_runs_its_handler_once() {
    let (mut asks, _) = alone(1, [0, 5]);
    let question = asked_by(&node(5).identity, 1, 8, 1_000);
    let say = |asks: &mut Asks, now: u64| {
        let wall = wall(now) + Duration::from_secs(3_600);
        asks.handle_message(key(5), question.clone(), at(now), wall);
        drain(asks)
    };
    assert!(is_asked(&say(&mut asks, 0)));
    asks.reply(key(5), 1, own_answer(1), at(1));
    drain(&mut asks);
    assert!(!is_asked(&say(&mut asks, 2)));
    until(&mut asks, 10_000);
    assert!(!is_asked(&say(&mut asks, 10_001)));
}
