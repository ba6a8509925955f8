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

use meshcast_sim::{Report, Scenario, Summary};

use crate::exit::Failure;

/// What is left of a run when it is over: little, since it may have to wait until it is told.
pub(super) struct Done {
    pub(super) seed: u64,
    pub(super) is_clean: bool,
    /// The report, for people and for machines.
    pub(super) text: String,
    pub(super) summary: Summary,
}

impl From<&Report> for Done {
    fn from(report: &Report) -> Self {
        Self {
            seed: report.seed,
            is_clean: report.is_clean(),
            text: report.to_string(),
            summary: report.summary(),
        }
    }
}

/// Runs `count` seeds from `first` on, and tells each, with the time it took, as soon as all before it are told.
///
/// # Errors
/// The first of `tell`, when the runs that are under way have come to their end.
pub(super) fn run_each(
    scenario: &Scenario,
    first: u64,
    count: u64,
    tell: &mut dyn FnMut(Done, Duration) -> Result<(), Failure>,
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
                    let report = meshcast_sim::run(scenario, first.wrapping_add(nth));
                    let done = (Done::from(&report), began.elapsed());
                    if sender.send((nth, done)).is_err() {
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
    done: Receiver<(u64, (Done, Duration))>,
    tell: &mut dyn FnMut(Done, Duration) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (nth, run) in done {
        early.insert(nth, run);
        while let Some((done, took)) = early.remove(&due) {
            tell(done, took)?;
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
        run_each(&tiny(), 7, 9, &mut |done, _| {
            seeds.push(done.seed);
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(seeds, (7..16).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_more_is_run_once_nobody_reads() {
        let mut told = 0;
        let result = run_each(&tiny(), 1, 1_000_000, &mut |_, _| {
            told += 1;
            Err(Failure::failed("no more"))
        });
        assert_eq!((result, told), (Err(Failure::failed("no more")), 1));
    }
}
