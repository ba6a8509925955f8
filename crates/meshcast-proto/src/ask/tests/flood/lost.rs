//! Reports of questions and answers that were lost, or are not believed.

use super::*;
use crate::{
    identity::Identity,
    wire::{NodeName, Region},
};

fn relayed(asker: usize, number: u64, now: u64, hops: u8) -> AskMessage {
    AskMessage::Relay(Relayed {
        hops,
        left: Duration::from_secs(5),
        inquiry: inquiry_of(asker, number, now, 5_000),
    })
}

fn echo(asker: usize, question: u64, whole: bool) -> AskMessage {
    AskMessage::Echo {
        asker: key(asker),
        question,
        whole,
    }
}

/// One node with these peers.
fn alone(n: usize, peers: impl IntoIterator<Item = usize>) -> Asks {
    let trust = Trust::from(&MeshKey::from_entropy([7; 48]));
    let mut asks = Asks::new(node(n).identity.clone(), trust, Budget::default());
    for peer in peers {
        asks.handle_peer_up(key(peer), at(0));
    }
    asks
}

fn says(asks: &mut Asks, from: usize, message: AskMessage) -> Vec<AskOutput> {
    asks.handle_message(key(from), message, at(0), WALL);
    drain(asks)
}

fn is_asked(outputs: &[AskOutput]) -> bool {
    outputs.iter().any(|it| matches!(it, AskOutput::Asked(_)))
}

#[test]
fn nobody_replies_for_the_one_that_is_asked_alone() {
    let mut world = World::new(3, &chain(3));
    world.lies = BTreeMap::from([(1, Lie::Replies)]);
    world.ask([], Some(2), 5_000);
    world.run(6_000);
    assert_eq!(world.told, [(2, Ok(own_answer(2)))]);
}

#[test]
fn a_peer_that_does_not_believe_the_clock_of_the_asker_answers_it_by_its_session() {
    let mut asks = alone(1, [0, 2]);
    // Ten minutes ago by the clock of the asker.
    let old = inquiry_of(0, 1, 0, 5_000);
    let message = AskMessage::Relay(Relayed {
        hops: 1,
        left: Duration::from_secs(5),
        inquiry: old,
    });
    asks.handle_message(key(0), message.clone(), at(0), wall(600_000));
    let outputs = drain(&mut asks);
    assert!(is_asked(&outputs) && outputs.len() == 1, "{outputs:?}");
    asks.reply(key(0), 1, own_answer(1), at(1));
    let said = [reply(1, own_answer(1)), echo(0, 1, false)];
    let said = said.map(|message| AskOutput::Send(key(0), message));
    assert_eq!(drain(&mut asks), said);
    // Nobody else can say that it is now.
    asks.handle_message(key(2), message, at(2), wall(600_000));
    assert!(!is_asked(&drain(&mut asks)));
}

#[test]
fn a_peer_that_closed_the_channel_just_now_is_not_waited_for() {
    let mut world = World::new(3, &chain(3));
    world.ask([], None, 5_000);
    world.closed = BTreeSet::from([1]);
    world.run(6_000);
    let expected = [(2, Ok(own_answer(2))), (1, Err(NoReply::Absent))];
    assert_eq!(world.told, expected);
    assert_eq!(world.over, Some(1_000 + 2 * 20 + 5));
}

/// The first copy came over the one that keeps it.
#[test]
fn a_peer_whose_reply_was_lost_on_its_way_over_another_is_not_waited_for() {
    let links = [((0, 1), 40), ((0, 2), 5), ((1, 2), 5), ((1, 3), 5)];
    let mut world = World::new(4, &BTreeMap::from(links));
    world.lies = BTreeMap::from([(2, Lie::Swallows)]);
    world.ask([], None, 5_000);
    world.run(6_000);
    let told: BTreeMap<_, _> = world.told.iter().cloned().collect();
    assert!(told[&1].is_err(), "{told:?}");
    assert_eq!(world.over, Some(1_000 + 2 * 40));
    world.check_empty();
}

#[test]
fn who_is_known_before_its_neighbour_tells_of_its_link_is_asked() {
    let mut world = World::new(3, &chain(2));
    for (a, b) in [(1, 2), (2, 1)] {
        world.links.insert((a, b), 10);
        world.nodes[a].handle_peer_up(key(b), at(world.now));
    }
    assert!(world.nodes[0].reaches_all());
    world.ask([2], None, 5_000);
    world.run(6_000);
    assert_eq!(world.answered(), [1, 2]);
}

#[test]
fn the_loss_of_the_reply_of_one_asked_alone_is_told_at_once() {
    let mut world = World::new(4, &chain(4));
    world.ask([], Some(3), 5_000);
    world.run(1_032);
    // Nothing more can be remembered because of whoever brings it.
    let (budget, payer) = (&world.budgets[1], Payer::from(key(2)));
    for bytes in [1 << 20, 1 << 10, 1] {
        while budget.try_charge(payer, bytes) {}
    }
    world.run(6_000);
    assert_eq!(world.told, [(3, Err(NoReply::Unreached))]);
    assert_eq!(world.over, Some(1_000 + 2 * 30 + 5));
}

#[test]
fn a_reply_of_one_asked_alone_that_is_not_believed_ends_the_question() {
    let mut asks = alone(0, [1]);
    let one = AskTargets {
        only: Some(key(2)),
        ..AskTargets::default()
    };
    let number = asks.ask(new(5_000, b"?"), one, at(0), WALL).expect("few");
    drain(&mut asks);
    // Of another mesh.
    let stranger = Identity::from_mesh_key(
        &MeshKey::from_entropy([8; 48]),
        NodeName::new("stranger").expect("valid"),
        Region::new("fra").expect("valid"),
        [2; 64],
        WallTime::MIN,
    );
    let finding = Finding::build(
        (key(0), number),
        (key(2), stranger.chain().as_bytes()),
        &own_answer(2),
        |_| [9; 64],
    );
    let outputs = says(&mut asks, 1, AskMessage::Finding(finding.expect("fits")));
    assert!(
        outputs.contains(&AskOutput::Over {
            question: number,
            whole: false,
        }),
        "{outputs:?}"
    );
}

#[test]
fn a_peer_that_is_too_busy_for_its_copy_is_told_of_by_what_it_says_to_another() {
    let mut asks = alone(1, [0, 2]);
    for number in 1..=64 {
        assert!(is_asked(&says(&mut asks, 0, relayed(0, number, 0, 1))));
    }
    let refused = says(&mut asks, 0, relayed(0, 65, 0, 1));
    let busy = Reply::Declined(Declined::Busy);
    let said = [reply(65, busy.clone()), echo(0, 65, false)];
    assert_eq!(refused, said.map(|it| AskOutput::Send(key(0), it)));
    for is_taken in [true, false] {
        let mut asks = alone(0, [1, 2]);
        let number = asks
            .ask(new(5_000, b"?"), whom([key(1)]), at(0), WALL)
            .expect("few");
        drain(&mut asks);
        let mut outputs = says(&mut asks, 1, reply(number, busy.clone()));
        outputs.extend(says(&mut asks, 1, echo(0, number, false)));
        assert_eq!(outputs, []);
        if is_taken {
            let of = (key(0), number);
            let finding = Finding::sign(&node(1).identity, of, &own_answer(1)).expect("fits");
            outputs.extend(says(&mut asks, 2, AskMessage::Finding(finding)));
        }
        outputs.extend(says(&mut asks, 2, echo(0, number, true)));
        let told = outputs.iter().filter_map(|it| match it {
            AskOutput::Replied { reply, .. } => Some(reply.clone()),
            _ => None,
        });
        let expected = if is_taken {
            own_answer(1)
        } else {
            busy.clone()
        };
        assert_eq!(told.collect::<Vec<_>>(), [Ok(expected)]);
    }
}

#[test]
fn waiting_questions_of_an_asker_take_no_place_of_the_peer_between() {
    let mut asks = alone(1, [0, 2]);
    let numbers = 1..=64;
    let asked = numbers.filter(|n| is_asked(&says(&mut asks, 0, relayed(5, *n, 0, 2))));
    assert_eq!(asked.count(), 64);
    assert!(!is_asked(&says(&mut asks, 0, relayed(5, 65, 0, 2))));
    for asker in 6..9 {
        let asked = (1..=64).filter(|n| is_asked(&says(&mut asks, 0, relayed(asker, *n, 0, 2))));
        assert_eq!(asked.count(), 64);
    }
    assert!(
        !is_asked(&says(&mut asks, 0, relayed(9, 1, 0, 2))),
        "256 in all"
    );
    for number in 1..=64 {
        let own = question(number, 5_000, Bytes::new());
        assert!(is_asked(&says(&mut asks, 0, own)), "{number}");
    }
}

#[test]
fn nothing_more_comes_only_of_a_question_that_came_to_its_end() {
    let mut asks = alone(1, [0, 2, 3]);
    let (first, second) = (relayed(5, 1, 0, 2), relayed(5, 2, 0, 2));
    says(&mut asks, 0, first.clone());
    asks.reply(key(5), 1, own_answer(1), at(0));
    for peer in [2, 3] {
        says(&mut asks, peer, echo(5, 1, true));
    }
    let again = says(&mut asks, 3, first);
    assert_eq!(again, [AskOutput::Send(key(3), echo(5, 1, true))]);
    says(&mut asks, 0, second.clone());
    let (asker, question) = (key(5), 2);
    says(&mut asks, 0, AskMessage::Recall { asker, question });
    let again = says(&mut asks, 3, second);
    assert_eq!(again, [AskOutput::Send(key(3), echo(5, 2, false))]);
}

#[test]
fn a_peer_that_has_not_said_whether_it_has_the_channel_open_is_told_of_by_what_it_answers() {
    let mut world = World::new(4, &even([(0, 1), (0, 2), (2, 3)]));
    world.untold = BTreeSet::from([1, 2]);
    world.closed = BTreeSet::from([2]);
    world.ask([], None, 5_000);
    world.run(6_000);
    world.check_told();
    let told: BTreeMap<_, _> = world.told.iter().cloned().collect();
    let expected = [
        (1, Ok(own_answer(1))),
        (2, Err(NoReply::Untold)),
        (3, Ok(own_answer(3))),
    ];
    assert_eq!(told, BTreeMap::from(expected));
}

#[test]
fn where_all_are_linked_a_peer_that_has_not_said_so_is_not_asked_and_told_of_at_once() {
    let mut world = World::new(3, &full(3));
    world.untold = BTreeSet::from([1]);
    world.takes = 1_000;
    world.ask([], None, 5_000);
    assert_eq!(world.told, [(1, Err(NoReply::Untold))]);
    world.run(6_000);
    assert_eq!(world.answered(), [2]);
    world.told.clear();
    world.over = None;
    world.ask([], Some(1), 5_000);
    assert_eq!(world.told, [(1, Err(NoReply::Untold))]);
    assert!(world.over.is_some());
}
