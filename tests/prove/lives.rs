//! Processes that end and begin.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use meshcast_sim::{At, Name};

use super::{
    Timed,
    bench::{BOUND, Bench},
};
use crate::{
    account::Times,
    clock::{now, pass},
    fleet::PATIENCE,
    member::Order,
};

/// Random processes are killed and started again.
pub(super) fn kill(bench: &mut Bench, time: Duration, rate: f64, every: Duration) -> Result<()> {
    let name = "kill";
    let mut fleet = bench.fleet(name)?;
    let mut rng = bench.rng();
    fleet.load(rate, bench.common.size)?;
    fleet.pass(every.min(WARM))?;
    let end = now() + time;
    let mut down: Vec<(usize, At)> = Vec::new();
    let mut restarts = Vec::new();
    let (mut kills, mut most) = (0, 0);
    let most_down = DOWN.min(fleet.len().saturating_sub(2));
    while now() < end {
        let running = fleet.running();
        let victim = running[rng.index(running.len())];
        fleet.kill(victim)?;
        kills += 1;
        down.push((victim, now()));
        most = most.max(down.len());
        fleet.pass(every / 2)?;
        // Each is down for as long as it takes until the next ones make it the most that may be.
        if down.len() >= most_down {
            let (node, _) = down.remove(0);
            restarts.push((now(), restart(&mut fleet, node)?));
        }
        // So that whoever begins has the time to hear those who are there.
        fleet.pass(every / 2)?;
    }
    for (node, _) in down {
        restarts.push((now(), restart(&mut fleet, node)?));
    }
    let calm = now();
    // So that the last ones are heard, too.
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    let there: BTreeSet<Name> = fleet
        .running()
        .into_iter()
        .map(|node| fleet.process_name(node))
        .collect();
    bench.judge(
        name,
        fleet,
        calm,
        |_| (),
        |report, _, account| {
            report.detail(format!("{kills} killed, {most} down at once at most"));
            let mut caught_up = Vec::new();
            for (started, (process, others)) in &restarts {
                match account.in_touch(process, others) {
                    Some(t) => caught_up.push(t.since(*started)),
                    // A process that was killed soon again was not there long enough.
                    None => report.demand(!there.contains(process), || {
                        format!("{process} never heard all others")
                    }),
                }
            }
            let times: Times = caught_up.into_iter().collect();
            report.limit(
                &format!("{} restarts to hearing all others, p95", times.len()),
                times.at(0.95),
                Duration::from_secs(5),
            );
        },
    )
}

/// Starts a node again. Its new process and those that run then.
fn restart(fleet: &mut crate::fleet::Fleet, node: usize) -> Result<(Name, BTreeSet<Name>)> {
    let running = fleet.running();
    let others = running
        .into_iter()
        .map(|other| fleet.process_name(other))
        .collect();
    fleet.restart(node)?;
    Ok((fleet.process_name(node), others))
}

/// All processes are told to end, one after another, and started again.
pub(super) fn rolling(bench: &mut Bench, rate: f64) -> Result<()> {
    let name = "rolling restart";
    let mut fleet = bench.fleet(name)?;
    fleet.load(rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let mut ends = Vec::new();
    for node in 0..fleet.len() {
        ends.push(fleet.terminate(node)?);
        fleet.restart(node)?;
        fleet.wait_ready_of(node)?;
        fleet.pass(Duration::from_secs(1))?;
    }
    let calm = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    bench.judge(
        name,
        fleet,
        calm,
        |_| (),
        |report, _, _| {
            let ends: Times = ends.into_iter().collect();
            report.limit(
                "from SIGTERM to the end, at most",
                ends.at(1.0),
                Duration::from_secs(6),
            );
        },
    )
}

/// One process closes its channel and opens it again at once.
pub(super) fn reopen(bench: &mut Bench, Timed { seconds, rate }: Timed) -> Result<()> {
    let name = "close and reopen";
    let mut fleet = bench.fleet(name)?;
    fleet.load(rate, bench.common.size)?;
    fleet.pass(WARM)?;
    for _ in 0..seconds {
        fleet.tell(fleet.len() - 1, Order::Reopen)?;
        fleet.pass(Duration::from_secs(1))?;
    }
    let calm = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    bench.judge(name, fleet, calm, |_| (), |_, _, _| ())
}

/// Processes post in the tick in which they open their channel, before they have met anybody.
pub(super) fn first_message(bench: &mut Bench, trials: u64) -> Result<()> {
    let name = "first message";
    let mut fleet = crate::fleet::Fleet::new(bench.settings(name), None)?;
    let newcomer = fleet.len() - 1;
    for node in 0..newcomer {
        fleet.restart(node)?;
    }
    fleet.wait_ready()?;
    let start = now();
    let size = bench.common.size.to_string();
    for trial in 0..trials {
        fleet.restart_with(newcomer, &["--first", &size])?;
        wait_heard(&mut fleet, newcomer).with_context(|| format!("trial {trial}"))?;
        fleet.kill(newcomer)?;
    }
    bench.judge(
        name,
        fleet,
        start,
        |_| (),
        |report, _, account| {
            let times: Times = account
                .deliveries()
                .map(|delivery| delivery.took())
                .collect();
            report.detail(format!(
                "{trials} processes; from the constructor to each of the others: \
             p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
                times.at(0.5),
                times.at(0.99),
                times.at(1.0)
            ));
            let expected = trials * newcomer as u64;
            let came = account.balance().delivered;
            report.demand(came == expected, || {
                format!("{came} first messages came, not {expected}")
            });
        },
    )
}

/// Waits until all others have heard the first message of a process.
fn wait_heard(fleet: &mut crate::fleet::Fleet, newcomer: usize) -> Result<()> {
    let peer = fleet.peer(newcomer)?;
    let deadline = now() + PATIENCE;
    for node in fleet.running() {
        while node != newcomer
            && !fleet
                .state(node)?
                .heard
                .iter()
                .any(|(sender, _)| *sender == peer)
        {
            ensure!(now() < deadline, "{} never heard {peer}", fleet.name(node));
            pass(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// How many may be down at once.
const DOWN: usize = 3;

/// Before anything happens.
const WARM: Duration = Duration::from_secs(3);

/// For how long things go on after the last fault.
const AFTER: Duration = Duration::from_secs(5);
