//! Many seeds at the same time, told in their order.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

/// Does some work for each seed, on several cores, and tells what came of each in the order of the
/// seeds, as soon as all before it are told. Waiting results are kept, so they should be small.
///
/// # Errors
/// The first of `tell`, when the work that is under way has come to its end.
pub fn each_seed<T: Send, E>(
    seeds: impl IntoIterator<Item = u64, IntoIter: Send>,
    work: impl Fn(u64) -> T + Sync,
    tell: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let seeds = Mutex::new(seeds.into_iter().enumerate());
    let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // Without places: work is over when it is taken.
    let (sender, done) = sync_channel(0);
    thread::scope(|scope| {
        for _ in 0..cores.min(MAX_THREADS) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((nth, seed)) = next() {
                    if sender.send((nth, work(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        in_order(done, tell)
    })
}

fn in_order<T, E>(
    done: Receiver<(usize, T)>,
    mut tell: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (nth, result) in done {
        early.insert(nth, result);
        while let Some(result) = early.remove(&due) {
            tell(result)?;
            due += 1;
        }
    }
    Ok(())
}

/// A world fills one core, and a large one some hundred megabytes.
const MAX_THREADS: usize = 8;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn seeds_are_told_in_their_order_and_each_once() {
        let mut told = Vec::new();
        let work = |seed: u64| {
            (0..(seed * 7_919) % 5_000).fold(seed, |seed, _| std::hint::black_box(seed))
        };
        let tell = |seed| {
            told.push(seed);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = each_seed(7..500, work, tell);
        assert_eq!(told, (7..500).collect::<Vec<_>>());
    }

    /// Otherwise it would never come to an end.
    #[test]
    fn nothing_more_is_done_once_nobody_listens() {
        let mut told = 0;
        let tell = |_| {
            told += 1;
            Err("no more")
        };
        let result = each_seed(0..u64::MAX, |seed| seed, tell);
        assert_eq!((result, told), (Err("no more"), 1));
    }
}
