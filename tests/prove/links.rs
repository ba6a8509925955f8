//! Links that break, in network namespaces.

use std::{collections::HashSet, time::Duration};

use anyhow::Result;
use meshcast_sim::{At, Rules};

use super::{
    Cut, Timed,
    bench::{BOUND, Bench, Window, latency, recovery},
};
use crate::{account::Delivery, clock::now, fleet::Fleet};

/// Two halves do not reach each other for a while.
pub(super) fn partition(bench: &mut Bench, time: Duration, rate: f64) -> Result<()> {
    let name = format!("partition for {} s", time.as_secs());
    let mut fleet = bench.linked_fleet(&name)?;
    let (left, right) = halves(&fleet);
    fleet.load(2.0 * rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let split = now();
    fleet.net()?.split(&[&left, &right])?;
    fleet.pass(time)?;
    fleet.net()?.heal()?;
    let healed = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    let lefts: Vec<_> = left.iter().map(|node| fleet.process_name(*node)).collect();
    bench.judge(
        &name,
        fleet,
        healed,
        |_| (),
        |report, _, account| {
            let crosses = |delivery: &Delivery<'_>| {
                lefts.contains(delivery.sender) != lefts.contains(delivery.receiver)
            };
            let times = recovery(account, Window::new(split, healed), healed, crosses);
            report.detail(format!("{} values crossed after the heal", times.len()));
            report.limit(
                "from the heal to the delivery, p95",
                times.at(0.95),
                Duration::from_secs(3),
            );
            report.limit(
                "from the heal to the delivery, last",
                times.at(1.0),
                Duration::from_secs(30),
            );
            report.demand(account.gaps().count() == 0, || "there are gaps".to_owned());
        },
    )
}

/// Two halves do not reach each other for longer than anything is kept.
pub(super) fn past_window(
    bench: &mut Bench,
    time: Duration,
    history_bytes: usize,
    rate: f64,
) -> Result<()> {
    let name = "partition past history";
    let mut settings = bench.settings(name);
    settings.history_bytes = Some(history_bytes);
    let net = crate::fleet::Net::new(settings.nodes)?;
    let mut fleet = Fleet::start(settings, Some(net))?;
    let (left, right) = halves(&fleet);
    fleet.load(2.0 * rate, bench.common.size)?;
    fleet.pass(WARM)?;
    fleet.net()?.split(&[&left, &right])?;
    fleet.pass(time)?;
    fleet.net()?.heal()?;
    let healed = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    let side = |nodes: &[usize]| -> Vec<_> {
        nodes.iter().map(|node| fleet.process_name(*node)).collect()
    };
    let (lefts, rights) = (side(&left), side(&right));
    let rules = |rules: &mut Rules| {
        rules.evicting = true;
        rules.history_cap = Some(history_bytes as u64);
    };
    bench.judge(name, fleet, healed, rules, |report, _, account| {
        let mut missed = 0;
        for (ours, theirs) in [(&lefts, &rights), (&rights, &lefts)] {
            for receiver in ours {
                for sender in theirs {
                    let gaps = account
                        .gaps()
                        .filter(|(by, of, _)| *by == receiver && *of == sender);
                    let gaps: Vec<_> = gaps.map(|(_, _, gap)| gap).collect();
                    missed += gaps.iter().map(|gap| gap.len()).sum::<u64>();
                    report.demand(gaps.len() == 1, || {
                        format!(
                            "{receiver} was told of {} gaps of {sender}: {gaps:?}",
                            gaps.len()
                        )
                    });
                }
            }
        }
        let pairs = lefts.len() * rights.len() * 2;
        let all = account.gaps().count();
        report.demand(all == pairs, || format!("{all} gaps, not {pairs}"));
        report.detail(format!(
            "{all} gaps, one of each sender; {missed} values told missing"
        ));
    })
}

/// Messages of some to some others are lost, but not what comes back.
pub(super) fn one_way(bench: &mut Bench, timed: Timed) -> Result<()> {
    disturbed(bench, "one way", timed, |fleet| {
        let last = fleet.len() - 1;
        let net = fleet.net()?;
        net.mute(0, last)?;
        net.mute(last - 1, 1)
    })
}

/// Links are cut and neither end is told. Both are still linked to others, who have what they lack.
pub(super) fn silent(bench: &mut Bench, timed: Timed, cut: Cut) -> Result<()> {
    let name = match cut {
        Cut::One => "silent cut",
        Cut::Several => "silent cuts of one link of each",
        Cut::AllButOne => "silent cuts of all links of one but one",
    };
    let mut fleet = bench.linked_fleet(name)?;
    let nodes = fleet.len();
    let pairs: Vec<(usize, usize)> = match cut {
        Cut::One => vec![(0, nodes - 1)],
        Cut::Several => (0..nodes / 2).map(|n| (n, nodes - 1 - n)).collect(),
        Cut::AllButOne => (2..nodes).map(|n| (0, n)).collect(),
    };
    fleet.load(timed.rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let from = now();
    for (a, b) in &pairs {
        fleet.net()?.cut(*a, *b)?;
    }
    fleet.pass(Duration::from_secs(timed.seconds))?;
    fleet.net()?.heal()?;
    let healed = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    let ends = pairs.iter().map(|(a, b)| {
        let [a, b] = [a, b].map(|node| fleet.process_name(*node));
        [(a.clone(), b.clone()), (b, a)]
    });
    let ends: HashSet<_> = ends.flatten().collect();
    bench.judge(
        name,
        fleet,
        healed,
        |_| (),
        |report, _, account| {
            let crosses = |delivery: &Delivery<'_>| {
                ends.contains(&(delivery.sender.clone(), delivery.receiver.clone()))
            };
            let meanwhile = latency(account, Window::new(from, healed), crosses);
            report.detail(format!(
                "between those that were cut off: p50 {:.1?}, p99.9 {:.1?}",
                meanwhile.at(0.5),
                meanwhile.at(0.999)
            ));
            // Others are told what everybody has within half a second, and some have it.
            report.limit(
                "between those that were cut off, p99",
                meanwhile.at(0.99),
                Duration::from_millis(500),
            );
            report.demand(account.gaps().count() == 0, || "there are gaps".to_owned());
        },
    )
}

/// Three groups do not reach each other.
pub(super) fn three_way(bench: &mut Bench, timed: Timed) -> Result<()> {
    disturbed(bench, "three way", timed, |fleet| {
        let nodes: Vec<usize> = (0..fleet.len()).collect();
        let (first, rest) = nodes.split_at(nodes.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        fleet.net()?.split(&[first, second, third])
    })
}

/// Two halves part and meet every two seconds.
pub(super) fn flapping(bench: &mut Bench, timed: Timed) -> Result<()> {
    let beat = Duration::from_secs(2);
    let once = Timed {
        seconds: 0,
        ..timed
    };
    disturbed(bench, "flapping", once, |fleet| {
        let (left, right) = halves(fleet);
        let end = now() + Duration::from_secs(timed.seconds);
        while now() < end {
            fleet.net()?.split(&[&left, &right])?;
            fleet.pass(beat)?;
            fleet.net()?.heal()?;
            fleet.pass(beat)?;
        }
        Ok(())
    })
}

/// All links are long and stall now and then, each at its own times.
pub(super) fn long(bench: &mut Bench, timed: Timed, round_trip: u64, stalls: u64) -> Result<()> {
    let name = format!("round trips of {round_trip} ms, stalls of {stalls} ms");
    let mut settings = bench.settings("long links");
    (settings.round_trip, settings.stalls) = (Some(round_trip), Some(stalls));
    let mut fleet = Fleet::start(settings, None)?;
    fleet.load(timed.rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let start = now();
    fleet.pass(Duration::from_secs(timed.seconds))?;
    let end = now();
    fleet.settle(BOUND)?;
    bench.judge(
        &name,
        fleet,
        end,
        |_| (),
        |report, _, account| {
            let times = latency(account, Window::new(start, end), |_| true);
            report.limit("p99", times.at(0.99), Duration::from_millis(500));
            report.demand(account.gaps().count() == 0, || "there are gaps".to_owned());
        },
    )
}

/// Two groups reach each other only over a third.
pub(super) fn chain(bench: &mut Bench, timed: Timed) -> Result<()> {
    disturbed(bench, "chain", timed, |fleet| {
        let between = fleet.len() / 2 - 1;
        let nodes = fleet.len();
        let net = fleet.net()?;
        for left in 0..between {
            for right in between + 2..nodes {
                net.mute(left, right)?;
                net.mute(right, left)?;
            }
        }
        Ok(())
    })
}

/// The link of one node goes down, and two others are told that there is no way between them.
pub(super) fn unreachable(bench: &mut Bench, timed: Timed) -> Result<()> {
    let time = Duration::from_secs(timed.seconds);
    let once = Timed {
        seconds: 0,
        ..timed
    };
    disturbed(bench, "unreachable", once, |fleet| {
        let last = fleet.len() - 1;
        fleet.net()?.link(last, false)?;
        fleet.net()?.blackhole(0, 1)?;
        fleet.net()?.blackhole(1, 0)?;
        fleet.pass(time)?;
        fleet.net()?.link(last, true)
    })
}

/// Load before, while and after something is wrong with the links.
fn disturbed(
    bench: &mut Bench,
    name: &str,
    Timed { seconds, rate }: Timed,
    disturb: impl FnOnce(&mut Fleet) -> Result<()>,
) -> Result<()> {
    let mut fleet = bench.linked_fleet(name)?;
    fleet.load(rate, bench.common.size)?;
    fleet.pass(WARM)?;
    let from = now();
    disturb(&mut fleet)?;
    fleet.pass(Duration::from_secs(seconds))?;
    fleet.net()?.heal()?;
    let healed = now();
    fleet.pass(AFTER)?;
    fleet.settle(BOUND)?;
    bench.judge(
        name,
        fleet,
        healed,
        |_| (),
        |report, _, account| {
            let window: Window = Window::new(from, healed);
            let meanwhile = latency(account, window, |_| true);
            report.detail(format!(
                "posted meanwhile: p50 {:.1?}, p99 {:.1?}, last {:.1?}",
                meanwhile.at(0.5),
                meanwhile.at(0.99),
                meanwhile.at(1.0)
            ));
            let after = recovery(account, window, healed, |_| true);
            let last: At = healed + after.at(1.0);
            report.detail(format!(
                "all of it was everywhere {:.1?} after the heal",
                last.since(healed)
            ));
            report.demand(account.gaps().count() == 0, || "there are gaps".to_owned());
        },
    )
}

fn halves(fleet: &Fleet) -> (Vec<usize>, Vec<usize>) {
    let half = fleet.len() / 2;
    ((0..half).collect(), (half..fleet.len()).collect())
}

/// Before anything happens.
const WARM: Duration = Duration::from_secs(3);

/// For how long things go on after the heal.
const AFTER: Duration = Duration::from_secs(5);
