//! Fleets of processes under faults, each judged by the checker: the scenarios of `prove`, small
//! and short.

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use clap::Parser;
use meshcast_sim::{Checker, Event, Guarantee, Rules};
use meshcast_tests::{
    account::Account,
    clock::now,
    fleet::{Fleet, Settings},
    prove::{Bench, Common, Scenario},
};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    scenario: Scenario,
}

/// Runs a scenario as the command line of `prove` would, on a machine of which nothing is known.
#[track_caller]
fn proves(line: &str) {
    let line = Line::parse_from(["prove", "--untimed"].into_iter().chain(line.split(' ')));
    let mut bench =
        Bench::new(line.common, Path::new(env!("CARGO_BIN_EXE_prove"))).expect("a directory");
    line.scenario.run(&mut bench);
    let reports = bench.close();
    for why in reports.iter().filter_map(|report| report.why_skipped()) {
        // Not by `eprintln`, which is shown of tests that fail alone.
        let _ = writeln!(io::stderr(), "skipped: {why}");
    }
    assert!(!reports.is_empty());
    for report in &reports {
        assert!(report.is_good(true), "{report}");
    }
}

#[test]
fn nothing_is_lost_when_processes_are_killed_and_started_again() {
    proves("--nodes 5 kill --minutes 0.15 --every 1.5 --rate 100");
}

#[test]
fn nothing_is_lost_by_a_rolling_restart() {
    proves("--nodes 4 rolling --rate 100");
}

#[test]
fn nothing_is_lost_when_a_process_stands_still() {
    proves("--nodes 4 stopped --seconds 4 --rate 60");
}

#[test]
fn the_first_message_of_a_process_comes_to_all() {
    proves("--nodes 4 first-message --trials 10");
}

#[test]
fn an_object_that_is_closed_and_opened_again_gets_all_that_is_posted_while_it_is_open() {
    proves("--nodes 3 reopen --seconds 4 --rate 90");
}

#[test]
fn a_silent_partition_heals_without_a_gap() {
    proves("--nodes 4 partition --seconds 6 --rate 30");
}

#[test]
fn links_that_lose_one_direction_lose_no_message() {
    proves("--nodes 5 one-way --seconds 8 --rate 50");
}

#[test]
fn a_link_that_is_cut_without_a_word_loses_no_message() {
    proves("--nodes 4 silent --seconds 8 --rate 60");
}

#[test]
fn a_link_that_is_down_and_a_way_that_is_not_there_lose_no_message() {
    proves("--nodes 4 unreachable --seconds 5 --rate 40");
}

#[test]
fn groups_that_reach_each_other_only_over_a_third_lose_no_message() {
    proves("--nodes 5 chain --seconds 6 --rate 50");
}

#[test]
fn a_delivery_that_is_taken_out_of_the_logs_is_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_prove");
    let settings = Settings::new(program, directory.path().join("fleet"), 3);
    let mut fleet = Fleet::start(settings, None).expect("they find each other");
    let start = now();
    fleet.load(60.0, 100).expect("they listen");
    fleet.pass(Duration::from_secs(1)).expect("they run");
    fleet.settle(Duration::from_secs(30)).expect("they run");
    let mut run = fleet.finish(start).expect("they end");

    let rules = Rules::default();
    let whole = (
        Checker::new(rules.clone()).check(&run.log).violations,
        Account::of(&run.log).balance(),
    );
    assert_eq!((whole.0, whole.1.lost()), (vec![], 0));
    assert_eq!(whole.1.due, whole.1.delivered);
    assert!(whole.1.due > 30, "{} are too few", whole.1.due);

    let deliveries = run.log.iter().enumerate();
    let mut deliveries =
        deliveries.filter(|(_, entry)| matches!(entry.event, Event::Delivery { .. }));
    let (one, _) = deliveries.nth(10).expect("there are more");
    run.log.remove(one);
    let verdict = Checker::new(rules).check(&run.log);
    let broken: Vec<Guarantee> = verdict.by_guarantee().into_keys().collect();
    // At the beginning or end of what a sender posted it is not silent, but missing.
    assert!(
        broken == [Guarantee::G4] || broken == [Guarantee::G5],
        "{:?}",
        verdict.violations
    );
    assert_eq!(Account::of(&run.log).balance().lost(), 1);
}
