use super::*;
use crate::{
    checker::{Checker, Rules, Violation},
    run::{run, run_logged},
};

fn scenario(rest: &str) -> Scenario {
    let text = format!("name = 'x'\nnodes = 4\nregions = ['fra', 'syd']\nduration = 20\n{rest}");
    Scenario::from_toml(&text).expect("it makes sense")
}

const FAULTS: &str = "[load]\nobjects = 2\n[random]\nfrom = 1\nuntil = 18\nevery = 2\nlongest = 8";

#[test]
fn the_same_seed_gives_the_same_run_and_another_another() {
    let scenario = scenario(FAULTS);
    let (report, log) = run_logged(&scenario, 3);
    let (again, same) = run_logged(&scenario, 3);
    assert_eq!((&report.trace, &log), (&again.trace, &same));
    assert_eq!(report.traffic, again.traffic);
    assert_ne!(run(&scenario, 4).trace, report.trace);
}

#[test]
fn time_never_goes_back_in_the_log() {
    let (_, log) = run_logged(&scenario(FAULTS), 5);
    assert!(log.is_sorted_by_key(|entry| entry.t));
    assert!(matches!(
        log.last(),
        Some(Entry {
            event: Event::Finish,
            ..
        })
    ));
}

#[test]
fn every_fault_leaves_its_mark() {
    let count = |rest: &str, wanted: fn(&Event) -> bool| {
        let (report, log) = run_logged(&scenario(rest), 1);
        assert!(report.defects.is_empty(), "{report}");
        log.iter().filter(|entry| wanted(&entry.event)).count()
    };
    let crash = "[[fault]]\nkind = 'crash'\nat = 5\nnode = 'fra1'\nrestart = 2";
    assert_eq!(count(crash, |event| matches!(event, Event::Start)), 5);
    assert_eq!(count(crash, |event| matches!(event, Event::End)), 1);
    let reopen = "[[fault]]\nkind = 'reopen'\nat = 5\nfor = 2\nnode = 'fra1'\nchannel = 'earth'";
    assert_eq!(
        count(reopen, |event| matches!(event, Event::Open { .. })),
        5
    );
    assert_eq!(
        count(reopen, |event| matches!(event, Event::Close { .. })),
        1
    );
    let burst = "[load]\nrate = 0\n[[fault]]\nkind = 'burst'\nat = 5\nnode = 'fra1'\nvalues = 1234\nsize = 9";
    assert_eq!(
        count(burst, |event| matches!(event, Event::Post { .. })),
        1234
    );
    assert_eq!(
        count(burst, |event| matches!(event, Event::Delivery { .. })),
        3 * 1234
    );
}

#[test]
fn nothing_crosses_a_partition_and_all_does_after_it() {
    let cut = "[[fault]]\nkind = 'partition'\nat = 5\nfor = 10\ngroups = [['fra'], ['syd']]";
    let (report, log) = run_logged(&scenario(cut), 1);
    let crossed = |from: u64, to: u64| {
        log.iter()
            .filter(|entry| (At::from_secs(from)..At::from_secs(to)).contains(&entry.t))
            .filter(|entry| match &entry.event {
                Event::Delivery { sender, .. } => {
                    sender.as_str()[..3] != entry.process.as_str()[..3]
                }
                _ => false,
            })
            .count()
    };
    assert!(crossed(2, 5) > 0);
    // Messages under way may still arrive in a moment.
    assert_eq!(crossed(6, 15), 0);
    assert!(crossed(15, 20) > 0);
    assert!(report.traffic.repaired > 0);
}

#[test]
fn a_paused_process_does_nothing() {
    let (_, log) = run_logged(
        &scenario("[[fault]]\nkind = 'pause'\nat = 5\nfor = 10\nnode = 'syd1'"),
        1,
    );
    let does = |from: u64, to: u64| {
        log.iter()
            .filter(|entry| entry.process.as_str() == "syd1.1")
            .filter(|entry| !matches!(entry.event, Event::Sample { .. }))
            .filter(|entry| (At::from_secs(from)..At::from_secs(to)).contains(&entry.t))
            .count()
    };
    assert!(does(0, 5) > 0 && does(15, 20) > 0);
    assert_eq!(does(5, 15), 0);
}

#[test]
fn what_an_engine_takes_is_measured_and_too_much_of_it_is_a_violation() {
    let scenario = scenario("[network]\nloss = 0.2");
    let (report, log) = run_logged(&scenario, 1);
    assert!(report.is_clean(), "{report}");
    let held = log.iter().filter_map(|entry| match entry.event {
        Event::Sample { held, .. } => Some(held),
        _ => None,
    });
    let most = held.max().expect("one a second");
    assert!(most > 0);
    let judged = |held_cap| {
        let rules = Rules {
            held_cap: Some(held_cap),
            ..scenario.rules()
        };
        Checker::new(rules).check(&log).violations
    };
    assert_eq!(judged(most), []);
    assert!(matches!(
        judged(most - 1)[..],
        [Violation::OverCap { bytes, .. }, ..] if bytes == most
    ));
}

#[test]
fn a_peer_that_does_not_keep_up_is_sent_no_gossip_and_gets_all_the_same() {
    let load = "[load]\nrate = 50\n";
    let paused = run(
        &scenario(&format!(
            "{load}[[fault]]\nkind = 'pause'\nat = 5\nfor = 3\nnode = 'syd1'"
        )),
        1,
    );
    assert!(paused.is_clean() && paused.verdict.gaps == 0, "{paused}");
    assert!(paused.traffic.withheld > 0);
    assert_eq!(run(&scenario(load), 1).traffic.withheld, 0);
}

#[test]
fn catching_up_takes_as_long_as_the_links_are_slow() {
    let slow = |bandwidth: u64| {
        let rest = format!(
            "[network]\nbandwidth = {bandwidth}\n[load]\nrate = 50\nsizes = [{{ weight = 1, min = 4000, max = 5000 }}]\n\
             [[fault]]\nkind = 'partition'\nat = 2\nfor = 15\ngroups = [['fra'], ['syd']]"
        );
        run(&scenario(&rest), 1).verdict.catch_up
    };
    assert!(slow(200_000) > slow(20_000_000) * 3 / 2);
}
