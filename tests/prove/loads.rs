//! Load without faults.

use std::time::Duration;

use anyhow::Result;

use super::bench::{BOUND, Bench, Window, growth, latency};
use crate::{
    clock::now,
    member::{Order, Said},
};

/// All nodes post at a rate.
pub(super) fn steady(bench: &mut Bench, time: Duration, rate: f64) -> Result<()> {
    let name = "steady";
    let mut fleet = bench.fleet(name)?;
    let start = now();
    fleet.load(rate, bench.common.size)?;
    fleet.pass(time)?;
    fleet.settle(BOUND)?;
    bench.judge(
        name,
        fleet,
        start,
        |_| (),
        |report, run, _| {
            let grown = growth(run, Window::new(start, now()), |_| true);
            report.detail(format!(
            "{rate} values a second for {time:?}; a process grew by {grown} bytes at most beyond its history"
        ));
        },
    )
}

/// One node posts flat out.
pub(super) fn burst(bench: &mut Bench, values: u64, wait: bool) -> Result<()> {
    let name = if wait { "burst, waiting" } else { "burst" };
    let mut fleet = bench.fleet(name)?;
    let (start, size) = (now(), bench.common.size);
    fleet.tell(0, Order::Burst { values, size, wait })?;
    let (accepted, refused, micros) =
        fleet.wait(0, "the burst is posted", BURST, |said| match said {
            Said::Burst {
                accepted,
                refused,
                micros,
            } => Some((*accepted, *refused, *micros)),
            _ => None,
        })?;
    fleet.settle(BURST)?;
    let bound = |rules: &mut meshcast_sim::Rules| rules.bound = Some(BURST);
    bench.judge(name, fleet, start, bound, |report, _, account| {
        report.detail(format!(
            "{accepted} values of {size} bytes posted in {:.1?}, {refused} refused",
            Duration::from_micros(micros)
        ));
        let last = account.deliveries().map(|delivery| delivery.came).max();
        let took = last.unwrap_or(start).since(start);
        report.limit("all are everywhere after", took, BURST);
        let rate = accepted as f64 / took.as_secs_f64().max(f64::EPSILON);
        report.detail(format!("{rate:.0} values a second to each node"));
    })
}

/// One node stands still while much is posted, and catches up while the others go on.
pub(super) fn catch_up(bench: &mut Bench, mib: u64, rate: f64) -> Result<()> {
    let name = "catch up";
    let mut settings = bench.settings(name);
    // Messages to be caught up with have to be kept, beside what else is posted.
    let history = usize::try_from(mib)? * 2 * 1024 * 1024;
    settings.history_bytes = Some(history);
    let mut fleet = crate::fleet::Fleet::start(settings, None)?;
    let (late, size) = (fleet.len() - 1, 16 * 1024);
    fleet.load(rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let before = now();
    fleet.pass(BASE)?;
    let paused = now();
    fleet.pause(late, true)?;
    let values = mib * 1024 * 1024 / size as u64;
    fleet.tell(
        0,
        Order::Burst {
            values,
            size,
            wait: true,
        },
    )?;
    fleet.wait(0, "all is posted", BURST * 2, |said| {
        matches!(said, Said::Burst { .. }).then_some(())
    })?;
    // The others have it when their latency is what it was.
    fleet.pass(BASE)?;
    let resumed = now();
    fleet.pause(late, false)?;
    fleet.pass(BASE)?;
    fleet.settle(BURST)?;
    let slow = fleet.process_name(late);
    let poster = fleet.process_name(0);
    let rules = |rules: &mut meshcast_sim::Rules| {
        rules.bound = Some(BURST);
        rules.history_cap = Some(history as u64);
    };
    bench.judge(name, fleet, resumed, rules, |report, _, account| {
        let due = account.deliveries().filter(|delivery| {
            *delivery.receiver == slow && paused <= delivery.posted && delivery.posted < resumed
        });
        let caught_up = due.map(|delivery| delivery.came).max().unwrap_or(resumed);
        let took = caught_up.since(resumed);
        report.detail(format!(
            "{mib} MiB missed by {slow}, caught up {took:.1?} after it went on"
        ));
        let others = |delivery: &crate::account::Delivery<'_>| {
            *delivery.receiver != slow && *delivery.sender != slow && *delivery.sender != poster
        };
        let base = latency(account, Window::new(before, paused), others);
        let meanwhile = latency(account, Window::new(resumed, caught_up), others);
        report.limit_rise("live values of the others", &base, &meanwhile, 2.0);
    })
}

/// What a burst may take.
const BURST: Duration = Duration::from_secs(60);

/// Before anything is measured.
const WARM: Duration = Duration::from_secs(3);

/// For how long it is measured how things are without the fault.
const BASE: Duration = Duration::from_secs(10);
