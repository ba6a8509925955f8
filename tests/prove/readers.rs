//! One that does not keep up, and the others.

use std::time::Duration;

use anyhow::Result;

use super::bench::{BOUND, Bench, HISTORY, Window, growth, latency};
use crate::{
    account::{Account, Delivery},
    clock::now,
    fleet::{Fleet, Run},
    member::Order,
};

/// One process stands still.
pub(super) fn stopped(bench: &mut Bench, time: Duration, rate: f64) -> Result<()> {
    let name = format!("stopped for {} s", time.as_secs());
    let size = bench.common.size;
    late_one(bench, &name, time, rate, size, |fleet, node, is_late| {
        fleet.pause(node, is_late)
    })
}

/// One process does not read what its channel gets.
pub(super) fn slow_reader(bench: &mut Bench, time: Duration, rate: f64) -> Result<()> {
    let name = format!("deaf for {} s", time.as_secs());
    // Over a minute this is more than the channel holds for its reader.
    let size = 4 * bench.common.size;
    late_one(bench, &name, time, rate, size, |fleet, node, is_late| {
        fleet.tell(node, Order::Deaf(is_late))
    })
}

fn late_one(
    bench: &mut Bench,
    name: &str,
    time: Duration,
    rate: f64,
    size: usize,
    be_late: impl Fn(&mut Fleet, usize, bool) -> Result<()>,
) -> Result<()> {
    let mut fleet = bench.fleet(name)?;
    let node = fleet.len() - 1;
    fleet.load(rate, size)?;
    fleet.pass(WARM)?;
    let before = now();
    fleet.pass(time.min(BASE))?;
    let from = now();
    be_late(&mut fleet, node, true)?;
    fleet.pass(time)?;
    be_late(&mut fleet, node, false)?;
    let resumed = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    let late = fleet.process_name(node);
    bench.judge(
        name,
        fleet,
        resumed,
        // Only then may it be told that something is missing.
        |rules| {
            rules.evicting = time.as_secs_f64() * rate * (size + BESIDE) as f64 > HISTORY as f64
        },
        |report, run: &Run, account: &Account<'_>| {
            let others =
                |delivery: &Delivery<'_>| *delivery.sender != late && *delivery.receiver != late;
            let base = latency(account, Window::new(before, from), others);
            let meanwhile = latency(account, Window::new(from, resumed), others);
            report.limit_rise("values of the others", &base, &meanwhile, 1.2);
            let grown = growth(run, Window::new(from, resumed), |process| {
                process != late.as_str()
            });
            report.limit_bytes(
                "growth of the others beyond their history",
                grown,
                16 * 1024 * 1024,
            );
            let missed = account.deliveries().filter(|delivery| {
                *delivery.receiver == late && delivery.posted < resumed && delivery.came >= resumed
            });
            let caught_up = missed
                .map(|delivery| delivery.came)
                .max()
                .unwrap_or(resumed);
            report.detail(format!(
                "it had caught up after {:.1?}",
                caught_up.since(resumed)
            ));
            for (receiver, sender, gap) in account.gaps() {
                report.detail(format!(
                    "{receiver} was told that {gap} of {sender} are missing"
                ));
            }
            let most = account.gaps_of_a_stream();
            report.demand(most <= 1, || format!("{most} gaps of one sender"));
        },
    )
}

/// What a node keeps of a value beside it, in bytes: the head of its frame and its place.
const BESIDE: usize = 700;

/// Before anything is measured.
const WARM: Duration = Duration::from_secs(3);

/// For how long it is measured how things are without the fault.
const BASE: Duration = Duration::from_secs(30);

/// For how long things go on afterwards.
const AFTER: Duration = Duration::from_secs(5);
