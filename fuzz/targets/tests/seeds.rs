//! Each target takes its seeds, and a few hundred things made of them. One test, since memory is
//! counted over all threads.

use meshcast_fuzz::{TARGETS, mutate::mutate};
use rand::{SeedableRng, rngs::StdRng};

#[test]
fn no_target_finds_a_fault_in_what_is_well_formed_or_nearly() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..RUNS {
            (target.run)(&mutate(&seeds, target.max_len, &mut rng));
        }
    }
}

/// Some seconds for all of them; `cargo run -p meshcast-fuzz` is what takes longer.
const RUNS: usize = 100;
