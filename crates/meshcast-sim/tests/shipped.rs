//! Every shipped scenario, with a few seeds; `MESHCAST_SIM_SEEDS=200` for more.

#![allow(
    clippy::disallowed_methods,
    reason = "how many seeds is up to whoever runs the tests"
)]

use meshcast_sim::{SHIPPED, Scenario, Shipped, run, run_seeds};

fn seeds(default: u64) -> u64 {
    let set = std::env::var("MESHCAST_SIM_SEEDS").ok();
    set.and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn scenario(name: &str) -> Scenario {
    let shipped = Shipped::find(name).expect("it is shipped");
    shipped.scenario().expect("what is shipped can be read")
}

#[track_caller]
fn is_clean(name: &str, default: u64) {
    let scenario = scenario(name);
    let count = seeds(default);
    let failed = run_seeds(&scenario, 1..=count);
    for report in &failed {
        println!(
            "{report}  to see it again: meshcast sim run {name} --seed {}",
            report.seed
        );
    }
    assert!(
        failed.is_empty(),
        "{} of {count} runs of {name} are not clean",
        failed.len()
    );
}

macro_rules! scenarios {
    ($($(#[$why:meta])* $test:ident $name:literal $seeds:literal,)*) => {
        $($(#[$why])*
        #[test]
        fn $test() {
            is_clean($name, $seeds);
        })*

        #[test]
        fn none_is_left_out() {
            let tested = [$($name),*];
            assert!(SHIPPED.iter().all(|shipped| tested.contains(&shipped.name)));
        }
    };
}

scenarios! {
    steady "steady" 1,
    burst "burst" 2,
    kill_restart "kill-restart" 1,
    partition_10 "partition-10" 2,
    partition_60 "partition-60" 1,
    partition_150 "partition-150" 1,
    past_retention "past-retention" 2,
    evicted "evicted" 2,
    one_way "one-way" 2,
    three_way "three-way" 1,
    flapping "flapping" 1,
    relayed "relayed" 4,
    late_joiner "late-joiner" 2,
    look_back "look-back" 2,
    small_memory "small-memory" 1,
    rolling_restart "rolling-restart" 1,
    stalls "stalls" 1,
    slow_readers "slow-readers" 1,
    catch_up_storm "catch-up-storm" 1,
    clock_jump "clock-jump" 1,
    all_faults "all-faults" 1,
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let scenario = scenario("relayed");
    for seed in 1..=seeds(3) {
        assert_eq!(run(&scenario, seed).trace, run(&scenario, seed).trace);
    }
}
