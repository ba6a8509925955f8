//! Convergence: after any faults of gossip and links, in the end everybody has everything.

use proptest::prelude::*;

use super::{
    super::*,
    world::{Event, LATENCY, World},
};

#[derive(Debug, Clone)]
enum Step {
    Post(usize, usize),
    Pass(u64),
    Connect(usize, usize),
    Cut(usize, usize),
    Loss(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        8 => (node(), 1..4_usize).prop_map(|(who, count)| Step::Post(who, count)),
        6 => (0..200_u64).prop_map(Step::Pass),
        1 => (0..4_000_u64).prop_map(Step::Pass),
        2 => (node(), node()).prop_map(|(a, b)| Step::Connect(a, b)),
        2 => (node(), node()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => prop_oneof![Just(0), Just(100), 0..100_usize].prop_map(Step::Loss),
    ]
}

const NODES: usize = 3;

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Post(who, count) => world.post(who, count),
        Step::Pass(millis) => world.run(Duration::from_millis(millis)),
        Step::Connect(a, b) if a != b => world.connect(a, b),
        Step::Cut(a, b) if a != b => world.cut(a, b),
        Step::Connect(..) | Step::Cut(..) => {}
        Step::Loss(loss) => world.loss = loss,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// G5 and G8: whatever gossip loses and however links come and go. Everybody has heard of
    /// everybody before: of a sender that goes after its first frame was lost and the second was
    /// not, nobody knows where it began.
    #[test]
    fn everything_posted_after_opening_comes_to_everybody(
        steps in prop::collection::vec(step(), 1..60),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.connect_all();
        (0..NODES).for_each(|who| world.post(who, 1));
        world.run_secs(3);
        world.loss = loss;
        steps.iter().for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        world.expect_everything();
        world.run_secs(10);
        world.expect_rest();
    }

    /// The same from the beginning, as nodes meet one after the other.
    #[test]
    fn everything_posted_comes_to_everybody_who_is_there_from_the_beginning(
        steps in prop::collection::vec(step(), 1..40),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.loss = loss;
        let steps = steps.iter().filter(|step| !matches!(step, Step::Cut(..)));
        steps.for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        world.expect_everything();
        world.run_secs(10);
        world.expect_rest();
    }

    /// The same with one that opens late. It begins about where it opened, and from there on misses
    /// nothing.
    #[test]
    fn whoever_opens_late_misses_nothing_from_then_on(
        before in prop::collection::vec(step(), 1..20),
        after in prop::collection::vec(step(), 1..30),
        loss in prop_oneof![Just(100), 0..100_usize],
        seed in any::<u32>(),
    ) {
        let late = NODES - 1;
        let mut world = World::new(NODES, &Config::default(), seed.into());
        world.close(late);
        world.loss = loss;
        let before = before.iter().filter(
            |step| !matches!(step, Step::Post(who, _) if *who == late)
        );
        before.for_each(|step| take(&mut world, step));
        world.open(late, Since::Now);
        // Until everybody was told.
        world.run(2 * LATENCY);
        let told = world.now;
        let after = after.iter().filter(|step| !matches!(step, Step::Cut(..)));
        after.for_each(|step| take(&mut world, step));
        world.connect_all();
        world.run_secs(10);
        for of in 0..NODES {
            let due = world.posted_between(of, told, world.now);
            let story = world.story(late, of);
            if due.is_empty() && story.is_empty() {
                continue;
            }
            let [Event::Values(seqs)] = story[..] else {
                panic!("{story:?}");
            };
            if let (Some(first), Some(last)) = (due.first(), due.last()) {
                prop_assert!(
                    seqs.first().get() <= *first && *last <= seqs.last().get(),
                    "{due:?} {seqs:?}",
                );
            }
        }
    }
}
