use std::time::Duration;

use super::*;
use crate::at::At;

fn scenario(rest: &str) -> Result<Scenario, ScenarioError> {
    Scenario::from_toml(&format!(
        "name = 'x'\nnodes = 5\nregions = ['fra', 'iad']\nduration = 10\n{rest}"
    ))
}

fn script(rest: &str) -> Script {
    let scenario = scenario(rest).expect("it makes sense");
    Script::of(&scenario, &scenario.faults)
}

#[test]
fn nodes_are_named_by_region_and_selected_by_either() {
    let scenario = scenario("").expect("it makes sense");
    let names: Vec<_> = (0..5).map(|node| scenario.node_name(node)).collect();
    assert_eq!(names, ["fra0", "iad0", "fra1", "iad1", "fra2"]);
    assert_eq!(scenario.select("fra").expect("they are there"), [0, 2, 4]);
    assert_eq!(scenario.select("iad1").expect("they are there"), [3]);
    assert_eq!(
        scenario.select("*").expect("they are there"),
        [0, 1, 2, 3, 4]
    );
    assert!(
        matches!(scenario.select("syd"), Err(ScenarioError::NoSuchNode(name)) if name == "syd")
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for wrong in [
        "nodes = 0",
        "regions = []",
        "bound = 40",
        "duration = -1",
        "duration = 1e300",
        "colour = 'red'",
        "[load]\nchannels = []",
        "[[fault]]\nkind = 'crash'\nat = 1\nnode = 'syd0'",
        "[[fault]]\nkind = 'crash'\nat = 1\nnode = 'fra'",
        "[[fault]]\nkind = 'reopen'\nat = 1\nfor = 1\nnode = 'fra0'\nchannel = 'mars'",
        "[[fault]]\nkind = 'flap'\nat = 1\nfor = 1\nup = 0\ndown = 0\ngroups = []",
        "[[fault]]\nkind = 'flood'\nat = 1",
    ] {
        let (name, _) = wrong.split_once(' ').expect("a key and a value");
        let text = format!("name = 'x'\nnodes = 5\nduration = 10\n{wrong}");
        let text = if ["nodes", "duration"].contains(&name) {
            text.replacen(
                &format!("{name} = {}", if name == "nodes" { "5" } else { "10" }),
                "",
                1,
            )
        } else {
            text
        };
        assert!(Scenario::from_toml(&text).is_err(), "{wrong}");
    }
}

#[test]
fn a_partition_blocks_both_ways_between_groups_and_not_within() {
    let script =
        script("[[fault]]\nkind = 'partition'\nat = 2\nfor = 3.5\ngroups = [['fra'], ['iad']]");
    let blocked = script.steps.iter().find_map(|(at, step)| match step {
        Step::Block(pairs) => Some((*at, pairs.clone())),
        _ => None,
    });
    let (at, pairs) = blocked.expect("something is blocked");
    assert_eq!((at, pairs.len()), (At::from_secs(2), 12));
    assert!(pairs.contains(&(0, 1)) && pairs.contains(&(1, 0)) && !pairs.contains(&(0, 2)));
    assert_eq!(script.calm, At::ZERO + Duration::from_millis(5500));
}

#[test]
fn flapping_ends_up() {
    let script = script(
        "[[fault]]\nkind = 'flap'\nat = 1\nfor = 5\ndown = 2\nup = 1\ngroups = [['fra'], ['iad']]",
    );
    let times = |wanted: fn(&Step) -> bool| -> Vec<u64> {
        let steps = script.steps.iter().filter(|(_, step)| wanted(step));
        steps.map(|(at, _)| at.micros() / 1_000_000).collect()
    };
    assert_eq!(times(|step| matches!(step, Step::Block(_))), [1, 4]);
    assert_eq!(times(|step| matches!(step, Step::Unblock(_))), [3, 6]);
}

#[test]
fn who_joins_is_not_there_before() {
    let script = script("[[fault]]\nkind = 'join'\nat = 4\nnode = 'iad0'\nsince = { last = 7 }");
    let starts = script.steps.iter().filter_map(|(at, step)| match step {
        Step::Start(node, since) => Some((*at, *node, *since)),
        _ => None,
    });
    let starts: Vec<_> = starts.collect();
    assert_eq!(starts.len(), 5);
    assert_eq!(starts[4], (At::from_secs(4), 1, Since::Last(7)));
}

#[test]
fn faults_of_chance_are_over_in_time_and_the_same_for_the_same_seed() {
    let scenario = scenario("[random]\nfrom = 1\nuntil = 200\nevery = 1\nlongest = 30")
        .expect("it makes sense");
    for seed in 0..50 {
        let faults = scenario.all_faults(&mut Rng::new(seed));
        assert!(faults.len() > 100);
        assert!(faults.iter().all(|fault| fault.check(&scenario).is_ok()));
        assert!(Script::of(&scenario, &faults).calm <= At::from_secs(210));
        assert_eq!(faults, scenario.all_faults(&mut Rng::new(seed)));
        assert_ne!(faults, scenario.all_faults(&mut Rng::new(seed + 1)));
    }
}

#[test]
fn all_that_is_shipped_can_be_read() {
    for shipped in SHIPPED {
        let scenario = shipped
            .scenario()
            .unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
        assert_eq!(scenario.name, shipped.name);
        assert!(!scenario.about.is_empty());
        assert!(Shipped::find(shipped.name).is_some());
    }
}
