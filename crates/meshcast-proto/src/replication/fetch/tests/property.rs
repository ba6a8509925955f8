//! For any words and acts of peers, each step makes sense.

use proptest::prelude::*;

use super::*;

/// What may happen to a log.
#[derive(Debug, Clone)]
enum Act {
    Connect(usize),
    Gone(usize),
    Has(usize, u64, u64),
    Told(usize),
    Answer(u64, Option<(u64, u64)>, bool),
    /// The hole moves up so far, and ends so much higher.
    Move(u64, u64),
    /// So often the time it waits for comes.
    Wait(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let n = || 0..4_usize;
    let number = || prop_oneof![8 => 1..40_u64, 1 => (1..3_u64).prop_map(|n| u64::MAX - n)];
    let came = prop::option::of((number(), 0..9_u64));
    prop_oneof![
        2 => n().prop_map(Act::Connect),
        1 => n().prop_map(Act::Gone),
        4 => (n(), number(), number()).prop_map(|(n, a, b)| Act::Has(n, a.min(b), a.max(b))),
        1 => n().prop_map(Act::Told),
        4 => (number(), came, any::<bool>()).prop_map(
            |(upto, came, helped)| Act::Answer(upto, came, helped)
        ),
        2 => (0..4_u64, 0..9_u64).prop_map(|(up, longer)| Act::Move(up, longer)),
        6 => (1..20_usize).prop_map(Act::Wait),
        2 => (0..9_000_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    /// In any case it never waits for a time that has come, asks only who is there and has it for
    /// what is missing, gives up only from below and not before its time, and in the end always
    /// does one of the two.
    #[test]
    fn each_step_makes_sense(acts in prop::collection::vec(act(), 1..80), seed in any::<u64>()) {
        let mut scene = Scene::new(&[]);
        scene.jitter = Jitter::new(seed);
        let mut hole = range(3, 9);
        let mut lowest_since = scene.now;
        let mut steps = |scene: &mut Scene, hole: &mut SeqRange, times: usize| {
            for _ in 0..times {
                scene.expire();
                match scene.step(*hole) {
                    Step::Idle => panic!("there is a hole"),
                    Step::Wait(until) => {
                        assert!(until > scene.now, "busy");
                        scene.now = until;
                    }
                    Step::Ask(peer, seqs) => {
                        assert!(scene.peers.contains(peer));
                        assert!(scene.fetch.holders().contains(peer));
                        assert_eq!(seqs.overlap(*hole), Some(seqs));
                        let asking = scene.asking();
                        assert!(asking.len() < MAX_UNDER_WAY && !asking.contains(&peer));
                        if scene.peers.may_ask(peer, true) {
                            scene.asked(peer, seqs);
                        }
                    }
                    Step::GiveUp(lost) => {
                        assert_eq!(lost.first(), hole.first());
                        assert!(lost.last() <= hole.last());
                        assert!(scene.now.saturating_since(lowest_since) >= LIMITS.hole_timeout);
                        let first = lost.last().next();
                        *hole = SeqRange::new(first, hole.last().max(first)).expect("in order");
                        lowest_since = scene.now;
                    }
                }
            }
        };
        for act in acts {
            match act {
                Act::Connect(n) => scene.peers.add(who(n), scene.now),
                Act::Gone(n) => {
                    scene.peers.remove(who(n));
                    scene.fetch.handle_gone(who(n));
                }
                Act::Has(n, oldest, next) if scene.peers.contains(who(n)) => {
                    scene.has(n, oldest, next);
                }
                Act::Told(n) => {
                    scene.peers.has_answered(who(n), &channel(0));
                }
                Act::Answer(upto, came, helped) => {
                    if !scene.asking().is_empty() {
                        let (peer, asked) = scene.answered();
                        let came = came.map(|(first, len)| range(first, first.saturating_add(len)));
                        let came = came.and_then(|came| came.overlap(asked));
                        let answer = answer(asked, upto, came, helped, scene.now);
                        scene.fetch.judge(peer, &answer, scene.now);
                    }
                }
                Act::Move(up, longer) => {
                    let first = hole.first().get().saturating_add(up).min(u64::MAX - 2);
                    let last = hole.last().get().saturating_add(longer).min(u64::MAX - 1);
                    if up > 0 {
                        scene.whole();
                    }
                    hole = range(first, last.max(first));
                }
                Act::Wait(times) => steps(&mut scene, &mut hole, times),
                Act::Pass(millis) => scene.now = scene.now + Duration::from_millis(millis),
                Act::Has(..) => {}
            }
        }
        // Left alone it comes to an end: every peer stays silent, and goes.
        for n in 0..4 {
            scene.peers.remove(who(n));
            scene.fetch.handle_gone(who(n));
        }
        let before = hole;
        steps(&mut scene, &mut hole, 2 + 60 * 2 + 20);
        prop_assert!(hole != before, "neither asked nor given up");
    }
}
