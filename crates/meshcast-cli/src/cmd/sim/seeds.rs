//! Many seeds, two at a time, told in their order.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use meshcast_sim::{Report, Scenario};

use crate::exit::Failure;

/// A run and the time it took.
pub(super) struct Done {
    pub(super) report: Report,
    pub(super) took: Duration,
}

/// Runs `count` seeds from `first` on, and tells each as soon as all before it are told.
///
/// # Errors
/// The first of `tell`, when the runs that are under way have come to their end.
pub(super) fn run_each(
    scenario: &Scenario,
    first: u64,
    count: u64,
    tell: &mut dyn FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    // Without places: a run is over when it is taken.
    let (sender, done) = sync_channel(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        return;
                    }
                    let began = Instant::now();
                    let mut report = meshcast_sim::run(scenario, first.wrapping_add(nth));
                    let took = began.elapsed();
                    // It may have to wait for its turn, and the numbers over it are drawn already.
                    report.verdict.latencies.shrink_to_fit();
                    if sender.send((nth, Done { report, took })).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        in_order(done, tell)
    })
}

fn in_order(
    done: Receiver<(u64, Done)>,
    tell: &mut dyn FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (nth, run) in done {
        early.insert(nth, run);
        while let Some(run) = early.remove(&due) {
            tell(run)?;
            due += 1;
        }
    }
    Ok(())
}

/// A world fills one processor, and a large one some hundred megabytes.
const THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Scenario {
        Scenario::from_toml("name = 'tiny'\nnodes = 2\nduration = 1\nsettle = 5\nbound = 5").expect("one")
    }

    #[test]
    fn seeds_are_told_in_their_order_and_each_once() {
        let mut seeds = Vec::new();
        run_each(&tiny(), 7, 9, &mut |done| {
            seeds.push(done.report.seed);
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(seeds, (7..16).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_more_is_run_once_nobody_reads() {
        let mut told = 0;
        let result = run_each(&tiny(), 1, 1_000_000, &mut |_| {
            told += 1;
            Err(Failure::failed("no more"))
        });
        assert_eq!((result, told), (Err(Failure::failed("no more")), 1));
    }
}
