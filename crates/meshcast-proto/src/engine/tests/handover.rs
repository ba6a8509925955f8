//! Posts of this node that nobody has.

use super::{
    super::*,
    fixture::channel,
    world::{ANSWERS, World, connected, sender},
};

/// The count of a node's numbers that nobody has, as far as it knows.
fn undelivered(world: &World, who: usize) -> u64 {
    let left = world.nodes[who].engine.undelivered();
    left.map(|(_, left)| left.seqs).sum()
}

fn hand_over(world: &World, who: usize) -> HandOver {
    world.nodes[who].engine.hand_over(&channel(0), Seq::MAX)
}

#[test]
fn a_post_is_handed_over_once_one_listener_has_it() {
    let mut world = connected(3);
    assert_eq!(hand_over(&world, 0), HandOver::Done, "nothing was posted");
    world.post(0, 5);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Listener, 5)
    );
    world.run_secs(1);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Done, 0)
    );
    // Also once whoever said so is gone.
    world.kill(1);
    world.kill(2);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Done, 0)
    );
}

#[test]
fn posts_with_nobody_there_are_kept_for_those_who_come_back() {
    let mut world = connected(2);
    world.cut(0, 1);
    let lost = world.clock(0);
    world.run_secs(1);
    world.post(0, 3);
    let deserted = Some(lost);
    assert_eq!(hand_over(&world, 0), HandOver::Nobody { deserted });
    world.connect(0, 1);
    assert_eq!(undelivered(&world, 0), 3);
    world.run_secs(2);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Done, 0)
    );
    world.expect_everything();
}

#[test]
fn whoever_came_later_has_only_what_was_posted_since() {
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.connect(0, 1);
    world.run_secs(1);
    world.cut(0, 1);
    world.post(0, 3);
    world.run_secs(10);
    // Another process that opens the channel only now.
    world.close(2);
    world.open(2, Since::Now);
    world.connect(0, 2);
    world.run_secs(1);
    for _ in 0..100 {
        world.post(0, 2);
        world.run(Duration::from_millis(20));
    }
    world.run_secs(1);
    assert_eq!(undelivered(&world, 0), 3, "those that it did not want");
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Done, 0)
    );
}

#[test]
fn expired_posts_are_not_waited_for_but_count_as_undelivered() {
    let mut world = World::new(1, &Config::default(), 1);
    world.post(0, 7);
    let deserted = None;
    assert_eq!(hand_over(&world, 0), HandOver::Nobody { deserted });
    let bytes = |world: &World| {
        world.nodes[0]
            .engine
            .undelivered()
            .map(|(_, left)| left.bytes)
            .sum::<usize>()
    };
    assert!(bytes(&world) > 7);
    world.run_secs(700);
    assert_eq!(
        (hand_over(&world, 0), undelivered(&world, 0)),
        (HandOver::Done, 7)
    );
    assert_eq!(bytes(&world), 0);
}

#[test]
fn whoever_says_that_it_has_what_was_never_posted_changes_nothing_but_what_was() {
    let mut world = connected(2);
    world.post(0, 3);
    let next = Seq::new(1_000).expect("not 0");
    let lie = Holding {
        sender: sender(0),
        oldest: Seq::FIRST,
        next,
        due: None,
        hops: 1,
        lowest: None,
        begin: Seq::FIRST,
    };
    let (channel, logs) = (channel(0), vec![lie]);
    world.say(
        1,
        0,
        &SyncMessage::Have(vec![Holdings {
            channel,
            answer: Some(ANSWERS),
            logs,
        }]),
    );
    world.run(Duration::from_millis(100));
    world.cut(0, 1);
    assert_eq!(undelivered(&world, 0), 0);
    world.post(0, 2);
    assert_eq!(undelivered(&world, 0), 2);
}
