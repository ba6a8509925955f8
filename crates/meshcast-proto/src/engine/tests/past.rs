//! What the engine says of what was before.

use super::{
    super::*,
    fixture::channel,
    peer, range,
    world::{Event, World, connected, sender},
};

fn past(world: &World, who: usize, of: usize, since: Since) -> Option<SeqRange> {
    let (engine, now) = (&world.nodes[who].engine, world.clock(who));
    let delivered = engine.delivered(&channel(0)).into_iter();
    let mut before = delivered.filter(|(member, _)| member.sender() == sender(of));
    let (_, before) = before.next()?;
    engine.past(&channel(0), sender(of), before, since, now)
}

#[test]
fn what_was_delivered_and_is_kept_is_the_past_of_whoever_comes_late() {
    let mut world = connected(2);
    world.loss = 0;
    assert_eq!(past(&world, 1, 0, Since::Last(9)), None, "nobody posted");
    for _ in 0..4 {
        world.post(0, 2);
        world.run_secs(10);
    }
    for who in 0..2 {
        assert_eq!(past(&world, who, 0, Since::Now), None);
        assert_eq!(past(&world, who, 0, Since::Last(3)), Some(range(6, 8)));
        assert_eq!(
            past(&world, who, 0, Since::Ago(Duration::from_secs(25))),
            Some(range(5, 8))
        );
    }
    let engine = &world.nodes[1].engine;
    let recall = engine.recall(&channel(0), &peer(0).member, range(3, 8), 1);
    assert_eq!(recall.upto.get(), 4, "a frame at a time");
    world.run_secs(585);
    assert_eq!(
        past(&world, 1, 0, Since::Last(9)),
        Some(range(7, 8)),
        "the others are too old"
    );
}

#[test]
fn only_a_channel_on_which_nobody_was_heard_can_be_made_to_begin_earlier() {
    let mut world = World::new(2, &Config::default(), 1);
    world.loss = 0;
    world.post(0, 5);
    world.run_secs(10);
    world.close(1);
    world.open(1, Since::Now);
    world.open(1, Since::Last(2));
    world.connect(0, 1);
    world.run_secs(2);
    assert_eq!(world.story(1, 0), [Event::Values(range(4, 5))]);
    let said = world.said;
    world.open(1, Since::Last(5));
    world.run_secs(2);
    assert_eq!(
        (world.said, world.story(1, 0)),
        (said, vec![Event::Values(range(4, 5))])
    );
}

#[test]
fn who_opened_the_channel_after_a_post_does_not_answer_for_it() {
    let mut world = connected(3);
    world.loss = 0;
    world.close(2);
    world.post(0, 1);
    world.run_secs(1);
    world.open(2, Since::Now);
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(1);
    let acked = |world: &World, n| world.nodes[0].engine.acked(&channel(0), Seq::new(n)?);
    assert_eq!(
        (acked(&world, 1), acked(&world, 2), acked(&world, 3)),
        (Some(1), Some(2), None)
    );
    world.cut(0, 1);
    assert_eq!(acked(&world, 1), Some(0));
    world.run_secs(700);
    assert_eq!(acked(&world, 2), None, "it is not kept any more");
}
